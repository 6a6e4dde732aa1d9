//! Records of many nodes in the order of time: each node tells in order, and until
//! when all has been told.

use crate::collect::{Collector, Told};
use node::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// How far the clocks of two nodes may be apart: when the lab is paused or goes on,
/// not all hear of it at once.
const SKEW: Duration = Duration::from_millis(100);

/// What is handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// What is in order; a frame that came waits for where it left.
    Ordered,
    /// What has been told by all, as it is.
    Known,
    /// Whatever waits.
    All,
}

enum Next {
    Taken,
    None,
    Waits,
}

#[derive(Debug, Default)]
struct Source {
    waiting: VecDeque<Told>,
    until: Time,
    /// It is connected: others' records wait for what it may still tell.
    live: bool,
}

/// The queues of all nodes.
#[derive(Debug, Default)]
pub struct Merge {
    sources: Vec<Source>,
}

impl Merge {
    /// Queues for `n` nodes, none of them connected.
    pub fn new(n: usize) -> Merge {
        Merge { sources: (0..n).map(|_| Source::default()).collect() }
    }

    /// A node is, or is no longer, waited for.
    pub fn set_live(&mut self, node: u16, live: bool) {
        if let Some(s) = self.sources.get_mut(usize::from(node)) {
            s.live = live;
        }
    }

    /// Takes what a node told, and until when that is all.
    pub fn push(&mut self, node: u16, told: impl Iterator<Item = Told>, until: Time) {
        if let Some(s) = self.sources.get_mut(usize::from(node)) {
            s.waiting.extend(told);
            s.until = s.until.max(until);
        }
    }

    /// A node has told until when it told all.
    pub fn has_told(&self, node: u16) -> bool {
        self.sources.get(usize::from(node)).is_some_and(|s| s.until > Time::ZERO)
    }

    /// A node is waited for.
    pub fn is_live(&self, node: u16) -> bool {
        self.sources.get(usize::from(node)).is_some_and(|s| s.live)
    }

    /// Until when a node has told all.
    pub fn until(&self, node: u16) -> Time {
        self.sources.get(usize::from(node)).map_or(Time::ZERO, |s| s.until)
    }

    /// Some node that is waited for has not told all before `t`.
    pub fn behind(&self, t: Time) -> bool {
        self.sources.iter().any(|s| s.live && s.until < t)
    }

    /// Records that wait.
    pub fn waiting(&self) -> usize {
        self.sources.iter().map(|s| s.waiting.len()).sum()
    }

    /// Until when all that are waited for have told all.
    pub fn bound(&self) -> Time {
        self.sources.iter().filter(|s| s.live).map(|s| s.until).min().unwrap_or(Time::from_nanos(u64::MAX))
    }

    /// Hands over records in order. Returns whether one waits for its cause.
    pub fn release(&mut self, to: &mut Collector, what: Release) -> bool {
        let bound = if what == Release::All { Time::from_nanos(u64::MAX) } else { self.bound() };
        loop {
            match self.next(to, bound, what == Release::Ordered) {
                Next::Taken => {}
                Next::None => return false,
                Next::Waits => return true,
            }
        }
    }

    fn next(&mut self, to: &mut Collector, bound: Time, patient: bool) -> Next {
        let head = |s: &Source| s.waiting.front().map(|t| t.at).filter(|t| *t <= bound);
        let mut heads: Vec<(Time, usize)> = self.sources.iter().enumerate().filter_map(|(i, s)| Some((head(s)?, i))).collect();
        let Some((at, first)) = heads.iter().min().copied() else { return Next::None };
        let blocked = |i: usize| self.sources[i].waiting.front().is_some_and(|t| to.must_wait(i as u16, t));
        let pick = if blocked(first) {
            // A frame comes after it left, whatever two clocks say. One that may have left
            // before anybody listened has only its own time to find where.
            let known = self.sources[first].waiting.front().is_some_and(|t| to.must_be_told(first as u16, t));
            let until = if known { at + SKEW } else { at };
            heads.retain(|(t, _)| *t <= until);
            heads.sort_unstable();
            match heads.iter().map(|(_, i)| *i).find(|i| !blocked(*i)) {
                Some(i) => i,
                None if patient && bound <= until => return Next::Waits,
                None => first,
            }
        } else {
            first
        };
        if let Some(t) = self.sources[pick].waiting.pop_front() {
            to.take(pick as u16, t);
        }
        Next::Taken
    }
}
