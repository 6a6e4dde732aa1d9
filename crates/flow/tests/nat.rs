//! Address translation against RFC 4787, 5382, 5508.

use flow::Tuple;
use flow::nat::{Limits, Nat};
use node::{Core, DropReason, Frame, Time};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::craft;
use wire::ipv4::{self, Header, protocol};
use wire::tcp::{ACK, FIN, RST, SYN};

const OUT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const PC: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 10);
const WEB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 81);

struct Bench {
    nat: Nat,
    core: Core,
    now: Time,
}

impl Bench {
    fn new(limits: Limits) -> Bench {
        let mut nat = Nat::new(limits);
        nat.set_outside(Some(OUT));
        Bench { nat, core: Core::new(16, StdRng::seed_from_u64(1)), now: Time::from_nanos(1) }
    }

    fn frame(&mut self, p: &[u8]) -> Frame {
        let mut f = self.core.pool.take(2048, self.now).expect("a frame");
        f.extend(p);
        f
    }

    fn pass(&mut self, p: &[u8], outbound: bool) -> Result<Vec<u8>, DropReason> {
        let mut f = self.frame(p);
        let h = Header::read(f.data()).expect("a good packet");
        let mut cx = self.core.cx(self.now);
        let r = if outbound { self.nat.outbound(&mut cx, &mut f, &h) } else { self.nat.inbound(&mut cx, &mut f, &h) };
        let bytes = f.data().to_vec();
        self.core.pool.give(f);
        r.map(|_| {
            let h = Header::read(&bytes).expect("the header checksum stays right");
            assert!(ipv4::l4_checksum_ok(&bytes, &h), "the transport checksum stays right");
            bytes
        })
    }

    fn out(&mut self, p: &[u8]) -> Result<Tuple, DropReason> {
        self.pass(p, true).map(|b| tuple(&b))
    }

    fn inn(&mut self, p: &[u8]) -> Result<Tuple, DropReason> {
        self.pass(p, false).map(|b| tuple(&b))
    }
}

fn tuple(p: &[u8]) -> Tuple {
    Tuple::read(p, &Header::read(p).expect("a header")).expect("a tuple")
}

fn udp(src: Ipv4Addr, sp: u16, dst: Ipv4Addr, dp: u16) -> Vec<u8> {
    craft::packet(protocol::UDP, src, dst, &craft::udp(sp, dp, b"hello"))
}

fn tcp(src: Ipv4Addr, sp: u16, dst: Ipv4Addr, dp: u16, flags: u8) -> Vec<u8> {
    craft::packet(protocol::TCP, src, dst, &craft::tcp(sp, dp, flags))
}

#[test]
fn the_mapping_does_not_depend_on_the_endpoint_and_the_filter_on_its_address() {
    let mut b = Bench::new(Limits::default());
    let first = b.out(&udp(PC, 5000, WEB, 53)).expect("out");
    let second = b.out(&udp(PC, 5000, OTHER, 53)).expect("out");
    assert_eq!((first.src, first.src), ((OUT, 5000), second.src), "REQ-1, and the port is kept");
    assert_eq!(b.inn(&udp(WEB, 99, OUT, 5000)).expect("another port of a known host").dst, (PC, 5000));
    let stranger = Ipv4Addr::new(192, 0, 2, 7);
    assert_eq!(b.inn(&udp(stranger, 53, OUT, 5000)), Err(DropReason::NatFiltered));
    assert_eq!(b.inn(&udp(WEB, 53, OUT, 5001)), Err(DropReason::NatNoMapping));
    // A second host with the same port gets another one.
    let t = b.out(&udp(Ipv4Addr::new(192, 168, 0, 11), 5000, WEB, 53)).expect("out");
    assert!(t.src.0 == OUT && t.src.1 != 5000 && t.src.1 >= 1024);
}

#[test]
fn tcp_begins_with_a_syn_and_is_forgotten_after_its_end() {
    let mut b = Bench::new(Limits::default());
    assert_eq!(b.out(&tcp(PC, 4000, WEB, 80, ACK)), Err(DropReason::OutOfState));
    b.out(&tcp(PC, 4000, WEB, 80, SYN)).expect("out");
    b.inn(&tcp(WEB, 80, OUT, 4000, SYN | ACK)).expect("in");
    b.out(&tcp(PC, 4000, WEB, 80, ACK)).expect("out");
    b.now = b.now + Duration::from_secs(7000);
    b.inn(&tcp(WEB, 80, OUT, 4000, ACK)).expect("REQ-5: two hours and four minutes");
    b.out(&tcp(PC, 4000, WEB, 80, FIN | ACK)).expect("out");
    b.inn(&tcp(WEB, 80, OUT, 4000, FIN | ACK)).expect("in");
    b.out(&tcp(PC, 4000, WEB, 80, ACK)).expect("out");
    b.now = b.now + Duration::from_secs(121);
    b.nat.poll(b.now);
    assert!(b.nat.is_empty());
    b.out(&tcp(PC, 4000, WEB, 80, SYN)).expect("out");
    b.inn(&tcp(WEB, 80, OUT, 4000, RST)).expect("in");
    b.now = b.now + Duration::from_secs(11);
    b.nat.poll(b.now);
    assert!(b.nat.is_empty(), "a reset connection is forgotten soon");
}

#[test]
fn udp_lives_by_what_goes_out() {
    let mut b = Bench::new(Limits::default());
    b.out(&udp(PC, 5000, WEB, 53)).expect("out");
    for _ in 0..3 {
        b.now = b.now + Duration::from_secs(120);
        b.nat.poll(b.now);
        let _ = b.inn(&udp(WEB, 53, OUT, 5000));
    }
    assert!(b.nat.is_empty(), "RFC 4787 REQ-6: inbound alone does not refresh");
}

#[test]
fn echo_and_errors_are_translated_inside_and_out() {
    let mut b = Bench::new(Limits::default());
    let ping = craft::packet(protocol::ICMP, PC, WEB, &craft::echo(77, b"ping"));
    let out = b.pass(&ping, true).expect("out");
    assert_eq!(tuple(&out).src, (OUT, 77));
    let mut reply = craft::echo(77, b"ping");
    reply[0] = 0;
    assert_eq!(b.inn(&craft::packet(protocol::ICMP, WEB, OUT, &reply)).expect("in").dst, (PC, 77));

    // A router on the way says that a packet of ours died.
    let sent = b.pass(&udp(PC, 5000, WEB, 33_434), true).expect("out");
    let router = Ipv4Addr::new(10, 0, 2, 2);
    let inside = b.pass(&craft::icmp_error(11, 0, router, OUT, &sent), false).expect("in");
    let h = Header::read(&inside).expect("a header");
    assert_eq!((h.src, h.dst), (router, PC));
    let quoted = &inside[28..];
    assert_eq!(ipv4::addrs(quoted), Some((PC, WEB)));
    assert_eq!(ipv4::l4_port(quoted, ipv4::Side::Source), Some(5000));
    // One about a packet that we never sent is not let in.
    let forged = udp(OUT, 5000, OTHER, 1);
    assert_eq!(b.pass(&craft::icmp_error(3, 3, router, OUT, &forged), false), Err(DropReason::UnrelatedError));

    // An inside host's own error about what came in.
    let came = b.pass(&udp(WEB, 33_434, OUT, 5000), false).expect("in");
    let back = b.pass(&craft::icmp_error(3, 3, PC, WEB, &came), true).expect("out");
    assert_eq!(Header::read(&back).expect("a header").src, OUT);
    assert_eq!(ipv4::addrs(&back[28..]), Some((WEB, OUT)));
}

#[test]
fn full_tables_refuse_and_a_new_address_ends_all() {
    let mut b = Bench::new(Limits { sessions: 10, per_host: 4 });
    let refused = (0..20u16).filter(|i| b.out(&udp(PC, 5000 + i, WEB, 53)) == Err(DropReason::NatFull)).count();
    assert_eq!(refused, 16, "one host cannot take all");
    for host in 11..30u8 {
        let _ = b.out(&udp(Ipv4Addr::new(192, 168, 0, host), 5000, WEB, 53));
    }
    assert_eq!(b.nat.len(), 10);
    b.nat.set_outside(Some(Ipv4Addr::new(203, 0, 113, 10)));
    assert!(b.nat.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// What went out comes back to its own sender, and two senders never share a port.
    #[test]
    fn there_and_back(flows in proptest::collection::vec((1u8..20, 1u16..40, 1u8..4, prop_oneof![Just(6u8), Just(17), Just(1)]), 1..200)) {
        let mut b = Bench::new(Limits::default());
        let mut owner: HashMap<(u8, u16), (Ipv4Addr, u16)> = HashMap::new();
        for (host, port, to, proto) in flows {
            let (src, dst) = (Ipv4Addr::new(192, 168, 0, host), Ipv4Addr::new(198, 51, 100, to));
            let port = 1023 + port;
            let p = match proto {
                6 => tcp(src, port, dst, 80, SYN),
                17 => udp(src, port, dst, 80),
                _ => craft::packet(1, src, dst, &craft::echo(port, b"")),
            };
            let t = b.out(&p).expect("out");
            prop_assert_eq!(t.src.0, OUT);
            let known = owner.entry((proto, t.src.1)).or_insert((src, port));
            prop_assert_eq!(*known, (src, port));
            let back = match proto {
                6 => tcp(dst, 80, OUT, t.src.1, SYN | ACK),
                17 => udp(dst, 80, OUT, t.src.1),
                _ => { let mut e = craft::echo(t.src.1, b""); e[0] = 0; craft::packet(1, dst, OUT, &e) }
            };
            prop_assert_eq!(b.inn(&back).expect("in").dst, (src, port));
        }
        b.now = b.now + Duration::from_secs(100_000);
        b.nat.poll(b.now);
        prop_assert!(b.nat.is_empty());
    }
}
