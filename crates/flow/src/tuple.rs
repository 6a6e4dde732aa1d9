//! What names a flow.

use std::fmt;
use std::net::Ipv4Addr;
use wire::ipv4::{Header, protocol};
use wire::{be16, icmp};

/// Protocol, and address and port of both ends. For ICMP echo both ports are
/// the identifier (RFC 5508 §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tuple {
    /// IP protocol.
    pub protocol: u8,
    /// Sender.
    pub src: (Ipv4Addr, u16),
    /// Receiver.
    pub dst: (Ipv4Addr, u16),
}

/// What a packet means to a flow table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// A packet of a flow.
    Of(Tuple),
    /// An ICMP error about the packet with this tuple (as its sender wrote it),
    /// which is quoted at this offset of the message's body.
    Error(Tuple),
    /// Nothing that a table can hold.
    Other,
}

impl Tuple {
    /// The tuple of packets in the other direction.
    #[must_use]
    pub fn reversed(self) -> Tuple {
        Tuple { protocol: self.protocol, src: self.dst, dst: self.src }
    }

    /// Reads the tuple of an unfragmented packet whose header is `h`.
    pub fn read(p: &[u8], h: &Header) -> Option<Tuple> {
        let l4 = p.get(h.header_len..)?;
        let (s, d) = match h.protocol {
            protocol::TCP | protocol::UDP => (be16(l4, 0)?, be16(l4, 2)?),
            protocol::ICMP if icmp::is_echo(*l4.first()?) => (be16(l4, icmp::IDENT)?, be16(l4, icmp::IDENT)?),
            _ => return None,
        };
        Some(Tuple { protocol: h.protocol, src: (h.src, s), dst: (h.dst, d) })
    }
}

impl Flow {
    /// Reads what a packet (from its IP header on) means.
    pub fn read(p: &[u8], h: &Header) -> Flow {
        if let Some(t) = Tuple::read(p, h) {
            return Flow::Of(t);
        }
        let error = (|| {
            let body = p.get(h.header_len..)?;
            if h.protocol != protocol::ICMP || !icmp::is_error(*body.first()?) {
                return None;
            }
            let quoted = body.get(icmp::HEADER_LEN..)?;
            let q = Header::read_quoted(quoted).ok()?;
            Tuple::read(quoted, &q)
        })();
        error.map_or(Flow::Other, Flow::Error)
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = protocol_name(self.protocol);
        write!(f, "{name} {}:{} > {}:{}", self.src.0, self.src.1, self.dst.0, self.dst.1)
    }
}

/// `tcp`, `udp`, `icmp`, or the number.
pub fn protocol_name(p: u8) -> String {
    match p {
        protocol::ICMP => "icmp".into(),
        protocol::TCP => "tcp".into(),
        protocol::UDP => "udp".into(),
        n => n.to_string(),
    }
}
