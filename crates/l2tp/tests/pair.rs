//! LAC and LNS back to back, under a fake clock, over a network that loses,
//! duplicates and reorders.

use l2tp::{Call, CallResult, Config, DataHeader, Endpoint, Event, Input, Key, Outcome, Peer, PeerConfig, ProxyAuth, Secrecy};
use node::Time;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::l2tp::{Avp, Avps, Header, PORT, put_avp};

const LAC: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const LNS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);

fn entry(name: &str, secret: Option<&str>) -> PeerConfig {
    PeerConfig { name: name.into(), secret: secret.map(|s| s.as_bytes().to_vec()), secrecy: Secrecy::Hidden, sequencing: false }
}

fn end(host_name: &str, peers: Vec<PeerConfig>, seed: u64) -> Endpoint {
    let config = Config {
        host_name: host_name.into(),
        hello: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        peers,
        max_tunnels: 10,
        max_sessions: 200,
    };
    Endpoint::new(config, StdRng::seed_from_u64(seed))
}

struct Pair {
    now: Time,
    ends: [Endpoint; 2],
    line: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    n: u64,
    rng: StdRng,
    fault: f64,
    events: [Vec<Event>; 2],
    seen: Vec<(usize, Vec<u8>)>,
    to: PeerConfig,
}

impl Pair {
    fn new(lac: Option<&str>, lns: Option<&str>, fault: f64, seed: u64) -> Pair {
        Pair {
            now: Time::from_nanos(1),
            ends: [end("bas", vec![], seed), end("lns", vec![entry("bas", lns)], seed + 1)],
            line: BTreeMap::new(),
            n: 0,
            rng: StdRng::seed_from_u64(seed),
            fault,
            events: [vec![], vec![]],
            seen: vec![],
            to: entry("lns", lac),
        }
    }

    fn settle(&mut self) {
        for i in 0..2 {
            while let Some(e) = self.ends[i].take_event() {
                self.events[i].push(e);
            }
            for (to, p) in self.ends[i].take_output() {
                assert_eq!((to.addr, to.port), ([LNS, LAC][i], PORT));
                self.seen.push((i, p.clone()));
                let copies = if self.rng.random::<f64>() < self.fault { 0 } else { 1 + usize::from(self.rng.random::<f64>() < self.fault) };
                for _ in 0..copies {
                    self.n += 1;
                    let late = Duration::from_micros(100 + self.rng.random_range(0..(1 + (self.fault * 500_000.0) as u64)));
                    self.line.insert((self.now + late, self.n), (1 - i, p.clone()));
                }
            }
        }
    }

    fn run(&mut self, d: Duration, until: impl Fn(&Pair) -> bool) -> bool {
        let end = self.now + d;
        loop {
            self.settle();
            if until(self) {
                return true;
            }
            let next = self.line.first_key_value().map(|((t, _), _)| *t);
            let next = self.ends.iter().map(Endpoint::deadline).chain([next]).flatten().min();
            let Some(t) = next.filter(|t| *t <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(t);
            while let Some(((t, _), _)) = self.line.first_key_value() {
                if *t > self.now {
                    break;
                }
                let (_, (to, p)) = self.line.pop_first().unwrap();
                let from = Peer { addr: [LAC, LNS][1 - to], port: PORT };
                let _ = self.ends[to].input(self.now, from, &p);
                self.settle();
            }
            for e in &mut self.ends {
                e.poll(self.now);
            }
        }
    }

    fn call(&mut self, cookie: u32) -> Key {
        let auth = ProxyAuth { name: "kim@isp.example".into(), challenge: vec![1; 16], id: 3, response: vec![2; 16], pap: false };
        let call = Call { calling: format!("line {cookie}"), auth: Some(auth), ..Call::default() };
        let to = self.to.clone();
        self.ends[0].call(self.now, LNS, &to, "bas", call, cookie).expect("a call")
    }

    fn connected(&self) -> usize {
        self.events[0].iter().filter(|e| matches!(e, Event::Connected { .. })).count()
    }

    fn came(&self) -> Vec<(Key, Call)> {
        let one = |e: &Event| if let Event::Incoming { key, call } = e { Some((*key, (**call).clone())) } else { None };
        self.events[1].iter().filter_map(one).collect()
    }

    fn stops(&self, i: usize) -> Vec<String> {
        let one = |e: &Event| if let Event::TunnelDown { reason, .. } = e { Some(reason.clone()) } else { None };
        self.events[i].iter().filter_map(one).collect()
    }
}

/// Result codes of control messages of `kind` on the wire.
fn results(p: &Pair, kind: u16) -> Vec<u16> {
    let one = |(_, m): &(usize, Vec<u8>)| {
        let (h, body) = Header::read(m).ok()?;
        let avps: Vec<Avp<'_>> = Avps(body).flatten().collect();
        let is = h.control && avps.first().is_some_and(|a| a.value == kind.to_be_bytes());
        avps.iter().find(|a| is && a.kind == 1).map(|a| u16::from_be_bytes([a.value[0], a.value[1]]))
    };
    p.seen.iter().filter_map(one).collect()
}

#[test]
fn a_call_comes_up_with_proof_and_hidden_values() {
    let mut p = Pair::new(Some("tunnel"), Some("tunnel"), 0.0, 1);
    let key = p.call(7);
    assert!(p.run(Duration::from_secs(1), |p| p.connected() == 1 && p.came().len() == 1));
    let (lns, call) = p.came().remove(0);
    assert_eq!(call.calling, "line 7");
    assert_eq!(call.auth.expect("proof").name, "kim@isp.example");
    assert!(!p.seen.iter().any(|(_, m)| m.windows(15).any(|w| w == b"kim@isp.example")), "hidden on the wire");
    // Data, both ways, with and without length.
    for (from, key, other) in [(0, key, lns), (1, lns, key)] {
        for (length, offset) in [(true, None), (false, None), (true, Some(0)), (false, Some(9))] {
            let with = DataHeader { length, offset };
            let (_, h, n) = p.ends[from].data_header(key, 3, with).expect("a header");
            assert_eq!(n, with.len(false));
            let m = [&h[..n], b"ppp"].concat();
            let peer = Peer { addr: [LAC, LNS][from], port: PORT };
            let now = p.now;
            assert_eq!(p.ends[1 - from].input(now, peer, &m), Input::Data { key: other, at: n, len: 3 });
            let stranger = Peer { addr: Ipv4Addr::new(9, 9, 9, 9), port: PORT };
            assert_eq!(p.ends[1 - from].input(now, stranger, &m), Input::UnknownTunnel);
        }
    }
    // A second call takes the same tunnel; the first is hung up by the LNS.
    p.call(8);
    assert!(p.run(Duration::from_secs(1), |p| p.connected() == 2));
    assert_eq!(p.ends[0].tunnels().count(), 1);
    let now = p.now;
    p.ends[1].hang_up(now, lns, &Outcome::call(CallResult::NoFacilitiesNow, "no address is free"));
    p.run(Duration::from_secs(1), |_| false);
    let down = Event::Down { key, cookie: 7, outcome: Outcome::call(CallResult::NoFacilitiesNow, "no address is free"), by_peer: true };
    assert!(p.events[0].contains(&down));
    assert_eq!(results(&p, 14), [4]);
}

#[test]
fn hello_keeps_a_tunnel_and_finds_a_dead_peer() {
    let mut p = Pair::new(Some("s"), Some("s"), 0.0, 1);
    p.call(1);
    assert!(p.run(Duration::from_secs(1), |p| p.came().len() == 1));
    assert!(!p.run(Duration::from_secs(600), |p| !p.stops(0).is_empty()));
    p.fault = 1.0;
    assert!(p.run(Duration::from_secs(120), |p| !p.stops(0).is_empty() && !p.stops(1).is_empty()));
    assert_eq!(p.stops(0), ["the peer does not answer"]);
    assert!(p.events[0].iter().any(|e| matches!(e, Event::Down { cookie: 1, .. })));
    assert_eq!((p.ends[0].session_count(), p.ends[1].session_count()), (0, 0));
}

#[test]
fn an_lns_that_began_anew_says_so_to_whoever_still_speaks_to_the_old_one() {
    let mut p = Pair::new(Some("s"), Some("s"), 0.0, 1);
    let key = p.call(1);
    assert!(p.run(Duration::from_secs(1), |p| p.came().len() == 1));
    p.ends[1] = end("lns", vec![entry("bas", Some("s"))], 99);
    let now = p.now;
    for _ in 0..5 {
        let (_, h, n) = p.ends[0].data_header(key, 3, DataHeader::default()).expect("a header");
        p.ends[1].input(now, Peer { addr: LAC, port: PORT }, &[&h[..n], b"ppp"].concat());
    }
    assert!(p.run(Duration::from_secs(1), |p| !p.stops(0).is_empty()));
    assert!(p.stops(0)[0].contains("begun anew"), "{:?}", p.stops(0));
    assert!(p.events[0].iter().any(|e| matches!(e, Event::Down { cookie: 1, .. })));
    assert_eq!(results(&p, 4).len(), 1, "one answer to many");
    p.call(2);
    assert!(p.run(Duration::from_secs(1), |p| p.came().len() == 2));
}

#[test]
fn a_tunnel_that_nobody_needs_is_cleared() {
    let mut p = Pair::new(None, None, 0.0, 1);
    let key = p.call(1);
    assert!(p.run(Duration::from_secs(1), |p| p.came().len() == 1));
    let now = p.now;
    p.ends[0].hang_up(now, key, &Outcome::call(CallResult::LostCarrier, "PADT"));
    assert!(p.run(Duration::from_secs(90), |p| !p.stops(1).is_empty()));
    assert!(p.stops(1)[0].contains("result 1"));
    assert!(p.events[1].iter().any(|e| matches!(e, Event::Down { outcome, .. } if outcome.result == 1)));
    p.run(Duration::from_secs(60), |_| false);
    assert_eq!((p.ends[0].tunnels().count(), p.ends[1].tunnels().count()), (0, 0));
}

#[test]
fn wrong_secrets_and_strangers_are_refused_with_the_reason_at_both_ends() {
    for (lac, lns) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some("b"))] {
        let mut p = Pair::new(lac, lns, 0.0, 1);
        p.call(1);
        assert!(p.run(Duration::from_secs(5), |p| !p.stops(0).is_empty() && !p.stops(1).is_empty()), "{lac:?} {lns:?}");
        assert_eq!(results(&p, 4), [4], "not authorised");
        assert!(p.events[0].iter().any(|e| matches!(e, Event::Down { cookie: 1, .. })));
        let same = |s: &str| s.split(": ").last().map(str::to_owned);
        assert_eq!(same(&p.stops(0)[0]), same(&p.stops(1)[0]));
    }
    let mut p = Pair::new(None, None, 0.0, 1);
    p.ends[1] = end("lns", vec![entry("another", None)], 5);
    p.call(1);
    assert!(p.run(Duration::from_secs(5), |p| !p.stops(0).is_empty()));
    assert!(p.stops(0)[0].contains("no peer `bas` is known here"), "{:?}", p.stops(0));
}

#[test]
fn a_full_lns_says_so() {
    let mut p = Pair::new(None, None, 0.0, 1);
    p.ends[1] = Endpoint::new(
        Config {
            host_name: "lns".into(),
            hello: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            peers: vec![entry("*", None)],
            max_tunnels: 1,
            max_sessions: 2,
        },
        StdRng::seed_from_u64(4),
    );
    for i in 0..3 {
        p.call(i);
    }
    let full =
        |e: &Event| matches!(e, Event::Down { outcome, by_peer: true, .. } if outcome.result == 4 && outcome.text == "no session is free");
    assert!(p.run(Duration::from_secs(5), |p| p.connected() == 2 && p.events[0].iter().any(full)));
}

#[test]
fn numbered_data_keeps_its_order() {
    let mut p = Pair::new(None, None, 0.0, 1);
    p.to.sequencing = true;
    let key = p.call(1);
    assert!(p.run(Duration::from_secs(1), |p| p.came().len() == 1));
    let now = p.now;
    let mut made: Vec<Vec<u8>> = (0..4u8)
        .map(|i| {
            let (_, h, n) = p.ends[0].data_header(key, 1, DataHeader::default()).expect("a header");
            [&h[..n], &[i]].concat()
        })
        .collect();
    made.swap(1, 2);
    let from = Peer { addr: LAC, port: PORT };
    let got: Vec<bool> = made.iter().map(|m| matches!(p.ends[1].input(now, from, m), Input::Data { .. })).collect();
    assert_eq!(got, [true, true, false, true]);
}

#[test]
fn an_unknown_mandatory_avp_ends_what_it_belongs_to() {
    let mut p = Pair::new(None, None, 0.0, 1);
    p.call(1);
    assert!(p.run(Duration::from_secs(1), |p| p.came().len() == 1));
    let t = p.ends[1].tunnels().next().expect("a tunnel");
    let mut body = Vec::new();
    put_avp(&mut body, &Avp { mandatory: true, hidden: false, vendor: 0, kind: 0, value: &[0, 6] });
    put_avp(&mut body, &Avp { mandatory: true, hidden: false, vendor: 0, kind: 99, value: &[] });
    let h = Header { control: true, tunnel: t.ids.0, session: 0, sequence: Some((t.sequence.1, t.sequence.0)), priority: false };
    let mut m = vec![0; 12];
    h.write(&mut m, body.len(), true);
    m.extend(body);
    let now = p.now;
    p.ends[1].input(now, Peer { addr: LAC, port: PORT }, &m);
    p.run(Duration::from_secs(1), |_| false);
    assert!(p.stops(1)[0].contains("result 2, error 8: unknown mandatory AVP 99"), "{:?}", p.stops(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn calls_come_up_over_a_bad_network(seed in any::<u64>(), n in 1u32..40) {
        let mut p = Pair::new(Some("s"), Some("s"), 0.2, seed);
        for i in 0..n { p.call(i); }
        let up = p.run(Duration::from_secs(600), |p| p.connected() == n as usize && p.came().len() == n as usize);
        // Six retries in a row may be lost: then the owner is told, and nothing hangs.
        let down = p.events[0].iter().filter(|e| matches!(e, Event::Down { .. })).count();
        prop_assert!(up || down > 0, "{} of {n} connected", p.connected());
    }

    #[test]
    fn no_panic_on_mutated_messages(seed in any::<u64>(), cuts in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..40)) {
        let mut p = Pair::new(Some("s"), Some("s"), 0.0, seed);
        p.call(1);
        for (at, v) in cuts {
            p.run(Duration::from_millis(1), |_| false);
            let mut m = p.seen[usize::from(at) % p.seen.len()].1.clone();
            let i = usize::from(at / 7) % m.len();
            m[i] ^= v;
            let now = p.now;
            for (e, addr) in [(0, LNS), (1, LAC)] {
                p.ends[e].input(now, Peer { addr, port: PORT }, &m);
            }
        }
        p.run(Duration::from_secs(200), |_| false);
    }
}
