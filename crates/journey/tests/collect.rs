//! The collector on what real elements trace, and on what a kernel loses.

mod common;

use common::{node, told, topology, two};
use journey::collect::{Told, What};
use journey::merge::Release;
use journey::model::Direction;
use journey::words::Lang;
use journey::{Collector, Merge, Story, text};
use node::sim::{self, Fault, Sim};
use node::trace::record::records;
use node::trace::{Act, Cause, Origin};
use node::{DropReason, FrameSeq, Time};
use std::num::NonZeroU64;
use std::time::Duration;
use wire::ipv4::protocol;
use wire::{Mac, craft};

fn seq(n: u64) -> FrameSeq {
    FrameSeq(NonZeroU64::new(n).expect("not zero"))
}

/// pc (a kernel host) – switch – router – server (a kernel host).
#[test]
fn one_number_through_a_switch_and_a_router_and_what_changed_there() {
    let mut sim = Sim::new(1);
    let s = sim.add(switch::Switch::new(sim::settings(""), vec!["pc".into(), "r".into()]), 2);
    let config = sim::config("r", 4, &[("lan", Some("10.0.0.1/24")), ("far", Some("10.0.1.1/24"))]);
    let r = sim.add(router::Router::new(&config, sim::settings("")).expect("a router"), 2);
    sim.link((s, 1), (r, 0), Fault { delay: Duration::from_millis(1), ..Fault::default() });
    for n in [s, r] {
        sim.core(n).trace.start();
    }
    let (pc, server, own) = (Mac::of_lab(1, 0), Mac::of_lab(9, 0), Mac::of_lab(4, 0));
    let (a, b) = ([10, 0, 0, 2].into(), [10, 0, 1, 2].into());
    let mut all: Vec<(u16, Told)> = Vec::new();
    let mut pass = |sim: &mut Sim, from_pc: bool, f: Vec<u8>| {
        let (host, at) = if from_pc { (0, (s, 0)) } else { (3, (r, 1)) };
        all.push((host, Told { at: sim.now, what: What::Host(0, Direction::Out, f.clone()) }));
        sim.inject(at, &f);
        sim.run(Duration::from_millis(10));
        for (host, at) in [(0, (s, 0)), (3, (r, 1))] {
            for f in sim.sent(at) {
                all.push((host, Told { at: sim.now, what: What::Host(0, Direction::In, f) }));
            }
        }
        for (n, id) in [(1, s), (2, r)] {
            let (bytes, lost) = sim.core(id).trace.take();
            assert_eq!(lost, 0);
            all.extend(records(&bytes).map(|r| (n, Told::of(&r, Time::ZERO, false))));
        }
    };
    // Neighbours first.
    pass(&mut sim, true, craft::ethernet(own, pc, &craft::packet(protocol::UDP, a, b, &craft::udp(1, 2, b"lost"))));
    pass(&mut sim, false, craft::arp(2, (server, b), (Mac::of_lab(4, 1), [10, 0, 1, 1].into()), Mac::of_lab(4, 1)));
    let mut t = craft::tcp(4000, 80, wire::tcp::ACK | wire::tcp::PSH);
    t.extend_from_slice(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n");
    pass(&mut sim, true, craft::ethernet(own, pc, &craft::packet(protocol::TCP, a, b, &t)));

    let nodes = vec![
        node("pc", None, &["eth0"]),
        node("s", Some("switch"), &["pc", "r"]),
        node("r", Some("router"), &["lan", "far"]),
        node("server", None, &["eth0"]),
    ];
    let mut c = Collector::new(topology(nodes, &[["pc.eth0", "s.pc"], ["s.r", "r.lan"], ["r.far", "server.eth0"]]));
    let mut m = Merge::new(4);
    (0..4).for_each(|n| c.hear(n, Time::ZERO));
    for (n, t) in all {
        m.push(n, std::iter::once(t), Time::ZERO);
    }
    m.release(&mut c, Release::All);
    assert_eq!(c.lost, journey::model::Lost::default());
    let p = c
        .packets
        .values()
        .find(|p| p.node == 0 && p.sights.iter().any(|i| c.sights[*i].bytes.ends_with(b"host: b\r\n\r\n")))
        .expect("the request");
    let ports: Vec<String> = c.sights_of(p).map(|s| c.topology.full(s.port)).collect();
    assert_eq!(ports, ["pc.eth0", "s.pc", "s.r", "r.lan", "r.far", "server.eth0"]);
    let story = Story::of_packet(&c, p.id, c.sights_of(p).next().expect("a sight").at, Lang::En).expect("a story");
    insta::assert_snapshot!(text::write(&story, text::Style::default()));
    let story = Story::of_packet(&c, p.id, c.sights_of(p).next().expect("a sight").at, Lang::Ko).expect("a story");
    insta::assert_snapshot!(text::write(&story, text::Style { colour: false, brief: true }));
    // What the router asked by ARP is due to the packet for which it asked.
    let asked = c.packets.values().find(|p| p.node == 2 && p.because.is_some()).expect("a question");
    assert_eq!(c.packets[&asked.because.expect("a reason")].node, 0);
}

#[test]
fn numbers_are_kept_renewed_and_tied_as_they_should_be() {
    let mut c = two();
    let (act, frame) = (Act(5), |b: u8| vec![b; 60]);
    c.take(0, told(1, What::Made(1, Origin::Act(act))));
    c.take(0, told(1, What::Said(Some(seq(1).0.get()), None, Cause::Fragmented)));
    for (part, n) in [(2, 10), (3, 11)] {
        c.take(0, told(2, What::Made(part, Origin::Part(seq(1)))));
        c.take(0, told(2, What::Out(part, 0, Cause::Fragmented, frame(n))));
    }
    c.take(0, told(3, What::Made(4, Origin::Again(seq(2)))));
    c.take(0, told(3, What::Out(4, 0, Cause::Socket, frame(12))));
    for (n, b) in [(1, 10), (2, 11), (3, 12)] {
        c.take(1, told(4, What::In(n, 0, frame(b))));
    }
    c.take(1, told(5, What::Made(4, Origin::Many(vec![seq(1), seq(2)]))));
    c.take(1, told(5, What::Dropped(Some(4), DropReason::NoSocket)));
    c.take(1, told(6, What::Made(5, Origin::Of(seq(4)))));
    c.take(1, told(6, What::Out(5, 0, Cause::Answered, frame(13))));
    let journey = c.journey_of(0, act);
    let all: Vec<_> = c.of_journey(journey).filter(|p| !p.sights.is_empty()).collect();
    assert_eq!(all.len(), 3, "the packet, its copy, and the answer");
    let [first, again, answer] = all[..] else { panic!("three") };
    assert_eq!((first.sights.len(), first.ends.len()), (4, 1), "two fragments, out and in, are one packet");
    assert_eq!((again.again, answer.because), (Some(first.id), Some(first.id)));
    assert_eq!(c.sights_of(first).next().expect("a sight").causes, [Cause::Fragmented]);
}

#[test]
fn a_kernel_hosts_packets_are_tied_by_their_flow() {
    let nodes = vec![node("pc", None, &["eth0"]), node("b", Some("x"), &["q"])];
    let mut c = Collector::new(topology(nodes, &[["pc.eth0", "b.q"]]));
    c.hear(0, Time::ZERO);
    c.hear(1, Time::ZERO);
    let segment = |out: bool, seq: u32, flags: u8, data: &[u8]| {
        let (x, y) = (([192, 0, 2, 1].into(), 4000), ([192, 0, 2, 2].into(), 80));
        let (s, d) = if out { (x, y) } else { (y, x) };
        let mut t = craft::tcp(s.1, d.1, flags);
        t[4..8].copy_from_slice(&seq.to_be_bytes());
        t.extend_from_slice(data);
        craft::ethernet(Mac::BROADCAST, Mac::of_lab(1, 0), &craft::packet(protocol::TCP, s.0, d.0, &t))
    };
    use wire::tcp::{ACK, SYN};
    let syn = segment(true, 7, SYN, b"");
    c.take(0, told(1, What::Host(0, Direction::Out, syn.clone())));
    c.take(1, told(2, What::In(1, 0, syn.clone())));
    c.take(0, told(1000, What::Host(0, Direction::Out, syn.clone())));
    c.take(1, told(1001, What::In(2, 0, syn)));
    let answer = segment(false, 70, SYN | ACK, b"");
    c.take(1, told(1002, What::Made(3, Origin::Of(seq(1)))));
    c.take(1, told(1003, What::Out(3, 0, Cause::Socket, answer.clone())));
    c.take(0, told(1004, What::Host(0, Direction::In, answer)));
    c.take(0, told(1005, What::Host(0, Direction::Out, segment(true, 8, ACK, b"GET"))));
    let p: Vec<_> = c.packets.values().collect();
    assert_eq!((p[1].again, p[2].because, p[3].because), (Some(p[0].id), Some(p[0].id), Some(p[2].id)));
    assert!(p.iter().all(|x| x.journey == p[0].journey && x.journey.is_some()));
    assert_eq!(c.lost, journey::model::Lost::default());
}

#[test]
fn records_of_a_clock_that_stands_come_in_the_order_of_causes() {
    // Everything happens at one time, and the later node is read first.
    let mut c = two();
    let mut m = Merge::new(2);
    let until = Time::from_nanos(1_000_000);
    m.set_live(0, true);
    m.set_live(1, true);
    m.push(1, [told(1, What::In(1, 0, vec![1; 60]))].into_iter(), until);
    m.release(&mut c, Release::Ordered);
    assert!(c.sights.is_empty(), "the other node may still tell of something before");
    m.push(0, [told(1, What::Made(1, Origin::Timer)), told(1, What::Out(1, 0, Cause::Socket, vec![1; 60]))].into_iter(), until);
    m.release(&mut c, Release::Ordered);
    assert_eq!((c.sights.len(), c.lost.unmatched), (2, 0));
    assert_eq!(c.sights[0].direction, Direction::Out);
}

#[test]
fn two_clocks_that_differ_a_little_do_not_part_a_frame_from_where_it_left() {
    let (mut c, mut m) = (two(), Merge::new(2));
    m.set_live(0, true);
    m.set_live(1, true);
    let ms = |n: u64| Time::from_nanos(n * 1_000_000);
    // It came before it left, and so did one of which nothing else is known.
    m.push(1, [told(500, What::In(1, 0, vec![1; 60])), told(501, What::In(2, 0, vec![7; 60]))].into_iter(), ms(520));
    m.push(0, std::iter::empty(), ms(520));
    assert!(m.release(&mut c, Release::Ordered) && c.sights.is_empty(), "it waits for its cause");
    m.push(0, [told(530, What::Made(1, Origin::Timer)), told(530, What::Out(1, 0, Cause::Socket, vec![1; 60]))].into_iter(), ms(540));
    m.push(1, std::iter::empty(), ms(540));
    assert!(m.release(&mut c, Release::Ordered), "the second still waits");
    assert_eq!((c.sights.len(), c.lost), (2, journey::model::Lost::default()));
    assert_eq!(c.packets.values().filter(|p| p.sights.len() == 2).count(), 1);
    // Nobody tells of it in time.
    m.push(0, std::iter::empty(), ms(700));
    m.push(1, std::iter::empty(), ms(700));
    assert!(!m.release(&mut c, Release::Ordered));
    assert_eq!((c.sights.len(), c.lost.unmatched), (3, 1));
}
