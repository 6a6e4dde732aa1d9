//! A packet's way: from node to node, with what each did to it.

use crate::collect::Collector;
use crate::diff::{Diff, diff};
use crate::dissect::{Layer, dissect_all};
use crate::model::{Direction, End, Packet, Sight};
use crate::topology::PortAt;
use node::trace::Cause;
use node::{DropReason, Time};
use std::collections::HashMap;

/// A packet's stay at one node.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The node.
    pub node: u16,
    /// Where it came in; none where it was made.
    pub came: Option<PortAt>,
    /// Where it left, each port once.
    pub left: Vec<PortAt>,
    /// Its frames on the way in, by their places among the sights.
    pub frames_in: Vec<usize>,
    /// … and on the way out at the first port.
    pub frames_out: Vec<usize>,
    /// When its first frame was here.
    pub at: Time,
    /// When its last frame left, or it ended.
    pub until: Time,
    /// What was done with it, in order, each once.
    pub causes: Vec<Cause>,
    /// What it waited for, and since when.
    pub held: Vec<(Time, Cause)>,
    /// How it ended here.
    pub end: Option<End>,
    /// Its headers before and after; before alone where it ended, after alone where
    /// it was made.
    pub diff: Diff,
    /// The hop before it.
    pub from: Option<usize>,
    /// It leads nowhere: a copy for a station that did not want it.
    pub stray: bool,
}

fn layers(c: &Collector, frames: &[usize]) -> Vec<Layer> {
    let bytes: Vec<&[u8]> = frames.iter().filter_map(|i| c.sights.get(*i)).map(|s| &*s.bytes).collect();
    dissect_all(&bytes)
}

/// Bytes of some frames.
pub fn bytes(c: &Collector, frames: &[usize]) -> usize {
    frames.iter().filter_map(|i| c.sights.get(*i)).map(|s| s.bytes.len()).sum()
}

fn add(causes: &mut Vec<Cause>, more: &[Cause]) {
    for m in more {
        if !causes.contains(m) {
            causes.push(m.clone());
        }
    }
}

fn new(node: u16, at: Time, from: Option<usize>) -> Hop {
    Hop {
        node,
        came: None,
        left: Vec::new(),
        frames_in: Vec::new(),
        frames_out: Vec::new(),
        at,
        until: at,
        causes: Vec::new(),
        held: Vec::new(),
        end: None,
        diff: Diff::default(),
        from,
        stray: false,
    }
}

/// The way of a packet, in the order of time.
pub fn hops(c: &Collector, p: &Packet) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    let wires = c.topology.wires();
    // The last hop at each node, and the hop by which each port was last left.
    let mut at_node: HashMap<u16, usize> = HashMap::new();
    let mut at_port: HashMap<PortAt, usize> = HashMap::new();
    for i in &p.sights {
        let Some(s) = c.sights.get(*i) else { continue };
        let h = match s.direction {
            Direction::In => {
                let from = wires.get(&s.port).and_then(|w| at_port.get(w)).copied();
                // Parts of one packet that left one hop come to one hop.
                let same = at_node.get(&s.port.0).copied().filter(|h| hops[*h].came == Some(s.port) && hops[*h].from == from);
                let h = same.unwrap_or_else(|| {
                    hops.push(new(s.port.0, s.at, from));
                    hops.len() - 1
                });
                hops[h].came = Some(s.port);
                hops[h].frames_in.push(*i);
                h
            }
            Direction::Out => {
                let h = at_node.get(&s.port.0).copied().unwrap_or_else(|| {
                    hops.push(new(s.port.0, s.at, None));
                    hops.len() - 1
                });
                out(&mut hops[h], *i, s);
                at_port.insert(s.port, h);
                h
            }
        };
        hops[h].until = hops[h].until.max(s.at);
        at_node.insert(s.port.0, h);
    }
    for e in &p.ends {
        ended(&mut hops, e);
    }
    for i in 0..hops.len() {
        let (before, after) = (layers(c, &hops[i].frames_in), layers(c, &hops[i].frames_out));
        hops[i].diff = diff(&before, &after);
        let leads = hops.iter().any(|h| h.from == Some(i));
        let unwanted =
            matches!(hops[i].end, Some(End { how: crate::model::Ended::Dropped(DropReason::NotForUs | DropReason::SamePort), .. }));
        hops[i].stray = unwanted && !leads && hops[i].left.is_empty() && hops[i].from.is_some();
    }
    // A kernel host does not say that a flooded copy was not for it.
    let taken = hops.iter().any(|h| matches!(h.end, Some(End { how: crate::model::Ended::Dropped(DropReason::Consumed), .. })));
    for h in hops.iter_mut().filter(|h| h.from.is_some() && h.left.is_empty() && h.end.is_none()) {
        h.stray |= taken && c.topology.nodes.get(usize::from(h.node)).is_some_and(crate::topology::Node::is_host);
    }
    strays(&mut hops);
    hops
}

fn out(h: &mut Hop, i: usize, s: &Sight) {
    if !h.left.contains(&s.port) {
        h.left.push(s.port);
    }
    if h.left.first() == Some(&s.port) {
        h.frames_out.push(i);
    }
    add(&mut h.causes, &s.causes);
    for x in &s.held {
        if !h.held.iter().any(|(_, c)| *c == x.1) {
            h.held.push(x.clone());
        }
    }
}

/// Gives an end to the hop where it happened; an end is more than being used up.
fn ended(hops: &mut Vec<Hop>, e: &End) {
    let at = hops.iter().rposition(|h| h.node == e.node && h.at <= e.at);
    let h = match at {
        Some(h) => h,
        None => {
            // Made here, and never left.
            hops.push(new(e.node, e.at, None));
            hops.len() - 1
        }
    };
    let h = &mut hops[h];
    if h.end.as_ref().is_none_or(|o| !o.is_loss()) {
        h.end = Some(e.clone());
    }
    if h.left.is_empty() {
        h.until = h.until.max(e.at);
    }
    add(&mut h.causes, &e.causes);
}

/// A hop all of whose ways are stray is stray too.
fn strays(hops: &mut [Hop]) {
    for i in (0..hops.len()).rev() {
        let mut next = hops.iter().filter(|h| h.from == Some(i)).peekable();
        if next.peek().is_some() && next.all(|h| h.stray) && hops[i].from.is_some() {
            hops[i].stray = true;
        }
    }
    // Where no way is wanted all of them are the packet's.
    if hops.iter().skip(1).all(|h| h.stray) {
        hops.iter_mut().for_each(|h| h.stray = false);
    }
}

/// Names of the nodes on a packet's way, without stray ones and the cable.
pub fn way<'a>(c: &'a Collector, hops: &[Hop]) -> Vec<&'a str> {
    hops.iter().filter(|h| !h.stray && !c.topology.is_cable(h.node)).map(|h| c.topology.name(h.node)).collect()
}
