//! Why frames end without being sent: the names under which they are counted.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// The reason of a drop. Its text is the name in `lab show NODE counters`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+ }

        impl DropReason {
            /// All reasons.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)+];

            /// The counter's name.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$name => $text,)+ }
            }

            /// One line on what it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(DropReason::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// Shorter than an Ethernet header, or than its own length fields say.
    Truncated = "truncated",
    /// The frame pool was empty.
    NoBuffer = "no-buffer",
    /// The kernel refused the write (link down, frame too short).
    PortError = "port-error",
    /// Sent to another station's MAC address.
    NotForUs = "not-for-us",
    /// An ethertype that this device does not speak.
    UnknownEthertype = "unknown-ethertype",
    /// 01:80:c2:00:00:00 to :0f are never forwarded by a bridge.
    BridgeReserved = "bridge-reserved",
    /// A source address with the group bit.
    MulticastSource = "multicast-source",
    /// Destination is behind the port it came from.
    SamePort = "same-port",
    /// Consumed: the frame was for this device itself.
    Consumed = "consumed",
    /// An ARP packet that is not Ethernet/IPv4, or is cut.
    BadArp = "bad-arp",
    /// ARP from a sender that cannot be (multicast, ours, or off the link).
    ArpSpoofed = "arp-spoofed",
    /// No station answered for the next hop.
    NeighbourUnreachable = "neighbour-unreachable",
    /// The queue for an unresolved next hop was full (oldest goes).
    NeighbourQueueFull = "neighbour-queue-full",
    /// An IPv4 header that is cut, of another version, or contradicts itself.
    BadIpHeader = "bad-ip-header",
    /// The IPv4 header checksum is wrong.
    BadIpChecksum = "bad-ip-checksum",
    /// A TCP, UDP or ICMP checksum is wrong.
    BadChecksum = "bad-checksum",
    /// A TCP, UDP or ICMP length is impossible.
    BadLength = "bad-length",
    /// TTL ran out.
    TtlExceeded = "ttl-exceeded",
    /// The FIB has no route.
    NoRoute = "no-route",
    /// A route says to drop (blackhole, or a subnet broadcast).
    Blackhole = "blackhole",
    /// Larger than the next link's MTU, with DF set.
    FragmentationNeeded = "fragmentation-needed",
    /// A source address that cannot be: loopback, multicast, broadcast, zero.
    MartianSource = "martian-source",
    /// A source address that does not belong behind this port.
    SpoofedSource = "spoofed-source",
    /// Source and destination are the same address (LAND).
    Land = "land",
    /// Source routing or record route is set.
    SourceRoute = "source-route",
    /// A fragment overlaps another (RFC 5722's rule, RFC 1858).
    OverlappingFragment = "overlapping-fragment",
    /// A first fragment too small for its transport header (RFC 1858), or a piece that is no multiple of 8.
    TinyFragment = "tiny-fragment",
    /// A fragment that ends beyond 65535 bytes (ping of death).
    OversizedFragment = "oversized-fragment",
    /// Pieces that were missing did not come in time.
    ReassemblyTimeout = "reassembly-timeout",
    /// No room for another datagram in pieces.
    ReassemblyFull = "reassembly-full",
    /// TCP flags that no stack sends: none, SYN with FIN or RST, FIN without ACK, all.
    BadTcpFlags = "bad-tcp-flags",
    /// More new connections to one host than the limit.
    SynFlood = "syn-flood",
    /// A TCP segment of no tracked connection.
    OutOfState = "out-of-state",
    /// An ICMP error about no tracked flow.
    UnrelatedError = "unrelated-error",
    /// A rule denies it.
    DeniedByRule = "denied-by-rule",
    /// No rule allows it.
    DeniedByDefault = "denied-by-default",
    /// The connection table is full.
    ConntrackFull = "conntrack-full",
    /// No mapping for a packet from outside.
    NatNoMapping = "nat-no-mapping",
    /// The mapping's filter does not let this sender in.
    NatFiltered = "nat-filtered",
    /// No port or table entry is free.
    NatFull = "nat-full",
    /// A protocol that the NAT does not translate.
    NatProtocol = "nat-protocol",
    /// A PPPoE packet with wrong version, length or tags.
    BadPppoe = "bad-pppoe",
    /// A PPPoE frame of no session.
    UnknownSession = "unknown-session",
    /// A PPP packet that is cut.
    BadPpp = "bad-ppp",
    /// A PPP packet before its phase, or of a protocol that is not open.
    PppNotOpen = "ppp-not-open",
    /// A cookie, host-uniq or service that does not match.
    PppoeMismatch = "pppoe-mismatch",
    /// More discovery packets than the limit.
    PppoeRateLimited = "pppoe-rate-limited",
    /// The session table is full.
    SessionsFull = "sessions-full",
    /// The link is down: unplugged, or its session is not up.
    LinkDown = "link-down",
    /// Lost by the link's loss rate.
    LinkLoss = "link-loss",
    /// The link's queue was full.
    QueueFull = "queue-full",
    /// No socket for it here.
    NoSocket = "no-socket",
    /// A socket's queue was full.
    SocketFull = "socket-full",
    /// The listen backlog was full.
    BacklogFull = "backlog-full",
    /// A DHCP message that is malformed or not for us.
    BadDhcp = "bad-dhcp",
    /// A DNS message that is malformed or answers no question of ours.
    BadDns = "bad-dns",
    /// An ICMP error was due but its rate limit forbade it.
    IcmpRateLimited = "icmp-rate-limited",
    /// A frame whose FCS, checked by a receiver, is wrong.
    BadFcs = "fcs-error",
    /// A medium's receiver found no frame in the signal.
    NoCarrier = "no-carrier",
    /// A frame of cells that is cut, or none.
    BadCells = "bad-cells",
    /// Cells of a channel or label that is not set up.
    UnknownVc = "unknown-vc",
    /// The phone line is not in showtime.
    LineDown = "line-down",
    /// A source address that is another line's, or the uplink's.
    MacSpoofed = "mac-spoofed",
    /// More stations behind a line than the limit.
    MacLimit = "mac-limit",
    /// From one subscriber to another, or an answer that only a concentrator gives.
    SubscriberIsolation = "subscriber-isolation",
    /// A destination behind no line.
    UnknownUnicast = "unknown-unicast",
    /// A discovery packet that the access line's tags would make too long.
    PppoeTooLong = "pppoe-too-long",
    /// An L2TP message with a wrong header or AVPs.
    BadL2tp = "bad-l2tp",
    /// An L2TP message of no tunnel, or from another peer than the tunnel's.
    UnknownTunnel = "unknown-tunnel",
    /// An L2TP message of no session.
    UnknownL2tpSession = "unknown-l2tp-session",
    /// L2TP data behind its order.
    L2tpOutOfOrder = "l2tp-out-of-order",
    /// A RADIUS message that is malformed, unsolicited, or not signed by the secret.
    BadRadius = "bad-radius",
    /// IP options, protocol or address kind that is not forwarded (multicast, class E).
    NotForwardable = "not-forwardable",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
