//! A frame's layers and their fields, from outside to inside.

mod access;
mod app;
mod ip;

use serde::Serialize;
use wire::ether::{Arp, HEADER_LEN, Header, ethertype};

/// A field of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name, in the field's own terms.
    pub name: &'static str,
    /// Its value, as a person reads it.
    pub value: String,
    /// First byte in the frame.
    pub start: usize,
    /// Bytes.
    pub len: usize,
    /// It stands in the one-line form of its layer.
    pub brief: bool,
}

/// A header with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// The protocol.
    pub name: &'static str,
    /// First byte in the frame.
    pub start: usize,
    /// Bytes of the header.
    pub len: usize,
    /// Its fields.
    pub fields: Vec<Field>,
    /// What it is, in a word: `SYN`, `PADI`, `Configure-Request`; may be empty.
    pub title: String,
}

impl Layer {
    fn new(name: &'static str, start: usize, len: usize) -> Layer {
        Layer { name, start, len, fields: Vec::new(), title: String::new() }
    }

    /// Adds a field of the one-line form; `at` counts from the layer's first byte.
    fn brief(&mut self, name: &'static str, value: impl ToString, at: usize, len: usize) {
        self.fields.push(Field { name, value: value.to_string(), start: self.start + at, len, brief: true });
    }

    fn field(&mut self, name: &'static str, value: impl ToString, at: usize, len: usize) {
        self.fields.push(Field { name, value: value.to_string(), start: self.start + at, len, brief: false });
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|f| f.name == name).map(|f| f.value.as_str())
    }
}

/// The layers of an Ethernet frame.
pub fn dissect(b: &[u8]) -> Vec<Layer> {
    let mut out = Vec::new();
    ethernet(b, 0, &mut out);
    out
}

/// The layers of frames that are parts of one: of cells, what they carry besides.
pub fn dissect_all(frames: &[&[u8]]) -> Vec<Layer> {
    let Some(first) = frames.first() else { return Vec::new() };
    let mut out = dissect(first);
    access::carried_by_cells(frames, &mut out);
    out
}

fn ethernet(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some(h) = b.get(at..).and_then(Header::read) else {
        return rest(b, at, out);
    };
    let mut l = Layer::new("Ethernet", at, HEADER_LEN);
    l.brief("src", h.src, 6, 6);
    l.brief("dst", h.dst, 0, 6);
    l.field("type", format!("0x{:04x} {}", h.ethertype, type_name(h.ethertype)).trim().to_owned(), 12, 2);
    out.push(l);
    let at = at + HEADER_LEN;
    match h.ethertype {
        ethertype::IPV4 => ip::ipv4(b, at, out),
        ethertype::ARP => arp(b, at, out),
        ethertype::PPPOE_DISCOVERY | ethertype::PPPOE_SESSION => access::pppoe(b, at, h.ethertype == ethertype::PPPOE_SESSION, out),
        ethertype::MPLS => access::cells(b, at, out),
        access::ADSL => access::adsl(b, at, out),
        _ => rest(b, at, out),
    }
}

fn type_name(t: u16) -> &'static str {
    match t {
        ethertype::IPV4 => "IPv4",
        ethertype::ARP => "ARP",
        ethertype::IPV6 => "IPv6",
        ethertype::VLAN => "802.1Q",
        ethertype::MPLS => "MPLS",
        ethertype::PPPOE_DISCOVERY => "PPPoE discovery",
        ethertype::PPPOE_SESSION => "PPPoE session",
        _ => "",
    }
}

fn arp(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some(a) = b.get(at..).and_then(Arp::read) else { return rest(b, at, out) };
    let mut l = Layer::new("ARP", at, Arp::LEN);
    l.title = if a.op == 1 { format!("who has {}? tell {}", a.tpa, a.spa) } else { format!("{} is at {}", a.spa, a.sha) };
    l.brief("operation", if a.op == 1 { "request" } else { "reply" }, 6, 2);
    l.brief("sender-mac", a.sha, 8, 6);
    l.brief("sender", a.spa, 14, 4);
    l.field("target-mac", a.tha, 18, 6);
    l.brief("target", a.tpa, 24, 4);
    out.push(l);
    let end = at + Arp::LEN;
    if b.len() > end {
        padding(b, end, out);
    }
}

/// What no layer takes.
fn rest(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    if b.len() > at {
        let mut l = Layer::new("data", at, b.len() - at);
        l.brief("bytes", b.len() - at, 0, b.len() - at);
        out.push(l);
    }
}

fn padding(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let mut l = Layer::new("padding", at, b.len().saturating_sub(at));
    l.brief("bytes", b.len().saturating_sub(at), 0, b.len().saturating_sub(at));
    out.push(l);
}

/// A protocol's name in a list of packets, and what the packet is, in one line.
pub fn title(layers: &[Layer]) -> (&'static str, String) {
    let known = |l: &&Layer| !matches!(l.name, "data" | "quoted" | "padding" | "LLC/SNAP" | "AAL5");
    let Some(l) = layers.iter().rev().find(known) else { return ("?", String::new()) };
    let ends = |name: &str| {
        let ip = layers.iter().rev().find(|l| l.name == "IPv4");
        let t = layers.iter().rev().find(|l| l.name == name);
        let (Some(ip), Some(t)) = (ip, t) else { return String::new() };
        let g = |l: &Layer, f| l.get(f).unwrap_or("?").to_owned();
        format!("{}:{} → {}:{}", g(ip, "src"), g(t, "src-port"), g(ip, "dst"), g(t, "dst-port"))
    };
    match l.name {
        "TCP" => ("TCP", format!("{} {}", ends("TCP"), l.title)),
        "UDP" => ("UDP", ends("UDP")),
        "HTTP" => ("HTTP", l.title.clone()),
        "IPv4" => {
            let g = |f| l.get(f).unwrap_or("?");
            ("IPv4", format!("{} → {} {}", g("src"), g("dst"), l.title).trim_end().to_owned())
        }
        name => (name, l.title.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::{Mac, craft};

    #[test]
    fn a_segment_has_its_layers_and_its_name() {
        let mut t = craft::tcp(49152, 80, wire::tcp::ACK | wire::tcp::PSH);
        t.extend_from_slice(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n");
        let p = craft::packet(6, [192, 168, 0, 2].into(), [198, 51, 100, 80].into(), &t);
        let f = craft::ethernet(Mac::BROADCAST, Mac::of_lab(1, 0), &p);
        let l = dissect(&f);
        assert_eq!(l.iter().map(|l| l.name).collect::<Vec<_>>(), ["Ethernet", "IPv4", "TCP", "HTTP"]);
        assert_eq!(title(&l), ("HTTP", "GET /a HTTP/1.1".to_owned()));
        assert_eq!((l[2].get("src-port"), l[1].get("ttl")), (Some("49152"), Some("60")));
        for layer in &l {
            assert!(layer.fields.iter().all(|f| f.start + f.len <= 34.max(layer.start + layer.len + 1500)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_harm_it(mut b in proptest::collection::vec(any::<u8>(), 0..300), kind in 0usize..6) {
            let types = [ethertype::IPV4, ethertype::ARP, ethertype::PPPOE_DISCOVERY, ethertype::PPPOE_SESSION, ethertype::MPLS, access::ADSL];
            if b.len() > 14 {
                b[12..14].copy_from_slice(&types[kind].to_be_bytes());
                if kind == 0 { b[14] = 0x45; }
            }
            for l in dissect_all(&[&b, &b]) {
                for f in &l.fields {
                    prop_assert!(f.name.len() < 40 && (l.name != "Ethernet" || f.start + f.len <= b.len().max(1600)));
                }
            }
            let _ = title(&dissect(&b));
        }
    }
}
