//! What is between two ports: joined at the other end, still under way, or lost.

use crate::collect::{Collector, Told, What};
use crate::heard::BEFORE;
use crate::model::{Direction, End, Ended, Packet, PacketId};
use crate::topology::PortAt;
use node::Time;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Frames on one wire that wait for their other end.
const ON_WIRE: usize = 16_384;

/// A frame that left a port.
#[derive(Debug)]
pub(crate) struct OnWire {
    hash: u64,
    bytes: Arc<[u8]>,
    packet: PacketId,
    at: Time,
}

/// What stands for a frame's bytes where frames are looked for by them.
pub fn hash(b: &[u8]) -> u64 {
    let mut h = DefaultHasher::new();
    b.hash(&mut h);
    h.finish()
}

impl Collector {
    /// A frame that came cannot be joined yet: what left the other end of the cable
    /// has not been told.
    pub fn must_wait(&self, node: u16, t: &Told) -> bool {
        let (What::In(_, port, bytes) | What::Host(port, Direction::In, bytes)) = &t.what else { return false };
        let Some(peer) = self.wires.get(&(node, *port)) else { return false };
        if !self.is_traced(peer.0) {
            return false;
        }
        let h = hash(bytes);
        !self.on_wire.get(peer).is_some_and(|q| q.iter().any(|w| w.hash == h))
    }

    pub(crate) fn left(&mut self, at: PortAt, packet: PacketId, time: Time, bytes: &Arc<[u8]>) {
        // Nobody tells whether it comes, and it must not be taken for a later one like it.
        if let Some(to) = self.wires.get(&at)
            && self.heard_since(to.0).is_none_or(|since| time < since)
            && !self.was_out(to.0, time)
        {
            return;
        }
        let q = self.on_wire.entry(at).or_default();
        q.push_back(OnWire { hash: hash(bytes), bytes: Arc::clone(bytes), packet, at: time });
        if q.len() > ON_WIRE {
            q.pop_front();
        }
    }

    /// The packet that came to a port: what left the other end in this order. What
    /// left before it and did not come is lost: a cable keeps the order.
    pub(crate) fn arrived(&mut self, at: PortAt, bytes: &[u8]) -> Option<(PacketId, Arc<[u8]>)> {
        let from = *self.wires.get(&at)?;
        let h = hash(bytes);
        let q = self.on_wire.get_mut(&from)?;
        let i = q.iter().position(|w| w.hash == h)?;
        let missing: Vec<OnWire> = q.drain(..i).collect();
        let found = q.pop_front().map(|w| (w.packet, w.bytes));
        for w in missing {
            self.lose(from, at, &w);
        }
        found
    }

    fn lose(&mut self, from: PortAt, to: PortAt, w: &OnWire) {
        let out = self.was_out(to.0, w.at);
        // Nobody was there yet to tell whether it came.
        if !out && self.heard_since(to.0).is_none_or(|since| w.at < since + BEFORE) {
            return;
        }
        self.lost.frames += u64::from(!out);
        let how = if out { Ended::Absent { from, to } } else { Ended::Kernel { from, to } };
        if let Some(p) = self.packets.get_mut(&w.packet) {
            p.ends.push(End { node: from.0, at: w.at, how, causes: Vec::new() });
        }
    }

    /// The oldest frame that left a port is lost.
    pub(crate) fn gone(&mut self, from: PortAt) {
        let (w, to) = (self.on_wire.get_mut(&from).and_then(VecDeque::pop_front), self.wires.get(&from).copied());
        if let (Some(w), Some(to)) = (w, to) {
            self.lose(from, to, &w);
        }
    }

    /// What is on its way to a node since before `at` does not come any more.
    pub(crate) fn miss(&mut self, node: u16, at: Time) {
        let to: Vec<PortAt> = self.wires.iter().filter(|(_, to)| to.0 == node).map(|(from, _)| *from).collect();
        for from in to {
            while self.on_wire.get(&from).and_then(|q| q.front()).is_some_and(|w| w.at < at) {
                self.gone(from);
            }
        }
    }

    /// Counts as lost what has not come although the node at the other end told all of
    /// `after` more; `until`: until when a node has told all, or would have.
    pub fn settle(&mut self, until: impl Fn(u16) -> Time, after: Duration) {
        let ports: Vec<PortAt> = self.on_wire.keys().copied().collect();
        for from in ports {
            let Some(to) = self.wires.get(&from).copied() else { continue };
            let at = until(to.0);
            while self.on_wire.get(&from).and_then(|q| q.front()).is_some_and(|w| at.since(w.at) > after) {
                self.take(from.0, Told { at, what: What::Gone(from.1) });
            }
        }
    }

    /// A packet of a journey (of any, if none is named) is on a wire, or stays at a
    /// node that has not said what becomes of it.
    pub fn is_under_way(&self, journey: Option<u64>) -> bool {
        let mine = |p: &Packet| p.journey.is_some() && (journey.is_none() || p.journey == journey);
        let on_wire = |(from, q): (&PortAt, &VecDeque<OnWire>)| {
            let heard = self.wires.get(from).is_some_and(|to| self.is_traced(to.0));
            heard && q.iter().any(|w| self.packets.get(&w.packet).is_some_and(mine))
        };
        self.on_wire.iter().any(on_wire) || self.packets.values().filter(|p| mine(p)).any(|p| self.stays(p))
    }

    fn stays(&self, p: &Packet) -> bool {
        let mut last: HashMap<u16, (Direction, Time)> = HashMap::new();
        for s in self.sights_of(p) {
            last.insert(s.port.0, (s.direction, s.at));
        }
        last.iter().any(|(node, (direction, at))| {
            let opaque = self.topology.nodes.get(usize::from(*node)).is_none_or(crate::topology::Node::is_host);
            let ended = p.ends.iter().any(|e| e.node == *node && e.at >= *at);
            *direction == Direction::In && !opaque && !ended && self.is_traced(*node)
        })
    }
}
