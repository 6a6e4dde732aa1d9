//! Whose bytes are whose: with which frame each byte of a connection came, and to
//! which frame each byte that it sends is due. Kept only while the trace is on.

use crate::net::Net;
use crate::sockets::Sockets;
use node::{Act, Cause, Cx, Frame, FrameSeq, Parent};
use std::collections::VecDeque;
use wire::ipv4::Header;
use wire::tcp::{FIN, SYN};
use wire::{be32, tcp};

/// Marks that one connection keeps each way; the oldest go.
const MARKS: usize = 1024;

/// To what something that a host sends is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Due {
    /// Nothing that was traced.
    #[default]
    Nothing,
    /// An act of a person's.
    Act(Act),
    /// A packet that came.
    Of(FrameSeq),
    /// A packet that came, and is passed on in another one.
    Part(FrameSeq),
}

/// A connection, by its place and generation.
pub(crate) type Id = (usize, u64);

/// What is written on a connection from now on is due to …
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Voice {
    /// what was read from it last: a server answers.
    #[default]
    Answer,
    /// an act.
    Act(Act),
    /// what was read last from another one, which it passes on.
    Pass(Id),
    /// what was read last from another one.
    Follow(Id),
}

/// The marks of one connection. Positions are sequence numbers.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    read_at: Option<u32>,
    written_at: Option<u32>,
    /// Where each received segment ends.
    received: VecDeque<(u32, FrameSeq)>,
    /// Where what was written at one go ends.
    written: VecDeque<(u32, Due)>,
    /// First byte and end of each segment that was sent.
    sent: VecDeque<(u32, u32, FrameSeq)>,
    /// The frame that brought the last byte that was read.
    pub(crate) heard: Option<FrameSeq>,
    last: Option<FrameSeq>,
    pub(crate) voice: Voice,
    /// To what the connection itself is due.
    pub(crate) begun: Due,
}

fn push<T>(q: &mut VecDeque<T>, v: T) {
    if q.len() >= MARKS {
        q.pop_front();
    }
    q.push_back(v);
}

/// `a` lies at or behind `b` in sequence space (RFC 9293 §3.4).
fn reaches(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

impl Marks {
    /// Notes a segment that came.
    pub(crate) fn receive(&mut self, traced: bool, f: &Frame, h: &Header) {
        let t = h.payload(f.data());
        let (Some(seq), Some(ack), Some(hl), Some(flags)) = (be32(t, 4), be32(t, 8), tcp::header_len(t), tcp::flags(t)) else { return };
        if flags & SYN != 0 {
            self.read_at = Some(seq.wrapping_add(1));
        }
        if !traced {
            if self.last.take().is_some() {
                // The trace has ended: what is left would be taken for what comes later.
                self.received.clear();
                self.written.clear();
                self.sent.clear();
                self.heard = None;
            }
            return;
        }
        self.last = Some(f.seq);
        let len = t.len().saturating_sub(hl) as u32;
        if len > 0 {
            push(&mut self.received, (seq.wrapping_add(len), f.seq));
        }
        if flags & tcp::ACK != 0 {
            self.sent.retain(|(_, end, _)| !reaches(ack, *end));
            self.written.retain(|(end, _)| !reaches(ack, *end));
        }
    }

    /// The application has read `n` more bytes.
    pub(crate) fn read(&mut self, n: usize) {
        let Some(at) = &mut self.read_at else { return };
        *at = at.wrapping_add(n as u32);
        let at = *at;
        // The segment that brought the last byte is the first that ends there or beyond.
        let brought = self.received.iter().filter(|(end, _)| reaches(*end, at)).min_by_key(|(end, _)| end.wrapping_sub(at));
        if let Some((_, seq)) = brought {
            self.heard = Some(*seq);
        }
        self.received.retain(|(end, _)| !reaches(at, *end));
    }

    /// The application has written `n` more bytes, due to `due`.
    pub(crate) fn write(&mut self, traced: bool, n: usize, due: Due) {
        let Some(at) = &mut self.written_at else { return };
        *at = at.wrapping_add(n as u32);
        if traced {
            push(&mut self.written, (*at, due));
        }
    }

    /// Notes a segment that goes, and says where it comes from; `answers` is the
    /// one that is just being taken.
    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, f: &Frame, answers: Option<FrameSeq>) {
        let Ok(h) = Header::read_quoted(f.data()) else { return };
        let t = h.payload(f.data());
        let (Some(seq), Some(hl), Some(flags)) = (be32(t, 4), tcp::header_len(t), tcp::flags(t)) else { return };
        if flags & SYN != 0 {
            self.written_at.get_or_insert(seq.wrapping_add(1));
        }
        if !cx.traces() {
            return;
        }
        let len = t.len().saturating_sub(hl) as u32;
        let takes = len + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let because = answers.or(self.last).map_or(Due::Nothing, Due::Of);
        let again = self.sent.iter().find(|(start, end, _)| takes > 0 && reaches(seq, *start) && !reaches(seq, *end));
        if let Some((_, _, first)) = again {
            return cx.made(f, Parent::Again(*first));
        }
        let due = if flags & SYN != 0 {
            if flags & tcp::ACK != 0 { because } else { self.begun }
        } else if len > 0 {
            let mark = self.written.iter().find(|(end, _)| !reaches(seq, *end));
            mark.map_or(because, |(_, d)| *d)
        } else if flags & FIN != 0 && answers.is_none() {
            self.written.back().map_or(because, |(_, d)| *d)
        } else {
            because
        };
        if takes > 0 {
            push(&mut self.sent, (seq, seq.wrapping_add(takes), f.seq));
        }
        cx.made(f, due.parent());
    }
}

impl Sockets {
    /// To what bytes are due that are written on a connection now.
    pub(crate) fn due(&mut self, id: (usize, u64)) -> Due {
        let Some((voice, own)) = self.get(id).map(|c| (c.marks.voice, c.marks.heard)) else { return Due::Nothing };
        let mut other = |id| self.get(id).and_then(|c| c.marks.heard);
        match voice {
            Voice::Act(a) => Due::Act(a),
            Voice::Answer => own.map_or(Due::Nothing, Due::Of),
            Voice::Follow(id) => other(id).or(own).map_or(Due::Nothing, Due::Of),
            Voice::Pass(id) => other(id).map_or(Due::Nothing, Due::Part),
        }
    }
}

impl Due {
    pub(crate) fn parent(self) -> Parent<'static> {
        match self {
            Due::Nothing => Parent::Timer,
            Due::Act(a) => Parent::Act(a),
            Due::Of(f) => Parent::Of(f),
            Due::Part(f) => Parent::Part(f),
        }
    }
}

/// A handle on what a connection's bytes are due to; it outlives the connection.
#[derive(Clone)]
pub struct Trail {
    net: Net,
    id: Id,
}

impl Trail {
    pub(crate) fn new(net: Net, id: Id) -> Trail {
        Trail { net, id }
    }

    fn speak(&self, v: Voice) {
        if let Some(c) = self.net.sockets().get(self.id) {
            c.marks.voice = v;
        }
    }

    /// What is written from now on answers what was read last: how a connection begins.
    pub fn answers(&self) {
        self.speak(Voice::Answer);
    }

    /// What is written from now on is due to an act.
    pub fn acts(&self, a: Act) {
        self.speak(Voice::Act(a));
    }

    /// What is written from now on is what `from` brought, passed on.
    pub fn passes(&self, from: &Trail) {
        self.speak(Voice::Pass(from.id));
    }

    /// What is written from now on is due to what `other` brought.
    pub fn follows(&self, other: &Trail) {
        self.speak(Voice::Follow(other.id));
    }

    /// To what a connection is due that is opened for what this one brought last.
    pub fn due(&self) -> Due {
        self.heard().map_or(Due::Nothing, Due::Of)
    }

    fn heard(&self) -> Option<FrameSeq> {
        self.net.sockets().get(self.id).and_then(|c| c.marks.heard)
    }

    /// Says what the application did with what this connection brought last.
    pub fn say(&self, what: impl FnOnce() -> Cause) {
        if self.net.traces() {
            let heard = self.heard();
            self.net.tell(heard, None, what());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::{Core, Pool, Time};
    use rand::SeedableRng;
    use wire::craft;

    fn segment(pool: &mut Pool, seq: u32, ack: u32, flags: u8, data: &[u8]) -> Frame {
        let mut t = craft::tcp(1000, 80, flags);
        t[4..8].copy_from_slice(&seq.to_be_bytes());
        t[8..12].copy_from_slice(&ack.to_be_bytes());
        t.extend_from_slice(data);
        let p = craft::packet(wire::ipv4::protocol::TCP, [10, 0, 0, 1].into(), [10, 0, 0, 2].into(), &t);
        let mut f = pool.take(2048, Time::ZERO).unwrap();
        f.extend(&p);
        f
    }

    #[test]
    fn bytes_keep_their_frames_through_holes_and_wraps() {
        let mut pool = Pool::new(64);
        let mut m = Marks::default();
        let isn = u32::MAX - 3;
        let take = |m: &mut Marks, pool: &mut Pool, seq: u32, flags, data: &[u8]| {
            let f = segment(pool, seq, 0, flags, data);
            let h = Header::read_quoted(f.data()).unwrap();
            m.receive(true, &f, &h);
            let s = f.seq;
            pool.give(f);
            s
        };
        take(&mut m, &mut pool, isn, SYN, b"");
        let first = isn.wrapping_add(1);
        // The second half comes before the first.
        let late = take(&mut m, &mut pool, first.wrapping_add(10), tcp::ACK, &[7; 10]);
        let early = take(&mut m, &mut pool, first, tcp::ACK, &[7; 10]);
        m.read(4);
        assert_eq!(m.heard, Some(early));
        m.read(6);
        assert_eq!(m.heard, Some(early));
        m.read(1);
        assert_eq!(m.heard, Some(late));
        m.read(9);
        assert_eq!((m.heard, m.received.len()), (Some(late), 0));
    }

    #[test]
    fn what_is_sent_tells_to_what_it_is_due_and_what_it_repeats() {
        let mut core = Core::new(64, rand::rngs::StdRng::seed_from_u64(1));
        core.trace.start();
        let mut pool = Pool::new(64);
        let mut m = Marks::default();
        let mut sent = |m: &mut Marks, seq, flags, data: &[u8]| {
            let f = segment(&mut pool, seq, 0, flags, data);
            m.send(&mut core.cx(Time::ZERO), &f, None);
            let seq = f.seq;
            pool.give(f);
            let (bytes, _) = core.trace.take();
            let origin = node::trace::record::records(&bytes).find_map(|r| match r {
                node::Record::Made { origin, .. } => Some(origin),
                _ => None,
            });
            (seq, origin.unwrap())
        };
        m.begun = Due::Act(Act(3));
        let (syn, o) = sent(&mut m, 100, SYN, b"");
        assert_eq!(o, node::Origin::Act(Act(3)));
        assert_eq!(sent(&mut m, 100, SYN, b"").1, node::Origin::Again(syn));
        m.write(true, 5, Due::Act(Act(3)));
        m.write(true, 5, Due::Part(syn));
        let (one, o) = sent(&mut m, 101, tcp::ACK, b"hello");
        assert_eq!(o, node::Origin::Act(Act(3)));
        assert_eq!(sent(&mut m, 106, tcp::ACK, b"world").1, node::Origin::Part(syn));
        assert_eq!(sent(&mut m, 103, tcp::ACK, b"llowo").1, node::Origin::Again(one));
        assert_eq!(sent(&mut m, 111, tcp::ACK, b"").1, node::Origin::Timer);
    }
}
