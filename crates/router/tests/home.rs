//! The home router and the BAS back to back: PPPoE, NAT, DHCP, DNS, MSS, over
//! lines that lose and reorder; and a core router by itself.

use node::sim::{Fault, NodeId, Sim, config, settings};
use node::{DropReason, Status};
use proptest::prelude::*;
use router::Router;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ether::{HEADER_LEN, Header as Ethernet, ethertype};
use wire::ipv4::{Header, protocol};
use wire::tcp::SYN;
use wire::{Mac, craft};

const PC: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 9, 1]), Ipv4Addr::new(192, 168, 0, 10));
const WEB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);

fn home() -> Router {
    let c = config("r", 4, &[("lan", Some("192.168.0.1/24")), ("wan", None)]);
    let s = settings(
        "nat = \"wan\"\npppoe = { port = \"wan\", user = \"kim\", password = \"pw\" }\ndhcp = { port = \"lan\", first = \"192.168.0.100\", last = \"192.168.0.101\" }\ndns = {}\n",
    );
    Router::new(&c, s).expect("a router")
}

/// An access concentrator of the test's own: what a BAS says on the wire.
mod ac {
    use super::*;
    use ppp::{Addresses, AuthProtocol, Config, Event, Ppp, Side};
    use wire::pppoe::{self, Discovery, Packet, Tags, code, tag};

    pub(crate) struct Ac {
        pub(crate) ppp: Option<Ppp>,
        pub(crate) peer: Mac,
        pub(crate) password: &'static str,
    }

    const MAC: Mac = Mac([2, 0, 0, 0, 8, 1]);

    fn put(cx: &mut node::Cx<'_>, dst: Mac, kind: u16, body: &[u8]) {
        let Some(mut f) = cx.make(node::Parent::Timer) else { return };
        f.extend(body);
        Ethernet { dst, src: MAC, ethertype: kind }.write(f.push(HEADER_LEN));
        cx.send(node::PortId(0), f, || node::Cause::Answered);
    }

    impl Ac {
        pub(crate) fn session(&self, cx: &mut node::Cx<'_>, payload: &[u8]) {
            let mut b = vec![0; pppoe::HEADER_LEN];
            pppoe::write_header(&mut b, code::SESSION, 7, payload.len());
            b.extend_from_slice(payload);
            put(cx, self.peer, ethertype::PPPOE_SESSION, &b);
        }

        fn settle(&mut self, cx: &mut node::Cx<'_>) {
            let Some(mut p) = self.ppp.take() else { return };
            loop {
                for out in p.take_output() {
                    self.session(cx, &out);
                }
                match p.take_event() {
                    Some(Event::Authenticate { user, proof }) => {
                        let gift = Addresses {
                            local: Some([203, 0, 113, 1].into()),
                            peer: Some([203, 0, 113, 2].into()),
                            dns: [Some([192, 0, 2, 53].into()), None],
                        };
                        let r = if proof.shows(self.password) { Ok(gift) } else { Err("wrong password") };
                        p.authenticated(cx.now, &user, r);
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            self.ppp = Some(p);
        }
    }

    impl node::Element for Ac {
        fn input(&mut self, cx: &mut node::Cx<'_>, _: node::PortId, burst: &mut node::Burst) {
            while let Some(f) = burst.take() {
                let h = Ethernet::read(f.data()).expect("a header");
                let p = Packet::read(&f.data()[HEADER_LEN..]).expect("PPPoE");
                self.peer = h.src;
                let uniq = Tags::find(p.payload, tag::HOST_UNIQ);
                match (h.ethertype, p.code) {
                    (ethertype::PPPOE_DISCOVERY, code::PADI) => {
                        let o =
                            Discovery::new(code::PADO, 0).tag(tag::AC_NAME, b"test").tag(tag::AC_COOKIE, b"c").maybe(tag::HOST_UNIQ, uniq);
                        put(cx, h.src, ethertype::PPPOE_DISCOVERY, &o.finish());
                    }
                    (ethertype::PPPOE_DISCOVERY, code::PADR) => {
                        let s = Discovery::new(code::PADS, 7).maybe(tag::HOST_UNIQ, uniq);
                        put(cx, h.src, ethertype::PPPOE_DISCOVERY, &s.finish());
                        let mut ppp = Ppp::new(Config {
                            side: Side::Server { accept: vec![AuthProtocol::Chap], name: "test".into() },
                            mru: 1492,
                            magic: 5,
                            challenge: [3; 16],
                            echo_interval: Duration::ZERO,
                            echo_failures: 3,
                        });
                        ppp.open(cx.now);
                        self.ppp = Some(ppp);
                    }
                    (ethertype::PPPOE_DISCOVERY, code::PADT) => self.ppp = None,
                    (ethertype::PPPOE_SESSION, _) => {
                        if let Some(ppp) = &mut self.ppp {
                            ppp.input(cx.now, p.payload);
                        }
                    }
                    _ => {}
                }
                self.settle(cx);
                cx.consume(f);
            }
        }
        fn poll(&mut self, cx: &mut node::Cx<'_>, _: node::Event) {
            if let Some(p) = &mut self.ppp {
                p.poll(cx.now);
            }
            self.settle(cx);
        }
        fn deadline(&self) -> Option<node::Time> {
            self.ppp.as_ref().and_then(Ppp::deadline)
        }
    }
}

fn dialled(fault: Fault, password: &'static str, seed: u64) -> (Sim, NodeId, NodeId) {
    let mut sim = Sim::new(seed);
    let r = sim.add(home(), 2);
    let a = sim.add(ac::Ac { ppp: None, peer: Mac::default(), password }, 1);
    sim.link((r, 1), (a, 0), fault);
    (sim, r, a)
}

fn up(sim: &mut Sim, r: NodeId, limit: u64) -> bool {
    sim.run_until(Duration::from_secs(limit), |s| node::Element::status(s.get::<Router>(r)) == Status::Ready)
}

fn facts(sim: &Sim, r: NodeId) -> Vec<(String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or("").to_owned();
    sim.show(r, "pppoe").iter().map(|f| (text(&f["what"]), text(&f["value"]))).collect()
}

/// The PC makes itself known, so that answers need no ARP.
fn greet(sim: &mut Sim, r: NodeId) {
    sim.inject((r, 0), &craft::arp(1, PC, (Mac::default(), [192, 168, 0, 1].into()), Mac::BROADCAST));
    let reply = sim.sent((r, 0));
    assert_eq!(reply.len(), 1, "an ARP answer");
}

fn from_pc(p: &[u8]) -> Vec<u8> {
    craft::ethernet(Mac::of_lab(4, 0), PC.0, p)
}

#[test]
fn dials_translates_and_clamps() {
    let (mut sim, r, a) = dialled(Fault::default(), "pw", 1);
    assert!(up(&mut sim, r, 5));
    greet(&mut sim, r);
    let mut syn = craft::tcp(4000, 80, SYN);
    syn[12] = 6 << 4;
    syn.extend([2, 4, 5, 180]); // MSS 1460
    sim.record();
    sim.inject((r, 0), &from_pc(&craft::packet(protocol::TCP, PC.1, WEB, &syn)));
    sim.run(Duration::from_millis(1));
    let seen = sim.recorded();
    let f = &seen.iter().find(|((n, _), f)| *n == a && f[12..14] == [0x88, 0x64]).expect("a session frame").1;
    let p = &f[HEADER_LEN + 8..];
    let h = Header::read(p).expect("a header");
    assert_eq!((h.src, h.ttl), ([203, 0, 113, 2].into(), 59));
    assert!(wire::ipv4::l4_checksum_ok(p, &h));
    let mss = wire::tcp::mss_at(&p[20..]).expect("an MSS");
    assert_eq!(u16::from_be_bytes([p[20 + mss], p[21 + mss]]), 1452);
    assert_eq!(sim.core(r).event("mss-clamped"), 1);

    // Too large for the session, and not to be cut: an error with the MTU.
    let mut big = craft::packet(protocol::UDP, PC.1, WEB, &craft::udp(1, 2, &[0; 1472]));
    big[6] = 0x40;
    wire::ipv4::fill_checksum(&mut big);
    sim.inject((r, 0), &from_pc(&big));
    let back = sim.sent((r, 0));
    let icmp = &back[0][HEADER_LEN + 20..];
    assert_eq!((icmp[0], icmp[1], u16::from_be_bytes([icmp[6], icmp[7]])), (3, 4, 1492));
    // The same without DF is cut.
    sim.recorded();
    sim.inject((r, 0), &from_pc(&craft::packet(protocol::UDP, PC.1, WEB, &craft::udp(1, 2, &[0; 1472]))));
    sim.run(Duration::from_millis(1));
    assert_eq!(sim.recorded().iter().filter(|((n, _), _)| *n == a).count(), 2);
    // TTL out, and a source that is not of the LAN.
    let mut last = craft::packet(protocol::UDP, PC.1, WEB, &craft::udp(1, 2, b"x"));
    last[8] = 1;
    wire::ipv4::fill_checksum(&mut last);
    sim.inject((r, 0), &from_pc(&last));
    assert_eq!(sim.sent((r, 0))[0][HEADER_LEN + 20], 11);
    sim.inject((r, 0), &from_pc(&craft::packet(protocol::UDP, [10, 1, 1, 1].into(), WEB, &craft::udp(1, 2, b"x"))));
    assert_eq!(sim.core(r).dropped(DropReason::SpoofedSource), 1);
}

#[test]
fn a_wrong_password_is_said_and_tried_more_and_more_rarely() {
    let (mut sim, r, _) = dialled(Fault::default(), "other", 1);
    assert!(!up(&mut sim, r, 20));
    let status = node::Element::status(sim.get::<Router>(r));
    assert_eq!(status, Status::Failed("PPPoE: authentication failed: wrong password".into()));
    let tries = |sim: &Sim| facts(sim, r).iter().find(|(k, _)| k == "sessions-so-far").map(|(_, v)| v.parse::<u32>().expect("a number"));
    let before = tries(&sim).expect("tries");
    sim.run(Duration::from_secs(60));
    assert!(tries(&sim).expect("tries") - before <= 4);
}

#[test]
fn the_line_may_break_and_come_back() {
    let (mut sim, r, a) = dialled(Fault::default(), "pw", 1);
    assert!(up(&mut sim, r, 5));
    sim.unlink((r, 1));
    assert!(sim.run_until(Duration::from_secs(30), |s| node::Element::status(s.get::<Router>(r)) != Status::Ready), "echoes tell");
    sim.link((r, 1), (a, 0), Fault::default());
    assert!(up(&mut sim, r, 10));
}

#[test]
fn dns_goes_on_and_comes_back_under_the_askers_name() {
    let (mut sim, r, a) = dialled(Fault::default(), "pw", 1);
    assert!(up(&mut sim, r, 5));
    greet(&mut sim, r);
    let mut question = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
    sim.record();
    sim.inject((r, 0), &from_pc(&craft::packet(protocol::UDP, PC.1, [192, 168, 0, 1].into(), &craft::udp(5353, 53, &question))));
    sim.run(Duration::from_millis(1));
    let seen = sim.recorded();
    let f = &seen.iter().find(|((n, _), f)| *n == a && f[12..14] == [0x88, 0x64]).expect("a question").1;
    let p = &f[HEADER_LEN + 8..];
    let h = Header::read(p).expect("a header");
    assert_eq!((h.src, h.dst), ([203, 0, 113, 2].into(), [192, 0, 2, 53].into()));
    question[..2].copy_from_slice(&p[28..30]);
    assert_eq!(&p[28..], &question[..]);
    assert_ne!(&p[28..30], &[0xab, 0xcd]);
    question[2] |= 0x80;
    let own_port = u16::from_be_bytes([p[20], p[21]]);
    let mut answer = vec![0, 0x21];
    // From another server the same answer is not believed.
    for (server, want) in [([192, 0, 2, 54], 0), ([192, 0, 2, 53], 1)] {
        let packet = craft::packet(protocol::UDP, server.into(), [203, 0, 113, 2].into(), &craft::udp(53, own_port, &question));
        answer.truncate(2);
        answer.extend_from_slice(&packet);
        sim.with::<ac::Ac, _>(a, |ac, cx| ac.session(cx, &answer));
        sim.run(Duration::from_millis(1));
        let back = sim.sent((r, 0));
        assert_eq!(back.len(), want);
        if want == 1 {
            assert_eq!(&back[0][HEADER_LEN + 28..HEADER_LEN + 30], &[0xab, 0xcd]);
            assert_eq!(u16::from_be_bytes([back[0][HEADER_LEN + 22], back[0][HEADER_LEN + 23]]), 5353);
        }
    }
}

#[test]
fn neighbours_are_asked_three_times_and_then_given_up() {
    let mut sim = Sim::new(1);
    let c = config("r", 4, &[("a", Some("10.0.0.1/30")), ("b", Some("10.0.0.5/30"))]);
    let r = sim.add(Router::new(&c, settings("routes = [{ to = \"198.51.100.0/24\", via = \"10.0.0.6\" }]")).expect("a router"), 2);
    let src: (Mac, Ipv4Addr) = (PC.0, [10, 0, 0, 2].into());
    sim.inject((r, 0), &craft::arp(1, src, (Mac::default(), [10, 0, 0, 1].into()), Mac::BROADCAST));
    sim.sent((r, 0));
    for i in 0..20u16 {
        sim.inject((r, 0), &craft::ethernet(Mac::of_lab(4, 0), PC.0, &craft::packet(protocol::UDP, src.1, WEB, &craft::udp(i, 9, b"x"))));
    }
    sim.run(Duration::from_millis(3500));
    let asked = sim.sent((r, 1)).iter().filter(|f| f[12..14] == [8, 6]).count();
    assert_eq!(asked, 3);
    assert_eq!(sim.core(r).dropped(DropReason::NeighbourQueueFull), 4, "the queue is bounded");
    assert_eq!(sim.core(r).dropped(DropReason::NeighbourUnreachable), 16);
    let told = sim.sent((r, 0)).iter().filter(|f| f[HEADER_LEN + 20..HEADER_LEN + 22] == [3, 1]).count();
    assert_eq!(told, 16, "host unreachable");
    // The negative result is believed for a while, then it is asked again.
    let one = craft::ethernet(Mac::of_lab(4, 0), PC.0, &craft::packet(protocol::UDP, src.1, WEB, &craft::udp(99, 9, b"x")));
    sim.inject((r, 0), &one);
    assert!(sim.sent((r, 1)).is_empty());
    sim.run(Duration::from_secs(4));
    sim.inject((r, 0), &one);
    assert_eq!(sim.sent((r, 1)).len(), 1);
    sim.inject((r, 1), &craft::arp(2, (PC.0, [10, 0, 0, 6].into()), (Mac::of_lab(4, 1), [10, 0, 0, 5].into()), Mac::of_lab(4, 1)));
    assert_eq!(sim.sent((r, 1)).len(), 1, "what waited goes out");
    sim.sent((r, 0));
    // No route, and errors that are never answered by errors.
    sim.inject(
        (r, 0),
        &craft::ethernet(Mac::of_lab(4, 0), PC.0, &craft::packet(protocol::UDP, src.1, [8, 8, 8, 8].into(), &craft::udp(1, 2, b"x"))),
    );
    let told = sim.sent((r, 0));
    assert_eq!(told[0][HEADER_LEN + 20..HEADER_LEN + 22], [3, 0]);
    let about = craft::packet(protocol::UDP, [8, 8, 8, 8].into(), src.1, &craft::udp(1, 2, b"x"));
    sim.inject((r, 0), &craft::ethernet(Mac::of_lab(4, 0), PC.0, &craft::icmp_error(3, 3, src.1, [8, 8, 8, 8].into(), &about)));
    assert!(sim.sent((r, 0)).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_session_comes_up_over_a_bad_line(seed in any::<u64>()) {
        let fault = Fault { delay: Duration::from_millis(5), jitter: Duration::from_millis(10), loss: 0.2, duplicate: 0.1 };
        let (mut sim, r, _) = dialled(fault, "pw", seed);
        prop_assert!(up(&mut sim, r, 120));
    }
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let (mut sim, r, a) = dialled(Fault::default(), "pw", 3);
    assert!(up(&mut sim, r, 5));
    greet(&mut sim, r);
    sim.record();
    sim.run(Duration::from_secs(5));
    sim.with::<ac::Ac, _>(a, |ac, cx| {
        let mut p = vec![0, 0x21];
        p.extend(craft::packet(protocol::UDP, WEB, [203, 0, 113, 2].into(), &craft::udp(80, 4000, b"x")));
        ac.session(cx, &p);
    });
    sim.run(Duration::from_millis(1));
    let mut bases: Vec<Vec<u8>> = sim.recorded().into_iter().filter(|((n, _), _)| *n == r).map(|(_, f)| f).collect();
    bases.push(from_pc(&craft::packet(protocol::TCP, PC.1, WEB, &craft::tcp(4000, 80, SYN))));
    bases.push(from_pc(&craft::packet(protocol::UDP, PC.1, WEB, &craft::udp(4000, 80, &[1; 40]))));
    bases.push(from_pc(&craft::packet(protocol::UDP, PC.1, [192, 168, 0, 1].into(), &craft::udp(4000, 53, &[1; 40]))));
    bases.push(from_pc(&craft::packet(protocol::UDP, [0, 0, 0, 0].into(), Ipv4Addr::BROADCAST, &craft::udp(68, 67, &[1; 300]))));
    bases.push(craft::arp(1, PC, (Mac::default(), [192, 168, 0, 1].into()), Mac::BROADCAST));
    sim.mutate(r, 2, &bases, 100_000);
}
