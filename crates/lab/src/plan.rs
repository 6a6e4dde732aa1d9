//! From a lab file to what `ip` and `tc` are told, and to each node's node.json.

use crate::file::{LabFile, Link};
use crate::validate::{CABLE, split_end};
use anyhow::Result;
use node::config::{HostName, NodeConfig, PortConfig};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wire::Mac;

/// Where everything of a lab is, in its own mount namespace.
pub(crate) const RUN: &str = "/run/lab";

/// One port of a node.
#[derive(Clone, Debug)]
pub(crate) struct PlannedPort {
    pub(crate) config: PortConfig,
    /// The cable's end in the node's namespace.
    pub(crate) veth: String,
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct PlannedNode {
    pub(crate) name: String,
    /// The program; `None` for a kernel host.
    pub(crate) role: Option<String>,
    pub(crate) ports: Vec<PlannedPort>,
}

/// The whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<PlannedNode>,
    /// One batch that makes namespaces and cables.
    pub(crate) links: String,
    /// A batch a namespace, for `ip -n`.
    pub(crate) ip: Vec<(String, String)>,
    /// A batch a namespace, for `tc -n`.
    pub(crate) tc: Vec<(String, String)>,
    /// Kernel hosts' interfaces, which must sum and cut their own packets.
    pub(crate) plain: Vec<(String, String)>,
    /// Settings of the cable role, if there is an impaired link.
    pub(crate) cable: Option<String>,
    pub(crate) hosts: Vec<HostName>,
}

/// Works a lab out.
pub(crate) fn plan(f: &LabFile) -> Plan {
    let mut p = Plan::default();
    for (i, (name, n)) in f.nodes.iter().enumerate() {
        let mut ports: Vec<PlannedPort> = Vec::new();
        for l in &f.links {
            for (mine, other) in [(0, 1), (1, 0)] {
                let Some((node, port)) = split_end(l.ends[mine].get_ref()) else { continue };
                if node != name {
                    continue;
                }
                let address = n.ports.get(port).and_then(|p| p.address.as_ref()).map(|a| *a.get_ref());
                let mac = Mac::of_lab(i as u16 + 1, ports.len() as u8);
                let peer = l.ends[other].get_ref().clone();
                let veth = if n.is_host() { port.to_owned() } else { format!("{port}-x") };
                ports.push(PlannedPort { config: PortConfig { name: port.to_owned(), mac, mtu: *l.mtu.get_ref(), address, peer }, veth });
            }
        }
        for port in &ports {
            if let Some(a) = port.config.address {
                p.hosts.push(HostName { node: name.to_owned(), port: port.config.name.clone(), addr: a.addr });
            }
        }
        p.nodes.push(PlannedNode { name: name.to_owned(), role: n.role.as_ref().map(|r| r.get_ref().clone()), ports });
    }
    cables(f, &mut p);
    for n in &p.nodes {
        let _ = writeln!(p.links, "netns add {}", n.name);
    }
    // Namespaces come first.
    let namespaces = p.links.lines().filter(|l| l.starts_with("netns")).map(|l| format!("{l}\n")).collect::<String>();
    let rest = p.links.lines().filter(|l| !l.starts_with("netns")).map(|l| format!("{l}\n")).collect::<String>();
    p.links = namespaces + &rest;
    for n in p.nodes.clone() {
        inside(f, &mut p, &n);
    }
    p
}

/// Veth pairs; an impaired link is two, with the cable's process between.
fn cables(f: &LabFile, p: &mut Plan) {
    let mut settings = String::new();
    let mut ports = Vec::new();
    for (i, l) in f.links.iter().enumerate() {
        let [a, b] = [0, 1].map(|e| {
            let (node, port) = split_end(l.ends[e].get_ref()).unwrap_or_default();
            let planned = p.nodes.iter().find(|n| n.name == node).and_then(|n| n.ports.iter().find(|q| q.config.name == port));
            (node.to_owned(), planned.map(|q| q.veth.clone()).unwrap_or_default())
        });
        let mtu = l.mtu.get_ref();
        // Between two kernel hosts nothing could be spliced in later.
        let hosts = [&a.0, &b.0].into_iter().all(|n| f.nodes.get(n).is_some_and(crate::file::Node::is_host));
        if l.is_clean() && !hosts {
            let _ = writeln!(p.links, "link add name {} netns {} mtu {mtu} type veth peer name {} netns {} mtu {mtu}", a.1, a.0, b.1, b.0);
            continue;
        }
        settings += &cable_settings(i, l);
        for (side, end, full) in [("a", &a, 0), ("b", &b, 1)] {
            let port = cable_port(i, side, l, full, ports.len());
            let veth = &port.veth;
            let _ =
                writeln!(p.links, "link add name {} netns {} mtu {mtu} type veth peer name {veth} netns {CABLE} mtu {mtu}", end.1, end.0);
            ports.push(port);
        }
    }
    if !ports.is_empty() {
        p.cable = Some(format!("[nodes.{CABLE}]\n{settings}"));
        p.nodes.push(PlannedNode { name: CABLE.to_owned(), role: Some(CABLE.to_owned()), ports });
    }
}

/// A link as the cable's process reads of it.
pub(crate) fn cable_settings(i: usize, l: &Link) -> String {
    let seed = l.seed.map_or(i as u64 + 1, u64::from);
    let medium = l.medium.map_or(String::new(), |m| format!("medium = {:?}\n", m.name()));
    format!(
        "[[nodes.{CABLE}.settings.links]]\nends = [{:?}, {:?}]\nseed = {seed}\n{medium}directions = [{}, {}]\n",
        l.ends[0].get_ref(),
        l.ends[1].get_ref(),
        l.direction(true).to_toml(),
        l.direction(false).to_toml()
    )
}

/// One of the cable's two ports for link `i`; `side` is `a` for its first end.
pub(crate) fn cable_port(i: usize, side: &str, l: &Link, end: usize, number: usize) -> PlannedPort {
    let name = format!("c{i}{side}");
    let veth = format!("{name}-x");
    let mac = Mac::of_lab(0, number as u8);
    let config = PortConfig { name, mac, mtu: *l.mtu.get_ref(), address: None, peer: l.ends[end].get_ref().clone() };
    PlannedPort { config, veth }
}

/// A batch for `tc` that hands all frames of one device to another.
pub(crate) fn redirect(tc: &mut String, from: &str, to: &str) {
    // Classic BPF that matches all: u32 loses frames of 14 to 17 bytes.
    let _ = writeln!(
        tc,
        "filter add dev {from} ingress protocol all prio 1 bpf bytecode '1,6 0 0 4294967295' flowid :1 action mirred egress redirect dev {to}"
    );
}

/// Batches for `ip` and `tc` that make a role's port: a TAP joined to its veth.
pub(crate) fn tap(q: &PlannedPort, ip: &mut String, tc: &mut String) {
    let PortConfig { name, mac, mtu, .. } = &q.config;
    let veth = &q.veth;
    let _ = writeln!(ip, "tuntap add dev {name} mode tap");
    let _ = writeln!(ip, "link set dev {name} addrgenmode none address {mac} mtu {mtu} up");
    let _ = writeln!(ip, "link set dev {veth} addrgenmode none up");
    for (from, to) in [(name, veth), (veth, name)] {
        let _ = writeln!(tc, "qdisc add dev {from} clsact");
        redirect(tc, from, to);
    }
}

fn inside(f: &LabFile, p: &mut Plan, n: &PlannedNode) {
    let (mut ip, mut tc) = (String::new(), String::new());
    for q in &n.ports {
        let PortConfig { mac, address, .. } = &q.config;
        let veth = &q.veth;
        if n.role.is_none() {
            let _ = writeln!(ip, "link set dev {veth} addrgenmode none address {mac} up");
            if let Some(a) = address {
                let _ = writeln!(ip, "addr add {a} brd + dev {veth}");
            }
            p.plain.push((n.name.clone(), veth.clone()));
            continue;
        }
        tap(q, &mut ip, &mut tc);
    }
    if n.role.is_none() {
        let _ = writeln!(ip, "link set dev lo up");
        if let Some(g) = f.nodes.get(&n.name).and_then(|x| x.gateway.as_ref()) {
            let _ = writeln!(ip, "route add default via {}", g.get_ref());
        }
    }
    p.ip.push((n.name.clone(), ip));
    if !tc.is_empty() {
        p.tc.push((n.name.clone(), tc));
    }
}

/// What a role is told of its node; `run` is the lab's folder as the role sees it.
pub(crate) fn node_config(f: &LabFile, p: &Plan, n: &PlannedNode, lab: PathBuf, run: &Path, files: PathBuf) -> NodeConfig {
    let state = run.join("nodes").join(&n.name);
    NodeConfig {
        node: n.name.clone(),
        domain: f.domain.clone(),
        lab,
        control: state.join("control.sock"),
        state,
        files,
        ports: n.ports.iter().map(|q| q.config.clone()).collect(),
        hosts: p.hosts.clone(),
    }
}

/// `lab plan`.
pub(crate) fn print(files: &Path, which: &str) -> Result<ExitCode> {
    let lab = crate::file::load(files, which)?;
    let p = plan(&lab.file);
    crate::rolecheck::check(&lab, &p, &crate::machine::bin_dir()?)?;
    println!("# ip -batch -\n{}", p.links);
    for (ns, batch) in &p.ip {
        println!("# ip -n {ns} -batch -\n{batch}");
    }
    for (ns, batch) in &p.tc {
        println!("# tc -n {ns} -batch -\n{batch}");
    }
    for (ns, dev) in &p.plain {
        println!("# ip netns exec {ns} ethtool -K {dev} tx off");
    }
    Ok(ExitCode::SUCCESS)
}
