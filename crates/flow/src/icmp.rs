//! ICMP errors that a router owes (RFC 792, RFC 1812 §4.3.2), rate-limited.

use node::{Cx, Frame, Parent, Time};
use std::net::Ipv4Addr;
use wire::ipv4::{self, Header, New, protocol};
use wire::{checksum, icmp};

/// An error's type, code and the word behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Bytes 4 to 7: the next hop's MTU of "fragmentation needed" (RFC 1191).
    pub word: u32,
}

impl Error {
    /// Time to live exceeded in transit.
    pub const TTL: Error = Error { kind: icmp::TIME_EXCEEDED, code: 0, word: 0 };
    /// Fragment reassembly time exceeded.
    pub const REASSEMBLY: Error = Error { kind: icmp::TIME_EXCEEDED, code: 1, word: 0 };
    /// Network unreachable.
    pub const NET: Error = Error { kind: icmp::UNREACHABLE, code: icmp::unreachable::NET, word: 0 };
    /// Host unreachable.
    pub const HOST: Error = Error { kind: icmp::UNREACHABLE, code: icmp::unreachable::HOST, word: 0 };
    /// Port unreachable.
    pub const PORT: Error = Error { kind: icmp::UNREACHABLE, code: icmp::unreachable::PORT, word: 0 };
    /// Administratively prohibited.
    pub const ADMIN: Error = Error { kind: icmp::UNREACHABLE, code: icmp::unreachable::ADMIN, word: 0 };

    /// Fragmentation needed; the next link carries `mtu` bytes.
    pub fn frag_needed(mtu: u16) -> Error {
        Error { kind: icmp::UNREACHABLE, code: icmp::unreachable::FRAG_NEEDED, word: u32::from(mtu) }
    }
}

/// A token bucket.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    last: Time,
}

impl Bucket {
    /// `per_second` on average, `burst` at once.
    pub fn new(per_second: f64, burst: f64) -> Bucket {
        Bucket { per_second, burst, tokens: burst, last: Time::ZERO }
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        let gained = now.since(self.last).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.last = now;
        let ok = self.tokens >= 1.0;
        if ok {
            self.tokens -= 1.0;
        }
        ok
    }
}

/// May an error be sent about this packet? (RFC 1812 §4.3.2.7: never about an
/// ICMP error, a later fragment, or a packet to or from no single host.)
pub fn may_answer(p: &[u8], h: &Header) -> bool {
    let about_error = h.protocol == protocol::ICMP && p.get(h.header_len).is_none_or(|k| icmp::is_error(*k));
    let src = h.src;
    !(about_error
        || h.offset != 0
        || src.is_unspecified()
        || src.is_broadcast()
        || src.is_multicast()
        || src.is_loopback()
        || h.dst.is_multicast()
        || h.dst.is_broadcast())
}

/// Builds the error about `about` (which starts at its IP header), from `from`
/// to the packet's sender. It quotes up to 576 bytes in all (RFC 1812 §4.3.2.3).
pub fn make(cx: &mut Cx<'_>, about: &Frame, from: Ipv4Addr, e: Error) -> Option<Frame> {
    let h = Header::read_quoted(about.data()).ok()?;
    if !may_answer(about.data(), &h) {
        return None;
    }
    let quote = &about.data()[..about.len().min(576 - ipv4::HEADER_LEN - icmp::HEADER_LEN)];
    let mut f = cx.make(Parent::Of(about.seq))?;
    let len = icmp::HEADER_LEN + quote.len();
    let mut head = [0u8; ipv4::HEADER_LEN + icmp::HEADER_LEN];
    let new = New { payload_len: len, ident: 0, df: false, tos: 0xc0, ttl: 64, protocol: protocol::ICMP, src: from, dst: h.src };
    ipv4::write_header(&mut head, &new);
    let m = &mut head[ipv4::HEADER_LEN..];
    m[0] = e.kind;
    m[1] = e.code;
    m[4..8].copy_from_slice(&e.word.to_be_bytes());
    let sum = !checksum::add(checksum::sum(m), checksum::sum(quote));
    m[2..4].copy_from_slice(&sum.to_be_bytes());
    f.extend(&head);
    f.extend(quote);
    Some(f)
}

/// Turns an echo request (from its IP header on) into its reply in place.
pub fn echo_reply(f: &mut Frame, ttl: u8) {
    let Ok(h) = Header::read_quoted(f.data()) else { return };
    let p = f.data_mut();
    p[12..16].copy_from_slice(&h.dst.octets());
    p[16..20].copy_from_slice(&h.src.octets());
    p[8] = ttl;
    ipv4::fill_checksum(p);
    let body = h.header_len;
    let (old, new) = ([p[body], p[body + 1]], [icmp::ECHO_REPLY, p[body + 1]]);
    p[body] = icmp::ECHO_REPLY;
    let at = body + icmp::CHECKSUM;
    let field = checksum::update(u16::from_be_bytes([p[at], p[at + 1]]), &old, &new);
    p[at..at + 2].copy_from_slice(&field.to_be_bytes());
}
