//! Small labs for the collector.

use journey::Collector;
use journey::collect::{Told, What};
use journey::topology::{Link, Node, Port, Topology};
use node::Time;
use wire::Mac;

fn port(name: &str) -> Port {
    Port { name: name.into(), mac: Mac::default(), mtu: 1500, address: None, medium: None, rate: None }
}

pub(crate) fn node(name: &str, role: Option<&str>, ports: &[&str]) -> Node {
    Node { name: name.into(), role: role.map(str::to_owned), ports: ports.iter().map(|p| port(p)).collect() }
}

pub(crate) fn topology(nodes: Vec<Node>, links: &[[&str; 2]]) -> Topology {
    let links = links.iter().map(|e| Link { ends: e.map(str::to_owned), mtu: 1500, medium: None }).collect();
    Topology { lab: "t".into(), nodes, links, ..Topology::default() }
}

pub(crate) fn told(ms: u64, what: What) -> Told {
    Told { at: Time::from_nanos(ms * 1_000_000), what }
}

pub(crate) fn two() -> Collector {
    let mut c = Collector::new(topology(vec![node("a", Some("x"), &["p"]), node("b", Some("x"), &["q"])], &[["a.p", "b.q"]]));
    c.hear(0, Time::ZERO);
    c.hear(1, Time::ZERO);
    c
}
