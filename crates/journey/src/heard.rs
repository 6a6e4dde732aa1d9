//! Which nodes tell what they do, since when, and when they did not.

use crate::collect::{Collector, Told, What};
use crate::model::Direction;
use crate::topology::PortAt;
use node::Time;
use std::time::Duration;

/// A frame may have been on its way for so long before its sender was heard: what is
/// lost or comes from nowhere so early is not told. Whoever waits for it before the
/// first act misses nothing.
pub const BEFORE: Duration = Duration::from_millis(100);

/// A time in which a node told nothing: its role did not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// The node.
    pub node: u16,
    /// When it was last heard.
    pub from: Time,
    /// When it was heard again.
    pub until: Option<Time>,
}

impl Collector {
    /// All have been reached: what was missed before is not to be told.
    pub fn begin(&mut self) {
        self.lost = crate::model::Lost::default();
    }

    /// A node tells from now on. What left for it before nobody took.
    pub fn hear(&mut self, node: u16, at: Time) {
        let Some(h) = self.heard.get_mut(usize::from(node)) else { return };
        *h = Some(at);
        if let Some(o) = self.outages.iter_mut().find(|o| o.node == node && o.until.is_none()) {
            o.until = Some(at);
        }
        self.miss(node, at);
    }

    /// A node tells no more, or was never there.
    pub fn unhear(&mut self, node: u16, at: Time) {
        let Some(heard) = self.heard.get_mut(usize::from(node)) else { return };
        let from = heard.take().map_or(Time::ZERO, |_| at);
        if !self.outages.iter().any(|o| o.node == node && o.until.is_none()) {
            self.outages.push(Outage { node, from, until: None });
        }
    }

    pub(crate) fn is_traced(&self, node: u16) -> bool {
        self.heard_since(node).is_some()
    }

    pub(crate) fn heard_since(&self, node: u16) -> Option<Time> {
        self.heard.get(usize::from(node)).copied().flatten()
    }

    /// Whether a node was not there when a frame was on its way to it at `at`.
    pub(crate) fn was_out(&self, node: u16, at: Time) -> bool {
        // What lay in its queue when it went has gone with it.
        self.outages.iter().any(|o| o.node == node && at + BEFORE >= o.from && o.until.is_none_or(|u| at <= u))
    }

    /// Whether where a frame left must be told of before it came.
    pub(crate) fn must_be_told(&self, node: u16, t: &Told) -> bool {
        match t.what {
            What::In(_, port, _) | What::Host(port, Direction::In, _) => self.must_be_known((node, port), t.at),
            _ => false,
        }
    }

    /// Whether what comes to a port at `at` must have been seen where it left.
    pub(crate) fn must_be_known(&self, at: PortAt, time: Time) -> bool {
        let Some(peer) = self.wires.get(&at) else { return true };
        match self.heard_since(peer.0) {
            Some(since) => since + BEFORE <= time,
            // Its last words may have gone with it.
            None => !self.outages.iter().any(|o| o.node == peer.0),
        }
    }
}
