//! The cache's element: what is intercepted, what is routed, and no harm.

use cache_proxy::{Cache, Settings, build};
use node::role::Setup;
use node::sim::{NodeId, Sim, config, settings};
use node::{Clock, Wake};
use rand::SeedableRng;
use std::net::Ipv4Addr;
use wire::ether::HEADER_LEN;
use wire::ipv4::{Header, protocol};
use wire::tcp::{ACK, SYN};
use wire::{Mac, craft};

const OUT: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 9, 0]), Ipv4Addr::new(10, 0, 9, 1));
const WEB: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 9, 1]), Ipv4Addr::new(198, 51, 100, 80));
const PC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

fn cache() -> (Sim, NodeId) {
    let mut sim = Sim::new(1);
    let (clock, wake) = (Clock::default(), Wake::default());
    let s: Settings = settings("intercept = [\"198.51.100.0/24\"]\nroutes = [{ to = \"0.0.0.0/0\", via = \"10.0.9.1\" }]");
    let c = config("cache", 8, &[("outside", Some("10.0.9.2/30")), ("site", Some("198.51.100.1/24"))]);
    let rng = rand::rngs::StdRng::seed_from_u64(1);
    let role = build(Setup { config: c, settings: s, clock: clock.clone(), wake: wake.clone(), rng }).expect("a cache");
    let element: Cache = role.element;
    // The proxy's task listens as soon as it is polled once.
    let mut tasks = role.tasks;
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for t in &mut tasks {
        assert!(t.as_mut().poll(&mut cx).is_pending());
    }
    // Its listener lives as long as the task.
    std::mem::forget(tasks);
    let id = sim.add_host(element, 2, Some(clock), wake);
    for (port, who, own) in [(0, OUT, [10, 0, 9, 2]), (1, WEB, [198, 51, 100, 1])] {
        sim.inject((id, port), &craft::arp(1, who, (Mac::default(), own.into()), Mac::BROADCAST));
        sim.sent((id, port));
    }
    (sim, id)
}

fn frame(p: &[u8]) -> Vec<u8> {
    craft::ethernet(Mac::of_lab(8, 0), OUT.0, p)
}

#[test]
fn port_80_is_answered_under_the_servers_address_and_the_rest_is_routed() {
    let (mut sim, c) = cache();
    sim.inject((c, 0), &frame(&craft::packet(protocol::TCP, PC, WEB.1, &craft::tcp(4000, 80, SYN))));
    let answer = sim.sent((c, 0));
    let p = &answer[0][HEADER_LEN..];
    let h = Header::read(p).expect("a header");
    assert_eq!((h.src, h.dst, p[33]), (WEB.1, PC, SYN | ACK));
    assert!(sim.sent((c, 1)).is_empty(), "the server hears nothing");
    sim.inject((c, 0), &frame(&craft::packet(protocol::TCP, PC, WEB.1, &craft::tcp(4000, 22, SYN))));
    sim.inject((c, 0), &frame(&craft::packet(protocol::UDP, PC, WEB.1, &craft::udp(4000, 33_434, b"x"))));
    assert_eq!(sim.sent((c, 1)).len(), 2);
    assert!(sim.sent((c, 0)).is_empty());
}

#[test]
fn errors_about_what_it_answers_in_the_servers_name_are_the_caches() {
    let (mut sim, c) = cache();
    sim.inject((c, 0), &frame(&craft::packet(protocol::TCP, PC, WEB.1, &craft::tcp(4000, 80, SYN))));
    let answer = sim.sent((c, 0)).remove(0);
    let mut error = craft::icmp_error(3, 4, [10, 0, 8, 1].into(), WEB.1, &answer[HEADER_LEN..]);
    error[26..28].copy_from_slice(&1400u16.to_be_bytes());
    error[22..24].fill(0);
    let sum = !wire::checksum::sum(&error[20..]);
    error[22..24].copy_from_slice(&sum.to_be_bytes());
    sim.inject((c, 0), &frame(&error));
    assert!(sim.sent((c, 1)).is_empty(), "the server did not send what it is about");
    assert_eq!(sim.core(c).event("path-mtu-learned"), 1);
    // An error about anything else is the server's.
    let other = craft::packet(protocol::TCP, WEB.1, PC, &craft::tcp(22, 4000, ACK));
    sim.inject((c, 0), &frame(&craft::icmp_error(3, 4, [10, 0, 8, 1].into(), WEB.1, &other)));
    assert_eq!((sim.sent((c, 1)).len(), sim.core(c).event("path-mtu-learned")), (1, 1));
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let (mut sim, c) = cache();
    let big = craft::packet(protocol::TCP, PC, WEB.1, &[&craft::tcp(4000, 80, ACK)[..], &[b'G'; 300]].concat());
    let bases = vec![
        frame(&craft::packet(protocol::TCP, PC, WEB.1, &craft::tcp(4000, 80, SYN))),
        frame(&craft::packet(protocol::TCP, PC, WEB.1, &craft::tcp(4000, 80, ACK))),
        frame(&big),
        frame(&craft::fragment(&big, 0, 104, true)),
        frame(&craft::fragment(&big, 104, 216, false)),
        frame(&craft::packet(protocol::UDP, PC, WEB.1, &craft::udp(1, 33_434, b"x"))),
        craft::ethernet(Mac::of_lab(8, 1), WEB.0, &craft::packet(protocol::TCP, WEB.1, PC, &craft::tcp(80, 4000, SYN | ACK))),
        craft::arp(1, OUT, (Mac::default(), [10, 0, 9, 2].into()), Mac::BROADCAST),
    ];
    sim.mutate(c, 2, &bases, 100_000);
}
