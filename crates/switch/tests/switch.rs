//! The switch over in-memory ports.

use node::sim::{NodeId, Sim};
use node::{DropReason, Record};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;
use switch::{Settings, Switch};

fn sim(ports: usize, settings: Settings) -> (Sim, NodeId) {
    let mut sim = Sim::new(1);
    let names = (0..ports).map(|i| format!("p{i}")).collect();
    let id = sim.add(Switch::new(settings, names), ports);
    (sim, id)
}

fn frame(dst: [u8; 6], src: [u8; 6]) -> Vec<u8> {
    let mut f = [dst, src].concat();
    f.extend([8, 0]);
    f.extend([0x55; 50]);
    f
}

const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ALL: [u8; 6] = [255; 6];

fn counts(sim: &mut Sim, id: NodeId, ports: u8) -> Vec<usize> {
    (0..ports).map(|p| sim.sent((id, p)).len()).collect()
}

#[test]
fn learns_floods_forwards_and_ages() {
    let (mut sim, s) = sim(3, Settings::default());
    sim.inject((s, 0), &frame(B, A));
    assert_eq!(counts(&mut sim, s, 3), [0, 1, 1], "unknown: flooded");
    sim.inject((s, 1), &frame(A, B));
    assert_eq!(counts(&mut sim, s, 3), [1, 0, 0], "known: to its port alone");
    sim.inject((s, 0), &frame(ALL, A));
    assert_eq!(counts(&mut sim, s, 3), [0, 1, 1]);
    sim.run(Duration::from_secs(299));
    sim.inject((s, 0), &frame(B, A));
    assert_eq!(counts(&mut sim, s, 3), [0, 1, 0]);
    sim.run(Duration::from_secs(2));
    sim.inject((s, 0), &frame(B, A));
    assert_eq!(counts(&mut sim, s, 3), [0, 1, 1], "aged out after 300 s of silence");
    assert_eq!(sim.core(s).event("stations-aged-out"), 1);
}

#[test]
fn notices_a_station_that_moves() {
    let (mut sim, s) = sim(3, Settings::default());
    sim.inject((s, 0), &frame(ALL, A));
    sim.inject((s, 2), &frame(ALL, A));
    counts(&mut sim, s, 3);
    sim.inject((s, 1), &frame(A, B));
    assert_eq!(counts(&mut sim, s, 3), [0, 0, 1]);
    assert_eq!(sim.core(s).event("stations-moved"), 1);
}

#[test]
fn drops_what_a_bridge_must_not_forward() {
    let (mut sim, s) = sim(2, Settings::default());
    sim.inject((s, 0), &frame([0x01, 0x80, 0xc2, 0, 0, 0x0e], A));
    sim.inject((s, 0), &frame(B, [3, 0, 0, 0, 0, 1]));
    sim.inject((s, 0), &[1, 2, 3]);
    sim.inject((s, 0), &frame(ALL, A));
    sim.inject((s, 0), &frame(A, A));
    assert_eq!(counts(&mut sim, s, 2), [0, 1]);
    for r in [DropReason::BridgeReserved, DropReason::MulticastSource, DropReason::Truncated, DropReason::SamePort] {
        assert_eq!(sim.core(s).dropped(r), 1, "{r}");
    }
}

#[test]
fn a_full_table_learns_nobody_and_still_forwards() {
    let (mut sim, s) = sim(2, Settings { stations: 2, ..Settings::default() });
    for i in 1..=5 {
        sim.inject((s, 0), &frame(ALL, [2, 0, 0, 0, 1, i]));
    }
    assert_eq!(sim.show(s, "fdb").len(), 2);
    assert_eq!(sim.core(s).event("fdb-full"), 3);
    assert_eq!(counts(&mut sim, s, 2), [0, 5]);
}

proptest! {
    #[test]
    fn as_a_model_says(steps in proptest::collection::vec((0u8..4, 0u8..6, 0u8..7), 1..200)) {
        let (mut sim, s) = sim(4, Settings::default());
        let mut at: HashMap<u8, u8> = HashMap::new();
        for (port, src, dst) in steps {
            at.insert(src, port);
            let to = if dst == 6 { ALL } else { [2, 0, 0, 0, 9, dst] };
            sim.inject((s, port), &frame(to, [2, 0, 0, 0, 9, src]));
            let want: Vec<usize> = (0..4).map(|p| usize::from(match at.get(&dst) {
                Some(q) => *q == p && p != port,
                None => p != port,
            })).collect();
            prop_assert_eq!(counts(&mut sim, s, 4), want);
        }
    }

    #[test]
    fn no_panic_and_nothing_uncounted(frames in proptest::collection::vec((0u8..3, proptest::collection::vec(any::<u8>(), 0..80)), 0..200)) {
        let (mut sim, s) = sim(3, Settings { stations: 4, ..Settings::default() });
        for (p, f) in &frames {
            sim.inject((s, *p), f);
        }
        prop_assert_eq!(sim.core(s).pool.out(), 0);
        let rx: u64 = sim.core(s).ports.iter().map(|p| p.rx).sum();
        prop_assert_eq!(rx, frames.len() as u64);
    }
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let (mut sim, s) = sim(3, Settings::default());
    let bases = vec![frame(B, A), frame(ALL, B), frame([0x01, 0x80, 0xc2, 0, 0, 1], A), frame([1, 0, 0x5e, 0, 0, 1], B)];
    sim.mutate(s, 3, &bases, 100_000);
}

#[test]
fn the_trace_tells_what_became_of_each_frame_and_why() {
    let (mut sim, s) = sim(3, Settings::default());
    sim.inject((s, 0), &frame(B, A));
    assert!(sim.core(s).trace.take().0.is_empty(), "off, nothing is kept");
    sim.core(s).trace.start();
    sim.inject((s, 0), &frame(B, A));
    sim.inject((s, 0), &frame(A, A));
    let (bytes, lost) = sim.core(s).trace.take();
    let records: Vec<Record<'_>> = node::trace::record::records(&bytes).collect();
    let words: Vec<String> = records
        .iter()
        .map(|r| match r {
            Record::In { port, .. } => format!("in {}", port.0),
            Record::Made { origin, .. } => {
                format!("made {}", if matches!(origin, node::Origin::Part(_)) { "as a part" } else { "otherwise" })
            }
            Record::Out { port, cause, .. } => format!("out {} {cause:?}", port.0),
            Record::Held { cause, .. } => format!("held {cause:?}"),
            Record::Dropped { reason, .. } => format!("dropped {reason}"),
            Record::Said { cause, .. } => format!("said {cause:?}"),
            Record::Port { .. } => "port".into(),
        })
        .collect();
    assert_eq!(
        words,
        ["in 0", "made as a part", "out 1 Flooded { unknown: true }", "out 2 Flooded { unknown: true }", "in 0", "dropped same-port"]
    );
    assert_eq!(lost, 0);
    let (Record::In { seq: a, .. }, Record::Out { seq: b, .. }) = (&records[0], &records[3]) else { panic!("{records:?}") };
    assert_eq!(a, b, "the last of a flood is the frame itself");
}
