//! Two hosts back to back under a fake clock: TCP over lines that lose,
//! duplicate and reorder.

use netstack::{ConnectError, Due, Host, Limits, Net};
use node::sim::{Fault, NodeId, Sim, config};
use node::{Clock, Wake};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::ipv4::protocol;
use wire::tcp::{ACK, RST, SYN};
use wire::{Mac, craft};

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn host(sim: &mut Sim, n: u16, address: &str) -> (NodeId, Net) {
    let (clock, wake) = (Clock::default(), Wake::default());
    let c = config("h", n, &[("eth0", Some(address))]);
    let (h, net) = Host::new(&c, &[], u64::from(n) * 77, Limits::default(), clock.clone(), wake.clone()).expect("a host");
    (sim.add_host(h, 1, Some(clock), wake), net)
}

fn pair(fault: Fault, seed: u64) -> (Sim, NodeId, Net, NodeId, Net) {
    let mut sim = Sim::new(seed);
    let (a, an) = host(&mut sim, 1, "10.0.0.1/24");
    let (b, bn) = host(&mut sim, 2, "10.0.0.2/24");
    sim.link((a, 0), (b, 0), fault);
    (sim, a, an, b, bn)
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}

/// Echoes `n` bytes through the pair; how long it took in the fake time.
fn echo(fault: Fault, seed: u64, n: usize) -> Duration {
    let (mut sim, _, an, _, bn) = pair(fault, seed);
    let start = sim.now;
    let main = async move {
        tokio::task::spawn_local(async move {
            let l = bn.listen(7, false).expect("a listener");
            let s = l.accept().await;
            let (mut r, mut w) = tokio::io::split(s);
            let _ = tokio::io::copy(&mut r, &mut w).await;
            let _ = w.shutdown().await;
        });
        let s = an.connect(A, SocketAddrV4::new(B, 7), Due::Nothing, Duration::from_secs(30)).await.expect("a connection");
        let (mut r, mut w) = tokio::io::split(s);
        tokio::task::spawn_local(async move {
            w.write_all(&pattern(n)).await.expect("writing");
            w.shutdown().await.expect("closing");
        });
        let mut back = Vec::new();
        r.read_to_end(&mut back).await.expect("reading");
        back
    };
    let back = sim.block_on(Duration::from_secs(3600), main).expect("an end");
    assert_eq!(back.len(), n);
    assert!(back == pattern(n), "the bytes are as they were");
    sim.now.since(start)
}

#[test]
fn bytes_arrive_whole_whatever_the_line_does() {
    let ms = Duration::from_millis;
    echo(Fault::default(), 1, 2_000_000);
    for seed in 0..6 {
        echo(Fault { delay: ms(5), jitter: ms(0), loss: 0.03, duplicate: 0.02 }, seed, 100_000);
        echo(Fault { delay: ms(5), jitter: ms(20), loss: 0.0, duplicate: 0.02 }, seed, 100_000);
    }
}

#[test]
fn a_table_of_loss_and_delay() {
    let mut table = String::from("loss  delay  seconds for 300 kB\n");
    for loss in [0.0, 0.01, 0.05] {
        for delay in [1, 20] {
            let t = echo(Fault { delay: Duration::from_millis(delay), loss, ..Fault::default() }, 5, 300_000);
            table += &format!("{:>3}%  {delay:>2} ms  {:>6.1}\n", loss * 100.0, t.as_secs_f64());
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn refused_unreachable_and_silent_are_told_apart() {
    let (mut sim, a, an, _, _bn) = pair(Fault::default(), 1);
    let net = an.clone();
    let limit = Duration::from_secs(10);
    let connect = |net: Net, to: Ipv4Addr| async move { net.connect(A, SocketAddrV4::new(to, 81), Due::Nothing, limit).await.err() };
    assert_eq!(sim.block_on(limit * 2, connect(net.clone(), B)), Some(Some(ConnectError::Refused)));
    assert_eq!(
        sim.block_on(limit * 2, connect(net.clone(), [10, 0, 0, 9].into())),
        Some(Some(ConnectError::Unreachable)),
        "nobody has the address"
    );
    sim.unlink((a, 0));
    assert_eq!(sim.block_on(limit * 2, connect(net, B)), Some(Some(ConnectError::TimedOut)));
    assert!(an.listen(5, false).is_ok());
}

#[test]
fn udp_goes_there_and_back() {
    let (mut sim, _, an, _, bn) = pair(Fault::default(), 1);
    let main = async move {
        let server = bn.bind_udp(53).expect("a socket");
        assert!(bn.bind_udp(53).is_err());
        tokio::task::spawn_local(async move {
            let (from, to, data) = server.recv_from().await;
            server.send_to(*to.ip(), from, &data);
        });
        let s = an.bind_udp(0).expect("a socket");
        // More than a frame holds: it goes in fragments.
        s.send_to(A, SocketAddrV4::new(B, 53), &pattern(4000));
        s.recv_from().await
    };
    let (from, _, data) = sim.block_on(Duration::from_secs(10), main).expect("an answer");
    assert_eq!((from, data), (SocketAddrV4::new(B, 53), pattern(4000)));
}

#[test]
fn the_backlog_is_bounded_and_closed_ports_answer() {
    let mut sim = Sim::new(1);
    let (h, net) = host(&mut sim, 2, "10.0.0.2/24");
    let listener = net.listen(80, false).expect("a listener");
    let me = (Mac([2, 0, 0, 0, 7, 7]), A);
    sim.inject((h, 0), &craft::arp(1, me, (Mac::default(), B), Mac::BROADCAST));
    sim.sent((h, 0));
    let frame = |p: &[u8]| craft::ethernet(Mac::of_lab(2, 0), me.0, p);
    let seg = |sp, dp, flags| frame(&craft::packet(protocol::TCP, A, B, &craft::tcp(sp, dp, flags)));
    sim.inject((h, 0), &seg(1, 81, SYN));
    let rst = sim.sent((h, 0));
    assert_eq!(rst[0][14 + 20 + 13], RST | ACK);
    sim.inject((h, 0), &seg(1, 81, RST));
    assert!(sim.sent((h, 0)).is_empty(), "a reset is never answered");
    for i in 0..400u16 {
        sim.inject((h, 0), &seg(1000 + i, 80, SYN));
    }
    assert_eq!(sim.core(h).dropped(node::DropReason::BacklogFull), 400 - 256);
    // Handshakes that nobody finishes are forgotten, and there is room again.
    sim.run(Duration::from_secs(60));
    assert!(sim.show(h, "connections").is_empty());
    drop(listener);
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let mut sim = Sim::new(9);
    let (h, net) = host(&mut sim, 2, "10.0.0.2/24");
    let _l = net.listen(80, false).expect("a listener");
    let _u = net.bind_udp(53).expect("a socket");
    let me = (Mac([2, 0, 0, 0, 7, 7]), A);
    let frame = |p: &[u8]| craft::ethernet(Mac::of_lab(2, 0), me.0, p);
    let big = craft::packet(protocol::UDP, A, B, &craft::udp(9, 53, &[1; 600]));
    let bases = vec![
        craft::arp(1, me, (Mac::default(), B), Mac::BROADCAST),
        frame(&craft::packet(protocol::TCP, A, B, &craft::tcp(4000, 80, SYN))),
        frame(&craft::packet(protocol::TCP, A, B, &craft::tcp(4000, 80, ACK))),
        frame(&craft::packet(protocol::ICMP, A, B, &craft::echo(1, b"ping"))),
        frame(&craft::fragment(&big, 0, 104, true)),
        frame(&craft::fragment(&big, 104, 504, false)),
        frame(&craft::icmp_error(3, 3, A, B, &big)),
    ];
    sim.mutate(h, 1, &bases, 100_000);
}

#[test]
fn a_listener_lives_through_more_connections_than_its_backlog() {
    let (mut sim, _, an, _, bn) = pair(Fault::default(), 1);
    let main = async move {
        tokio::task::spawn_local(async move {
            let l = bn.listen(7, false).expect("a listener");
            loop {
                let mut s = l.accept().await;
                s.write_all(b"hello").await.expect("writing");
            }
        });
        let mut n = 0;
        for _ in 0..900 {
            let mut s = an.connect(A, SocketAddrV4::new(B, 7), Due::Nothing, Duration::from_secs(5)).await.expect("a connection");
            let mut word = Vec::new();
            s.read_to_end(&mut word).await.expect("reading");
            assert_eq!(word, b"hello");
            n += 1;
        }
        n
    };
    assert_eq!(sim.block_on(Duration::from_secs(600), main), Some(900));
}
