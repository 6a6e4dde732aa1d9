//! Single segments: whose they are, what they said last, and two mends around
//! smoltcp.

use flow::Packet;
use node::{Cx, Frame};
use std::net::SocketAddrV4;
use wire::ipv4::{self, Header};
use wire::tcp::{ACK, FIN, RST, SYN};
use wire::{be16, be32};

/// Local and remote end.
pub(crate) type Ends = (SocketAddrV4, SocketAddrV4);

/// Of the last segment sent: the next sequence number, the acknowledgement and
/// the window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
}

/// Our end and the other of a received segment.
pub(crate) fn ends(h: &Header, p: &[u8]) -> Option<Ends> {
    let t = h.payload(p);
    wire::tcp::header_len(t)?;
    Some((SocketAddrV4::new(h.dst, be16(t, 2)?), SocketAddrV4::new(h.src, be16(t, 0)?)))
}

/// Keeps what a segment that we send says. A bare ACK bears SND.NXT (RFC 9293
/// §3.10.7.4): smoltcp winds it back while it retransmits, and a peer that has
/// received beyond would take such ACKs for old ones and drop them.
pub(crate) fn note(last: &mut Sent, f: &mut Frame) {
    let Ok(h) = Header::read_quoted(f.data()) else { return };
    let t = h.payload(f.data());
    let (Some(seq), Some(ack), Some(window), Some(hl), Some(flags)) =
        (be32(t, 4), be32(t, 8), be16(t, 14), wire::tcp::header_len(t), wire::tcp::flags(t))
    else {
        return;
    };
    let len = (t.len() - hl) as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let next = seq.wrapping_add(len);
    let began = last.window != 0 || last.ack != 0 || last.seq != 0;
    let is_behind = began && last.seq.wrapping_sub(next) < 1 << 31;
    let highest = if is_behind { last.seq } else { next };
    if len == 0 && flags & RST == 0 && seq != highest {
        set_seq(f, &h, highest);
    }
    *last = Sent { seq: highest, ack, window };
}

fn set_seq(f: &mut Frame, h: &Header, seq: u32) {
    let t = &mut f.data_mut()[h.header_len..];
    let (old, new) = ([t[4], t[5], t[6], t[7]], seq.to_be_bytes());
    let field = wire::checksum::update(be16(t, wire::tcp::CHECKSUM).unwrap_or(0), &old, &new);
    t[4..8].copy_from_slice(&new);
    t[wire::tcp::CHECKSUM..wire::tcp::CHECKSUM + 2].copy_from_slice(&field.to_be_bytes());
}

/// While our window is zero smoltcp takes no segment and so no ACK, and two full
/// ends would wait for each other for ever. RFC 9293 §3.10.7.4 wants valid ACKs
/// taken all the same: this is the segment's ACK alone, at the window's edge.
pub(crate) fn ack_at_zero_window(cx: &mut Cx<'_>, last: &Sent, p: &Packet) -> Option<Frame> {
    let t = p.header.payload(p.frame.data());
    let is_ack = wire::tcp::flags(t).is_some_and(|f| f & (ACK | SYN | RST) == ACK);
    let began = last.ack != 0;
    if last.window != 0 || !began || !is_ack || be32(t, 4)?.wrapping_sub(last.ack) >= 1 << 16 {
        return None;
    }
    // The sum is made anew below: a damaged segment must not pass by it.
    if !ipv4::l4_checksum_ok(p.frame.data(), &p.header) {
        return None;
    }
    let len = p.header.header_len + wire::tcp::header_len(t)?;
    let mut f = cx.copy(&p.frame)?;
    f.truncate(len);
    let b = f.data_mut();
    b[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    b[p.header.header_len + 4..p.header.header_len + 8].copy_from_slice(&last.ack.to_be_bytes());
    b[p.header.header_len + 13] &= !FIN;
    ipv4::fill_checksum(b);
    ipv4::fill_l4_checksum(b);
    Some(f)
}
