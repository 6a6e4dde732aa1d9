//! What is between two ports, and what a story makes of what did not arrive.

mod common;

use common::{told, two};
use journey::collect::What;
use journey::model::Ended;
use journey::tape;
use journey::words::Lang;
use journey::{About, Story, text};
use node::trace::{Act, Cause, Origin};
use node::{DropReason, FrameSeq, Time};
use std::num::NonZeroU64;
use std::time::Duration;
use wire::ipv4::protocol;
use wire::{Mac, craft};

#[test]
fn what_left_and_did_not_come_is_the_kernels_loss() {
    let mut c = two();
    for n in 1..=3 {
        c.take(0, told(1000 + n, What::Made(n, Origin::Timer)));
        c.take(0, told(1000 + n, What::Out(n, 0, Cause::Socket, vec![n as u8; 60])));
    }
    c.take(1, told(1009, What::In(1, 0, vec![3; 60])));
    assert_eq!((c.lost.frames, c.lost.unmatched), (2, 0));
    assert!(matches!(c.packets[&1].ends[0].how, Ended::Kernel { from: (0, 0), to: (1, 0) }));
    assert_eq!(c.packets[&3].sights.len(), 2);
    // One that is still on its way is no loss before its time is over.
    c.take(0, told(1010, What::Out(4, 0, Cause::Socket, vec![4; 60])));
    let until = |at| move |node| if node == 1 { Time::from_nanos(at) } else { Time::from_nanos(u64::MAX) };
    c.settle(until(1_011_000_000), Duration::from_secs(1));
    assert_eq!(c.lost.frames, 2, "the other end has not told for so long that it did not come");
    c.settle(until(3_000_000_000), Duration::from_secs(1));
    assert_eq!(c.lost.frames, 3);
    // What comes from nowhere is said.
    c.take(1, told(1012, What::In(2, 0, vec![9; 60])));
    assert_eq!(c.lost.unmatched, 1);
}

#[test]
fn a_journey_is_under_way_until_all_of_it_has_ended() {
    let mut c = two();
    let journey = c.journey_of(0, Act(7));
    assert!(!c.is_under_way(Some(journey)));
    c.take(0, told(1, What::Made(1, Origin::Act(Act(7)))));
    c.take(0, told(1, What::Out(1, 0, Cause::Socket, vec![1; 60])));
    assert!(c.is_under_way(Some(journey)) && c.is_under_way(None), "on the wire");
    assert!(!c.is_under_way(Some(journey + 1)));
    c.take(1, told(2, What::In(1, 0, vec![1; 60])));
    c.take(1, told(2, What::Held(1, Cause::Queued)));
    assert!(c.is_under_way(Some(journey)), "it waits at a node");
    c.take(1, told(3, What::Dropped(Some(1), DropReason::Consumed)));
    assert!(!c.is_under_way(Some(journey)));
    // One that the kernel lost is not waited for.
    c.take(0, told(4, What::Made(2, Origin::Act(Act(7)))));
    c.take(0, told(4, What::Out(2, 0, Cause::Socket, vec![2; 60])));
    c.settle(|_| Time::from_nanos(u64::MAX), Duration::from_secs(1));
    assert!(!c.is_under_way(None));
}

#[test]
fn what_the_kernel_lost_is_lost_when_it_is_told_again() {
    let mut c = two();
    c.keep();
    (0..2).for_each(|n| c.take(n, told(0, What::Heard)));
    let journey = c.journey_of(0, Act(7));
    c.take(0, told(1001, What::Made(1, Origin::Act(Act(7)))));
    c.take(0, told(1001, What::Out(1, 0, Cause::Socket, vec![1; 60])));
    c.settle(|_| Time::from_nanos(u64::MAX), Duration::from_secs(1));
    let about = About { journey, url: "http://b/".into(), from: 0, start: Time::ZERO, curl: None, unfinished: true, paused: false };
    let kept = tape::write(&c, &about, None, 0).expect("kept").expect("not too large");
    let again = tape::read(&kept, c.topology.clone()).expect("a journey");
    assert_eq!((again.c.packets[&1].ends.clone(), again.c.lost), (c.packets[&1].ends.clone(), c.lost));
    assert!(matches!(again.c.packets[&1].ends[0].how, Ended::Kernel { .. }));
}

/// A question to a port where nobody listens, and the error that comes back.
#[test]
fn an_error_because_of_a_question_is_told_with_it() {
    let mut c = two();
    let (a, b) = ([10, 0, 0, 2].into(), [10, 0, 0, 1].into());
    // RFC 1035 4.1: id 1, recursion desired, one question: x, A, IN.
    let dns = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1];
    let question = craft::packet(protocol::UDP, a, b, &craft::udp(5000, 53, &dns));
    let error = craft::icmp_error(wire::icmp::UNREACHABLE, 3, b, a, &question);
    let (question, error) =
        (craft::ethernet(Mac::of_lab(2, 0), Mac::of_lab(1, 0), &question), craft::ethernet(Mac::of_lab(1, 0), Mac::of_lab(2, 0), &error));
    let journey = c.journey_of(0, Act(7));
    c.take(0, told(1, What::Made(1, Origin::Act(Act(7)))));
    c.take(0, told(1, What::Out(1, 0, Cause::Socket, question.clone())));
    c.take(1, told(2, What::In(1, 0, question)));
    c.take(1, told(2, What::Made(2, Origin::Of(FrameSeq(NonZeroU64::MIN)))));
    c.take(1, told(2, What::Dropped(Some(1), DropReason::NoSocket)));
    c.take(1, told(2, What::Out(2, 0, Cause::Answered, error.clone())));
    c.take(0, told(3, What::In(2, 0, error)));
    c.take(0, told(3, What::Dropped(Some(2), DropReason::Consumed)));
    let about = About { journey, url: "http://x/".into(), from: 0, start: Time::ZERO, curl: None, unfinished: false, paused: false };
    let t = text::write(&Story::tell(&c, &about, Lang::En), text::Style { colour: false, brief: true });
    insta::assert_snapshot!(t);
}

#[test]
fn a_role_that_is_gone_takes_nothing_and_the_kernel_is_not_blamed() {
    let mut c = two();
    let out = |c: &mut journey::Collector, ms, n: u64| {
        c.take(0, told(ms, What::Made(n, Origin::Timer)));
        c.take(0, told(ms, What::Out(n, 0, Cause::Socket, vec![n as u8; 60])));
    };
    c.take(1, told(1000, What::Unheard));
    out(&mut c, 1100, 1);
    out(&mut c, 1900, 2);
    c.take(1, told(2000, What::Heard));
    out(&mut c, 2100, 3);
    c.take(1, told(2100, What::In(1, 0, vec![3; 60])));
    let how = |id: u64| c.packets[&id].ends.first().map(|e| e.how);
    let absent = Some(Ended::Absent { from: (0, 0), to: (1, 0) });
    assert_eq!((how(1), how(2), how(3), c.lost), (absent, absent, None, journey::model::Lost::default()));
    let o = c.outages[0];
    assert_eq!((c.outages.len(), o.node, o.from.nanos(), o.until.map(Time::nanos)), (1, 1, 1_000_000_000, Some(2_000_000_000)));
}

#[test]
fn what_was_on_its_way_before_anybody_listened_is_no_loss() {
    let mut c = two();
    c.take(1, told(1000, What::Heard));
    // It left before, and it came before.
    c.take(0, told(990, What::Out(1, 0, Cause::Socket, vec![1; 60])));
    c.take(0, told(1001, What::Out(2, 0, Cause::Socket, vec![2; 60])));
    c.take(1, told(1002, What::In(1, 0, vec![2; 60])));
    // And what its peer had sent before it was heard.
    c.take(0, told(1010, What::In(3, 0, vec![3; 60])));
    assert_eq!(c.lost, journey::model::Lost::default());
}
