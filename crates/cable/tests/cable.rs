//! Impaired links under a fake clock.

use cable::{Cable, Direction, Link, Settings};
use node::DropReason;
use node::sim::{NodeId, Sim};
use std::time::Duration;
use wire::line::Medium;

fn link(d: Direction) -> (Sim, NodeId) {
    let mut sim = Sim::new(1);
    let l = Link { ends: ["a.x".into(), "b.y".into()], directions: [d, Direction::default()], seed: 7, medium: None };
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

fn act(sim: &mut Sim, c: NodeId, words: &str) -> Result<String, node::CommandError> {
    let words = words.split(' ').map(str::to_owned).collect();
    sim.with::<Cable, _>(c, |e, cx| node::Element::command(e, cx, node::Command { words }))
}

#[test]
fn a_running_link_is_changed_in_one_direction() {
    let (mut sim, c) = link(Direction { delay_ns: 1_000_000, ..Direction::default() });
    assert_eq!(act(&mut sim, c, "a.x set loss 100%"), Ok("a.x to b.y: delay 1ms loss 100%".into()));
    sim.inject((c, 0), &numbered(1));
    sim.inject((c, 1), &numbered(2));
    assert_eq!((sim.core(c).dropped(DropReason::LinkLoss), sim.sent((c, 0)).len()), (1, 1));
    assert_eq!(act(&mut sim, c, "a.x off"), Ok("a.x to b.y: off (delay 1ms loss 100%)".into()));
    sim.inject((c, 0), &numbered(3));
    assert_eq!(arrived(&mut sim, c), [3]);
    act(&mut sim, c, "a.x on").expect("on");
    act(&mut sim, c, "a.x set loss 0%").expect("set");
    sim.inject((c, 0), &numbered(4));
    // Unplugged: what is under way is lost, in both directions.
    act(&mut sim, c, "b.y down").expect("down");
    sim.inject((c, 0), &numbered(5));
    sim.run(Duration::from_millis(5));
    assert!(arrived(&mut sim, c).is_empty());
    assert_eq!(sim.core(c).dropped(DropReason::LinkDown), 2);
    act(&mut sim, c, "a.x up").expect("up");
    sim.inject((c, 0), &numbered(6));
    sim.run(Duration::from_millis(5));
    assert_eq!(arrived(&mut sim, c), [6]);
    for (words, says) in
        [("z.z show", "no link"), ("a.x set snr-db 9", "no medium"), ("a.x sing", "no command"), ("a.x set dely 1ms", "`delay`")]
    {
        let e = act(&mut sim, c, words).expect_err(words).to_string();
        assert!(e.contains(says), "{words}: {e}");
    }
    assert_eq!(act(&mut sim, c, "a.x show"), Ok("a.x to b.y: delay 1ms\nb.y to a.x: clean".into()));
}

#[test]
fn a_medium_carries_frames_as_signals_and_noise_costs_some() {
    for medium in [Medium::TenBaseT, Medium::HundredBaseTx] {
        let mut rates = Vec::new();
        for snr_db in [None, Some(20.0), Some(12.0), Some(9.0), Some(0.0)] {
            let mut sim = Sim::new(1);
            let d = Direction { snr_db, ..Direction::default() };
            let l = Link { ends: ["a.x".into(), "b.y".into()], directions: [d, d], seed: 7, medium: Some(medium) };
            let c = sim.add(Cable::new(&Settings { links: vec![l] }), 2);
            let mut got = 0;
            for n in 0..100 {
                sim.inject((c, 0), &numbered(n));
                sim.run(Duration::from_millis(1));
                let f = sim.sent((c, 1));
                assert!(f.iter().all(|f| *f == numbered(n)), "what comes out is what went in");
                got += f.len();
            }
            let m = &sim.show(c, "media")[0];
            assert_eq!(m["fcs-drops"].as_u64(), Some(100 - got as u64));
            assert_eq!(m["bits"].as_u64(), Some(100 * 1012 * 8));
            assert_eq!(m["symbol-errors"].as_u64() == Some(0), got == 100 || snr_db.is_none(), "{m}");
            rates.push(got);
        }
        assert!(rates[0] == 100 && rates[1] == 100 && rates.is_sorted_by(|a, b| a >= b) && rates[4] == 0, "{medium:?} {rates:?}");
    }
}

#[test]
fn a_frame_that_crossed_is_shown_with_its_levels() {
    let mut sim = Sim::new(1);
    let l = Link { ends: ["a.x".into(), "b.y".into()], directions: [Direction::default(); 2], seed: 7, medium: Some(Medium::TenBaseT) };
    let c = sim.add(Cable::new(&Settings { links: vec![l] }), 2);
    assert!(sim.show(c, "signal a.x").is_empty());
    sim.inject((c, 0), &[1; 42]);
    let rows = sim.show(c, "signal a.x");
    let fields: Vec<&str> = rows.iter().filter_map(|r| r["field"].as_str()).collect();
    assert_eq!(fields, ["preamble", "SFD", "MAC", "payload", "padding", "FCS"]);
    assert_eq!((rows[0]["hex"].as_str(), rows[0]["sent"].as_array().map(Vec::len)), (Some("55555555555555"), Some(7 * 16)));
    sim.run(Duration::from_millis(1));
    assert_eq!(sim.sent((c, 1))[0].len(), 60, "padded, as an adapter does");
}
