//! The client's node: lease by DHCP over a bad line, and no harm.

use client::{Client, build};
use node::role::Setup;
use node::sim::{Fault, NodeId, Sim, config, settings};
use node::{Clock, Element, Status, Wake};
use rand::SeedableRng;
use router::Router;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ipv4::protocol;
use wire::{Mac, craft};

fn client(sim: &mut Sim, n: u16) -> NodeId {
    let (clock, wake) = (Clock::default(), Wake::default());
    let rng = rand::rngs::StdRng::seed_from_u64(u64::from(n));
    let c = config(&format!("client{n}"), n, &[("eth0", None)]);
    let role = build(Setup { config: c, settings: settings(""), clock: clock.clone(), wake: wake.clone(), rng }).expect("a client");
    sim.add_host(role.element, 1, Some(clock), wake)
}

fn router(sim: &mut Sim, pool: &str, lease: &str) -> NodeId {
    let s = settings(&format!("dhcp = {{ port = \"lan\", {pool}, lease = \"{lease}\", domain = \"isp.example\" }}"));
    let c = config("r", 99, &[("lan", Some("192.168.0.1/24"))]);
    sim.add(Router::new(&c, s).expect("a router"), 1)
}

fn bound(sim: &mut Sim, c: NodeId) -> bool {
    Element::status(sim.get::<Client>(c)) == Status::Ready
}

fn fact(sim: &Sim, c: NodeId, what: &str) -> String {
    let rows = sim.show(c, "lease");
    rows.iter().find(|r| r["what"] == what).map(|r| r["value"].as_str().map_or(r["value"].to_string(), str::to_owned)).expect("a fact")
}

#[test]
fn a_lease_is_taken_kept_and_lost() {
    let mut sim = Sim::new(1);
    let c = client(&mut sim, 1);
    let r = router(&mut sim, "first = \"192.168.0.100\", last = \"192.168.0.100\"", "60s");
    sim.link((c, 0), (r, 0), Fault { delay: Duration::from_millis(3), loss: 0.2, ..Fault::default() });
    assert!(sim.run_until(Duration::from_secs(120), |s| bound(s, c)));
    assert_eq!(
        (fact(&sim, c, "address"), fact(&sim, c, "dns"), fact(&sim, c, "domain")),
        ("192.168.0.100".into(), "192.168.0.1".into(), "isp.example".into())
    );
    // Renewed again and again, over a line that loses a fifth.
    sim.run(Duration::from_secs(600));
    assert!(bound(&mut sim, c));
    assert!(sim.core(c).event("dhcp-bound") >= 10);
    // The pool is full for another client.
    let d = client(&mut sim, 2);
    sim.unlink((c, 0));
    sim.link((d, 0), (r, 0), Fault::default());
    sim.run(Duration::from_secs(20));
    assert!(!bound(&mut sim, d) && sim.core(r).event("dhcp-pool-empty") > 0);
    // The first one's lease ends without its server, and its address is free.
    assert!(sim.run_until(Duration::from_secs(120), |s| !bound(s, c)));
    assert!(sim.run_until(Duration::from_secs(60), |s| bound(s, d)));
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let mut sim = Sim::new(5);
    let c = client(&mut sim, 1);
    let r = router(&mut sim, "first = \"192.168.0.100\", last = \"192.168.0.120\"", "1h");
    sim.record();
    sim.link((c, 0), (r, 0), Fault::default());
    assert!(sim.run_until(Duration::from_secs(30), |s| bound(s, c)));
    let mut bases: Vec<Vec<u8>> = sim.recorded().into_iter().filter(|((n, _), _)| *n == c).map(|(_, f)| f).collect();
    let (own, gate): (Ipv4Addr, Ipv4Addr) = ([192, 168, 0, 100].into(), [192, 168, 0, 1].into());
    let mac = Mac::of_lab(99, 0);
    bases.push(craft::arp(1, (mac, gate), (Mac::default(), own), Mac::BROADCAST));
    bases.push(craft::ethernet(Mac::of_lab(1, 0), mac, &craft::packet(protocol::ICMP, gate, own, &craft::echo(1, b"x"))));
    bases.push(craft::ethernet(Mac::of_lab(1, 0), mac, &craft::packet(protocol::UDP, gate, own, &craft::udp(53, 4000, &[9; 30]))));
    sim.unlink((c, 0));
    sim.mutate(c, 1, &bases, 100_000);
}
