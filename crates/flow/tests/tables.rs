//! Connection tracking, fragments and neighbours.

use flow::conntrack::{Conntrack, Verdict};
use flow::frag::{Reassembler, fragment};
use flow::{Tuple, hop};
use node::{Core, DropReason, Frame, Time};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::craft;
use wire::ipv4::{Header, protocol};
use wire::tcp::{ACK, FIN, PSH, SYN};

const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);

fn core() -> Core {
    Core::new(4096, StdRng::seed_from_u64(1))
}

fn frame(core: &mut Core, p: &[u8]) -> Frame {
    let mut f = core.pool.take(p.len(), Time::ZERO).expect("a frame");
    f.extend(p);
    f
}

fn see(c: &mut Conntrack, now: Time, p: &[u8]) -> Verdict {
    c.packet(now, p, &Header::read(p).expect("a header"))
}

fn tcp(there: bool, flags: u8) -> Vec<u8> {
    let (s, d) = if there { ((A, 4000), (B, 80)) } else { ((B, 80), (A, 4000)) };
    craft::packet(protocol::TCP, s.0, d.0, &craft::tcp(s.1, d.1, flags))
}

#[test]
fn a_connection_is_tracked_from_syn_to_end() {
    let (mut c, now) = (Conntrack::new(10), Time::from_nanos(1));
    assert_eq!(see(&mut c, now, &tcp(true, ACK)), Verdict::Invalid(DropReason::OutOfState));
    let Verdict::New(t) = see(&mut c, now, &tcp(true, SYN)) else { panic!("not new") };
    assert!(c.begin(now, t, 3, 40));
    for (there, flags) in [(false, SYN | ACK), (true, ACK), (true, PSH | ACK), (false, FIN | ACK), (true, FIN | ACK), (false, ACK)] {
        assert_eq!(see(&mut c, now, &tcp(there, flags)), Verdict::Tracked { rule: 3 });
    }
    c.poll(now + Duration::from_secs(121));
    assert!(c.is_empty());
}

#[test]
fn errors_are_related_only_to_what_is_tracked() {
    let (mut c, now) = (Conntrack::new(10), Time::from_nanos(1));
    let syn = tcp(true, SYN);
    let error = craft::icmp_error(3, 1, Ipv4Addr::new(10, 0, 0, 1), A, &syn);
    assert_eq!(see(&mut c, now, &error), Verdict::Invalid(DropReason::UnrelatedError));
    let Verdict::New(t) = see(&mut c, now, &syn) else { panic!("not new") };
    assert!(c.begin(now, t, 1, 40));
    assert_eq!(see(&mut c, now, &error), Verdict::Related { rule: 1 });
    // One flow is one, whichever side speaks; a full table refuses the next.
    let mut small = Conntrack::new(1);
    assert!(small.begin(now, t, 1, 40));
    assert!(!small.begin(now, Tuple { src: (A, 1), ..t }, 1, 40));
}

proptest! {
    /// Nothing but a SYN of the opener's makes an entry, and an answer never
    /// comes before one.
    #[test]
    fn no_entry_without_a_syn(steps in proptest::collection::vec((any::<bool>(), 0u8..64), 0..60)) {
        let (mut c, now) = (Conntrack::new(100), Time::from_nanos(1));
        let mut opened = false;
        for (there, flags) in steps {
            match see(&mut c, now, &tcp(there, flags)) {
                Verdict::New(t) => {
                    prop_assert!(flags & (SYN | ACK) == SYN);
                    prop_assert!(c.begin(now, t, 1, 40));
                    opened = true;
                }
                Verdict::Tracked { .. } => prop_assert!(opened),
                Verdict::Invalid(_) => {}
                v => prop_assert!(false, "{:?}", v),
            }
        }
        prop_assert!(c.len() <= 2);
    }

    /// Cut to any MTU, shuffled and doubled, a packet comes together as it was.
    #[test]
    fn fragments_come_together(len in 1usize..4000, mtu in 68u16..1500, seed in any::<u64>(), twice in any::<bool>()) {
        let mut core = core();
        let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        let p = craft::packet(protocol::UDP, A, B, &craft::udp(1, 2, &data));
        let f = frame(&mut core, &p);
        let now = Time::from_nanos(1);
        let pieces: Vec<Vec<u8>> = {
            let list = fragment(&mut core.cx(now), f, mtu);
            list.into_iter().map(|f| { let b = f.data().to_vec(); core.pool.give(f); b }).collect()
        };
        for q in &pieces {
            prop_assert!(q.len() <= usize::from(mtu));
            prop_assert!(Header::read(q).is_ok());
        }
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        use rand::seq::SliceRandom;
        order.shuffle(&mut StdRng::seed_from_u64(seed));
        let mut r = Reassembler::default();
        let mut whole = None;
        for i in order {
            for _ in 0..=usize::from(twice) {
                if whole.is_some() { continue; }
                let f = frame(&mut core, &pieces[i]);
                let h = Header::read(f.data()).expect("a header");
                if h.is_fragment() {
                    whole = r.input(&mut core.cx(now), f, &h);
                } else {
                    whole = Some(f);
                }
            }
        }
        let f = whole.expect("it comes together");
        prop_assert_eq!(&f.data()[20..], &p[20..]);
        core.pool.give(f);
        prop_assert_eq!(core.pool.out(), 0);
    }

    #[test]
    fn fragments_of_any_kind_do_no_harm(pieces in proptest::collection::vec((0u16..0x2fff, 0usize..100, any::<bool>()), 0..60)) {
        let mut core = core();
        let mut r = Reassembler::default();
        let now = Time::from_nanos(1);
        for (word, len, tcp) in pieces {
            let mut p = craft::packet(if tcp { 6 } else { 17 }, A, B, &vec![9; len]);
            p[6..8].copy_from_slice(&word.to_be_bytes());
            wire::ipv4::fill_checksum(&mut p);
            let h = Header::read(&p).expect("a header");
            if !h.is_fragment() { continue; }
            let f = frame(&mut core, &p);
            if let Some(f) = r.input(&mut core.cx(now), f, &h) {
                let mut cx = core.cx(now);
                if let Some(p) = hop::packet(&mut cx, f) { cx.consume(p.frame); }
            }
        }
        for f in r.poll(&mut core.cx(now + Duration::from_secs(31))) { core.pool.give(f); }
        prop_assert!(r.is_empty());
        prop_assert_eq!(core.pool.out(), 0);
    }
}

#[test]
fn overlaps_poison_the_whole_datagram() {
    let mut core = core();
    let mut r = Reassembler::default();
    let now = Time::from_nanos(1);
    let p = craft::packet(protocol::UDP, A, B, &craft::udp(1, 2, &[5; 200]));
    for (at, len, more) in [(0, 104, true), (96, 16, true), (104, 104, false)] {
        let piece = craft::fragment(&p, at, len, more);
        let h = Header::read(&piece).expect("a header");
        let f = frame(&mut core, &piece);
        assert!(r.input(&mut core.cx(now), f, &h).is_none());
    }
    assert_eq!(core.dropped(DropReason::OverlappingFragment), 3);
}
