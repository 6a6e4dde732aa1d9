//! The trace: what a node did with each frame, why, and from which frames it
//! came. Off costs one branch a frame; built with `--cfg no_trace` not even that.
//!
//! Records are encoded as they are made ([`record`]), sent in batches to every
//! collector that is connected ([`listen`]), and never hold a role up: what a
//! slow collector has no room for is counted as lost.

mod cause;
pub mod listen;
pub mod record;

pub use cause::{Cause, Protocol};
pub use record::{Act, Origin, Parent, Record};

use crate::Time;
use listen::Listener;

/// Bytes of records that wait for the loop's end at most.
const BOUND: usize = 16 << 20;

/// Records since the last batch, bounded, and who wants them.
#[derive(Debug, Default)]
pub struct Trace {
    on: bool,
    /// Times are read anew for each record; else they are those of the call.
    live: bool,
    buf: Vec<u8>,
    /// Where each record ends in it.
    ends: Vec<usize>,
    lost: u64,
    pub(crate) listeners: Vec<Listener>,
}

impl Trace {
    /// Somebody wants records.
    #[inline]
    pub fn on(&self) -> bool {
        cfg!(not(no_trace)) && self.on
    }

    /// Starts to record, with the times of the element's calls: a test's way.
    pub fn start(&mut self) {
        self.on = true;
    }

    /// Ends recording; what is left is thrown away.
    fn stop(&mut self) {
        self.on = false;
        self.buf = Vec::new();
        self.ends = Vec::new();
        self.lost = 0;
    }

    /// The records so far, encoded, and how many were lost; recording goes on.
    pub fn take(&mut self) -> (Vec<u8>, u64) {
        self.ends.clear();
        (std::mem::take(&mut self.buf), std::mem::take(&mut self.lost))
    }

    /// The time that a record bears whose call began at `now`.
    #[inline]
    pub(crate) fn stamp(&self, now: Time) -> Time {
        if self.on() && self.live { Time::monotonic() } else { now }
    }

    /// Records what happened in a call that began at `now`; off, this is one branch.
    #[inline]
    pub(crate) fn add<'a>(&mut self, now: Time, record: impl FnOnce(Time) -> Record<'a>) {
        if self.on() {
            let at = self.stamp(now);
            self.put(&record(at));
        }
    }

    #[cold]
    fn put(&mut self, record: &Record<'_>) {
        if self.buf.len() > BOUND || !record::put(&mut self.buf, record) {
            self.lost += 1;
        } else {
            self.ends.push(self.buf.len());
        }
    }
}
