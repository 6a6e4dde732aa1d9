//! IPv4 headers (RFC 791): a checked view, a writer, and in-place edits that
//! keep every checksum right without summing the packet again.
//!
//! All functions take the packet from its IP header on.

use crate::{be16, be32, checksum, icmp, put16, tcp, udp};
use std::net::Ipv4Addr;

/// Protocol numbers (IANA).
pub mod protocol {
    /// ICMP, RFC 792.
    pub const ICMP: u8 = 1;
    /// TCP, RFC 9293.
    pub const TCP: u8 = 6;
    /// UDP, RFC 768.
    pub const UDP: u8 = 17;
}

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// "More fragments" in the flags/offset word.
pub const MF: u16 = 0x2000;
/// "Don't fragment" in the flags/offset word.
pub const DF: u16 = 0x4000;

/// Which end of a packet an edit or a reading is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The sender's address or port.
    Source,
    /// The receiver's address or port.
    Destination,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than a header, or than its length fields say.
    #[error("truncated")]
    Truncated,
    /// Version is not 4.
    #[error("version is not 4")]
    Version,
    /// IHL below 5, or total length below IHL.
    #[error("length fields contradict each other")]
    Length,
    /// The header checksum is wrong (RFC 1812 §5.2.2 (2): MUST discard).
    #[error("header checksum is wrong")]
    Checksum,
}

/// The fields of a header, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Header bytes, options included.
    pub header_len: usize,
    /// Total bytes of the packet.
    pub total_len: usize,
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// Don't fragment.
    pub df: bool,
    /// More fragments.
    pub mf: bool,
    /// Fragment offset in bytes.
    pub offset: usize,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
}

impl Header {
    /// Reads and checks a header, as RFC 1812 §5.2.2 asks of a router.
    ///
    /// # Errors
    /// Whatever makes the packet one that must be discarded.
    pub fn read(p: &[u8]) -> Result<Header, Error> {
        let h = Self::read_quoted(p)?;
        if p.len() < h.total_len {
            return Err(Error::Truncated);
        }
        if checksum::sum(&p[..h.header_len]) != 0xffff {
            return Err(Error::Checksum);
        }
        Ok(h)
    }

    /// Reads the header of a packet quoted by an ICMP error: its checksum may
    /// be stale and its payload cut.
    ///
    /// # Errors
    /// If the header itself is not whole.
    pub fn read_quoted(p: &[u8]) -> Result<Header, Error> {
        let b: &[u8; HEADER_LEN] = p.first_chunk().ok_or(Error::Truncated)?;
        if b[0] >> 4 != 4 {
            return Err(Error::Version);
        }
        let header_len = usize::from(b[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([b[2], b[3]]));
        if header_len < HEADER_LEN || total_len < header_len {
            return Err(Error::Length);
        }
        if p.len() < header_len {
            return Err(Error::Truncated);
        }
        let frag = u16::from_be_bytes([b[6], b[7]]);
        Ok(Header {
            header_len,
            total_len,
            tos: b[1],
            ident: u16::from_be_bytes([b[4], b[5]]),
            df: frag & DF != 0,
            mf: frag & MF != 0,
            offset: usize::from(frag & 0x1fff) * 8,
            ttl: b[8],
            protocol: b[9],
            src: Ipv4Addr::new(b[12], b[13], b[14], b[15]),
            dst: Ipv4Addr::new(b[16], b[17], b[18], b[19]),
        })
    }

    /// Part of a fragmented packet.
    pub fn is_fragment(&self) -> bool {
        self.mf || self.offset != 0
    }

    /// Payload bytes of `p`, trailing link padding left out.
    pub fn payload<'a>(&self, p: &'a [u8]) -> &'a [u8] {
        let end = self.total_len.min(p.len());
        &p[self.header_len.min(end)..end]
    }
}

/// What [`write_header`] puts into a header without options.
#[derive(Clone, Copy, Debug)]
pub struct New {
    /// Payload bytes behind the header.
    pub payload_len: usize,
    /// Identification.
    pub ident: u16,
    /// Don't fragment.
    pub df: bool,
    /// Type of service.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// Payload protocol.
    pub protocol: u8,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
}

/// Writes a 20-byte header with its checksum to the front of `p`.
pub fn write_header(p: &mut [u8], n: &New) {
    p[0] = 0x45;
    p[1] = n.tos;
    put16(p, 2, (HEADER_LEN + n.payload_len) as u16);
    put16(p, 4, n.ident);
    put16(p, 6, if n.df { DF } else { 0 });
    p[8] = n.ttl;
    p[9] = n.protocol;
    put16(p, 10, 0);
    p[12..16].copy_from_slice(&n.src.octets());
    p[16..20].copy_from_slice(&n.dst.octets());
    let sum = !checksum::sum(&p[..HEADER_LEN]);
    put16(p, 10, sum);
}

/// Recomputes the header checksum.
pub fn fill_checksum(p: &mut [u8]) {
    let hl = usize::from(p[0] & 0x0f) * 4;
    put16(p, 10, 0);
    let sum = !checksum::sum(&p[..hl]);
    put16(p, 10, sum);
}

/// Lowers the TTL by one and mends the header checksum.
pub fn decrement_ttl(p: &mut [u8]) {
    let old = [p[8], p[9]];
    p[8] = p[8].saturating_sub(1);
    let new = [p[8], p[9]];
    let f = checksum::update(u16::from_be_bytes([p[10], p[11]]), &old, &new);
    put16(p, 10, f);
}

/// Where the transport checksum lies, counted from the IP header, if this
/// packet carries one that covers the pseudo-header.
fn l4_checksum_at(p: &[u8], h: &Header) -> Option<usize> {
    if h.offset != 0 {
        return None;
    }
    let at = h.header_len
        + match h.protocol {
            protocol::TCP => tcp::CHECKSUM,
            protocol::UDP => udp::CHECKSUM,
            _ => return None,
        };
    // A quoted packet may be cut before the field.
    (p.len() >= at + 2).then_some(at)
}

fn update_l4(p: &mut [u8], h: &Header, old: &[u8], new: &[u8], partial: bool) {
    let Some(at) = l4_checksum_at(p, h) else { return };
    let f = u16::from_be_bytes([p[at], p[at + 1]]);
    if h.protocol == protocol::UDP && f == 0 && !partial {
        return; // RFC 768: zero means that the sender made no checksum
    }
    let mut f = if partial { checksum::update_partial(f, old, new) } else { checksum::update(f, old, new) };
    if h.protocol == protocol::UDP && f == 0 && !partial {
        f = 0xffff; // RFC 768: a computed zero is sent as all ones
    }
    put16(p, at, f);
}

/// Sets one address; the header's and the transport's checksum stay right.
/// `partial`: the transport field holds an offload's pseudo-header sum.
pub fn set_addr(p: &mut [u8], side: Side, addr: Ipv4Addr, partial: bool) {
    let Ok(h) = Header::read_quoted(p) else { return };
    let at = if side == Side::Source { 12 } else { 16 };
    let old = [p[at], p[at + 1], p[at + 2], p[at + 3]];
    let new = addr.octets();
    p[at..at + 4].copy_from_slice(&new);
    let f = checksum::update(u16::from_be_bytes([p[10], p[11]]), &old, &new);
    put16(p, 10, f);
    update_l4(p, &h, &old, &new, partial);
}

/// TCP or UDP port, or the identifier of an ICMP echo, at `side`.
pub fn l4_port(p: &[u8], side: Side) -> Option<u16> {
    let h = Header::read_quoted(p).ok()?;
    be16(p, l4_port_at(p, &h, side)?)
}

fn l4_port_at(p: &[u8], h: &Header, side: Side) -> Option<usize> {
    if h.offset != 0 {
        return None;
    }
    match h.protocol {
        protocol::TCP | protocol::UDP => Some(h.header_len + if side == Side::Source { 0 } else { 2 }),
        protocol::ICMP if icmp::is_echo(*p.get(h.header_len)?) => Some(h.header_len + icmp::IDENT),
        _ => None,
    }
}

/// Sets a port (or an echo identifier, RFC 5508 §3) and mends the checksum.
/// Offloaded sums (`partial`) do not cover ports.
pub fn set_l4_port(p: &mut [u8], side: Side, port: u16, partial: bool) {
    let Ok(h) = Header::read_quoted(p) else { return };
    let Some(at) = l4_port_at(p, &h, side) else { return };
    let Some(old) = p.get(at..at + 2).map(|o| [o[0], o[1]]) else { return };
    let new = port.to_be_bytes();
    put16(p, at, port);
    if partial {
        return;
    }
    if h.protocol == protocol::ICMP {
        let c = h.header_len + icmp::CHECKSUM;
        if p.len() >= c + 2 {
            let f = checksum::update(u16::from_be_bytes([p[c], p[c + 1]]), &old, &new);
            put16(p, c, f);
        }
    } else {
        update_l4(p, &h, &old, &new, false);
    }
}

/// Whether the TCP, UDP or ICMP checksum of a whole, unfragmented packet is
/// right; `true` for other protocols and for UDP without one.
pub fn l4_checksum_ok(p: &[u8], h: &Header) -> bool {
    let body = h.payload(p);
    match h.protocol {
        protocol::ICMP => body.len() >= 8 && checksum::sum(body) == 0xffff,
        protocol::TCP | protocol::UDP => {
            if h.protocol == protocol::UDP && be16(body, udp::CHECKSUM) == Some(0) {
                return true;
            }
            let ps = checksum::pseudo(h.src, h.dst, h.protocol, body.len() as u16);
            checksum::add(ps, checksum::sum(body)) == 0xffff
        }
        _ => true,
    }
}

/// Computes the TCP, UDP or ICMP checksum of a whole packet in place.
pub fn fill_l4_checksum(p: &mut [u8]) {
    let Ok(h) = Header::read_quoted(p) else { return };
    let end = h.total_len.min(p.len());
    let body_len = end - h.header_len;
    let (at, start) = match h.protocol {
        protocol::TCP => (tcp::CHECKSUM, checksum::pseudo(h.src, h.dst, 6, body_len as u16)),
        protocol::UDP => (udp::CHECKSUM, checksum::pseudo(h.src, h.dst, 17, body_len as u16)),
        protocol::ICMP => (icmp::CHECKSUM, 0),
        _ => return,
    };
    if body_len < at + 2 {
        return;
    }
    put16(p, h.header_len + at, 0);
    let mut f = !checksum::add(start, checksum::sum(&p[h.header_len..end]));
    if h.protocol == protocol::UDP && f == 0 {
        f = 0xffff;
    }
    put16(p, h.header_len + at, f);
}

/// Source and destination addresses without further checks.
pub fn addrs(p: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    Some((be32(p, 12)?.into(), be32(p, 16)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(protocol: u8, body: &[u8]) -> Vec<u8> {
        let mut p = vec![0; HEADER_LEN + body.len()];
        p[HEADER_LEN..].copy_from_slice(body);
        write_header(
            &mut p,
            &New {
                payload_len: body.len(),
                ident: 7,
                df: true,
                tos: 0,
                ttl: 64,
                protocol,
                src: [192, 0, 2, 1].into(),
                dst: [198, 51, 100, 80].into(),
            },
        );
        fill_l4_checksum(&mut p);
        p
    }

    proptest! {
        #[test]
        fn edits_keep_sums_right(proto in prop_oneof![Just(1u8), Just(6), Just(17)],
                                 mut body in proptest::collection::vec(any::<u8>(), 20..120),
                                 a in any::<u32>(), b in any::<u32>(), sp in any::<u16>(), dp in any::<u16>()) {
            if proto == 1 { body[0] = 8; }
            let mut p = packet(proto, &body);
            set_addr(&mut p, Side::Source, a.into(), false);
            set_addr(&mut p, Side::Destination, b.into(), false);
            set_l4_port(&mut p, Side::Source, sp, false);
            if proto != 1 { set_l4_port(&mut p, Side::Destination, dp, false); }
            decrement_ttl(&mut p);
            let h = Header::read(&p).unwrap();
            prop_assert_eq!(h.ttl, 63);
            prop_assert!(l4_checksum_ok(&p, &h));
            prop_assert_eq!(l4_port(&p, Side::Source), Some(sp));
        }

        #[test]
        fn no_panic_on_anything(mut p in proptest::collection::vec(any::<u8>(), 0..80), a in any::<u32>()) {
            if let Ok(h) = Header::read_quoted(&p) { let _ = l4_checksum_ok(&p, &h); let _ = h.payload(&p); }
            set_addr(&mut p, Side::Source, a.into(), false);
            set_l4_port(&mut p, Side::Destination, 1, false);
            fill_l4_checksum(&mut p);
        }
    }

    #[test]
    fn udp_without_checksum_stays_without() {
        let mut p = packet(17, &[0, 53, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
        p[26] = 0;
        p[27] = 0;
        set_addr(&mut p, Side::Source, [10, 0, 0, 1].into(), false);
        assert_eq!(&p[26..28], &[0, 0]);
    }
}
