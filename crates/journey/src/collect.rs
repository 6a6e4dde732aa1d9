//! The collector: joins what left a port with what came to the other end of its
//! cable, gives every packet its number, and builds the tree of causes. No IO.

use crate::flows::Flows;
use crate::heard::Outage;
use crate::model::{Direction, End, Ended, Event, Lost, Packet, PacketId, Sight};
use crate::topology::{PortAt, Topology};
use crate::wires::OnWire;
use node::trace::{Act, Cause, Origin};
use node::{DropReason, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Frames of one node that are remembered after they ended: what comes of them
/// may name them.
const FRAMES: usize = 65_536;
/// Bytes of a journey that is kept.
const TAPE: usize = 96 << 20;

/// A record that owns what it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// As `node::Record`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A frame came.
    In(u64, u8, #[serde(with = "serde_bytes")] Vec<u8>),
    /// A frame was made.
    Made(u64, Origin),
    /// Something was said of a frame, or for an act.
    Said(Option<u64>, Option<Act>, Cause),
    /// A frame left.
    Out(u64, u8, Cause, #[serde(with = "serde_bytes")] Vec<u8>),
    /// A frame waits.
    Held(u64, Cause),
    /// A frame ended.
    Dropped(Option<u64>, DropReason),
    /// The node has a port.
    Port(u8, String),
    /// A kernel host's frame.
    Host(u8, Direction, #[serde(with = "serde_bytes")] Vec<u8>),
    /// The oldest frame that left the port did not come to the other end.
    Gone(u8),
    /// From here on the node tells what it does.
    Heard,
    /// From here on it does not: its role has gone.
    Unheard,
}

impl Told {
    /// An owned copy, of a kernel host's frame if `host`; one without a time happened
    /// at `until`.
    pub fn of(r: &node::Record<'_>, until: Time, host: bool) -> Told {
        use node::Record;
        let what = match r {
            Record::In { port, bytes, .. } if host => What::Host(port.0, Direction::In, bytes.to_vec()),
            Record::Out { port, bytes, .. } if host => What::Host(port.0, Direction::Out, bytes.to_vec()),
            Record::In { seq, port, bytes, .. } => What::In(seq.0.get(), port.0, bytes.to_vec()),
            Record::Made { seq, origin, .. } => What::Made(seq.0.get(), origin.clone()),
            Record::Said { seq, act, cause, .. } => What::Said(seq.map(|s| s.0.get()), *act, cause.clone()),
            Record::Out { seq, port, cause, bytes, .. } => What::Out(seq.0.get(), port.0, cause.clone(), bytes.to_vec()),
            Record::Held { seq, cause, .. } => What::Held(seq.0.get(), cause.clone()),
            Record::Dropped { seq, reason, .. } => What::Dropped(seq.map(|s| s.0.get()), *reason),
            Record::Port { port, name } => What::Port(port.0, (*name).to_owned()),
        };
        Told { at: r.at().unwrap_or(until), what }
    }
}

#[derive(Clone, Debug)]
struct Frame {
    packet: PacketId,
    causes: Vec<Cause>,
    held: Vec<(Time, Cause)>,
}

#[derive(Debug, Default)]
struct Frames {
    by_seq: HashMap<u64, Frame>,
    order: VecDeque<u64>,
}

impl Frames {
    fn put(&mut self, seq: u64, f: Frame) {
        if self.by_seq.insert(seq, f).is_none() {
            self.order.push_back(seq);
        }
        while self.order.len() > FRAMES {
            if let Some(old) = self.order.pop_front() {
                self.by_seq.remove(&old);
            }
        }
    }
}

/// The collector.
#[derive(Debug, Default)]
pub struct Collector {
    /// The lab.
    pub topology: Topology,
    pub(crate) wires: HashMap<PortAt, PortAt>,
    frames: Vec<Frames>,
    pub(crate) on_wire: HashMap<PortAt, VecDeque<OnWire>>,
    /// All packets by their numbers.
    pub packets: BTreeMap<PacketId, Packet>,
    /// All frames at ports, in the order of time.
    pub sights: Vec<Sight>,
    /// What nodes said.
    pub events: Vec<Event>,
    acts: HashMap<(u16, Act), u64>,
    next_packet: PacketId,
    next_journey: u64,
    pub(crate) flows: Flows,
    /// What was missed.
    pub lost: Lost,
    /// Since when each node's records are coming.
    pub(crate) heard: Vec<Option<Time>>,
    /// When nodes that had been heard were not.
    pub outages: Vec<Outage>,
    /// All that was taken, if it is to be kept, and its bytes.
    tape: Option<Vec<(u16, Told)>>,
    taped: usize,
}

impl Collector {
    /// A collector for a lab.
    pub fn new(topology: Topology) -> Collector {
        let n = topology.nodes.len();
        let wires = topology.wires();
        let frames = (0..n).map(|_| Frames::default()).collect();
        Collector { topology, wires, frames, next_packet: 1, next_journey: 1, heard: vec![None; n], ..Collector::default() }
    }

    /// Keeps all that is taken from now on.
    pub fn keep(&mut self) {
        self.tape = Some(Vec::new());
    }

    /// What was kept; `None`: nothing, or it grew too large.
    pub fn tape(&self) -> Option<&[(u16, Told)]> {
        self.tape.as_deref()
    }

    fn record(&mut self, node: u16, t: &Told) {
        let Some(tape) = &mut self.tape else { return };
        self.taped += 64
            + match &t.what {
                What::In(_, _, b) | What::Out(_, _, _, b) | What::Host(_, _, b) => b.len(),
                _ => 0,
            };
        if self.taped > TAPE {
            self.tape = None;
        } else {
            tape.push((node, t.clone()));
        }
    }

    /// The journey of a node's act; its number is given when it is first asked for.
    pub fn journey_of(&mut self, node: u16, act: Act) -> u64 {
        let next = &mut self.next_journey;
        *self.acts.entry((node, act)).or_insert_with(|| {
            *next += 1;
            *next - 1
        })
    }

    pub(crate) fn new_journey(&mut self) -> u64 {
        self.next_journey += 1;
        self.next_journey - 1
    }

    /// Takes the next record of a node.
    pub fn take(&mut self, node: u16, t: Told) {
        let n = usize::from(node);
        if n >= self.frames.len() {
            return;
        }
        self.record(node, &t);
        match t.what {
            What::In(seq, port, bytes) => {
                let (packet, bytes) = self.arrived((node, port), &bytes).unwrap_or_else(|| {
                    self.lost.unmatched += u64::from(self.must_be_known((node, port), t.at));
                    (self.new_packet(node, None, None, None), bytes.into())
                });
                self.frames[n].put(seq, Frame { packet, causes: Vec::new(), held: Vec::new() });
                let (port, direction) = ((node, port), Direction::In);
                self.see(Sight { packet, port, direction, at: t.at, bytes, causes: Vec::new(), held: Vec::new(), frame: seq });
            }
            What::Made(seq, origin) => self.made(node, seq, &origin),
            What::Said(seq, act, cause) => {
                let frame = seq.and_then(|s| self.frames[n].by_seq.get_mut(&s));
                let packet = frame.as_ref().map(|f| f.packet);
                if let Some(f) = frame {
                    f.causes.push(cause.clone());
                }
                let journey = match act {
                    Some(a) => Some(self.journey_of(node, a)),
                    None => packet.and_then(|p| self.packets.get(&p)).and_then(|p| p.journey),
                };
                self.events.push(Event { node, at: t.at, packet, journey, cause });
            }
            What::Out(seq, port, cause, bytes) => {
                let (packet, mut causes, held) = match self.frames[n].by_seq.get(&seq) {
                    Some(f) => (f.packet, f.causes.clone(), f.held.clone()),
                    // Made before the collector came, or its record was lost.
                    None => (self.new_packet(node, None, None, None), Vec::new(), Vec::new()),
                };
                if causes.last() != Some(&cause) {
                    causes.push(cause);
                }
                let bytes: Arc<[u8]> = bytes.into();
                self.left((node, port), packet, t.at, &bytes);
                let (port, direction) = ((node, port), Direction::Out);
                self.see(Sight { packet, port, direction, at: t.at, bytes, causes, held, frame: seq });
            }
            What::Held(seq, cause) => {
                if let Some(f) = self.frames[n].by_seq.get_mut(&seq) {
                    f.held.push((t.at, cause));
                }
            }
            What::Dropped(seq, reason) => {
                let frame = seq.and_then(|s| self.frames[n].by_seq.get(&s));
                let Some((packet, causes)) = frame.map(|f| (f.packet, f.causes.clone())) else { return };
                let end = End { node, at: t.at, how: Ended::Dropped(reason), causes };
                if let Some(p) = self.packets.get_mut(&packet) {
                    p.ends.push(end);
                }
            }
            What::Gone(port) => self.gone((node, port)),
            What::Heard => self.hear(node, t.at),
            What::Unheard => self.unhear(node, t.at),
            What::Host(port, direction, bytes) => self.host((node, port), direction, t.at, bytes),
            What::Port(port, name) => {
                self.topology.add_port((node, port), &name);
                self.wires = self.topology.wires();
            }
        }
    }

    /// Takes a frame that a kernel host sent or got.
    fn host(&mut self, at: PortAt, direction: Direction, time: Time, bytes: Vec<u8>) {
        let (packet, bytes, causes) = match direction {
            Direction::In => {
                let known = self.arrived(at, &bytes);
                let (packet, bytes) = known.unwrap_or_else(|| (self.new_packet(at.0, None, None, None), bytes.into()));
                self.flow_in(at.0, &bytes, packet);
                (packet, bytes, Vec::new())
            }
            Direction::Out => {
                let bytes: Arc<[u8]> = bytes.into();
                let (journey, because, again) = self.flow_out(at.0, &bytes);
                let packet = self.new_packet(at.0, journey, because, again);
                self.flows.note_out(at.0, &bytes, packet);
                self.left(at, packet, time, &bytes);
                (packet, bytes, vec![Cause::Socket])
            }
        };
        self.see(Sight { packet, port: at, direction, at: time, bytes, causes, held: Vec::new(), frame: 0 });
    }

    pub(crate) fn new_packet(&mut self, node: u16, journey: Option<u64>, because: Option<PacketId>, again: Option<PacketId>) -> PacketId {
        let id = self.next_packet;
        self.next_packet += 1;
        let of = |p: Option<PacketId>| p.and_then(|p| self.packets.get(&p)).and_then(|p| p.journey);
        let journey = journey.or_else(|| of(because)).or_else(|| of(again));
        self.packets.insert(id, Packet { id, journey, because, again, node, sights: Vec::new(), ends: Vec::new() });
        id
    }

    fn made(&mut self, node: u16, seq: u64, origin: &Origin) {
        let n = usize::from(node);
        let known = |f: &node::FrameSeq| self.frames[n].by_seq.get(&f.0.get()).cloned();
        let fresh = |packet| Frame { packet, causes: Vec::new(), held: Vec::new() };
        let frame = match origin {
            Origin::Part(p) => known(p),
            // The last part is the one that the others waited for.
            Origin::Many(list) => list.iter().filter_map(&known).next_back(),
            _ => None,
        };
        let frame = match (frame, origin) {
            (Some(f), _) => f,
            (None, Origin::Of(p)) => {
                let because = known(p).map(|f| f.packet);
                fresh(self.new_packet(node, None, because, None))
            }
            (None, Origin::Again(p)) => {
                let first = known(p).map(|f| f.packet);
                let because = first.and_then(|p| self.packets.get(&p)).and_then(|p| p.because);
                fresh(self.new_packet(node, None, because, first))
            }
            (None, Origin::Act(a)) => {
                let journey = self.journey_of(node, *a);
                fresh(self.new_packet(node, Some(journey), None, None))
            }
            (None, _) => fresh(self.new_packet(node, None, None, None)),
        };
        self.frames[n].put(seq, frame);
    }

    fn see(&mut self, s: Sight) {
        if let Some(p) = self.packets.get_mut(&s.packet) {
            p.sights.push(self.sights.len());
        }
        self.sights.push(s);
    }

    /// Forgets everything seen so far, but not what is under way.
    pub fn forget(&mut self) {
        self.sights.clear();
        self.events.clear();
        for p in self.packets.values_mut() {
            p.sights.clear();
        }
        let keep = self.next_packet.saturating_sub(20_000);
        self.packets = self.packets.split_off(&keep);
    }

    /// Packets of a journey, in the order of their numbers.
    pub fn of_journey(&self, journey: u64) -> impl Iterator<Item = &Packet> {
        self.packets.values().filter(move |p| p.journey == Some(journey))
    }

    /// A packet's frames at ports.
    pub fn sights_of<'a>(&'a self, p: &'a Packet) -> impl DoubleEndedIterator<Item = &'a Sight> {
        p.sights.iter().filter_map(|i| self.sights.get(*i))
    }

    /// When something last happened in a journey.
    pub fn last_of(&self, journey: u64) -> Option<Time> {
        self.of_journey(journey).filter_map(|p| p.sights.last()).filter_map(|i| self.sights.get(*i)).map(|s| s.at).max()
    }
}
