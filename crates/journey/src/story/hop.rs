//! One hop of a packet, as a story shows it.

use super::Teller;
use crate::collect::Collector;
use crate::diff::{Change, Compared};
use crate::hops::{Hop, bytes, hops};
use crate::model::{Direction, End, Ended, Packet};
use crate::story::Item;
use crate::topology::PortAt;
use crate::words::{self, Lang};
use node::trace::Cause;
use node::{DropReason, Time};
use serde::Serialize;
use wire::line::{FCS, LEAST, Medium, PREAMBLE};

/// A hop in words.
#[derive(Clone, Debug, Serialize)]
pub struct HopView {
    /// The packet.
    pub packet: u64,
    /// The node.
    pub node: String,
    /// What it is, in a word.
    pub device: String,
    /// The port by which it came.
    pub came: Option<String>,
    /// The ports by which it left.
    pub left: Vec<String>,
    /// Nanoseconds since the journey's start, when it came.
    pub at: u64,
    /// … and when it left, or ended.
    pub until: u64,
    /// Frames and bytes on the way in.
    pub r#in: (usize, usize),
    /// … and out.
    pub out: (usize, usize),
    /// What was done, in words.
    pub why: Vec<String>,
    /// What was done, typed.
    pub causes: Vec<Cause>,
    /// What it waited for.
    pub waited: Vec<String>,
    /// Its headers before.
    pub before: Vec<Compared>,
    /// … and after.
    pub after: Vec<Compared>,
    /// Fields that changed, each with the reason where it is known.
    pub changes: Vec<(Change, Option<String>)>,
    /// How it ended here, in words.
    pub ended: Option<String>,
    /// It was lost here.
    pub lost: bool,
}

/// What is said of the hop itself and not of its waiting.
fn is_doing(c: &Cause) -> bool {
    !matches!(c, Cause::Forwarded | Cause::Impaired | Cause::Socket)
}

/// What a medium makes of a frame.
fn signal(lang: Lang, medium: Medium, len: usize) -> String {
    let bytes = PREAMBLE + 1 + len.max(LEAST) + FCS;
    let bits = bytes * 8;
    let us = bits as f64 * 1e6 / medium.rate() as f64;
    let (name, code_en, code_ko) = match medium {
        Medium::TenBaseT => {
            ("10BASE-T", format!("{} half bits of Manchester code", bits * 2), format!("맨체스터 부호 반비트 {}개", bits * 2))
        }
        Medium::HundredBaseTx => {
            ("100BASE-TX", format!("{} symbols of 4B5B and MLT-3", bits * 5 / 4), format!("4B5B와 MLT-3 심볼 {}개", bits * 5 / 4))
        }
    };
    lang.pick(
        format!("{name}: preamble, {} bytes and FCS are {bits} bits, {code_en}, {us:.1} µs on the wire", len.max(LEAST)),
        format!("{name}: 프리앰블과 {}바이트와 FCS로 {bits}비트, {code_ko}, 선 위에서 {us:.1} µs", len.max(LEAST)),
    )
}

/// A port; of a cable, the port of the lab that this end of it is at.
fn end_name(c: &Collector, p: PortAt) -> String {
    let second = c.topology.at(p).is_some_and(|p| p.name.ends_with('b'));
    match c.topology.link_of(p).filter(|_| c.topology.is_cable(p.0)) {
        Some(l) => format!("{} (cable)", l.ends[usize::from(second)]),
        None => c.topology.full(p),
    }
}

/// How a packet ended somewhere, in words.
pub(super) fn ended(c: &Collector, lang: Lang, e: &End) -> String {
    match e.how {
        Ended::Dropped(DropReason::Consumed) => lang.pick("it has arrived here".into(), "여기에 도착함".into()),
        Ended::Dropped(r) => lang.pick(
            format!("dropped ({}): {}", r.name(), words::reason(lang, r)),
            format!("버림 ({}): {}", r.name(), words::reason(lang, r)),
        ),
        Ended::Absent { from, to } => {
            let (a, b) = (end_name(c, from), c.topology.name(to.0));
            lang.pick(
                format!("nobody took it from {a}: the role of {b} did not run"),
                format!("{a}에서 나갔지만 받을 이가 없었음: {b}의 역할이 돌지 않았음"),
            )
        }
        Ended::Kernel { from, to } => {
            let (a, b) = (end_name(c, from), end_name(c, to));
            lang.pick(format!("lost by the kernel between {a} and {b}"), format!("{a}와(과) {b} 사이에서 커널이 잃음"))
        }
    }
}

/// The node's name; of a cable, which it is: its ends, as the packet that came by
/// `came` crosses it.
pub(super) fn place(c: &Collector, node: u16, came: Option<PortAt>) -> String {
    match came.filter(|_| c.topology.is_cable(node)) {
        Some(p) => {
            // A cable's second port is its second end's.
            let back = c.topology.at(p).is_some_and(|p| p.name.ends_with('b'));
            let link = c.topology.link_of(p);
            link.map_or_else(String::new, |l| if back { format!("{} ~ {}", l.ends[1], l.ends[0]) } else { l.ends.join(" ~ ") })
        }
        None => c.topology.name(node).to_owned(),
    }
}

/// Where a packet ended.
pub(super) fn place_of_end(c: &Collector, p: &Packet, e: &End) -> String {
    if let Ended::Absent { to, .. } = e.how {
        return c.topology.name(to.0).to_owned();
    }
    let came = c.sights_of(p).rfind(|s| s.port.0 == e.node && s.direction == Direction::In && s.at <= e.at);
    place(c, e.node, came.map(|s| s.port))
}

/// A hop in words.
pub(super) fn view(c: &Collector, lang: Lang, start: Time, packet: u64, h: &Hop) -> HopView {
    let port = |p| c.topology.at(p).map_or_else(String::new, |p| p.name.clone());
    let cable = c.topology.is_cable(h.node);
    let count = |f: &[usize]| (f.len(), bytes(c, f));
    let mut why: Vec<String> = h.causes.iter().filter(|c| is_doing(c)).map(|c| words::cause(lang, c)).collect();
    if cable
        && let Some(m) = h.came.and_then(|p| c.topology.link_of(p)).and_then(|l| l.medium)
        && let Some(s) = h.frames_in.first().and_then(|i| c.sights.get(*i))
    {
        why = vec![signal(lang, m, s.bytes.len())];
    }
    if why.is_empty() && h.end.is_none() {
        why = h.causes.iter().map(|c| words::cause(lang, c)).collect();
    }
    let waited = h.held.iter().filter(|(_, c)| !matches!(c, Cause::Queued) || !cable).map(|(_, c)| words::cause(lang, c)).collect();
    let changes = h.diff.changes.iter().map(|x| (x.clone(), words::change(lang, x, &h.causes))).collect();
    let lost = h.end.as_ref().is_some_and(End::is_loss);
    HopView {
        packet,
        node: place(c, h.node, h.came),
        device: words::role(lang, c.topology.nodes.get(usize::from(h.node)).and_then(|n| n.role.as_deref())).to_owned(),
        came: if cable { None } else { h.came.map(port) },
        left: if cable { Vec::new() } else { h.left.iter().map(|p| port(*p)).collect() },
        at: h.at.since(start).as_nanos() as u64,
        until: h.until.since(start).as_nanos() as u64,
        r#in: count(&h.frames_in),
        out: count(&h.frames_out),
        why,
        causes: h.causes.clone(),
        waited,
        before: h.diff.before.clone(),
        after: h.diff.after.clone(),
        changes,
        ended: h.end.as_ref().filter(|_| h.left.is_empty() || lost).map(|e| ended(c, lang, e)),
        lost,
    }
}

impl Teller<'_> {
    /// Tells a packet's whole way, hop by hop.
    pub(super) fn way(&mut self, p: &Packet) {
        let all = hops(self.c, p);
        self.hops(p.id, &all, |_| true);
    }

    /// Tells those of a packet's hops that are wanted.
    pub(super) fn hops(&mut self, packet: u64, all: &[Hop], wanted: impl Fn(&Hop) -> bool) {
        for h in all.iter().filter(|h| wanted(h)) {
            if h.stray {
                let name = self.name(h.node).to_owned();
                self.line(
                    self.lang.pick(
                        format!("{name} got a copy too, and did not want it"),
                        format!("{name}도 사본을 받았지만 자기 것이 아니어서 버림"),
                    ),
                    Some(packet),
                );
                continue;
            }
            let v = view(self.c, self.lang, self.about.start, packet, h);
            self.items.push(Item::Hop(Box::new(v)));
        }
    }
}
