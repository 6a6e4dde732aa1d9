//! Impaired links under a fake clock.

use cable::{Cable, Direction, Link, Settings};
use node::DropReason;
use node::sim::{NodeId, Sim};
use std::time::Duration;

fn link(d: Direction) -> (Sim, NodeId) {
    let mut sim = Sim::new(1);
    let l = Link { ends: ["a.x".into(), "b.y".into()], directions: [d, Direction::default()], seed: 7 };
    let c = sim.add(Cable::new(&Settings { links: vec![l] }), 2);
    (sim, c)
}

fn numbered(n: u32) -> Vec<u8> {
    let mut f = vec![0; 1000];
    f[..4].copy_from_slice(&n.to_be_bytes());
    f
}

fn arrived(sim: &mut Sim, c: NodeId) -> Vec<u32> {
    sim.sent((c, 1)).iter().map(|f| u32::from_be_bytes([f[0], f[1], f[2], f[3]])).collect()
}

#[test]
fn delay_and_jitter_keep_the_order() {
    let (mut sim, c) = link(Direction { delay_ns: 20_000_000, jitter_ns: 5_000_000, ..Direction::default() });
    for n in 0..100 {
        sim.inject((c, 0), &numbered(n));
    }
    sim.run(Duration::from_millis(14));
    assert!(arrived(&mut sim, c).is_empty());
    sim.run(Duration::from_millis(12));
    assert_eq!(arrived(&mut sim, c), (0..100).collect::<Vec<_>>());
    // The other direction has no delay.
    sim.inject((c, 1), &numbered(1));
    assert_eq!(sim.sent((c, 0)).len(), 1);
}

#[test]
fn a_rate_spaces_frames_and_its_queue_is_bounded() {
    // 1024 bytes with the frame's overhead at 8.192 Mbit/s: a millisecond each.
    let (mut sim, c) = link(Direction { rate_bps: 8_192_000, queue_bytes: 10_000, ..Direction::default() });
    for n in 0..50 {
        sim.inject((c, 0), &numbered(n));
    }
    let lost = sim.core(c).dropped(DropReason::QueueFull);
    assert!((39..=41).contains(&lost), "{lost}");
    sim.run(Duration::from_micros(5500));
    assert_eq!(arrived(&mut sim, c).len(), 5);
    sim.run(Duration::from_secs(1));
    assert_eq!(arrived(&mut sim, c).len() as u64 + 5 + lost, 50);
}

#[test]
fn loss_duplication_reordering_and_corruption_by_seed() {
    let d = Direction { delay_ns: 1_000_000, loss: 0.1, duplicate: 0.05, reorder: 0.05, corrupt: 0.02, ..Direction::default() };
    let run = || {
        let (mut sim, c) = link(d);
        let mut got = Vec::new();
        for n in 0..2000 {
            sim.inject((c, 0), &numbered(n));
            sim.run(Duration::from_micros(100));
            got.extend(arrived(&mut sim, c));
        }
        sim.run(Duration::from_millis(10));
        got.extend(arrived(&mut sim, c));
        let counts = ["frames-duplicated", "frames-reordered", "frames-corrupted"].map(|n| sim.core(c).event(n));
        (got, sim.core(c).dropped(DropReason::LinkLoss), counts)
    };
    let (got, lost, counts) = run();
    assert!((150..250).contains(&lost), "{lost}");
    assert!(counts.iter().all(|n| (15..150).contains(n)), "{counts:?}");
    assert!(!got.is_sorted());
    assert_eq!(got.len() as u64, 2000 - lost + counts[0]);
    assert_eq!(run(), (got, lost, counts), "the same seed, the same run");
}
