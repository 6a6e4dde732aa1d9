//! What an element is given while it works: time, randomness, frames, and the
//! two ways in which a frame ends.

use crate::{Cause, DropReason, Frame, Parent, Pool, PortId, Record, Time, Trace};
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// What belongs to a node as long as it runs.
#[derive(Debug)]
pub struct Core {
    /// Where frames come from and go back to.
    pub pool: Pool,
    /// Frames to be written, in order.
    pub outbox: Vec<(PortId, Frame)>,
    /// Drops by reason, indexed as [`DropReason`].
    drops: Vec<u64>,
    /// Rare events by name.
    events: BTreeMap<&'static str, u64>,
    /// Seeded from the OS in a lab, fixed in a test.
    pub rng: StdRng,
    /// The trace hooks' sink.
    pub trace: Trace,
    /// What crossed each port.
    pub ports: Vec<PortStats>,
    /// The ports' names.
    pub names: Vec<String>,
    /// TAPs that the loop is to attach to: name and MTU.
    pub(crate) attach: Vec<(String, u16)>,
}

/// Frames and bytes that crossed a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames in.
    pub rx: u64,
    /// Bytes in.
    pub rx_bytes: u64,
    /// Frames out.
    pub tx: u64,
    /// Bytes out.
    pub tx_bytes: u64,
}

impl Core {
    /// A node's core with a pool of `frames`.
    pub fn new(frames: usize, rng: StdRng) -> Core {
        Core {
            pool: Pool::new(frames),
            outbox: Vec::with_capacity(port::BURST * 2),
            drops: vec![0; DropReason::ALL.len()],
            events: BTreeMap::new(),
            rng,
            trace: Trace::default(),
            ports: Vec::new(),
            names: Vec::new(),
            attach: Vec::new(),
        }
    }

    /// The context for one call of an element.
    pub fn cx(&mut self, now: Time) -> Cx<'_> {
        Cx { now, core: self }
    }

    /// How often frames were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Losses that happened, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        let lost = DropReason::ALL.iter().filter(|r| **r != DropReason::Consumed);
        lost.map(|r| (*r, self.dropped(*r))).filter(|(_, n)| *n > 0)
    }

    /// Named events that happened.
    pub fn events(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.events.iter().map(|(k, v)| (*k, *v))
    }

    /// How often a named event happened.
    pub fn event(&self, name: &str) -> u64 {
        self.events.get(name).copied().unwrap_or(0)
    }
}

/// Marks that an element keeps a frame, and that this was said to the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held;

/// One call's context.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The time of this call.
    pub now: Time,
    core: &'a mut Core,
}

impl Cx<'_> {
    /// Ends a frame by writing it to `port`.
    pub fn send(&mut self, port: PortId, f: Frame, why: impl FnOnce() -> Cause) {
        let (seq, at) = (f.seq, self.now);
        self.core.trace.add(|| Record::Out { seq, port, at, cause: why() });
        self.core.outbox.push((port, f));
    }

    /// Ends a frame here, counted under `why`.
    pub fn drop(&mut self, f: Frame, why: DropReason) {
        let (seq, at) = (f.seq, self.now);
        self.core.trace.add(|| Record::Dropped { seq, at, reason: why });
        self.core.drops[why as usize] += 1;
        self.core.pool.give(f);
    }

    /// Ends a frame that reached its end here: it was for this node itself, or
    /// what it carried goes on in other frames. Not a loss.
    pub fn consume(&mut self, f: Frame) {
        self.drop(f, DropReason::Consumed);
    }

    /// Says that the element keeps `f` for `why`; the frame stays with it.
    pub fn hold(&mut self, f: &Frame, why: impl FnOnce() -> Cause) -> Held {
        let (seq, at) = (f.seq, self.now);
        self.core.trace.add(|| Record::Held { seq, at, cause: why() });
        Held
    }

    /// A new, empty frame with room for 2048 bytes. `None`: the pool is empty,
    /// which is counted.
    pub fn make(&mut self, parent: Parent<'_>) -> Option<Frame> {
        self.make_sized(parent, 2048)
    }

    /// As [`Cx::make`], with room for `room` bytes.
    pub fn make_sized(&mut self, parent: Parent<'_>, room: usize) -> Option<Frame> {
        let Some(f) = self.core.pool.take(room, self.now) else {
            self.core.drops[DropReason::NoBuffer as usize] += 1;
            return None;
        };
        let seq = f.seq;
        self.core.trace.add(|| Record::Made {
            seq,
            parents: match parent {
                Parent::Of(p) => vec![p],
                Parent::Many(p) => p.to_vec(),
                Parent::Timer => vec![],
            },
        });
        Some(f)
    }

    /// A frame with the same bytes, made from `f`.
    pub fn copy(&mut self, f: &Frame) -> Option<Frame> {
        let mut c = self.make_sized(Parent::Of(f.seq), f.len())?;
        c.extend(f.data());
        c.csum = f.csum;
        c.rx = f.rx;
        Some(c)
    }

    /// Asks for a further port, a TAP that is there already: its number is the next
    /// one. `None`: there are as many as can be counted.
    pub fn attach(&mut self, name: &str, mtu: u16) -> Option<PortId> {
        let n = self.core.ports.len() + self.core.attach.len();
        self.core.attach.push((name.to_owned(), mtu));
        u8::try_from(n).ok().map(PortId)
    }

    /// Counts a drop that has no frame of its own any more.
    pub fn count_drop(&mut self, why: DropReason) {
        self.core.drops[why as usize] += 1;
    }

    /// Counts a rare event under a name.
    pub fn count(&mut self, name: &'static str) {
        *self.core.events.entry(name).or_default() += 1;
    }

    /// The node's randomness.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.core.rng
    }
}
