//! The lab file as the collector knows a lab.

use crate::file::LabFile;
use crate::plan::{Plan, plan};
use crate::validate::CABLE;
use journey::topology::{Link, Node, Port, Topology};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A lab's topology.
pub(crate) fn topology(name: &str, f: &LabFile) -> Topology {
    let p = plan(f);
    let mut t = Topology { lab: name.to_owned(), names: names(f, &p), ..Topology::default() };
    for l in &f.links {
        let ends = [0, 1].map(|e| l.ends[e].get_ref().clone());
        t.links.push(Link { ends, mtu: *l.mtu.get_ref(), medium: l.medium });
    }
    for n in &p.nodes {
        let ports = n.ports.iter().map(|q| {
            let full = format!("{}.{}", n.name, q.config.name);
            let link = f.links.iter().find(|l| l.ends.iter().any(|e| *e.get_ref() == full || *e.get_ref() == q.config.peer));
            Port {
                name: q.config.name.clone(),
                mac: q.config.mac,
                mtu: q.config.mtu,
                address: q.config.address.map(|a| a.to_string()),
                medium: link.and_then(|l| l.medium),
                rate: link.and_then(|l| l.rate.map(|r| r.0).or(l.medium.map(wire::line::Medium::rate))),
            }
        });
        t.nodes.push(Node { name: n.name.clone(), role: n.role.clone(), ports: ports.collect() });
    }
    if t.node(CABLE).is_none() {
        // Links may be given to it while the lab runs.
        t.nodes.push(Node { name: CABLE.to_owned(), role: Some(CABLE.to_owned()), ports: Vec::new() });
    }
    t
}

/// Names of addresses: what name servers of the lab tell, then the nodes' own.
fn names(f: &LabFile, p: &Plan) -> BTreeMap<Ipv4Addr, Vec<String>> {
    let mut all: BTreeMap<Ipv4Addr, Vec<String>> = BTreeMap::new();
    let mut add = |a: Ipv4Addr, name: String| {
        let list = all.entry(a).or_default();
        if !list.contains(&name) {
            list.push(name);
        }
    };
    for (_, n) in f.nodes.iter() {
        let records = n._settings.as_ref().and_then(|s| s.get("records")).and_then(toml::Value::as_table);
        for (name, list) in records.into_iter().flatten() {
            let addresses = list.as_array().into_iter().flatten().filter_map(|a| a.as_str()?.parse().ok());
            addresses.for_each(|a| add(a, name.clone()));
        }
    }
    for h in &p.hosts {
        add(h.addr, format!("{}.{}", h.node, f.domain));
    }
    all
}
