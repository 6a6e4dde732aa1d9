//! Thousands of sessions over one LAC and one LNS, in memory, under a fake clock.

use bras_pppoe::Bas;
use node::sim::{Fault, Sim, config, settings};
use ppp::{Config, Ppp, Side};
use std::time::Duration;
use wire::Mac;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::pppoe::{self, Discovery, Packet, Tags, code, tag};

const BAS: Mac = Mac([2, 0, 0, 0, 5, 0]);

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Sessions that are up at the LNS.
    pub(crate) up: usize,
    /// Time of this process for all.
    pub(crate) took: Duration,
    /// Resident bytes that LAC and LNS took for a session, subscribers left out as
    /// far as they can be told apart.
    pub(crate) bytes_each: u64,
}

struct Subscriber {
    mac: Mac,
    id: u16,
    ppp: Ppp,
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|p| p.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn frame(dst: Mac, src: Mac, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut f = vec![0; HEADER_LEN];
    Header { dst, src, ethertype: kind }.write(&mut f);
    f.extend_from_slice(body);
    f
}

fn discover(sim: &mut Sim, bas: node::sim::NodeId, mac: Mac, kind: u8, tags: &[(u16, &[u8])]) -> Vec<Vec<u8>> {
    let d = tags.iter().fold(Discovery::new(kind, 0), |d, (k, v)| d.tag(*k, v)).finish();
    let to = if kind == code::PADI { Mac::BROADCAST } else { BAS };
    sim.inject((bas, 0), &frame(to, mac, ethertype::PPPOE_DISCOVERY, &d));
    sim.sent((bas, 0))
}

/// Brings `n` sessions up, a hundred at a time.
///
/// # Panics
/// If the servers cannot be made.
pub(crate) fn run(n: usize) -> Outcome {
    let mut sim = Sim::new(1);
    let c = config("bas", 5, &[("access", None), ("lns", Some("10.0.0.1/30"))]);
    let text = "access = [\"access\"]\nmax-sessions = 60000\nl2tp = { max-tunnels = 4 }\ntunnels = [{ realm = \"isp.example\", lns = [\"10.0.0.2\"], secret = \"s\", hide = true }]\necho-interval = \"1h\"";
    let bas = sim.add(Bas::new(&c, settings(text), 1).expect("a LAC"), 2);
    let c = config("lns", 6, &[("bas", Some("10.0.0.2/30"))]);
    let text = "lacs = [{ host-name = \"bas\", secret = \"s\", hide = true }]\nmax-sessions = 60000\npool = \"100.64.0.0/16\"\nusers = [{ name = \"kim@isp.example\", password = \"pw\" }]\necho-interval = \"1h\"";
    let lns = sim.add(Bas::new(&c, settings(text), 2).expect("an LNS"), 1);
    sim.link((bas, 1), (lns, 0), Fault { delay: Duration::from_micros(100), ..Fault::default() });
    let mut all: Vec<Subscriber> = Vec::with_capacity(n);
    let before = resident();
    let begun = std::time::Instant::now();
    while all.len() < n {
        let first = all.len();
        for i in first..n.min(first + 100) {
            let mac = Mac([2, 1, 0, (i >> 16) as u8, (i >> 8) as u8, i as u8]);
            // Offers are limited to a thousand a second.
            sim.run(Duration::from_millis(1));
            sim.sent((bas, 0));
            let pado = discover(&mut sim, bas, mac, code::PADI, &[(tag::SERVICE_NAME, b"")]);
            let cookie = pado.first().and_then(|f| Tags::find(Packet::read(&f[HEADER_LEN..])?.payload, tag::AC_COOKIE).map(<[u8]>::to_vec));
            let Some(cookie) = cookie else { continue };
            let sent = discover(&mut sim, bas, mac, code::PADR, &[(tag::SERVICE_NAME, b""), (tag::AC_COOKIE, &cookie)]);
            let Some(id) = sent.first().and_then(|f| Packet::read(&f[HEADER_LEN..])).map(|p| p.session) else { continue };
            let side = Side::Client { user: "kim@isp.example".into(), password: "pw".into() };
            let magic = 1 + i as u32;
            let mut ppp = Ppp::new(Config { side, mru: 1492, magic, challenge: [0; 16], echo_interval: Duration::ZERO, echo_failures: 3 });
            ppp.open(sim.now);
            for f in &sent[1..] {
                if let Some(p) = Packet::read(&f[HEADER_LEN..]) {
                    ppp.input(sim.now, p.payload);
                }
            }
            all.push(Subscriber { mac, id, ppp });
        }
        speak(&mut sim, bas, &mut all[first..]);
        if all.len() == first {
            break;
        }
    }
    let took = begun.elapsed();
    let bytes = resident().saturating_sub(before);
    let own = (std::mem::size_of::<Subscriber>() * all.capacity()) as u64;
    let up = all.iter().filter(|s| s.ppp.is_up()).count().min(sim.show(lns, "sessions").iter().filter(|s| s["phase"] == "up").count());
    Outcome { up, took, bytes_each: bytes.saturating_sub(own) / n as u64 }
}

fn speak(sim: &mut Sim, bas: node::sim::NodeId, some: &mut [Subscriber]) {
    let mut quiet = 0;
    while quiet < 3 {
        let mut any = false;
        for s in some.iter_mut() {
            while s.ppp.take_event().is_some() {}
            for p in s.ppp.take_output() {
                any = true;
                let mut body = vec![0; pppoe::HEADER_LEN];
                pppoe::write_header(&mut body, code::SESSION, s.id, p.len());
                body.extend_from_slice(&p);
                sim.inject((bas, 0), &frame(BAS, s.mac, ethertype::PPPOE_SESSION, &body));
            }
        }
        sim.run(Duration::from_millis(1));
        for f in sim.sent((bas, 0)) {
            any = true;
            let (Some(h), Some(p)) = (Header::read(&f), Packet::read(&f[HEADER_LEN..])) else { continue };
            if let Some(s) = some.iter_mut().find(|s| s.mac == h.dst && s.id == p.session && p.code == code::SESSION) {
                s.ppp.input(sim.now, p.payload);
            }
        }
        quiet = if any { 0 } else { quiet + 1 };
    }
}
