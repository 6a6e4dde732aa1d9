//! `lab pause`, `step` and `resume`: the lab's clock stands, and packets pass one
//! element at a time. Kernel hosts run on.

use crate::file::{LabFile, parse};
use crate::journey::clock_of;
use crate::plan::RUN;
use crate::show;
use crate::state::Running;
use anyhow::{Context, Result, bail};
use journey::dissect::{dissect, title};
use node::{Request, Time};
use port::time::ClockState;
use serde_json::Value;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// From the order to the time at which all clocks stand: roles hear of it before.
const AHEAD: Duration = Duration::from_millis(30);
/// How long roles may take to stand.
const STAND: Duration = Duration::from_secs(3);

/// Nodes that have a role, the cable's process among them if it runs.
fn roles(r: &Running, f: &LabFile) -> Vec<String> {
    let mut v: Vec<String> = f.nodes.iter().filter(|(_, n)| !n.is_host()).map(|(n, _)| n.to_owned()).collect();
    if r.path(&format!("{RUN}/nodes/{}/control.sock", journey::topology::CABLE)).exists() {
        v.push(journey::topology::CABLE.to_owned());
    }
    v
}

fn one(r: &Running, node: &str, q: &Request) -> Result<Value> {
    show::ask(r, node, q)?.pop().with_context(|| format!("`{node}` said nothing"))
}

/// Tells every role how the clock goes; a role that is down hears of it when it starts.
fn tell(r: &Running, nodes: &[String], c: ClockState) -> Result<Vec<String>> {
    std::fs::write(r.path(&format!("{RUN}/clock.json")), serde_json::to_vec(&c)?).context("noting the lab's clock")?;
    Ok(nodes.iter().filter(|n| one(r, n, &Request::Clock(c)).is_ok()).cloned().collect())
}

/// What waits at a node.
struct Held {
    node: String,
    waiting: u64,
    oldest: Option<u64>,
    next: Option<Time>,
    stands: bool,
}

fn held(r: &Running, node: &str) -> Option<Held> {
    let v = one(r, node, &Request::Held).ok()?;
    let time = |k: &str| v[k].as_u64().map(Time::from_nanos);
    let next = [time("deadline"), time("sleeper")].into_iter().flatten().min();
    Some(Held {
        node: node.to_owned(),
        waiting: v["waiting"].as_u64()?,
        oldest: v["oldest"].as_u64(),
        next,
        stands: v["stands"].as_bool()?,
    })
}

/// Open TCP connections of the lab's kernel hosts, whose time goes on.
fn open_connections(r: &Running, f: &LabFile) -> Vec<(String, usize)> {
    let hosts = f.nodes.iter().filter(|(_, n)| n.is_host()).map(|(n, _)| n.to_owned());
    hosts
        .filter_map(|n| {
            let mut c = Command::new(std::env::current_exe().ok()?);
            c.args(["-l", &r.name, "exec", &n, "ss", "-Htn"]).stdin(Stdio::null()).stderr(Stdio::null());
            let out = c.output().ok()?;
            Some((n, String::from_utf8_lossy(&out.stdout).lines().count()))
        })
        .filter(|(_, n)| *n > 0)
        .collect()
}

/// Stops the clock. Returns what a person should know, a line each.
pub(crate) fn stop(r: &Running) -> Result<Vec<String>> {
    let f = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let now = clock_of(r);
    if now.limit.is_some() {
        return Ok(vec![format!("{} is paused already", r.name)]);
    }
    let nodes = roles(r, &f);
    let c = ClockState { limit: Some(now.now() + AHEAD), ..now };
    let heard = tell(r, &nodes, c)?;
    let end = Instant::now() + STAND;
    while !heard.iter().all(|n| held(r, n).is_none_or(|h| h.stands)) {
        if Instant::now() > end {
            bail!("some roles do not stand after {} s; mend it with: lab resume", STAND.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said =
        vec![format!("{} is paused: {} roles stand, each holds up to 1000 frames and its TAPs' queues more", r.name, heard.len())];
    for (n, k) in open_connections(r, &f) {
        said.push(format!("{n} runs on, with {k} open connection(s): what it sends again meanwhile, the pause has caused"));
    }
    Ok(said)
}

/// Lets one element work. Returns what happened.
pub(crate) fn step_once(r: &Running) -> Result<String> {
    let f = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let c = clock_of(r);
    if c.limit.is_none() {
        bail!("`{}` is not paused; pause it with: lab pause", r.name);
    }
    let nodes = roles(r, &f);
    let all: Vec<Held> = nodes.iter().filter_map(|n| held(r, n)).collect();
    if let Some(h) = all.iter().filter(|h| h.waiting > 0).min_by_key(|h| h.oldest) {
        return passed(r, &h.node);
    }
    // Nothing waits anywhere: the next thing that time brings.
    let Some(h) = all.iter().filter(|h| h.next.is_some()).min_by_key(|h| h.next) else {
        return Ok("nothing waits, and nothing is due".into());
    };
    let to = h.next.unwrap_or_default().max(c.now());
    let gone = to.since(c.now());
    let on = ClockState { limit: Some(to), ..c };
    tell(r, &nodes, on)?;
    // Shortly after the pause that time has yet to come.
    while !on.stands() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let what = passed(r, &h.node)?;
    Ok(if gone.is_zero() { what } else { format!("{:.3} ms pass; {what}", gone.as_secs_f64() * 1e3) })
}

fn passed(r: &Running, node: &str) -> Result<String> {
    let v = one(r, node, &Request::Step)?;
    let sent = v["sent"].as_u64().unwrap_or(0);
    let p = &v["passed"];
    let out = format!("{sent} frame(s) go out");
    Ok(match (p["frame"].as_str(), p["woken"].as_bool(), p["deadline"].as_bool()) {
        (Some(hex), ..) => {
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).filter_map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()).collect();
            let (protocol, text) = title(&dissect(&bytes));
            format!("{node}.{}: {protocol} {text}, {} bytes: {out}", p["port"].as_str().unwrap_or("?"), bytes.len())
        }
        (_, Some(_), _) => format!("{node}: its application has written: {out}"),
        (.., Some(_)) => format!("{node}: a timer is due: {out}"),
        _ => format!("{node}: a task is woken"),
    })
}

/// Lets the clock run on.
pub(crate) fn go(r: &Running) -> Result<String> {
    let f = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let c = clock_of(r);
    if c.limit.is_none() {
        return Ok(format!("{} is not paused", r.name));
    }
    let c = c.resumed();
    tell(r, &roles(r, &f), c)?;
    Ok(format!("{} goes on; it has stood for {:.3} s in all", r.name, c.paused as f64 / 1e9))
}

/// `lab pause`.
pub(crate) fn pause(r: &Running) -> Result<ExitCode> {
    stop(r)?.iter().for_each(|l| println!("{l}"));
    Ok(ExitCode::SUCCESS)
}

/// `lab step`.
pub(crate) fn step(r: &Running, n: u32) -> Result<ExitCode> {
    for _ in 0..n {
        println!("{}", step_once(r)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// `lab resume`.
pub(crate) fn resume(r: &Running) -> Result<ExitCode> {
    println!("{}", go(r)?);
    Ok(ExitCode::SUCCESS)
}

/// A line for `lab status`, if the lab is paused.
pub(crate) fn noted(r: &Running) -> Option<String> {
    clock_of(r).limit.map(|_| "  paused: its clock stands (lab step, lab resume)".to_owned())
}

/// Every host that a journey can begin at.
pub(crate) fn askers(f: &LabFile) -> Vec<String> {
    let is = |n: &crate::file::Node| n.is_host() || n.role.as_ref().is_some_and(|r| r.get_ref() == "client");
    let mut v: Vec<(bool, String)> = f.nodes.iter().filter(|(_, n)| is(n)).map(|(k, n)| (n.is_host(), k.to_owned())).collect();
    v.sort();
    v.into_iter().map(|(_, n)| n).collect()
}
