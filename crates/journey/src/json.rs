//! A journey as JSON: what `lab journey --json` prints and the page shows. The
//! schema is told in docs/journey.md.

use crate::collect::Collector;
use crate::dissect::dissect;
use crate::hops::hops;
use crate::model::{Direction, Ended, Packet, Sight};
use crate::story::{About, Story};
use crate::topology::PortAt;
use crate::words::{self, Lang};
use node::Time;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use wire::line::Transmitter;

/// The schema's version.
pub const VERSION: u32 = 1;
/// Bytes of frames that are told whole; beyond, frames are cut.
const WHOLE: usize = 16 << 20;
/// … to this.
const CUT: usize = 160;
/// Levels of a signal that are told.
const LEVELS: usize = 640;

/// What is told: which packets, and since when.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Only this journey; else all that was seen.
    pub journey: Option<u64>,
    /// The time that is zero.
    pub start: Time,
    /// Nanoseconds of the Unix epoch's clock at the zero of the lab's.
    pub epoch: u64,
    /// How many packets.
    pub keep: Keep,
}

/// Which packets are told of many.
#[derive(Clone, Copy, Debug)]
pub enum Keep {
    /// The newest.
    Newest(usize),
    /// The first, and a quarter as many of the last: a long journey's ends.
    Ends(usize),
}

fn both(f: impl Fn(Lang) -> String) -> Value {
    json!({ "en": f(Lang::En), "ko": f(Lang::Ko) })
}

struct Frames {
    list: Vec<Value>,
    known: HashMap<(Arc<[u8]>, bool), usize>,
    bytes: usize,
}

impl Frames {
    /// The place of a frame among those told; equal ones stand once.
    fn place(&mut self, c: &Collector, s: &Sight) -> usize {
        let medium = c.topology.at(s.port).and_then(|p| p.medium).or_else(|| c.topology.link_of(s.port).and_then(|l| l.medium));
        let key = (s.bytes.clone(), medium.is_some());
        if let Some(i) = self.known.get(&key) {
            return *i;
        }
        self.bytes += s.bytes.len();
        let cut = self.bytes > WHOLE;
        let layers = dissect(&s.bytes);
        let told = if cut { &s.bytes[..s.bytes.len().min(CUT)] } else { &s.bytes[..] };
        let signal = medium.filter(|_| !cut).map(|m| {
            let mut levels = Vec::new();
            let layout = Transmitter::new(m, 1).send(&s.bytes, &mut levels);
            // The silence before a frame is no part of it.
            let begins = levels.iter().position(|l| *l != 0.0).unwrap_or(0);
            levels.drain(..begins.saturating_sub(4));
            levels.truncate(LEVELS);
            json!({ "medium": m.name(), "symbol-rate": m.symbol_rate(), "levels": levels, "bytes": layout.bytes })
        });
        self.list.push(json!({ "len": s.bytes.len(), "hex": node::hex(told), "cut": cut, "layers": layers, "signal": signal }));
        self.known.insert(key, self.list.len() - 1);
        self.list.len() - 1
    }
}

/// A link's place among the topology's.
fn link(c: &Collector, at: PortAt) -> Option<usize> {
    let l = c.topology.link_of(at)?;
    c.topology.links.iter().position(|x| x.ends == l.ends)
}

/// A packet's moves from node to node: what the page shows step by step.
fn moves(c: &Collector, p: &Packet, places: &HashMap<usize, usize>, start: Time, out: &mut Vec<Value>) {
    let all = hops(c, p);
    for (i, h) in all.iter().enumerate().filter(|(_, h)| !c.topology.is_cable(h.node)) {
        for port in &h.left {
            // Through the cable, if it is in between, to the next node.
            let mut next = all.iter().position(|n| n.from == Some(i) && c.topology.wires().get(port) == n.came.as_ref());
            let mut lost = None;
            while let Some(n) = next.filter(|n| c.topology.is_cable(all[*n].node)) {
                next = all.iter().position(|x| x.from == Some(n));
                if next.is_none() {
                    lost = all[n].end.clone();
                }
            }
            let outs = p.sights.iter().filter(|s| {
                c.sights.get(**s).is_some_and(|s| s.direction == Direction::Out && s.port == *port && s.at >= h.at && s.at <= h.until)
            });
            let outs: Vec<usize> = outs.filter_map(|s| places.get(s)).copied().collect();
            let ins: Vec<usize> =
                next.map(|n| all[n].frames_in.iter().filter_map(|s| places.get(s)).copied().collect()).unwrap_or_default();
            let at =
                p.sights.iter().filter_map(|s| c.sights.get(*s)).find(|s| s.direction == Direction::Out && s.port == *port && s.at >= h.at);
            let lost = lost.or_else(|| h.end.clone().filter(|e| next.is_none() && !matches!(e.how, Ended::Dropped(_))));
            out.push(json!({
                "packet": p.id,
                "from": c.topology.name(h.node),
                "to": next.map(|n| c.topology.name(all[n].node)),
                "link": link(c, *port),
                "at": at.map_or(0, |s| s.at.since(start).as_nanos() as u64),
                "until": next.map(|n| all[n].at.since(start).as_nanos() as u64),
                "out": outs,
                "in": ins,
                "stray": next.is_some_and(|n| all[n].stray),
                "lost": lost.map(|e| both(|l| crate::story::ended_words(c, l, &e))),
            }));
        }
    }
}

/// Everything that was seen of a journey, or of all.
pub fn json(c: &Collector, wanted: &Wanted, about: Option<&About>) -> Value {
    let start = wanted.start;
    let mut frames = Frames { list: Vec::new(), known: HashMap::new(), bytes: 0 };
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut sights = Vec::new();
    let is = |j: Option<u64>| wanted.journey.is_none_or(|w| j == Some(w));
    let mut packets: Vec<&Packet> = c.packets.values().filter(|p| is(p.journey) && !p.sights.is_empty()).collect();
    let all = packets.len();
    match wanted.keep {
        Keep::Newest(n) if all > n => drop(packets.drain(..all - n)),
        Keep::Ends(n) if all > n + n / 4 => drop(packets.drain(n..all - n / 4)),
        _ => {}
    }
    let mut order: Vec<usize> = packets.iter().flat_map(|p| p.sights.iter().copied()).collect();
    order.sort_unstable_by_key(|i| (c.sights.get(*i).map(|s| s.at), *i));
    for i in order {
        let Some(s) = c.sights.get(i) else { continue };
        places.insert(i, sights.len());
        let told: Vec<Value> =
            s.causes.iter().map(|x| json!({ "cause": x, "en": words::cause(Lang::En, x), "ko": words::cause(Lang::Ko, x) })).collect();
        sights.push(json!({
            "packet": s.packet,
            "node": c.topology.name(s.port.0),
            "port": c.topology.at(s.port).map(|p| p.name.as_str()),
            "direction": if s.direction == Direction::In { "in" } else { "out" },
            "at": s.at.since(start).as_nanos() as u64,
            "frame": frames.place(c, s),
            "causes": told,
            "held": s.held.iter().map(|(t, x)| json!({ "since": t.since(start).as_nanos() as u64, "cause": x, "en": words::cause(Lang::En, x), "ko": words::cause(Lang::Ko, x) })).collect::<Vec<_>>(),
        }));
    }
    let mut steps = Vec::new();
    let mut told = Vec::new();
    for p in &packets {
        moves(c, p, &places, start, &mut steps);
        told.push(packet(c, p, start));
    }
    steps.sort_by_key(|m| m["at"].as_u64());
    let events: Vec<Value> = c
        .events
        .iter()
        .filter(|e| is(e.journey))
        .map(|e| {
            json!({ "node": c.topology.name(e.node), "at": e.at.since(start).as_nanos() as u64, "packet": e.packet, "journey": e.journey,
                    "cause": e.cause, "en": words::cause(Lang::En, &e.cause), "ko": words::cause(Lang::Ko, &e.cause) })
        })
        .collect();
    let mut v = json!({
        "version": VERSION,
        "lab": c.topology.lab,
        "topology": c.topology,
        "start": wanted.epoch + start.nanos(),
        "packets": told,
        "sights": sights,
        "frames": frames.list,
        "moves": steps,
        "events": events,
        "left-out": all - packets.len(),
        "lost": { "records": c.lost.records, "frames": c.lost.frames, "unmatched": c.lost.unmatched },
    });
    if let Some(a) = about {
        (v["journey"], v["story"]) = story(c, a);
    }
    v
}

/// What a journey was and came to, and its story: the keys `journey` and `story`.
pub fn story(c: &Collector, a: &About) -> (Value, Value) {
    let (en, ko) = (Story::tell(c, a, Lang::En), Story::tell(c, a, Lang::Ko));
    let verdict = en.last().zip(ko.last()).map(|((good, en), (_, ko))| json!({ "good": good, "en": en, "ko": ko }));
    let journey = json!({ "number": a.journey, "url": a.url, "from": c.topology.name(a.from), "verdict": verdict });
    (journey, json!({ "en": en.items, "ko": ko.items }))
}

fn packet(c: &Collector, p: &Packet, start: Time) -> Value {
    let first = p.sights.first().and_then(|i| c.sights.get(*i));
    let layers = first.map(|s| dissect(&s.bytes)).unwrap_or_default();
    let (protocol, en) = words::title(Lang::En, &layers);
    let ko = words::title(Lang::Ko, &layers).1;
    let ip = layers.iter().rev().find(|l| l.name == "IPv4");
    let transport = layers.iter().rev().find(|l| matches!(l.name, "TCP" | "UDP"));
    // Both ways of a conversation have one name, and so have both sides of NAT by the server's end.
    let ends = ip.zip(transport).map(|(ip, t)| {
        let mut e =
            [("src", "src-port"), ("dst", "dst-port")].map(|(a, p)| format!("{}:{}", ip.get(a).unwrap_or(""), t.get(p).unwrap_or("")));
        e.sort();
        format!("{} {} {}", t.name, e[0], e[1])
    });
    json!({
        "id": p.id,
        "journey": p.journey,
        "because": p.because,
        "again": p.again,
        "node": c.topology.name(p.node),
        "protocol": protocol,
        "title": en,
        "title-ko": ko,
        "layers": layers.iter().map(|l| l.name).collect::<Vec<_>>(),
        "conversation": ends,
        "at": first.map(|s| s.at.since(start).as_nanos() as u64),
        "way": crate::hops::way(c, &hops(c, p)),
        "ends": p.ends.iter().map(|e| json!({
            "node": c.topology.name(e.node), "place": crate::story::place_of_end(c, p, e), "at": e.at.since(start).as_nanos() as u64, "loss": e.is_loss(),
            "reason": match e.how { Ended::Dropped(r) => r.name(), Ended::Kernel { .. } => "kernel", Ended::Absent { .. } => "absent" },
            "en": crate::story::ended_words(c, Lang::En, e), "ko": crate::story::ended_words(c, Lang::Ko, e),
        })).collect::<Vec<_>>(),
    })
}
