//! What an element is given while it works: time, randomness, frames, and the
//! two ways in which a frame ends.

use crate::{Act, Cause, DropReason, Frame, FrameSeq, Parent, Pool, PortId, Record, Time, Trace};
use rand::rngs::StdRng;
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// What belongs to a node as long as it runs.
#[derive(Debug)]
pub struct Core {
    /// Where frames come from and go back to.
    pub pool: Pool,
    /// Frames to be written, in order.
    outbox: Vec<(PortId, Frame)>,
    /// Why, while the trace is on.
    whys: VecDeque<(FrameSeq, Cause)>,
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
    /// The node's name, where it has one.
    pub node: String,
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
            whys: VecDeque::new(),
            drops: vec![0; DropReason::ALL.len()],
            events: BTreeMap::new(),
            rng,
            trace: Trace::default(),
            ports: Vec::new(),
            names: Vec::new(),
            node: String::new(),
            attach: Vec::new(),
        }
    }

    /// The context for one call of an element.
    pub fn cx(&mut self, now: Time) -> Cx<'_> {
        Cx { now, core: self, during: None }
    }

    /// Notes a frame that was read at `port`, before the element gets it.
    #[inline]
    pub fn arrived(&mut self, f: &Frame, port: PortId) {
        if let Some(s) = self.ports.get_mut(usize::from(port.0)) {
            s.rx += 1;
            s.rx_bytes += f.len() as u64;
        }
        self.trace.add(f.rx, |at| Record::In { seq: f.seq, port, at, bytes: f.data() });
    }

    /// Writes what was sent, in order, by `write`; what it refuses is counted.
    pub fn flush(&mut self, now: Time, mut write: impl FnMut(PortId, &Frame) -> io::Result<()>) {
        if self.outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        for (port, f) in outbox.drain(..) {
            // Stamped before the write: the other end cannot have it earlier.
            let at = self.trace.stamp(now);
            if write(port, &f).is_ok() {
                if let Some(s) = self.ports.get_mut(usize::from(port.0)) {
                    s.tx += 1;
                    s.tx_bytes += f.len() as u64;
                }
                if self.trace.on() {
                    self.left(&f, port, at);
                }
                self.pool.give(f);
            } else {
                self.cx(now).drop(f, DropReason::PortError);
            }
        }
        self.outbox = outbox;
        self.whys.clear();
    }

    #[cold]
    fn left(&mut self, f: &Frame, port: PortId, at: Time) {
        // A frame that was sent before the trace began has no cause noted.
        while let Some((seq, cause)) = self.whys.pop_front() {
            if seq == f.seq {
                return self.trace.add(at, |_| Record::Out { seq, port, at, cause, bytes: f.data() });
            }
        }
        self.trace.add(at, |_| Record::Out { seq: f.seq, port, at, cause: Cause::Queued, bytes: f.data() });
    }

    /// Frames that wait to be written.
    pub fn outbox(&self) -> usize {
        self.outbox.len()
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
    /// The frame whose turn it is.
    during: Option<FrameSeq>,
}

impl Cx<'_> {
    /// Ends a frame by writing it to `port`.
    pub fn send(&mut self, port: PortId, f: Frame, why: impl FnOnce() -> Cause) {
        if self.core.trace.on() {
            self.core.whys.push_back((f.seq, why()));
        }
        self.core.outbox.push((port, f));
    }

    /// Ends a frame here, counted under `why`.
    pub fn drop(&mut self, f: Frame, why: DropReason) {
        self.core.trace.add(self.now, |at| Record::Dropped { seq: Some(f.seq), at, reason: why });
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
        self.core.trace.add(self.now, |at| Record::Held { seq: f.seq, at, cause: why() });
        Held
    }

    /// Somebody collects the trace: what is only of use to it may be worked out.
    #[inline]
    pub fn traces(&self) -> bool {
        self.core.trace.on()
    }

    /// Says what was done with `f`, besides what its end will say.
    #[inline]
    pub fn say(&mut self, f: &Frame, what: impl FnOnce() -> Cause) {
        self.tell(Some(f.seq), None, what);
    }

    /// Says what was done with what a frame carried, or for an act.
    pub fn tell(&mut self, seq: Option<FrameSeq>, act: Option<Act>, what: impl FnOnce() -> Cause) {
        self.core.trace.add(self.now, |at| Record::Said { seq, act, at, cause: what() });
    }

    /// A new, empty frame with room for 2048 bytes. `None`: the pool is empty,
    /// which is counted.
    pub fn make(&mut self, parent: Parent<'_>) -> Option<Frame> {
        self.make_sized(parent, 2048)
    }

    /// As [`Cx::make`], with room for `room` bytes.
    pub fn make_sized(&mut self, parent: Parent<'_>, room: usize) -> Option<Frame> {
        let f = self.take(room)?;
        self.made(&f, parent);
        Some(f)
    }

    /// As [`Cx::make_sized`], where only what will stand in the frame tells what it
    /// comes from: [`Cx::made`] must follow.
    pub fn take(&mut self, room: usize) -> Option<Frame> {
        let f = self.core.pool.take(room, self.now);
        if f.is_none() {
            self.count_drop(DropReason::NoBuffer);
        }
        f
    }

    /// What an automaton makes from here on is due to `f`, whose turn has come.
    pub fn during(&mut self, f: Option<&Frame>) {
        self.during = f.map(|f| f.seq);
    }

    /// Says what a frame comes from that was got by [`Cx::take`].
    pub fn made(&mut self, f: &Frame, parent: Parent<'_>) {
        let parent = match (parent, self.during) {
            (Parent::Timer, Some(cause)) => Parent::Of(cause),
            (p, _) => p,
        };
        self.core.trace.add(self.now, |at| Record::Made { seq: f.seq, at, origin: parent.into() });
    }

    /// The same packet in a further frame.
    pub fn copy(&mut self, f: &Frame) -> Option<Frame> {
        let mut c = self.make_sized(Parent::Part(f.seq), f.len())?;
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
        self.lost_part(None, why);
    }

    /// Counts the loss of what `seq` carried a part of.
    pub fn lost_part(&mut self, seq: Option<FrameSeq>, why: DropReason) {
        self.core.trace.add(self.now, |at| Record::Dropped { seq, at, reason: why });
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
