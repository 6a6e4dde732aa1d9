//! Why an element did what it did with a frame, in the field's own terms.

use crate::Cidr;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use wire::Mac;

/// A protocol whose state machine sends messages of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Protocol {
    /// PPPoE discovery.
    #[serde(rename = "PPPoE")]
    Pppoe,
    /// LCP, authentication, network control protocols.
    #[serde(rename = "PPP")]
    Ppp,
    /// The name service.
    #[serde(rename = "DNS")]
    Dns,
    /// Address leases.
    #[serde(rename = "DHCP")]
    Dhcp,
    /// The two ends of a phone line.
    #[serde(rename = "ADSL")]
    Adsl,
    /// Tunnels.
    #[serde(rename = "L2TP")]
    L2tp,
    /// Authentication and accounting.
    #[serde(rename = "RADIUS")]
    Radius,
}

impl Protocol {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Pppoe => "PPPoE",
            Protocol::Ppp => "PPP",
            Protocol::Dns => "DNS",
            Protocol::Dhcp => "DHCP",
            Protocol::Adsl => "ADSL",
            Protocol::L2tp => "L2TP",
            Protocol::Radius => "RADIUS",
        }
    }
}

/// Why a frame was sent, changed or held, and what an application did with what
/// it carried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Cause {
    /// Sent on by what the device knows: a station's port, a route.
    Forwarded,
    /// A switch sent it out of all other ports.
    Flooded {
        /// It did not know the station; else it is for all.
        unknown: bool,
    },
    /// A station was learned, and the frame forwarded.
    Learned {
        /// The station.
        station: Mac,
    },
    /// A route was chosen; in transit the TTL was lowered by one.
    Routed {
        /// The forwarding table's entry.
        prefix: Cidr,
        /// The neighbour it goes to; the packet's own destination on its link; 0.0.0.0
        /// where the route is a session, which has no neighbours.
        next_hop: Ipv4Addr,
    },
    /// NAT rewrote one end.
    Nat {
        /// Address and port before.
        from: (Ipv4Addr, u16),
        /// Address and port after.
        to: (Ipv4Addr, u16),
    },
    /// A SYN's maximum segment size was lowered (RFC 4459 §3.2).
    MssClamped {
        /// What the sender had asked for.
        from: u16,
        /// What the next link bears.
        to: u16,
    },
    /// Put into a PPPoE session.
    PppoeEncapsulated {
        /// The session's id.
        session: u16,
    },
    /// Taken out of a PPPoE session.
    PppoeDecapsulated {
        /// The session's id.
        session: u16,
    },
    /// Cut into ATM cells for a phone line.
    Segmented {
        /// Cells of the whole frame.
        cells: u16,
    },
    /// Put together from ATM cells.
    Reassembled {
        /// Cells of the whole frame.
        cells: u16,
    },
    /// Put into an L2TP session; numbers are the receiver's.
    L2tpEncapsulated {
        /// The tunnel.
        tunnel: u16,
        /// The session.
        session: u16,
    },
    /// Taken out of an L2TP session; numbers are this end's.
    L2tpDecapsulated {
        /// The tunnel.
        tunnel: u16,
        /// The session.
        session: u16,
    },
    /// Tags that tell the access line were added (TR-101).
    LineTagged,
    /// Crossed a medium as a signal.
    Signalled,
    /// A firewall let it pass since it belongs to a connection that it tracks.
    Established,
    /// A firewall rule let it pass, or what it is related to.
    Allowed {
        /// The rule's place in the list, from 1.
        rule: u16,
        /// The rule's name.
        name: String,
    },
    /// A firewall rule denies it.
    Denied {
        /// The rule's place in the list, from 1; 0: no rule allows it.
        rule: u16,
        /// The rule's name.
        name: String,
    },
    /// A transparent proxy takes it for itself, though it is for another.
    Intercepted {
        /// The server that was meant.
        server: Ipv4Addr,
    },
    /// One of several fragments.
    Fragmented,
    /// A question by ARP.
    ArpRequest {
        /// Whose address is sought.
        target: Ipv4Addr,
    },
    /// An answer to a frame: ARP reply, echo reply, PADO, DHCP offer, …
    Answered,
    /// An ICMP error about a frame.
    IcmpError {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The MTU that "fragmentation needed" tells; else 0.
        mtu: u16,
    },
    /// An ICMP error was due, and this device's settings forbid it.
    ErrorWithheld {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The MTU that "fragmentation needed" would have told; else 0.
        mtu: u16,
    },
    /// The way out is down.
    WanDown {
        /// Why, in the link's own words.
        why: String,
    },
    /// A protocol's own message, sent by its state machine.
    Control {
        /// Protocol.
        protocol: Protocol,
    },
    /// A socket of this host wrote it.
    Socket,
    /// Let through by a link, later or altered.
    Impaired,
    /// A second copy made by a link.
    Duplicated,
    /// Waits for the next hop's MAC address.
    AwaitsNeighbour {
        /// The next hop.
        next_hop: Ipv4Addr,
    },
    /// Waits for its other fragments.
    AwaitsFragments,
    /// Waits in a link's queue.
    Queued,
    /// Waits since a person paused the lab.
    Paused,
    /// A path was learned to bear less (RFC 1191).
    PathMtu {
        /// Bytes of a packet.
        mtu: u16,
    },

    /// A browser read a URL.
    UrlParsed {
        /// The whole.
        url: String,
        /// The host's name.
        host: String,
        /// The port.
        port: u16,
        /// Path and query.
        path: String,
    },
    /// A name has addresses.
    Resolved {
        /// The name.
        name: String,
        /// Its addresses.
        addresses: Vec<Ipv4Addr>,
        /// Known already: nobody was asked.
        cached: bool,
    },
    /// A name has none.
    NameFailed {
        /// The name.
        name: String,
        /// Why, in the resolver's words.
        why: String,
    },
    /// A connection is open.
    Connected {
        /// This end.
        local: (Ipv4Addr, u16),
        /// The other.
        remote: (Ipv4Addr, u16),
        /// It had been open before.
        kept: bool,
    },
    /// A request was written.
    RequestSent {
        /// Method.
        method: String,
        /// Path and query.
        target: String,
        /// The host that it names.
        host: String,
    },
    /// A request was read whole.
    RequestReceived {
        /// Method.
        method: String,
        /// Path and query.
        target: String,
    },
    /// A cache answers from what it keeps.
    CacheHit {
        /// Seconds for which it stays fresh.
        ttl: u64,
    },
    /// … from what another request is just fetching.
    CacheShared,
    /// A cache must ask the server.
    CacheMiss {
        /// The token of RFC 9211 §2.2: `uri-miss`, `vary-miss`, `stale`, `method`, …
        reason: String,
    },
    /// The server said that what the cache keeps is still good.
    CacheRevalidated,
    /// The server does not answer; a stale copy does.
    CacheStale {
        /// Its age in seconds.
        age: u64,
    },
    /// The server behind a proxy does not answer as it should.
    UpstreamFailed {
        /// Why.
        why: String,
    },
    /// An answer was made.
    Responded {
        /// Its status.
        status: u16,
    },
    /// A browser has an answer whole.
    PageReceived {
        /// The URL.
        url: String,
        /// Its status.
        status: u16,
        /// Bytes of its body.
        bytes: u64,
        /// What the cache on the way said (RFC 9211).
        cache_status: String,
    },
    /// A browser has drawn the page.
    PageDrawn {
        /// Resources that it needed besides.
        resources: u16,
    },
    /// A browser gave up.
    FetchFailed {
        /// Why, in a line.
        why: String,
        /// curl's exit code for it.
        code: u8,
    },
}
