//! A journey as pcapng: an interface a port, every frame of it with its packet's
//! number and the cause in words.

use crate::collect::Collector;
use crate::model::{Direction, End, Ended, Packet, Sight};
use crate::pcapng::{self, Interface, LinkType, Notes, Verdict};
use crate::story::ended_words;
use crate::topology::{PortAt, Topology};
use crate::words::{self, Lang};
use node::DropReason;
use node::trace::Cause;
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

/// An interface for every port of the lab; the cable's own ports are the lab's.
pub fn interfaces(t: &Topology) -> (Vec<Interface>, HashMap<PortAt, u32>) {
    let mut list = Vec::new();
    let mut numbers = HashMap::new();
    for (n, node) in t.nodes.iter().enumerate().filter(|(n, _)| !t.is_cable(*n as u16)) {
        for (p, port) in node.ports.iter().enumerate() {
            numbers.insert((n as u16, p as u8), list.len() as u32);
            list.push(interface(t, node, port));
        }
    }
    (list, numbers)
}

fn interface(t: &Topology, node: &crate::topology::Node, port: &crate::topology::Port) -> Interface {
    let name = format!("{}.{}", node.name, port.name);
    let peer = t.links.iter().find(|l| l.ends.contains(&name)).and_then(|l| l.ends.iter().find(|e| **e != name));
    let medium = port.medium.map_or(String::new(), |m| format!(", {}", m.name()));
    let to = peer.map_or(String::new(), |p| format!(", to {p}"));
    let description =
        format!("{} of {} ({}){to}, MTU {}{medium}", port.name, node.name, node.role.as_deref().unwrap_or("kernel host"), port.mtu);
    Interface { name, description, speed: port.rate, link: LinkType::Ethernet }
}

/// What is told of a frame at a port: its packet, its journey, why, and its fate.
pub fn notes(c: &Collector, s: &Sight, lang: Lang) -> Notes {
    let p = c.packets.get(&s.packet);
    let mut comments = Vec::new();
    if let Some(j) = p.and_then(|p| p.journey) {
        comments.push(format!("journey {j}"));
    }
    let ended = p.filter(|_| s.direction == Direction::In).and_then(|p| end_here(p, s));
    let mut why: Vec<String> = s.causes.iter().filter(|c| !matches!(c, Cause::Socket)).map(|c| words::cause(lang, c)).collect();
    if let Some(a) = p.and_then(|p| p.again) {
        why.push(lang.pick(format!("copy of packet {a}"), format!("패킷 {a}의 재전송")));
    }
    let verdict = match ended.map(|e| e.how) {
        Some(Ended::Dropped(DropReason::Consumed)) => Verdict::Stolen,
        Some(_) => Verdict::Shot,
        None => Verdict::Ok,
    };
    // What goes on from here in other frames is told at those.
    let goes_on = verdict == Verdict::Stolen && p.is_some_and(|p| goes_on(c, p, s));
    if let Some(e) = ended.filter(|_| !goes_on) {
        why.extend(e.causes.iter().map(|c| words::cause(lang, c)));
        why.push(ended_words(c, lang, e));
        // Events stand in the order of time, and what came of it comes later.
        let later = &c.events[c.events.partition_point(|v| v.at < s.at)..];
        let came_of_it = later.iter().filter(|v| v.node == s.port.0 && v.packet == Some(s.packet) && !e.causes.contains(&v.cause));
        why.extend(came_of_it.map(|v| words::cause(lang, &v.cause)));
    }
    if !why.is_empty() {
        comments.push(why.join("; "));
    }
    Notes { packet: Some(s.packet), comments, verdict: Some(verdict) }
}

/// The packet's end at the node of a sight, if it did not go on from there: a loss
/// before an arrival.
fn end_here<'a>(p: &'a Packet, s: &Sight) -> Option<&'a End> {
    let here = || p.ends.iter().filter(|e| e.node == s.port.0 && e.at >= s.at && matches!(e.how, Ended::Dropped(_)));
    here().find(|e| e.is_loss()).or(here().next())
}

fn goes_on(c: &Collector, p: &Packet, s: &Sight) -> bool {
    c.sights_of(p).any(|o| o.port.0 == s.port.0 && o.direction == Direction::Out && o.at >= s.at)
}

/// Writes all frames of a journey. `epoch`: nanoseconds of the Unix epoch's clock at
/// the zero of the lab's.
///
/// # Errors
/// What `w` said.
pub fn pcapng(c: &Collector, journey: u64, epoch: u64, lang: Lang, w: &mut dyn Write) -> io::Result<()> {
    let (list, numbers) = interfaces(&c.topology);
    pcapng::head(w, &list, &c.topology.names)?;
    let mut all: Vec<&Sight> = c.of_journey(journey).flat_map(|p| c.sights_of(p)).collect();
    all.sort_by_key(|s| s.at);
    for s in all {
        let Some(n) = numbers.get(&s.port) else { continue };
        let at = Duration::from_nanos(s.at.nanos() + epoch);
        pcapng::packet(w, *n, at, s.direction == Direction::Out, s.bytes.len(), &s.bytes, &notes(c, s, lang))?;
    }
    Ok(())
}
