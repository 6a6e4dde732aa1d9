//! Putting the cable's process into a clean link of a running lab.
//!
//! ```text
//! a.x ══════════ b.y        one veth pair; b's end moves to the cable's namespace,
//! a.x ══ cable ══ b.y       and b gets a new pair: a, perhaps a kernel host, notices nothing
//! ```

use crate::file::{Link, Node, parse};
use crate::holder::batch;
use crate::plan::{PlannedPort, RUN, cable_port, cable_settings, plan, redirect, tap};
use crate::validate::{CABLE, split_end};
use anyhow::{Context, Result, bail};
use node::Request;
use node::config::NodeConfig;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What was spliced.
pub(crate) struct Spliced {
    ports: [PlannedPort; 2],
    ends: [String; 2],
    mtu: u16,
    seed: usize,
}

fn config_path() -> PathBuf {
    PathBuf::from(format!("{RUN}/nodes/{CABLE}/node.json"))
}

/// Splices the link that ends at `end`; `None` if the cable is in it already.
pub(crate) fn splice(end: &str) -> Result<Option<Spliced>> {
    let text = fs::read_to_string(format!("{RUN}/lab.toml"))?;
    let f = parse(&text).map_err(|e| anyhow::anyhow!("{e}"))?;
    let (i, l) = f.links.iter().enumerate().find(|(_, l)| l.ends.iter().any(|e| e.get_ref() == end)).context("no such link")?;
    let old: Option<NodeConfig> = fs::read(config_path()).ok().and_then(|t| serde_json::from_slice(&t).ok());
    let number = old.as_ref().map_or(0, |c| c.ports.len());
    if old.as_ref().is_some_and(|c| c.ports.iter().any(|p| p.peer == end)) {
        return Ok(None);
    }
    if number + 2 > 256 {
        bail!("the cable carries 128 links at most");
    }
    let ports = [cable_port(i, "a", l, 0, number), cable_port(i, "b", l, 1, number + 1)];
    let p = plan(&f);
    // The end that stays as it is: a kernel host's, if there is one.
    let is_host = |e: usize| split_end(l.ends[e].get_ref()).and_then(|(n, _)| f.nodes.get(n)).is_some_and(Node::is_host);
    let (stays, moves) = if is_host(1) { (1, 0) } else { (0, 1) };
    let (node, port) = split_end(l.ends[moves].get_ref()).context("a port")?;
    let planned = p.nodes.iter().find(|n| n.name == node).and_then(|n| n.ports.iter().find(|q| q.config.name == port));
    let veth = &planned.context("a planned port")?.veth;
    let mtu = *l.mtu.get_ref();
    if !Path::new(&format!("/run/netns/{CABLE}")).exists() {
        batch("ip", None, &format!("netns add {CABLE}\n"))?;
    }
    let (theirs, ours) = (&ports[stays].veth, &ports[moves].veth);
    batch("ip", Some(node), &format!("link set dev {veth} down\nlink set dev {veth} name {theirs} netns {CABLE}\n"))?;
    batch("ip", None, &format!("link add name {veth} netns {node} mtu {mtu} type veth peer name {ours} netns {CABLE} mtu {mtu}\n"))?;
    batch("ip", Some(node), &format!("link set dev {veth} addrgenmode none up\n"))?;
    // The old filter led to the device that has moved.
    let mut tc = format!("filter del dev {port} ingress prio 1\nqdisc add dev {veth} clsact\n");
    redirect(&mut tc, port, veth);
    redirect(&mut tc, veth, port);
    batch("tc", Some(node), &tc)?;
    let (mut ip, mut tc) = (String::new(), String::new());
    for q in &ports {
        tap(q, &mut ip, &mut tc);
    }
    batch("ip", Some(CABLE), &ip)?;
    batch("tc", Some(CABLE), &tc)?;
    note(i, l, &ports, old, &f.domain)?;
    let ends = [0, 1].map(|e| l.ends[e].get_ref().clone());
    Ok(Some(Spliced { ports, ends, mtu, seed: l.seed.map_or(i + 1, |s| s as usize) }))
}

/// Writes the link into what the cable reads when it starts.
fn note(i: usize, l: &Link, ports: &[PlannedPort; 2], old: Option<NodeConfig>, domain: &str) -> Result<()> {
    let dir = PathBuf::from(format!("{RUN}/nodes/{CABLE}"));
    for d in ["etc", "state"] {
        fs::create_dir_all(dir.join(d))?;
    }
    let lab = dir.join("lab.toml");
    let mut text = fs::read_to_string(&lab).unwrap_or_else(|_| format!("[nodes.{CABLE}]\n"));
    let _ = write!(text, "{}", cable_settings(i, l));
    fs::write(&lab, text)?;
    let mut config = old.unwrap_or_else(|| NodeConfig {
        node: CABLE.to_owned(),
        domain: domain.to_owned(),
        lab,
        control: dir.join("control.sock"),
        state: dir.join("state"),
        files: PathBuf::from(format!("{RUN}/files")),
        ports: Vec::new(),
        hosts: Vec::new(),
    });
    config.ports.extend(ports.iter().map(|q| q.config.clone()));
    fs::write(config_path(), serde_json::to_vec(&config)?)?;
    Ok(())
}

/// Tells the running cable of its new ports.
pub(crate) fn tell(s: &Spliced) -> Result<()> {
    let mut c = UnixStream::connect(format!("{RUN}/nodes/{CABLE}/control.sock")).context("the cable does not answer")?;
    let [a, b] = &s.ports;
    let words = ["attach", &a.config.name, &b.config.name, &s.ends[0], &s.ends[1], &s.mtu.to_string(), &s.seed.to_string()];
    let q = Request::Command(words.iter().map(|w| (*w).to_owned()).collect());
    writeln!(c, "{}", serde_json::to_string(&q)?)?;
    let mut line = String::new();
    BufReader::new(c).read_line(&mut line)?;
    let v: serde_json::Value = serde_json::from_str(&line)?;
    match v["error"].as_str() {
        Some(e) => bail!("the cable: {e}"),
        None => Ok(()),
    }
}
