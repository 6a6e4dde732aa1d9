//! Modems and a DSLAM over lines under a fake clock.

use dsl::{Dslam, Modem};
use node::sim::{Fault, NodeId, Sim, config, settings};
use node::{Command, DropReason, Element};
use serde_json::Value;
use std::time::Duration;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::pppoe::{Discovery, Packet, Tags, code, tag};
use wire::{Mac, atm};

const BAS: Mac = Mac([2, 0, 0, 0, 9, 0]);

struct Lines {
    sim: Sim,
    dslam: NodeId,
    modems: Vec<NodeId>,
}

fn lines(n: usize, dslam: &str, modem: &str) -> Lines {
    let mut sim = Sim::new(3);
    let names: Vec<String> = (1..=n).map(|i| format!("line{i}")).collect();
    let mut ports = vec![("uplink", None)];
    ports.extend(names.iter().map(|n| (n.as_str(), None)));
    let d = sim.add(Dslam::new(&config("dslam", 8, &ports), &settings(dslam)).expect("a DSLAM"), n + 1);
    let mut modems = Vec::new();
    for i in 0..n {
        let c = config("modem", 20 + i as u16, &[("lan", None), ("line", None)]);
        let m = sim.add(Modem::new(&c, &settings(modem)).expect("a modem"), 2);
        sim.link((m, 1), (d, 1 + i as u8), Fault::default());
        modems.push(m);
    }
    Lines { sim, dslam: d, modems }
}

fn frame(dst: Mac, src: Mac, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut f = vec![0; HEADER_LEN];
    Header { dst, src, ethertype: kind }.write(&mut f);
    f.extend_from_slice(body);
    f
}

fn home(i: u8) -> Mac {
    Mac([2, 0, 0, 1, 0, i])
}

impl Lines {
    fn showtime(&mut self) -> bool {
        let (dslam, n) = (self.dslam, self.modems.len());
        let up = self.sim.run_until(Duration::from_secs(30), |s| {
            let up = s.show(dslam, "lines");
            up.len() == n && up.iter().all(|l| l["state"] == "showtime")
        });
        // The other end has yet to hear of it.
        self.sim.run(Duration::from_millis(1));
        up
    }

    fn line(&self, what: &str) -> [Value; 2] {
        let rows = self.sim.show(self.modems[0], "line");
        let r = rows.iter().find(|r| r["what"] == what).expect("a row");
        [r["down"].clone(), r["up"].clone()]
    }

    fn command(&mut self, words: &str) -> String {
        let words = words.split(' ').map(str::to_owned).collect();
        self.sim.with::<Dslam, _>(self.dslam, |d, cx| d.command(cx, Command { words })).expect("done")
    }
}

#[test]
fn training_takes_its_time_and_frames_cross_whole() {
    for fcs in [false, true] {
        let mut l = lines(1, &format!("profile = {{ training = \"20s\", fcs = {fcs} }}"), &format!("fcs = {fcs}"));
        let begun = l.sim.now;
        assert!(l.showtime());
        let took = l.sim.now.since(begun);
        assert!((20_000..20_500).contains(&took.as_millis()), "{took:?}");
        for n in [60usize, 61, 500, 1499, 1514] {
            let up: Vec<u8> = frame(BAS, home(1), ethertype::PPPOE_SESSION, &vec![n as u8; n - HEADER_LEN]);
            l.sim.inject((l.modems[0], 0), &up);
            l.sim.run(Duration::from_millis(100));
            assert_eq!(l.sim.sent((l.dslam, 0)), [up]);
            let down = frame(home(1), BAS, ethertype::PPPOE_SESSION, &vec![n as u8; n - HEADER_LEN]);
            l.sim.inject((l.dslam, 0), &down);
            l.sim.run(Duration::from_millis(100));
            assert_eq!(l.sim.sent((l.modems[0], 0)), [down]);
        }
    }
}

#[test]
fn cells_take_the_lines_rate_and_the_tax_is_as_worked_out() {
    let mut l = lines(1, "profile = { interleave = \"0ms\" }", "");
    assert!(l.showtime());
    l.sim.inject((l.modems[0], 0), &frame(BAS, home(1), ethertype::PPPOE_SESSION, &[0; 100]));
    l.sim.run(Duration::from_millis(50));
    l.sim.record();
    let begun = l.sim.now;
    for _ in 0..100 {
        l.sim.inject((l.dslam, 0), &frame(home(1), BAS, ethertype::PPPOE_SESSION, &[7; 1500]));
    }
    // 32 cells of 53 bytes each, at 8 Mbit/s: 1.696 ms a frame.
    let modem = l.modems[0];
    let mut got = 0;
    assert!(l.sim.run_until(Duration::from_secs(1), |s| {
        got += s.sent((modem, 0)).len();
        got == 100
    }));
    let took = l.sim.now.since(begun).as_secs_f64() * 1e3;
    assert!((169.5..169.8).contains(&took), "{took}");
    let down = l.sim.recorded().into_iter().filter(|((n, _), f)| *n == modem && f[12..14] == [0x88, 0x47]);
    let sizes: Vec<usize> = down.map(|(_, f)| atm::read_frame(&f[HEADER_LEN..]).expect("cells").1.len()).collect();
    assert_eq!((sizes.len(), sizes[0], sizes[1]), (200, 28, 4));
    let tax = l.line("cell-tax-percent")[0].as_f64().expect("a number");
    assert!((tax - (1.0 - 1514.0 / 1696.0) * 100.0).abs() < 0.11, "{tax}");
    assert!(l.line("idle-cells")[0].as_u64().expect("a number") > 0);
}

#[test]
fn a_full_queue_drops_the_newest_by_name() {
    let mut l = lines(1, "profile = { queue = 20000 }", "queue = 4000");
    assert!(l.showtime());
    l.sim.inject((l.modems[0], 0), &frame(BAS, home(1), ethertype::PPPOE_SESSION, &[0; 100]));
    l.sim.run(Duration::from_millis(50));
    for _ in 0..50 {
        l.sim.inject((l.dslam, 0), &frame(home(1), BAS, ethertype::PPPOE_SESSION, &[7; 1500]));
    }
    let lost = l.sim.core(l.dslam).dropped(DropReason::QueueFull);
    assert!((37..=40).contains(&lost), "{lost}");
}

#[test]
fn noise_costs_whole_frames_and_both_ends_count_it() {
    let mut l = lines(1, "", "");
    assert!(l.showtime());
    assert_eq!(l.command("line line1 snr 32.2"), "line line1: snr is 32.2 dB now");
    l.sim.inject((l.modems[0], 0), &frame(BAS, home(1), ethertype::PPPOE_SESSION, &[0; 100]));
    l.sim.run(Duration::from_millis(50));
    let mut got = 0;
    for _ in 0..1000 {
        l.sim.inject((l.dslam, 0), &frame(home(1), BAS, ethertype::PPPOE_SESSION, &[7; 1500]));
        l.sim.run(Duration::from_millis(2));
        got += l.sim.sent((l.modems[0], 0)).iter().filter(|f| f.len() == 1514 && f[14..].iter().all(|b| *b == 7)).count();
    }
    let crc = l.line("crc-errors")[0].as_u64().expect("a number");
    let (corrected, _) = (l.line("hec-corrected")[0].as_u64().expect("a number"), 0);
    assert!((100..900).contains(&got) && crc > 100 && corrected > 10, "{got} {crc} {corrected}");
    l.sim.run(Duration::from_secs(1));
    let far = l.sim.show(l.dslam, "lines");
    assert_eq!(far[0]["crc-errors"].as_u64(), Some(crc));
    // Retrained, the line is slower and clean.
    l.command("line line1 retrain");
    assert!(l.showtime());
    let rate = l.line("rate-kbit")[0].as_u64().expect("a number");
    assert!((4000..7500).contains(&rate), "{rate}");
    let before = l.line("crc-errors")[0].clone();
    for _ in 0..200 {
        l.sim.inject((l.dslam, 0), &frame(home(1), BAS, ethertype::PPPOE_SESSION, &[7; 1500]));
        l.sim.run(Duration::from_millis(4));
    }
    assert_eq!(l.line("crc-errors")[0], before);
}

#[test]
fn lost_margin_and_lost_signal_retrain_by_themselves() {
    let mut l = lines(1, "", "");
    assert!(l.showtime());
    l.command("line line1 snr 25");
    let modem = l.modems[0];
    let lost = l.sim.run_until(Duration::from_secs(10), |s| s.show(modem, "line").iter().any(|r| r["down"] == "loss of margin"));
    l.sim.run(Duration::from_millis(120));
    assert!(lost && l.showtime());
    let rate = l.line("rate-kbit")[0].as_u64().expect("a number");
    assert!((1000..4000).contains(&rate), "{rate}");
    l.command("line line1 snr 45");
    // The wire is cut and joined again.
    let (m, d) = (l.modems[0], l.dslam);
    l.sim.unlink((m, 1));
    l.sim.run(Duration::from_secs(3));
    assert_eq!(l.sim.show(d, "lines")[0]["state"], "no signal");
    l.sim.inject((m, 0), &frame(BAS, home(1), ethertype::PPPOE_SESSION, &[0; 100]));
    assert_eq!(l.sim.core(m).dropped(DropReason::LineDown), 1);
    l.sim.link((m, 1), (d, 1), Fault::default());
    assert!(l.showtime());
    assert_eq!(l.line("rate-kbit")[0].as_u64(), Some(8000));
    // So silent that no rate is possible: it says so, and comes back.
    l.command("line line1 snr -20");
    l.command("line line1 retrain");
    l.sim.run(Duration::from_secs(5));
    assert_eq!(l.sim.show(d, "lines")[0]["state"], "training: the noise allows no rate");
    l.command("line line1 snr 45");
    l.command("line line1 retrain");
    assert!(l.showtime());
    l.command("line line1 off");
    l.sim.run(Duration::from_secs(3));
    assert_eq!(l.sim.show(d, "lines")[0]["state"], "off");
    l.command("line line1 on");
    assert!(l.showtime());
}

#[test]
fn subscribers_are_kept_apart_and_named() {
    let mut l = lines(3, "lines = [{ port = \"line2\", remote-id = \"kim\" }]\nstations = 2", "");
    assert!(l.showtime());
    let say = |l: &mut Lines, i: usize, f: &[u8]| {
        l.sim.inject((l.modems[i], 0), f);
        l.sim.run(Duration::from_millis(30));
        l.sim.sent((l.dslam, 0))
    };
    let padi = Discovery::new(code::PADI, 0).tag(tag::SERVICE_NAME, b"").finish();
    let up = say(&mut l, 1, &frame(Mac::BROADCAST, home(2), ethertype::PPPOE_DISCOVERY, &padi));
    let p = Packet::read(&up[0][HEADER_LEN..]).expect("a PADI");
    let line = Tags::find(p.payload, tag::VENDOR).expect("the line's tag");
    assert!(line.windows(18).any(|w| w == b"dslam atm 1/2:0.35") && line.windows(3).any(|w| w == b"kim"));
    assert!((0..3).all(|i| l.sim.sent((l.modems[i], 0)).is_empty()), "a broadcast goes to the uplink alone");
    say(&mut l, 0, &frame(BAS, home(1), ethertype::PPPOE_SESSION, &[0; 50]));
    let drops = |l: &mut Lines, r| l.sim.core(l.dslam).dropped(r);
    say(&mut l, 0, &frame(home(2), home(1), ethertype::IPV4, &[0; 50]));
    assert_eq!(drops(&mut l, DropReason::SubscriberIsolation), 1);
    let pado = Discovery::new(code::PADO, 0).finish();
    say(&mut l, 0, &frame(home(9), home(1), ethertype::PPPOE_DISCOVERY, &pado));
    assert_eq!(drops(&mut l, DropReason::SubscriberIsolation), 2);
    say(&mut l, 2, &frame(BAS, home(1), ethertype::PPPOE_SESSION, &[0; 50]));
    assert_eq!(drops(&mut l, DropReason::MacSpoofed), 1);
    say(&mut l, 0, &frame(BAS, home(5), ethertype::PPPOE_SESSION, &[0; 50]));
    say(&mut l, 0, &frame(BAS, home(6), ethertype::PPPOE_SESSION, &[0; 50]));
    assert_eq!(drops(&mut l, DropReason::MacLimit), 1);
    // From the uplink: to one, to nobody, to all.
    l.sim.inject((l.dslam, 0), &frame(home(1), BAS, ethertype::PPPOE_SESSION, &[1; 50]));
    l.sim.inject((l.dslam, 0), &frame(home(77), BAS, ethertype::PPPOE_SESSION, &[1; 50]));
    l.sim.run(Duration::from_millis(30));
    assert_eq!([0, 1, 2].map(|i| l.sim.sent((l.modems[i], 0)).len()), [1, 0, 0]);
    assert_eq!(drops(&mut l, DropReason::UnknownUnicast), 1);
    l.sim.inject((l.dslam, 0), &frame(Mac::BROADCAST, BAS, ethertype::PPPOE_SESSION, &[1; 50]));
    l.sim.run(Duration::from_millis(30));
    assert_eq!([0, 1, 2].map(|i| l.sim.sent((l.modems[i], 0)).len()), [1, 1, 1]);
    assert!(say(&mut l, 0, &frame(BAS, BAS, ethertype::PPPOE_SESSION, &[1; 50])).is_empty(), "the uplink's station cannot be a subscriber");
}

#[test]
fn wrong_settings_are_told() {
    let c = config("dslam", 8, &[("uplink", None), ("line1", None)]);
    for (text, says) in [
        ("uplink = \"uplnk\"", "did you mean `uplink`?"),
        ("lines = [{ port = \"lin1\" }]", "did you mean `line1`?"),
        ("profile = { vci = 5 }", "reserved"),
        ("profile = { down = \"90mbit\" }", "between"),
    ] {
        let e = Dslam::new(&c, &settings(text)).expect_err(text);
        assert!(format!("{e:#}").contains(says), "{e:#}");
    }
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    for end in 0..2 {
        let mut l = lines(2, "", "");
        assert!(l.showtime());
        let mut cells = vec![0; atm::LABEL_LEN];
        atm::write_label(&mut cells, 16 + end);
        let mut sdu = Vec::new();
        let padi = Discovery::new(code::PADI, 0).tag(tag::SERVICE_NAME, b"").tag(tag::HOST_UNIQ, b"abc").finish();
        wire::rfc2684::encapsulate(&frame(Mac::BROADCAST, home(1), ethertype::PPPOE_DISCOVERY, &padi), true, &mut sdu);
        wire::aal5::segment(atm::Header { vci: 35, ..atm::Header::default() }, &sdu, &mut cells);
        let mut signal = b"ADSL\x01\x02\x00\x00".to_vec();
        signal.resize(60, 9);
        let bases = vec![
            frame(BAS, home(1), ethertype::MPLS, &cells),
            frame(BAS, home(1), 0x88b5, &signal),
            frame(BAS, home(1), ethertype::PPPOE_DISCOVERY, &padi),
            frame(home(1), BAS, ethertype::IPV4, &[1; 200]),
        ];
        let (d, m) = (l.dslam, l.modems[0]);
        if end == 0 { l.sim.mutate(d, 3, &bases, 100_000) } else { l.sim.mutate(m, 2, &bases, 100_000) }
    }
}
