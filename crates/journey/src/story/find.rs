//! The packets of a journey, each with what it is.

use crate::collect::Collector;
use crate::dissect::{Layer, dissect};
use crate::model::Packet;
use crate::words::{self, Lang};

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// ARP.
    Arp,
    /// DNS.
    Dns,
    /// TCP's opening: SYN, SYN ACK.
    Opening,
    /// A segment that begins an HTTP request.
    Request,
    /// A segment that begins an HTTP response.
    Response,
    /// A segment with more data.
    Data,
    /// A segment without data.
    Ack,
    /// A connection's end: FIN or RST.
    Closing,
    /// An ICMP error.
    Error,
    /// Anything else.
    Other,
}

/// A packet with what it is.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The packet.
    pub p: &'a Packet,
    /// What it is for.
    pub kind: Kind,
    /// Its innermost protocol.
    pub protocol: &'static str,
    /// What it is, in a line.
    pub title: String,
    /// Its layers where it was first seen.
    pub layers: Vec<Layer>,
}

fn kind(layers: &[Layer]) -> Kind {
    let has = |n: &str| layers.iter().rev().find(|l| l.name == n);
    if has("ARP").is_some() {
        return Kind::Arp;
    }
    if has("DNS").is_some() {
        return Kind::Dns;
    }
    if has("quoted").is_some() {
        return Kind::Error;
    }
    if let Some(h) = has("HTTP") {
        return if h.title.starts_with("HTTP/") { Kind::Response } else { Kind::Request };
    }
    let Some(t) = has("TCP") else { return Kind::Other };
    let flags = t.get("flags").unwrap_or("");
    let is = |n: &str| flags.split(' ').any(|f| f == n);
    match () {
        () if is("SYN") => Kind::Opening,
        () if is("FIN") || is("RST") => Kind::Closing,
        () if has("data").is_some() => Kind::Data,
        () => Kind::Ack,
    }
}

/// A packet with what it is.
pub(super) fn seen<'a>(c: &'a Collector, lang: Lang, p: &'a Packet) -> Seen<'a> {
    let first = p.sights.first().and_then(|i| c.sights.get(*i));
    let layers = first.map(|s| dissect(&s.bytes)).unwrap_or_default();
    let (protocol, text) = words::title(lang, &layers);
    Seen { p, kind: kind(&layers), protocol, title: text, layers }
}

/// All packets of a journey that were at a port.
pub(super) fn all(c: &Collector, lang: Lang, journey: u64) -> Vec<Seen<'_>> {
    let mut v: Vec<Seen<'_>> = c.of_journey(journey).filter(|p| !p.sights.is_empty()).map(|p| seen(c, lang, p)).collect();
    v.sort_by_key(|s| s.p.sights.first().copied());
    v
}

impl Seen<'_> {
    /// The value of a field of its innermost layer of that name.
    pub(super) fn get(&self, layer: &str, field: &str) -> Option<&str> {
        self.layers.iter().rev().find(|l| l.name == layer)?.get(field)
    }

    /// Bytes of TCP that it carries.
    pub(super) fn payload(&self) -> usize {
        let after = self.layers.iter().skip_while(|l| l.name != "TCP").skip(1);
        after.filter(|l| matches!(l.name, "HTTP" | "data")).map(|l| l.len).sum()
    }
}
