//! Fuzz target of a tunnel's end: ten seconds in `cargo test`, longer by hand with
//! `cargo bolero test -p l2tp endpoint`.

use l2tp::{Config, Endpoint, Peer, PeerConfig, Secrecy};
use node::Time;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;

#[test]
fn endpoint() {
    bolero::check!().with_test_time(Duration::from_secs(10)).for_each(|b: &[u8]| {
        let any = PeerConfig { name: "*".into(), secret: Some(b"s".to_vec()), secrecy: Secrecy::Hidden, sequencing: false };
        let config = Config {
            host_name: "lns".into(),
            hello: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            peers: vec![any],
            max_tunnels: 4,
            max_sessions: 4,
        };
        let mut e = Endpoint::new(config, StdRng::seed_from_u64(1));
        let from = Peer { addr: [10, 0, 0, 1].into(), port: 1701 };
        let mut now = Time::from_nanos(1);
        for part in b.chunks(60) {
            // Half of the messages claim to be control messages of a tunnel that is there.
            let mut m = part.to_vec();
            if m.len() > 12 && m[0] & 1 == 1 {
                let id = e.tunnels().next().map_or(0, |t| t.ids.0);
                m[..2].copy_from_slice(&[0xc8, 2]);
                let len = m.len() as u16;
                m[2..4].copy_from_slice(&len.to_be_bytes());
                m[4..6].copy_from_slice(&id.to_be_bytes());
            }
            e.input(now, from, &m);
            now = now + Duration::from_secs(2);
            e.poll(now);
            e.take_output();
            while e.take_event().is_some() {}
        }
    });
}
