//! What a frame costs an element, without IO: nanoseconds a frame of each, the best
//! of some turns. `benches/trace.rs` runs it built with the trace and without.

use node::{Burst, Core, Driver, Element, Event, PortId, PortStats, Time, sim};
use rand::SeedableRng;
use std::time::Instant;
use wire::ipv4::protocol;
use wire::{Mac, craft};

const BURSTS: usize = 4000;
const TURNS: usize = 6;

/// Nanoseconds a frame of `frame`, which arrives at port 0 in full bursts.
fn cost<E: Element>(element: E, warm: &[(u8, Vec<u8>)], frame: &[u8]) -> f64 {
    let mut core = Core::new(1024, rand::rngs::StdRng::seed_from_u64(1));
    core.ports = vec![PortStats::default(); 2];
    let mut d = Driver::new(element, core);
    let now = Time::from_nanos(1_000_000_000);
    d.poll(now, Event::Start);
    let mut burst = Burst::new();
    let mut give = |d: &mut Driver<E>, port: u8, f: &[u8], n: usize| {
        for _ in 0..n {
            let read = |b: &mut [u8]| {
                b[..f.len()].copy_from_slice(f);
                Ok(f.len())
            };
            let Ok(f) = d.core.pool.read_with(1514, now, read) else { continue };
            d.core.arrived(&f, PortId(port));
            burst.push(f);
        }
        d.input(now, PortId(port), &mut burst);
        d.core.flush(now, |_, _| Ok(()));
    };
    for (port, f) in warm {
        give(&mut d, *port, f, 1);
    }
    let before = d.core.ports[1].tx;
    let mut best = f64::MAX;
    for _ in 0..TURNS {
        let start = Instant::now();
        for _ in 0..BURSTS {
            give(&mut d, 0, frame, port::BURST);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / (BURSTS * port::BURST) as f64);
    }
    assert_eq!(d.core.ports[1].tx - before, (TURNS * BURSTS * port::BURST) as u64, "every frame goes on");
    best
}

fn main() {
    let (a, b) = (Mac::of_lab(9, 0), Mac::of_lab(9, 1));
    let own = Mac::of_lab(1, 0);
    let (src, dst) = ([10, 0, 0, 2].into(), [10, 0, 1, 2].into());
    let p = craft::packet(protocol::UDP, src, dst, &craft::udp(1000, 80, &[7; 400]));
    let config = sim::config("r", 1, &[("l", Some("10.0.0.1/24")), ("r", Some("10.0.1.1/24"))]);
    let neighbours = [
        (0, craft::arp(1, (a, src), (Mac::default(), [10, 0, 0, 1].into()), Mac::BROADCAST)),
        (1, craft::arp(1, (b, dst), (Mac::default(), [10, 0, 1, 1].into()), Mac::BROADCAST)),
    ];
    let stations = [(1, craft::ethernet(a, b, &p)), (0, craft::ethernet(b, a, &p))];
    let switch = switch::Switch::new(sim::settings(""), vec!["l".into(), "r".into()]);
    println!("switch {:.3}", cost(switch, &stations, &craft::ethernet(b, a, &p)));
    let router = router::Router::new(&config, sim::settings("")).expect("a router");
    println!("router {:.3}", cost(router, &neighbours, &craft::ethernet(own, a, &p)));
    let rules = "outside = [\"l\"]\ninside = [\"r\"]\nrules = [{ name = \"all\", action = \"allow\" }]";
    let firewall = firewall::Firewall::new(&config, sim::settings(rules)).expect("a firewall");
    println!("firewall {:.3}", cost(firewall, &neighbours, &craft::ethernet(own, a, &p)));
}
