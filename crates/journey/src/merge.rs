//! Records of many nodes in the order of time: each node tells in order, and until
//! when all has been told.

use crate::collect::{Collector, Told};
use node::Time;
use std::collections::VecDeque;

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

    /// Hands over all that is in order; `all`: whatever waits.
    pub fn release(&mut self, to: &mut Collector, all: bool) {
        let bound = self.sources.iter().filter(|s| s.live && !all).map(|s| s.until).min().unwrap_or(Time::from_nanos(u64::MAX));
        while self.next(to, bound) {}
    }

    fn next(&mut self, to: &mut Collector, bound: Time) -> bool {
        let head = |s: &Source| s.waiting.front().map(|t| t.at).filter(|t| *t <= bound);
        let mut heads: Vec<(Time, usize)> = self.sources.iter().enumerate().filter_map(|(i, s)| Some((head(s)?, i))).collect();
        let Some(first) = heads.iter().min().map(|(_, i)| *i) else { return false };
        // While the clock stands many things happen at one time: a frame comes after it left.
        let blocked = |to: &Collector, i: usize| self.sources[i].waiting.front().is_some_and(|t| to.must_wait(i as u16, t));
        let pick = if blocked(to, first) {
            heads.sort_unstable();
            heads.iter().map(|(_, i)| *i).find(|i| !blocked(to, *i)).unwrap_or(first)
        } else {
            first
        };
        // Only what happened at the same time may go first.
        let same = self.sources[pick].waiting.front().map(|t| t.at) == self.sources[first].waiting.front().map(|t| t.at);
        let pick = if same { pick } else { first };
        if let Some(t) = self.sources[pick].waiting.pop_front() {
            to.take(pick as u16, t);
        }
        true
    }
}
