//! One direction of a medium: each frame becomes levels, meets noise, and is
//! recovered from them, or not.

use node::{Cx, DropReason, Frame, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use serde_json::{Value, json};
use wire::ether::{self, ethertype};
use wire::ipv4::{self, protocol};
use wire::line::{self, FCS, Layout, LineError, Medium, PREAMBLE, Transmitter};

/// Start-of-stream delimiter of 100BASE-TX (IEEE 802.3 §24.2.2.1.4).
const SSD: &str = "SSD";

/// A frame that crossed, as it was on the medium.
#[derive(Debug)]
struct Crossed {
    at: Time,
    layout: Layout,
    frame: Vec<u8>,
    sent: Vec<f32>,
    received: Vec<f32>,
    whole: bool,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) medium: Medium,
    transmitter: Transmitter,
    noise: StdRng,
    sent: Vec<f32>,
    received: Vec<f32>,
    bytes: Vec<u8>,
    last: Option<Crossed>,
    /// The last one that carried data of TCP: the most that can be shown.
    last_data: Option<Crossed>,
    pub(crate) frames: u64,
    pub(crate) bits: u64,
    pub(crate) symbol_errors: u64,
    pub(crate) dropped: u64,
}

impl Signal {
    pub(crate) fn new(medium: Medium, seed: u64) -> Signal {
        let mut noise = StdRng::seed_from_u64(seed ^ 0x5157);
        Signal {
            medium,
            transmitter: Transmitter::new(medium, noise.random()),
            noise,
            sent: Vec::new(),
            received: Vec::new(),
            bytes: Vec::new(),
            last: None,
            last_data: None,
            frames: 0,
            bits: 0,
            symbol_errors: 0,
            dropped: 0,
        }
    }

    /// Lets a frame cross: it comes out as its receiver has it, padding and all.
    pub(crate) fn cross(&mut self, cx: &mut Cx<'_>, mut f: Frame, snr_db: Option<f64>) -> Option<Frame> {
        let layout = self.transmitter.send(f.data(), &mut self.sent);
        self.received.clear();
        match snr_db {
            Some(db) => {
                let sigma = (self.medium.power() / 10f64.powf(db / 10.0)).sqrt() as f32;
                let noise = &mut self.noise;
                self.received.extend(self.sent.iter().map(|l| l + sigma * noise.sample::<f32, _>(StandardNormal)));
                self.symbol_errors += line::symbol_errors(self.medium, &self.sent, &self.received);
            }
            None => self.received.extend_from_slice(&self.sent),
        }
        self.frames += 1;
        self.bits += layout.bytes as u64 * 8;
        let got = line::receive(self.medium, &self.received, &mut self.bytes);
        let why = match got {
            Ok(_) => None,
            Err(LineError::Fcs) => Some(DropReason::BadFcs),
            Err(_) => Some(DropReason::NoCarrier),
        };
        let is_data = payload_of_tcp(f.data());
        let slot = if is_data { &mut self.last_data } else { &mut self.last };
        let kept = slot.get_or_insert_with(|| Crossed {
            at: cx.now,
            layout,
            frame: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
            whole: true,
        });
        (kept.at, kept.layout, kept.whole) = (cx.now, layout, why.is_none());
        kept.frame.clear();
        kept.frame.extend_from_slice(f.data());
        std::mem::swap(&mut kept.sent, &mut self.sent);
        std::mem::swap(&mut kept.received, &mut self.received);
        match (why, line::strip_fcs(&self.bytes)) {
            (None, Some(got)) => {
                f.truncate(0);
                f.extend(got);
                Some(f)
            }
            (why, _) => {
                self.dropped += 1;
                cx.drop(f, why.unwrap_or(DropReason::BadFcs));
                None
            }
        }
    }

    /// The levels of a frame that crossed, a row a field; `data`: of the last that
    /// carried data of TCP, if there was one.
    pub(crate) fn rows(&self, data: bool, now: Time) -> Vec<[Value; 8]> {
        let kept = if data { self.last_data.as_ref().or(self.last.as_ref()) } else { self.newest() };
        let Some(k) = kept else { return Vec::new() };
        let mut wire = vec![0x55; PREAMBLE];
        wire.push(line::SFD);
        wire.extend_from_slice(&k.frame);
        wire.resize(k.layout.bytes - FCS, 0);
        let sum = line::fcs(&wire[PREAMBLE + 1..]);
        wire.extend(sum);
        let ns = 1e9 / self.medium.symbol_rate() as f64;
        let mut at = 0;
        let mut rows = Vec::new();
        let mut parts = fields(&k.frame, k.layout.bytes);
        if self.medium == Medium::HundredBaseTx {
            // The first byte's place is taken by the code groups J and K.
            parts[0].1 -= 1;
            parts.insert(0, (SSD, 1));
        }
        for (name, len) in parts {
            let from = k.layout.gap + at * k.layout.per_byte;
            let to = from + len * k.layout.per_byte;
            let levels = |v: &[f32]| -> Value { v[from..to].iter().map(|l| json!((f64::from(*l) * 1000.0).round() / 1000.0)).collect() };
            let hex: String = if name == SSD { "JK".into() } else { wire[at..at + len].iter().map(|b| format!("{b:02x}")).collect() };
            rows.push([
                name.into(),
                len.into(),
                hex.into(),
                json!((at * k.layout.per_byte) as f64 * ns),
                json!(ns),
                levels(&k.sent),
                levels(&k.received),
                json!({ "medium": self.medium.name(), "whole": k.whole, "age-ms": now.since(k.at).as_millis() as u64 }),
            ]);
            at += len;
        }
        rows
    }

    fn newest(&self) -> Option<&Crossed> {
        [&self.last, &self.last_data].into_iter().flatten().max_by_key(|k| k.at)
    }
}

fn payload_of_tcp(frame: &[u8]) -> bool {
    ip(frame).is_some_and(|(h, t)| h.protocol == protocol::TCP && wire::tcp::header_len(t).is_some_and(|n| t.len() > n))
}

fn ip(frame: &[u8]) -> Option<(ipv4::Header, &[u8])> {
    ether::Header::read(frame).filter(|e| e.ethertype == ethertype::IPV4)?;
    let p = frame.get(ether::HEADER_LEN..)?;
    let h = ipv4::Header::read(p).ok()?;
    Some((h, h.payload(p)))
}

/// The parts of a frame on a medium of `bytes` bytes, preamble to FCS.
fn fields(frame: &[u8], bytes: usize) -> Vec<(&'static str, usize)> {
    let mut v = vec![("preamble", PREAMBLE), ("SFD", 1), ("MAC", ether::HEADER_LEN)];
    let body = frame.len().saturating_sub(ether::HEADER_LEN);
    let kind = ether::Header::read(frame).map_or(0, |e| e.ethertype);
    if let Some((h, t)) = ip(frame) {
        let transport = match h.protocol {
            _ if h.is_fragment() => ("payload", 0),
            protocol::TCP => ("TCP", wire::tcp::header_len(t).unwrap_or(0)),
            protocol::UDP => ("UDP", t.len().min(8)),
            protocol::ICMP => ("ICMP", t.len().min(8)),
            _ => ("payload", 0),
        };
        v.extend([("IP", h.header_len), transport, ("payload", h.total_len - h.header_len - transport.1)]);
    } else if kind == ethertype::ARP {
        v.push(("ARP", body.min(28)));
    } else {
        v.push(("payload", body));
    }
    let so_far: usize = v.iter().map(|(_, n)| n).sum();
    v.push(("padding", bytes.saturating_sub(so_far + FCS)));
    v.push(("FCS", FCS));
    v.retain(|(_, n)| *n > 0);
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Mac, craft};

    #[test]
    fn every_byte_of_a_frame_has_its_field() {
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let frame = |body: &[u8]| {
            craft::ethernet(Mac::of_lab(1, 0), Mac::of_lab(2, 0), &craft::packet(protocol::UDP, a, b, &craft::udp(1, 2, body)))
        };
        let arp = craft::arp(1, (Mac::of_lab(1, 0), a), (Mac::default(), b), Mac::BROADCAST);
        for (f, names) in [
            (frame(&[0; 100]), "preamble SFD MAC IP UDP payload FCS"),
            (frame(&[]), "preamble SFD MAC IP UDP padding FCS"),
            (arp, "preamble SFD MAC ARP padding FCS"),
            (vec![0; 200], "preamble SFD MAC payload FCS"),
        ] {
            let bytes = f.len().max(60) + 12;
            let v = fields(&f, bytes);
            assert_eq!(v.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(" "), names);
            assert_eq!(v.iter().map(|(_, n)| n).sum::<usize>(), bytes);
        }
    }
}
