//! Fragments: cutting a packet to a link's MTU (RFC 791 §2.3), and putting one
//! together, with the checks a firewall owes (RFC 1858, RFC 3128, RFC 5722 §3).

use crate::age::Age;
use node::{Cause, Cx, DropReason, Frame, FrameSeq, Parent, Time};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ipv4::{self, Header};

/// RFC 1122 §3.3.2 wants 60 to 120 s; Linux takes 30, and so do we, since the
/// table is small.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Datagrams in pieces at once; beyond, new ones are refused.
const DATAGRAMS: usize = 256;
/// Pieces of one datagram: 64 KiB in pieces of a 576-byte MTU, and some.
const PIECES: usize = 128;

/// Cuts a packet (from its IP header on) into fragments of at most `mtu` bytes.
/// The packet itself ends here.
pub fn fragment(cx: &mut Cx<'_>, f: Frame, mtu: u16) -> Vec<Frame> {
    let Ok(h) = Header::read_quoted(f.data()) else {
        cx.drop(f, DropReason::BadIpHeader);
        return Vec::new();
    };
    let room = (usize::from(mtu).saturating_sub(h.header_len)) & !7;
    if room == 0 {
        cx.drop(f, DropReason::FragmentationNeeded);
        return Vec::new();
    }
    let first_header = f.data()[..h.header_len].to_vec();
    let later_header = copied_options(&first_header);
    let body = h.payload(f.data());
    let mut out = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let head = if at == 0 { &first_header } else { &later_header };
        let n = room.min(body.len() - at);
        let more = at + n < body.len() || h.mf;
        let Some(mut piece) = cx.make_sized(Parent::Part(f.seq), head.len() + n) else { break };
        piece.extend(head);
        piece.extend(&body[at..at + n]);
        let word = ((h.offset + at) / 8) as u16 | if more { ipv4::MF } else { 0 };
        let p = piece.data_mut();
        p[2..4].copy_from_slice(&((head.len() + n) as u16).to_be_bytes());
        p[6..8].copy_from_slice(&word.to_be_bytes());
        ipv4::fill_checksum(p);
        out.push(piece);
        at += n;
    }
    cx.consume(f);
    out
}

/// The header of later fragments: only options with the copied flag stay
/// (RFC 791 §3.1).
fn copied_options(header: &[u8]) -> Vec<u8> {
    let mut v = header[..ipv4::HEADER_LEN].to_vec();
    let mut rest = &header[ipv4::HEADER_LEN..];
    while let Some(&kind) = rest.first() {
        let len = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(rest.get(1).copied().unwrap_or(0)),
        };
        if len == 0 || len > rest.len() || (kind != 1 && len < 2) {
            break;
        }
        if kind & 0x80 != 0 {
            v.extend_from_slice(&rest[..len]);
        }
        rest = &rest[len..];
    }
    v.resize(v.len().next_multiple_of(4), 0);
    v[0] = 0x40 | (v.len() / 4) as u8;
    v
}

type Key = (Ipv4Addr, Ipv4Addr, u8, u16);

#[derive(Debug)]
struct Pieces {
    /// By offset, never overlapping.
    list: Vec<(usize, usize, Frame)>,
    total: Option<usize>,
    expires: Time,
    /// Bad: what comes is dropped until the entry expires (RFC 5722 §3).
    poisoned: bool,
}

/// Datagrams that are being put together.
#[derive(Debug, Default)]
pub struct Reassembler {
    map: HashMap<Key, Pieces>,
    age: Age<Key>,
}

impl Reassembler {
    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.age.next()
    }

    /// Takes a fragment (from its IP header on). Returns the whole packet once
    /// it is there.
    pub fn input(&mut self, cx: &mut Cx<'_>, f: Frame, h: &Header) -> Option<Frame> {
        let key = (h.src, h.dst, h.protocol, h.ident);
        let len = h.payload(f.data()).len();
        let (start, end) = (h.offset, h.offset + len);
        let reason = if end + h.header_len > 65_535 {
            Some(DropReason::OversizedFragment)
        } else if (h.mf && (len == 0 || !len.is_multiple_of(8))) || (start == 0 && len < 8) || is_tiny(h, start, len) {
            Some(DropReason::TinyFragment)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.poison(cx, key, reason);
            cx.drop(f, reason);
            return None;
        }
        if !self.map.contains_key(&key) {
            if self.map.len() >= DATAGRAMS {
                cx.drop(f, DropReason::ReassemblyFull);
                return None;
            }
            let expires = cx.now + TIMEOUT;
            self.map.insert(key, Pieces { list: Vec::new(), total: None, expires, poisoned: false });
            self.age.insert(expires, key);
        }
        let e = self.map.get_mut(&key)?;
        if e.poisoned {
            cx.drop(f, DropReason::OverlappingFragment);
            return None;
        }
        let at = e.list.partition_point(|(s, _, _)| *s < start);
        let exact =
            e.list.get(at).is_some_and(|(s, t, p)| *s == start && *t == end && p.data()[p.len() - len..] == f.data()[f.len() - len..]);
        if exact {
            cx.consume(f); // the same piece twice is a duplicate, no overlap
            return None;
        }
        let overlaps = (at > 0 && e.list[at - 1].1 > start) || e.list.get(at).is_some_and(|(s, _, _)| *s < end);
        let contradicts =
            e.total.is_some_and(|t| end > t || (!h.mf && end != t)) || (!h.mf && e.list.last().is_some_and(|(_, t, _)| *t > end));
        if overlaps || contradicts {
            self.poison(cx, key, DropReason::OverlappingFragment);
            cx.drop(f, DropReason::OverlappingFragment);
            return None;
        }
        if e.list.len() >= PIECES {
            self.poison(cx, key, DropReason::ReassemblyFull);
            cx.drop(f, DropReason::ReassemblyFull);
            return None;
        }
        cx.hold(&f, || Cause::AwaitsFragments);
        e.list.insert(at, (start, end, f));
        if !h.mf {
            e.total = Some(end);
        }
        let mut next = 0;
        let whole = e.total.is_some_and(|total| {
            for (s, t, _) in &e.list {
                if *s != next {
                    return false;
                }
                next = *t;
            }
            next == total
        });
        whole.then(|| self.map.remove(&key)).flatten().and_then(|p| join(cx, p))
    }

    fn poison(&mut self, cx: &mut Cx<'_>, key: Key, reason: DropReason) {
        if let Some(e) = self.map.get_mut(&key) {
            e.poisoned = true;
            for (_, _, f) in e.list.drain(..) {
                cx.drop(f, reason);
            }
        }
    }

    /// Drops what did not come together in time. Returns the first pieces,
    /// which are owed an ICMP "reassembly time exceeded".
    pub fn poll(&mut self, cx: &mut Cx<'_>) -> Vec<Frame> {
        let mut first = Vec::new();
        while let Some(key) = self.age.expired(cx.now, |k| self.map.get(k).map(|e| e.expires)) {
            for (start, _, f) in self.map.remove(&key).into_iter().flat_map(|e| e.list) {
                if start == 0 {
                    first.push(f);
                } else {
                    cx.drop(f, DropReason::ReassemblyTimeout);
                }
            }
        }
        first
    }

    /// Datagrams in pieces now.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// None in pieces.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// RFC 1858 §3: a first fragment must hold the whole transport header, and no
/// later one may start inside it (RFC 3128).
fn is_tiny(h: &Header, start: usize, len: usize) -> bool {
    h.protocol == ipv4::protocol::TCP && ((start == 0 && len < wire::tcp::HEADER_LEN) || (start > 0 && start < wire::tcp::HEADER_LEN))
}

fn join(cx: &mut Cx<'_>, p: Pieces) -> Option<Frame> {
    let total = p.total?;
    let seqs: Vec<FrameSeq> = p.list.iter().map(|(_, _, f)| f.seq).collect();
    let made = cx.make_sized(Parent::Many(&seqs), total + 60);
    let mut out = None;
    if let Some(mut whole) = made {
        for (start, end, f) in &p.list {
            let head = f.len() - (end - start);
            whole.extend(if *start == 0 { f.data() } else { &f.data()[head..] });
            whole.rx = f.rx;
        }
        let n = whole.len() as u16;
        let b = whole.data_mut();
        b[2..4].copy_from_slice(&n.to_be_bytes());
        b[6..8].copy_from_slice(&[0, 0]);
        ipv4::fill_checksum(b);
        out = Some(whole);
    }
    for (_, _, f) in p.list {
        cx.consume(f);
    }
    out
}
