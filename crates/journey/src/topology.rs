//! The lab as the collector knows it: nodes, their ports, and what joins them.

use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use wire::Mac;
use wire::line::Medium;

/// A port: its node's place in [`Topology::nodes`], and its own in the node.
pub type PortAt = (u16, u8);

/// The name of the lab's own process that carries links with impairment or a medium.
pub const CABLE: &str = "cable";

/// A port of a node.
#[derive(Clone, Debug, Serialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: Mac,
    /// Its link's MTU.
    pub mtu: u16,
    /// Its address with its prefix, where the lab file gives one.
    pub address: Option<String>,
    /// What its link is, if frames cross it as a signal.
    pub medium: Option<Medium>,
    /// Bits a second that its link carries, if that is limited.
    pub rate: Option<u64>,
}

/// A node.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its role; none for a kernel host.
    pub role: Option<String>,
    /// Its ports in the order of their numbers.
    pub ports: Vec<Port>,
}

impl Node {
    /// The kernel's own stack works here: no records come.
    pub fn is_host(&self) -> bool {
        self.role.is_none()
    }
}

/// A link of the lab file.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// `node.port`, twice.
    pub ends: [String; 2],
    /// Bytes of a packet.
    pub mtu: u16,
    /// What frames cross as a signal.
    pub medium: Option<Medium>,
}

/// A lab.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Topology {
    /// Its name.
    pub lab: String,
    /// Its nodes in the lab file's order; the cable is the last.
    pub nodes: Vec<Node>,
    /// Its links in the lab file's order.
    pub links: Vec<Link>,
    /// Names of addresses.
    pub names: BTreeMap<Ipv4Addr, Vec<String>>,
}

impl Topology {
    /// The node called `name`.
    pub fn node(&self, name: &str) -> Option<u16> {
        self.nodes.iter().position(|n| n.name == name).and_then(|i| u16::try_from(i).ok())
    }

    /// The port `node.port`.
    pub fn port(&self, end: &str) -> Option<PortAt> {
        let (n, p) = end.split_once('.')?;
        let node = self.node(n)?;
        let i = self.nodes[usize::from(node)].ports.iter().position(|q| q.name == p)?;
        Some((node, u8::try_from(i).ok()?))
    }

    /// What is known of a port.
    pub fn at(&self, (node, port): PortAt) -> Option<&Port> {
        self.nodes.get(usize::from(node))?.ports.get(usize::from(port))
    }

    /// A node's name.
    pub fn name(&self, node: u16) -> &str {
        self.nodes.get(usize::from(node)).map_or("?", |n| &n.name)
    }

    /// A port's name, as `node.port`.
    pub fn full(&self, at: PortAt) -> String {
        format!("{}.{}", self.name(at.0), self.at(at).map_or("?", |p| &p.name))
    }

    /// The node is the cable.
    pub fn is_cable(&self, node: u16) -> bool {
        self.name(node) == CABLE
    }

    /// Notes a port that a node has, or has got since.
    pub fn add_port(&mut self, (node, port): PortAt, name: &str) {
        let link = cable_port(name)
            .and_then(|(i, side)| Some((self.links.get(i)?, side)))
            .map(|(l, side)| (l.ends[side].clone(), l.mtu, l.medium));
        let Some(n) = self.nodes.get_mut(usize::from(node)) else { return };
        let i = usize::from(port);
        while n.ports.len() <= i {
            n.ports.push(Port { name: String::new(), mac: Mac::default(), mtu: 1500, address: None, medium: None, rate: None });
        }
        n.ports[i].name = name.to_owned();
        if let Some((_, mtu, medium)) = link {
            (n.ports[i].mtu, n.ports[i].medium) = (mtu, medium);
        }
    }

    /// What each port is joined to, as things are: a link that the cable carries is two.
    pub fn wires(&self) -> HashMap<PortAt, PortAt> {
        let mut wires = HashMap::new();
        let cable = self.node(CABLE);
        for (i, l) in self.links.iter().enumerate() {
            let [Some(a), Some(b)] = [0, 1].map(|e| self.port(&l.ends[e])) else { continue };
            let carried = |side: &str| {
                let c = cable?;
                let p = self.nodes[usize::from(c)].ports.iter().position(|p| p.name == format!("c{i}{side}"))?;
                Some((c, u8::try_from(p).ok()?))
            };
            let mut join = |x: PortAt, y: PortAt| {
                wires.insert(x, y);
                wires.insert(y, x);
            };
            match (carried("a"), carried("b")) {
                (Some(x), Some(y)) => {
                    join(a, x);
                    join(b, y);
                }
                _ => join(a, b),
            }
        }
        wires
    }

    /// The lab file's link at a port; for one of the cable's, the link that it carries.
    pub fn link_of(&self, at: PortAt) -> Option<&Link> {
        if self.is_cable(at.0) {
            return self.links.get(cable_port(&self.at(at)?.name)?.0);
        }
        let full = self.full(at);
        self.links.iter().find(|l| l.ends.contains(&full))
    }

    /// The first name of an address.
    pub fn name_of(&self, a: Ipv4Addr) -> Option<&str> {
        self.names.get(&a).and_then(|v| v.first()).map(String::as_str)
    }
}

/// The link and the side of a port of the cable's: `c3a` is link 3's first end.
fn cable_port(name: &str) -> Option<(usize, usize)> {
    let rest = name.strip_prefix('c')?;
    let side = match rest.chars().last()? {
        'a' => 0,
        'b' => 1,
        _ => return None,
    };
    Some((rest[..rest.len() - 1].parse().ok()?, side))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str) -> Port {
        Port { name: name.into(), mac: Mac::default(), mtu: 1500, address: None, medium: None, rate: None }
    }

    #[test]
    fn a_link_that_the_cable_takes_over_is_two_wires() {
        let node =
            |name: &str, ports: &[&str]| Node { name: name.into(), role: Some("x".into()), ports: ports.iter().map(|p| port(p)).collect() };
        let link = |a: &str, b: &str| Link { ends: [a.into(), b.into()], mtu: 1500, medium: None };
        let mut t = Topology {
            nodes: vec![node("a", &["x"]), node("b", &["y", "z"]), node("c", &["w"]), node(CABLE, &[])],
            links: vec![link("a.x", "b.y"), link("b.z", "c.w")],
            ..Topology::default()
        };
        assert_eq!(t.wires()[&(0, 0)], (1, 0));
        t.add_port((3, 0), "c0a");
        t.add_port((3, 1), "c0b");
        let w = t.wires();
        assert_eq!((w[&(0, 0)], w[&(1, 0)], w[&(1, 1)]), ((3, 0), (3, 1), (2, 0)));
        assert_eq!(t.link_of((3, 1)).map(|l| l.ends[0].as_str()), Some("a.x"));
        assert_eq!((t.full((3, 1)), t.port("b.z"), t.port("b.q")), ("cable.c0b".into(), Some((1, 1)), None));
    }
}
