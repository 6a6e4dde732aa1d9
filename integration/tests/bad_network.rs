//! The whole access network in memory, under a fake clock: home router, modem,
//! DSLAM, LAC and LNS, over lines and links that lose, duplicate and reorder.

use bras_pppoe::Bas;
use dsl::{Dslam, Modem};
use node::sim::{Fault, NodeId, Sim, config, settings};
use router::Router;
use std::time::Duration;

struct Net {
    sim: Sim,
    home: NodeId,
    lns: NodeId,
}

fn net(seed: u64, line: Fault, tunnel: Fault, password: &str) -> Net {
    let mut sim = Sim::new(seed);
    let text = format!("nat = \"wan\"\npppoe = {{ port = \"wan\", user = \"kim@isp.example\", password = \"{password}\" }}");
    let home =
        sim.add(Router::new(&config("home", 4, &[("lan", Some("192.168.0.1/24")), ("wan", None)]), settings(&text)).expect("a router"), 2);
    let modem = sim.add(Modem::new(&config("modem", 5, &[("lan", None), ("line", None)]), &settings("")).expect("a modem"), 2);
    let dslam = sim.add(Dslam::new(&config("dslam", 6, &[("line1", None), ("uplink", None)]), &settings("")).expect("a DSLAM"), 2);
    let text = "access = [\"access\"]\ntunnels = [{ realm = \"isp.example\", lns = [\"10.0.0.2\"], secret = \"s\", hide = true }]";
    let bas = sim.add(Bas::new(&config("bas", 7, &[("access", None), ("lns", Some("10.0.0.1/30"))]), settings(text), 1).expect("a BAS"), 2);
    let text = "lacs = [{ host-name = \"bas\", secret = \"s\", hide = true }]\npool = \"203.0.113.0/28\"\nusers = [{ name = \"kim@isp.example\", password = \"pw\" }]";
    let lns = sim.add(Bas::new(&config("lns", 8, &[("bas", Some("10.0.0.2/30"))]), settings(text), 2).expect("an LNS"), 1);
    sim.link((home, 1), (modem, 0), Fault::default());
    sim.link((modem, 1), (dslam, 0), line);
    sim.link((dslam, 1), (bas, 0), line);
    sim.link((bas, 1), (lns, 0), tunnel);
    Net { sim, home, lns }
}

impl Net {
    /// Both ends say that the session is up.
    fn comes_up(&mut self, limit: Duration) -> bool {
        let (home, lns) = (self.home, self.lns);
        self.sim.run_until(limit, |s| {
            let at_home = s.show(home, "pppoe").iter().any(|r| r.as_object().is_some_and(|o| o.values().any(|v| v == "up")));
            at_home && s.show(lns, "sessions").iter().any(|s| s["phase"] == "up")
        })
    }
}

fn bad() -> Fault {
    Fault { delay: Duration::from_millis(5), jitter: Duration::from_millis(10), loss: 0.2, duplicate: 0.1 }
}

#[test]
fn sessions_come_up_over_bad_lines_and_a_bad_tunnel() {
    for seed in 0..8 {
        let mut n = net(seed, Fault::default(), bad(), "pw");
        assert!(n.comes_up(Duration::from_secs(300)), "tunnel, seed {seed}");
        let mut n = net(seed, bad(), Fault::default(), "pw");
        assert!(n.comes_up(Duration::from_secs(300)), "line, seed {seed}");
        let mut n = net(seed, bad(), bad(), "pw");
        assert!(n.comes_up(Duration::from_secs(600)), "both, seed {seed}");
    }
}

#[test]
fn a_clean_network_takes_little_time() {
    let mut n = net(1, Fault::default(), Fault::default(), "pw");
    assert!(n.comes_up(Duration::from_secs(2)));
    let mut n = net(1, Fault::default(), Fault::default(), "wrong");
    assert!(!n.comes_up(Duration::from_secs(20)));
}
