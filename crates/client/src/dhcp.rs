//! DHCPv4 client (RFC 2131 §4.4).
//!
//! ```text
//! Init ─DISCOVER▶ Selecting ─OFFER, REQUEST▶ Requesting ─ACK▶ Bound
//!   ▲                                            │NAK         │T1: unicast REQUEST
//!   └────────────────────────────────────────────┴─ expiry ◀──┘T2: broadcast REQUEST
//! ```

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use node::{Cause, Cidr, Cx, Parent, PortId, Protocol, Time};
use rand::RngExt;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::Mac;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::ipv4::{self, New, protocol};

/// First wait for an answer, doubling to [`MOST`]. RFC 2131 §4.1 has 4 to 64 s,
/// for networks of another age.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(8);

/// What the node was lent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) prefix: u8,
    pub(crate) router: Option<Ipv4Addr>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) until: Option<Time>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Init,
    Selecting,
    Requesting { offer: Ipv4Addr, server: Ipv4Addr },
    Bound,
}

#[derive(Debug)]
pub(crate) struct Dhcp {
    port: PortId,
    mac: Mac,
    name: String,
    state: State,
    xid: u32,
    wait: Duration,
    tries: u32,
    next: Time,
    t1: Time,
    t2: Time,
    pub(crate) lease: Lease,
}

/// What an answer changed.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Nothing,
    Bound(Cidr, Option<Ipv4Addr>),
    Lost,
}

impl Dhcp {
    pub(crate) fn new(port: PortId, mac: Mac, name: &str) -> Dhcp {
        Dhcp {
            port,
            mac,
            name: name.to_owned(),
            state: State::Init,
            xid: 0,
            wait: FIRST,
            tries: 0,
            next: Time::ZERO,
            t1: Time::ZERO,
            t2: Time::ZERO,
            lease: Lease::default(),
        }
    }

    pub(crate) fn state(&self) -> &'static str {
        match self.state {
            State::Init => "init",
            State::Selecting => "selecting",
            State::Requesting { .. } => "requesting",
            State::Bound => "bound",
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        self.next
    }

    pub(crate) fn poll(&mut self, cx: &mut Cx<'_>) -> Change {
        if self.next > cx.now {
            return Change::Nothing;
        }
        match self.state {
            State::Init | State::Selecting => self.discover(cx),
            State::Requesting { .. } if self.tries >= 4 => {
                self.state = State::Init;
                self.discover(cx);
            }
            State::Requesting { offer, server } => self.request(cx, offer, Some(server)),
            State::Bound if self.lease.until.is_some_and(|t| t <= cx.now) => {
                self.lease = Lease::default();
                self.state = State::Init;
                self.discover(cx);
                return Change::Lost;
            }
            State::Bound => self.renew(cx),
        }
        Change::Nothing
    }

    fn backoff(&mut self, cx: &mut Cx<'_>) {
        let chance = cx.rng().random_range(0.9..1.1);
        self.next = cx.now + self.wait.mul_f64(chance);
        self.wait = (self.wait * 2).min(MOST);
        self.tries += 1;
    }

    fn discover(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Init {
            self.xid = cx.rng().random();
            self.wait = FIRST;
            self.state = State::Selecting;
        }
        let mut m = self.message(MessageType::Discover);
        m.opts_mut().insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::DomainNameServer,
            OptionCode::DomainName,
        ]));
        self.send(cx, &m, None);
        self.backoff(cx);
    }

    fn request(&mut self, cx: &mut Cx<'_>, address: Ipv4Addr, server: Option<Ipv4Addr>) {
        let mut m = self.message(MessageType::Request);
        m.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        if let Some(s) = server {
            m.opts_mut().insert(DhcpOption::ServerIdentifier(s));
        }
        self.send(cx, &m, None);
        self.backoff(cx);
    }

    /// §4.4.5: to the server until T2, then to all.
    fn renew(&mut self, cx: &mut Cx<'_>) {
        let Some(a) = self.lease.address else { return };
        let mut m = self.message(MessageType::Request);
        m.set_ciaddr(a);
        // Unicast would need the neighbour; a broadcast reaches the server too.
        self.send(cx, &m, Some(a));
        let end = self.lease.until.unwrap_or(cx.now);
        let until = if cx.now < self.t2 { self.t2 } else { end };
        self.next = cx.now + (until.since(cx.now) / 2).max(Duration::from_secs(1)).min(until.since(cx.now).max(Duration::from_millis(1)));
    }

    fn message(&self, kind: MessageType) -> Message {
        let mut m = Message::default();
        m.set_opcode(Opcode::BootRequest).set_xid(self.xid).set_chaddr(&self.mac.0);
        let o = m.opts_mut();
        o.insert(DhcpOption::MessageType(kind));
        o.insert(DhcpOption::ClientIdentifier([&[1], &self.mac.0[..]].concat()));
        o.insert(DhcpOption::Hostname(self.name.clone()));
        m
    }

    fn send(&self, cx: &mut Cx<'_>, m: &Message, src: Option<Ipv4Addr>) {
        let Ok(mut data) = m.to_vec() else { return };
        data.resize(data.len().max(300), 0);
        let Some(mut f) = cx.make(Parent::Timer) else { return };
        let n = data.len() + 8;
        let b = f.grow(ipv4::HEADER_LEN + n);
        let src = src.unwrap_or(Ipv4Addr::UNSPECIFIED);
        ipv4::write_header(
            b,
            &New { payload_len: n, ident: 0, df: false, tos: 0x10, ttl: 64, protocol: protocol::UDP, src, dst: Ipv4Addr::BROADCAST },
        );
        b[20..28].copy_from_slice(&[0, 68, 0, 67, (n >> 8) as u8, n as u8, 0, 0]);
        b[28..].copy_from_slice(&data);
        ipv4::fill_l4_checksum(b);
        Header { dst: Mac::BROADCAST, src: self.mac, ethertype: ethertype::IPV4 }.write(f.push(HEADER_LEN));
        cx.send(self.port, f, || Cause::Control { protocol: Protocol::Dhcp });
    }

    /// Takes a UDP payload for port 68. `None`: it is not for us.
    pub(crate) fn input(&mut self, cx: &mut Cx<'_>, data: &[u8]) -> Option<Change> {
        let m = Message::decode(&mut Decoder::new(data)).ok()?;
        if m.opcode() != Opcode::BootReply || m.xid() != self.xid || m.chaddr() != self.mac.0 {
            return None;
        }
        let server = match m.opts().get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(s)) => *s,
            _ => return None,
        };
        match (m.opts().msg_type()?, self.state) {
            (MessageType::Offer, State::Selecting) => {
                self.state = State::Requesting { offer: m.yiaddr(), server };
                (self.wait, self.tries) = (FIRST, 0);
                self.request(cx, m.yiaddr(), Some(server));
                Some(Change::Nothing)
            }
            (MessageType::Ack, State::Requesting { offer, server: chosen }) if server == chosen && m.yiaddr() == offer => {
                Some(self.bind(cx.now, &m, server))
            }
            (MessageType::Ack, State::Bound) if Some(m.yiaddr()) == self.lease.address => Some(self.bind(cx.now, &m, server)),
            (MessageType::Nak, State::Requesting { .. } | State::Bound) => {
                let had = self.lease.address.is_some();
                self.lease = Lease::default();
                self.state = State::Init;
                self.next = cx.now + FIRST;
                Some(if had { Change::Lost } else { Change::Nothing })
            }
            _ => None,
        }
    }

    fn bind(&mut self, now: Time, m: &Message, server: Ipv4Addr) -> Change {
        let o = m.opts();
        let secs = |c, default: u64| match o.get(c) {
            Some(DhcpOption::AddressLeaseTime(s) | DhcpOption::Renewal(s) | DhcpOption::Rebinding(s)) => u64::from(*s),
            _ => default,
        };
        let time = secs(OptionCode::AddressLeaseTime, 3600).max(2);
        self.t1 = now + Duration::from_secs(secs(OptionCode::Renewal, time / 2));
        self.t2 = now + Duration::from_secs(secs(OptionCode::Rebinding, time / 8 * 7));
        self.next = self.t1;
        self.state = State::Bound;
        let mask = match o.get(OptionCode::SubnetMask) {
            Some(DhcpOption::SubnetMask(m)) => u32::from(*m),
            _ => 0xffff_ff00,
        };
        let router = match o.get(OptionCode::Router) {
            Some(DhcpOption::Router(r)) => r.first().copied(),
            _ => None,
        };
        self.lease = Lease {
            address: Some(m.yiaddr()),
            prefix: mask.count_ones() as u8,
            router,
            dns: match o.get(OptionCode::DomainNameServer) {
                Some(DhcpOption::DomainNameServer(d)) => d.clone(),
                _ => Vec::new(),
            },
            domain: match o.get(OptionCode::DomainName) {
                Some(DhcpOption::DomainName(d)) => Some(d.clone()),
                _ => None,
            },
            server: Some(server),
            until: Some(now + Duration::from_secs(time)),
        };
        Change::Bound(Cidr { addr: m.yiaddr(), len: self.lease.prefix }, router)
    }
}
