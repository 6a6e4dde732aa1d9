//! Two ends back to back, under a fake clock, over a line that loses,
//! duplicates and reorders.

use node::Time;
use ppp::{Addresses, AuthProtocol, Config, Event, Phase, Ppp, Side, State, transition};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

const GIFT: Addresses = Addresses {
    local: Some(std::net::Ipv4Addr::new(203, 0, 113, 1)),
    peer: Some(std::net::Ipv4Addr::new(203, 0, 113, 10)),
    dns: [Some(std::net::Ipv4Addr::new(192, 0, 2, 53)), None],
};

fn config(side: Side, magic: u32) -> Config {
    Config { side, mru: 1492, magic, challenge: [magic as u8; 16], echo_interval: Duration::from_secs(10), echo_failures: 3 }
}

struct Pair {
    now: Time,
    ends: [Ppp; 2],
    line: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    n: u64,
    rng: StdRng,
    fault: f64,
    events: [Vec<Event>; 2],
    password: &'static str,
    seen: Vec<(usize, Vec<u8>)>,
}

impl Pair {
    fn new(accept: Vec<AuthProtocol>, given: &str, fault: f64, seed: u64) -> Pair {
        let client = Side::Client { user: "kim@isp.example".into(), password: given.into() };
        let server = Side::Server { accept, name: "bas".into() };
        Pair {
            now: Time::from_nanos(1),
            ends: [Ppp::new(config(client, 11)), Ppp::new(config(server, 22))],
            line: BTreeMap::new(),
            n: 0,
            rng: StdRng::seed_from_u64(seed),
            fault,
            events: [vec![], vec![]],
            password: "secret",
            seen: vec![],
        }
    }

    fn settle(&mut self) {
        for i in 0..2 {
            while let Some(e) = self.ends[i].take_event() {
                if let Event::Authenticate { user, proof } = &e {
                    let good = proof.shows(self.password) || (user.is_empty());
                    let r = if good { Ok(GIFT) } else { Err("wrong password") };
                    self.ends[i].authenticated(self.now, user, r);
                }
                self.events[i].push(e);
            }
            for p in self.ends[i].take_output() {
                self.seen.push((i, p.clone()));
                let copies = if self.rng.random::<f64>() < self.fault { 0 } else { 1 + usize::from(self.rng.random::<f64>() < self.fault) };
                for _ in 0..copies {
                    self.n += 1;
                    let late = Duration::from_micros(100 + self.rng.random_range(0..(1 + (self.fault * 50_000.0) as u64)));
                    self.line.insert((self.now + late, self.n), (1 - i, p.clone()));
                }
            }
        }
    }

    fn run(&mut self, d: Duration, until: impl Fn(&Pair) -> bool) -> bool {
        let end = self.now + d;
        loop {
            self.settle();
            self.settle();
            if until(self) {
                return true;
            }
            let next = self.line.first_key_value().map(|((t, _), _)| *t);
            let next = self.ends.iter().map(Ppp::deadline).chain([next]).flatten().min();
            let Some(t) = next.filter(|t| *t <= end) else { return false };
            self.now = self.now.max(t);
            while let Some(((t, _), _)) = self.line.first_key_value() {
                if *t > self.now {
                    break;
                }
                let (_, (to, p)) = self.line.pop_first().unwrap();
                self.ends[to].input(self.now, &p);
            }
            for e in &mut self.ends {
                e.poll(self.now);
            }
        }
    }

    fn open(&mut self) {
        for i in 0..2 {
            self.ends[i].open(self.now);
        }
    }

    fn up(&self) -> bool {
        self.ends.iter().all(Ppp::is_up)
    }
}

#[test]
fn chap_and_pap_come_up_with_addresses_and_dns() {
    for accept in [vec![AuthProtocol::Chap], vec![AuthProtocol::Pap], vec![AuthProtocol::Chap, AuthProtocol::Pap], vec![]] {
        let mut p = Pair::new(accept, "secret", 0.0, 1);
        p.open();
        assert!(p.run(Duration::from_secs(1), Pair::up));
        let a = p.ends[0].addresses();
        assert_eq!((a.local, a.peer, a.dns[0]), (GIFT.peer, GIFT.local, GIFT.dns[0]));
        assert_eq!(p.ends[0].mtu(), 1492);
    }
}

#[test]
fn wrong_password_is_said_by_both_ends() {
    for accept in [vec![AuthProtocol::Chap], vec![AuthProtocol::Pap]] {
        let mut p = Pair::new(accept, "wrong", 0.0, 1);
        p.open();
        p.run(Duration::from_secs(30), |p| p.ends.iter().all(|e| e.phase() == Phase::Dead));
        let down = |i: usize| p.events[i].iter().find_map(|e| if let Event::Down(r) = e { Some(r.clone()) } else { None });
        assert_eq!(down(0).unwrap(), "authentication failed: wrong password");
        assert_eq!(down(1).unwrap(), "authentication of `kim@isp.example` failed: wrong password");
    }
}

#[test]
fn echo_finds_a_dead_peer() {
    let mut p = Pair::new(vec![AuthProtocol::Chap], "secret", 0.0, 1);
    p.open();
    assert!(p.run(Duration::from_secs(1), Pair::up));
    assert!(!p.run(Duration::from_secs(120), |p| !p.up()), "echoes keep a living link");
    p.fault = 1.0;
    assert!(p.run(Duration::from_secs(60), |p| p.ends[0].phase() == Phase::Dead));
    assert!(matches!(p.events[0].last(), Some(Event::Down(r)) if r.contains("echoes")));
}

#[test]
fn an_orderly_end_gives_the_reason_to_both() {
    let mut p = Pair::new(vec![AuthProtocol::Chap], "secret", 0.0, 1);
    p.open();
    p.run(Duration::from_secs(1), Pair::up);
    let now = p.now;
    p.ends[1].close(now, "maintenance");
    p.run(Duration::from_secs(20), |p| p.ends.iter().all(|e| e.phase() == Phase::Dead));
    assert!(matches!(p.events[0].last(), Some(Event::Down(r)) if r == "the peer ended the link: maintenance"));
    assert!(matches!(p.events[1].last(), Some(Event::Down(r)) if r == "maintenance"));
}

#[test]
fn another_server_takes_a_link_over() {
    for (auth, lns_mru) in [(AuthProtocol::Chap, 1492), (AuthProtocol::Pap, 1492), (AuthProtocol::Chap, 1460)] {
        for password in ["secret", "wrong"] {
            let mut p = Pair::new(vec![auth], password, 0.0, 1);
            p.open();
            // The first server stops where it would judge.
            let shown = loop {
                for i in 0..2 {
                    for m in p.ends[i].take_output() {
                        let now = p.now;
                        p.ends[1 - i].input(now, &m);
                    }
                }
                if let Some(Event::Authenticate { user, proof }) = p.ends[1].take_event() {
                    break p.ends[1].hand_over(&user, &proof);
                }
            };
            assert_eq!(shown.last_received, shown.first_received);
            let side = Side::Server { accept: vec![AuthProtocol::Chap, AuthProtocol::Pap], name: "lns".into() };
            p.ends[1] = Ppp::take_over(Config { mru: lns_mru, ..config(side, 33) }, &shown, p.now);
            if password == "secret" {
                assert!(p.run(Duration::from_secs(5), Pair::up), "{auth:?} {lns_mru}");
                assert_eq!((p.ends[0].mtu(), p.ends[1].mtu()), (1492.min(lns_mru), lns_mru));
                assert_eq!(p.ends[0].addresses().local, GIFT.peer);
                assert!(!p.run(Duration::from_secs(60), |p| !p.up()), "it lives on by its echoes");
            } else {
                p.run(Duration::from_secs(30), |p| p.ends.iter().all(|e| e.phase() == Phase::Dead));
                assert!(matches!(p.events[0].last(), Some(Event::Down(r)) if r == "authentication failed: wrong password"));
            }
        }
    }
}

#[test]
fn unknown_protocols_are_rejected_and_the_link_lives() {
    let mut p = Pair::new(vec![AuthProtocol::Chap], "secret", 0.0, 1);
    p.open();
    p.run(Duration::from_secs(1), Pair::up);
    let now = p.now;
    // pppd's habit: IPV6CP and CCP.
    for proto in [[0x80, 0x57], [0x80, 0xfd]] {
        let mut v = proto.to_vec();
        v.extend([1, 1, 0, 4]);
        assert!(p.ends[1].input(now, &v));
        let out = p.ends[1].take_output();
        assert_eq!(&out[0][..3], &[0xc0, 0x21, 8]);
        assert_eq!(&out[0][6..8], &proto);
    }
    assert!(p.up());
}

#[test]
fn nobody_there() {
    let mut p = Pair::new(vec![], "", 1.0, 1);
    p.open();
    assert!(p.run(Duration::from_secs(60), |p| p.ends[0].phase() == Phase::Dead));
    assert!(matches!(p.events[0].last(), Some(Event::Down(r)) if r.contains("does not answer")));
    let requests = p.seen.iter().filter(|(i, _)| *i == 0).count();
    assert_eq!(requests, 10, "Max-Configure");
}

#[test]
fn the_table_opens_only_by_both_acks() {
    use ppp::AutomatonEvent as E;
    let walk = |events: &[E]| events.iter().fold(State::Initial, |s, e| transition(s, *e).map_or(s, |(_, n)| n));
    assert_eq!(walk(&[E::Open, E::Up, E::Ack, E::RequestGood]), State::Opened);
    assert_eq!(walk(&[E::Open, E::Up, E::RequestGood, E::Ack]), State::Opened);
    assert_eq!(walk(&[E::Open, E::Up, E::RequestBad, E::Ack]), State::AckRcvd);
    assert_eq!(walk(&[E::Open, E::Up, E::RequestGood, E::Ack, E::TerminateRequest]), State::Stopping);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn comes_up_over_a_bad_line(seed in any::<u64>(), chap in any::<bool>()) {
        let accept = vec![if chap { AuthProtocol::Chap } else { AuthProtocol::Pap }];
        let mut p = Pair::new(accept, "secret", 0.2, seed);
        p.open();
        // A real peer redials when a phase gives up.
        let mut up = false;
        for _ in 0..5 {
            up = p.run(Duration::from_secs(60), |p| p.up() || p.ends.iter().any(|e| e.phase() == Phase::Dead)) && p.up();
            if up { break; }
            let fresh = Pair::new(vec![if chap { AuthProtocol::Chap } else { AuthProtocol::Pap }], "secret", 0.2, seed + 1);
            p.ends = fresh.ends;
            p.line.clear();
            p.open();
        }
        prop_assert!(up);
    }

    #[test]
    fn no_panic_on_mutated_packets(seed in any::<u64>(), noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..50)) {
        let mut p = Pair::new(vec![AuthProtocol::Chap], "secret", 0.0, seed);
        p.open();
        for n in noise {
            let now = p.now;
            let i = n.len() % 2;
            let mut v = n;
            if v.len() > 2 && v[0] & 1 == 0 { v[0] = 0xc0; v[1] = 0x21; }
            p.ends[i].input(now, &v);
            p.run(Duration::from_millis(10), |_| false);
        }
    }
}
