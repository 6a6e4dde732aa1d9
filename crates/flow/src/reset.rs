//! TCP segments outside of any connection: resets (RFC 9293 §3.10.7.1).

use node::{Cx, Frame, Parent};
use std::net::Ipv4Addr;
use wire::ipv4::{self, Header, New, protocol};
use wire::tcp::{ACK, FIN, RST, SYN};
use wire::{be16, be32, tcp};

/// A segment without data, made because of `about`.
pub fn bare(cx: &mut Cx<'_>, about: &Frame, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), seq: u32, ack: u32, flags: u8) -> Option<Frame> {
    let mut f = cx.make(Parent::Of(about.seq))?;
    let b = f.grow(ipv4::HEADER_LEN + tcp::HEADER_LEN);
    b.fill(0);
    let new = New { payload_len: tcp::HEADER_LEN, ident: 0, df: true, tos: 0, ttl: 64, protocol: protocol::TCP, src: from.0, dst: to.0 };
    ipv4::write_header(b, &new);
    let t = &mut b[ipv4::HEADER_LEN..];
    t[0..2].copy_from_slice(&from.1.to_be_bytes());
    t[2..4].copy_from_slice(&to.1.to_be_bytes());
    t[4..8].copy_from_slice(&seq.to_be_bytes());
    t[8..12].copy_from_slice(&ack.to_be_bytes());
    t[12] = 5 << 4;
    t[13] = flags;
    ipv4::fill_l4_checksum(b);
    Some(f)
}

/// The reset that a segment to a closed port is owed; a reset is owed none.
pub fn refuse(cx: &mut Cx<'_>, about: &Frame, h: &Header) -> Option<Frame> {
    let t = h.payload(about.data());
    let (flags, header_len) = (tcp::flags(t)?, tcp::header_len(t)?);
    if flags & RST != 0 {
        return None;
    }
    let (from, to) = ((h.dst, be16(t, 2)?), (h.src, be16(t, 0)?));
    if flags & ACK != 0 {
        return bare(cx, about, from, to, be32(t, 8)?, 0, RST);
    }
    let len = (t.len() - header_len) as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    bare(cx, about, from, to, 0, be32(t, 4)?.wrapping_add(len), RST | ACK)
}
