//! The firewall over in-memory ports: which counters move.

use firewall::Firewall;
use node::DropReason;
use node::sim::{NodeId, Sim, config, settings};
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ether::HEADER_LEN;
use wire::ipv4::{Header, protocol};
use wire::tcp::{ACK, FIN, SYN};
use wire::{Mac, craft};

const OUT: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 9, 0]), Ipv4Addr::new(10, 0, 8, 1));
const IN: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 9, 1]), Ipv4Addr::new(10, 0, 9, 2));
const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const WEB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);

const RULES: &str = r#"
outside = ["outside"]
inside = ["inside"]
protect = ["198.51.100.0/24"]
syn-rate = 10.0
syn-burst = 5.0
max-flows = 50
routes = [{ to = "198.51.100.0/24", via = "10.0.9.2" }, { to = "0.0.0.0/0", via = "10.0.8.1" }]
rules = [
    { name = "bad-host", action = "reject", from = "outside", src = "203.0.113.66/32" },
    { name = "web", action = "allow", from = "outside", protocol = "tcp", dst = "198.51.100.0/24", ports = 80 },
    { name = "trace", action = "allow", from = "outside", protocol = "udp", ports = "33434-33523" },
    { name = "out", action = "allow", from = "inside" },
]
"#;

fn firewall() -> (Sim, NodeId) {
    let mut sim = Sim::new(1);
    let c = config("fw", 7, &[("outside", Some("10.0.8.2/30")), ("inside", Some("10.0.9.1/30"))]);
    let f = sim.add(Firewall::new(&c, settings(RULES)).expect("a firewall"), 2);
    sim.inject((f, 0), &craft::arp(1, OUT, (Mac::default(), [10, 0, 8, 2].into()), Mac::BROADCAST));
    sim.inject((f, 1), &craft::arp(1, IN, (Mac::default(), [10, 0, 9, 1].into()), Mac::BROADCAST));
    sim.sent((f, 0));
    sim.sent((f, 1));
    (sim, f)
}

/// Frames that come out at each side.
fn pass(sim: &mut Sim, f: NodeId, outside: bool, p: &[u8]) -> (usize, usize) {
    let (port, src) = if outside { (0, OUT.0) } else { (1, IN.0) };
    sim.inject((f, port), &craft::ethernet(Mac::of_lab(7, port), src, p));
    (sim.sent((f, 0)).len(), sim.sent((f, 1)).len())
}

fn tcp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), flags: u8) -> Vec<u8> {
    craft::packet(protocol::TCP, src.0, dst.0, &craft::tcp(src.1, dst.1, flags))
}

#[test]
fn a_flow_is_let_in_by_its_rule_and_its_answers_by_the_table() {
    let (mut sim, f) = firewall();
    assert_eq!(pass(&mut sim, f, false, &tcp((WEB, 80), (PEER, 4000), SYN | ACK)), (0, 0), "no answer before a question");
    assert_eq!(pass(&mut sim, f, true, &tcp((PEER, 4000), (WEB, 80), SYN)), (0, 1));
    assert_eq!(pass(&mut sim, f, false, &tcp((WEB, 80), (PEER, 4000), SYN | ACK)), (1, 0));
    assert_eq!(pass(&mut sim, f, true, &tcp((PEER, 4000), (WEB, 80), ACK)), (0, 1));
    assert_eq!(pass(&mut sim, f, true, &tcp((PEER, 4000), (WEB, 22), SYN)), (0, 0));
    assert_eq!(sim.core(f).dropped(DropReason::DeniedByDefault), 1);
    assert_eq!(sim.core(f).dropped(DropReason::OutOfState), 1);
    let rows = sim.show(f, "conntrack");
    assert_eq!((rows.len(), rows[0]["state"].as_str(), rows[0]["packets"].as_u64()), (1, Some("established"), Some(3)));
    // An error about the flow passes, one about no flow does not.
    let sent = tcp((PEER, 4000), (WEB, 80), ACK);
    assert_eq!(pass(&mut sim, f, false, &craft::icmp_error(3, 1, IN.1, PEER, &sent)), (1, 0));
    let none = tcp((PEER, 4001), (WEB, 80), ACK);
    assert_eq!(pass(&mut sim, f, false, &craft::icmp_error(3, 1, IN.1, PEER, &none)), (0, 0));
    assert_eq!(sim.core(f).dropped(DropReason::UnrelatedError), 1);
    assert_eq!(pass(&mut sim, f, true, &tcp(([203, 0, 113, 66].into(), 1), (WEB, 80), SYN)), (1, 0), "a rejection is told");
    assert_eq!(sim.core(f).dropped(DropReason::DeniedByRule), 1);
}

#[test]
fn harm_has_names() {
    let (mut sim, f) = firewall();
    let udp = |src: Ipv4Addr, len: usize| craft::packet(protocol::UDP, src, WEB, &craft::udp(9, 33_434, &vec![1; len]));
    let mut bad_sum = udp(PEER, 8);
    bad_sum[27] ^= 1;
    let mut bad_len = udp(PEER, 8);
    bad_len[25] = 99;
    for (p, reason) in [
        (tcp((PEER, 1), (WEB, 80), 0), DropReason::BadTcpFlags),
        (tcp((PEER, 1), (WEB, 80), FIN), DropReason::BadTcpFlags),
        (bad_sum, DropReason::BadChecksum),
        (bad_len, DropReason::BadLength),
        (udp([198, 51, 100, 9].into(), 8), DropReason::SpoofedSource),
        (udp([10, 0, 8, 2].into(), 8), DropReason::SpoofedSource),
        (udp([127, 0, 0, 1].into(), 8), DropReason::MartianSource),
        (udp(WEB, 8), DropReason::SpoofedSource),
    ] {
        let before = sim.core(f).dropped(reason);
        assert_eq!(pass(&mut sim, f, true, &p), (0, 0), "{reason}");
        assert_eq!(sim.core(f).dropped(reason), before + 1, "{reason}");
    }
    // Fragments are put together, judged whole, and cut again.
    let big = craft::packet(protocol::UDP, PEER, WEB, &craft::udp(9, 33_434, &[1; 3000]));
    assert_eq!(pass(&mut sim, f, true, &craft::fragment(&big, 1480, 1480, true)), (0, 0));
    assert_eq!(pass(&mut sim, f, true, &craft::fragment(&big, 0, 1480, true)), (0, 0));
    assert_eq!(pass(&mut sim, f, true, &craft::fragment(&big, 2960, 48, false)), (0, 3));
}

#[test]
fn floods_and_full_tables_are_bounded() {
    let (mut sim, f) = firewall();
    let passed: usize = (0..100u16).map(|i| pass(&mut sim, f, true, &tcp((PEER, 1000 + i), (WEB, 80), SYN)).1).sum();
    assert_eq!(passed, 5, "the burst");
    assert_eq!(sim.core(f).dropped(DropReason::SynFlood), 95);
    sim.run(Duration::from_secs(1));
    assert_eq!(pass(&mut sim, f, true, &tcp((PEER, 5000), (WEB, 80), SYN)).1, 1);
    let passed: usize =
        (0..100u16).map(|i| pass(&mut sim, f, true, &craft::packet(protocol::UDP, PEER, WEB, &craft::udp(i, 33_434, b"x"))).1).sum();
    assert_eq!(passed, 44);
    assert_eq!(sim.core(f).dropped(DropReason::ConntrackFull), 56);
    sim.run(Duration::from_secs(40));
    assert!(sim.show(f, "conntrack").is_empty());
}

#[test]
fn it_is_a_hop() {
    let (mut sim, f) = firewall();
    let mut last = craft::packet(protocol::UDP, PEER, WEB, &craft::udp(9, 33_434, b"x"));
    last[8] = 1;
    wire::ipv4::fill_checksum(&mut last);
    sim.inject((f, 0), &craft::ethernet(Mac::of_lab(7, 0), OUT.0, &last));
    let told = sim.sent((f, 0));
    let h = Header::read(&told[0][HEADER_LEN..]).expect("a header");
    assert_eq!((h.src, told[0][HEADER_LEN + 20]), ([10, 0, 8, 2].into(), 11));
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let (mut sim, f) = firewall();
    let big = craft::packet(protocol::UDP, PEER, WEB, &craft::udp(9, 33_434, &[1; 600]));
    let frame = |p: &[u8]| craft::ethernet(Mac::of_lab(7, 0), OUT.0, p);
    let bases = vec![
        frame(&tcp((PEER, 4000), (WEB, 80), SYN)),
        frame(&big),
        frame(&craft::fragment(&big, 0, 104, true)),
        frame(&craft::fragment(&big, 104, 504, false)),
        frame(&craft::icmp_error(3, 3, PEER, WEB, &big)),
        craft::ethernet(Mac::of_lab(7, 1), IN.0, &tcp((WEB, 80), (PEER, 4000), SYN | ACK)),
        craft::arp(1, OUT, (Mac::default(), [10, 0, 8, 2].into()), Mac::BROADCAST),
    ];
    sim.mutate(f, 2, &bases, 100_000);
}
