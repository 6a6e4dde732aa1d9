//! Which labs are up. A lab's lock is held by its holder: when the holder is
//! gone, so is the lock, and what its state file says is ignored.

use crate::holder::{Ask, Process};
use crate::machine;
use crate::plan::RUN;
use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// A lab that is up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) name: String,
    /// The holder's pid, as seen from outside.
    pub(crate) holder: i32,
    pub(crate) file: PathBuf,
}

impl Running {
    /// A path of the lab's own mount namespace, seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.holder))
    }

    /// The socket at a path of the lab. A socket's name has at most 108 bytes,
    /// and a folder's fd is a short way to a long one.
    pub(crate) fn connect(&self, inside: &str) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.path(inside))
    }

    /// Asks the holder.
    pub(crate) fn ask(&self, a: &Ask) -> Result<serde_json::Value> {
        let mut s =
            self.connect(&format!("{RUN}/holder.sock")).with_context(|| format!("the holder of `{}` does not answer", self.name))?;
        writeln!(s, "{}", serde_json::to_string(a)?)?;
        let mut line = String::new();
        BufReader::new(s).read_line(&mut line)?;
        let v: serde_json::Value = serde_json::from_str(&line)?;
        match v.get("error").and_then(|e| e.as_str()) {
            Some(e) => bail!("{e}"),
            None => Ok(v),
        }
    }

    /// What runs in it.
    pub(crate) fn processes(&self) -> Result<Vec<Process>> {
        Ok(serde_json::from_value(self.ask(&Ask::Status)?)?)
    }

    /// The lab file as it was when the lab came up.
    pub(crate) fn text(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path(&format!("{RUN}/lab.toml")))?)
    }
}

/// Where state files are: root's, or the user's own.
pub(crate) fn dir() -> Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let d = if machine::is_root() {
        PathBuf::from("/run/packet-journey")
    } else {
        match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_dir()) {
            Some(d) => d.join("packet-journey"),
            None => std::env::temp_dir().join(format!("packet-journey-{uid}")),
        }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&d).with_context(|| format!("making {}", d.display()))?;
    let owner = fs::metadata(&d)?.uid();
    anyhow::ensure!(owner == uid, "{} belongs to user {owner}, not to you", d.display());
    Ok(d)
}

fn lock_path(name: &str) -> Result<PathBuf> {
    Ok(dir()?.join(format!("{name}.lock")))
}

/// Takes a lab's lock; `None` if somebody holds it.
pub(crate) fn lock(name: &str) -> Result<Option<File>> {
    let path = lock_path(name)?;
    for _ in 0..20 {
        let f =
            File::options().create(true).truncate(false).write(true).read(true).open(&path).with_context(|| path.display().to_string())?;
        match flock(&f, FlockOperation::NonBlockingLockExclusive) {
            // Swept away between the two calls: that lock would hold nobody off.
            Ok(()) if fs::metadata(&path).is_ok_and(|m| f.metadata().is_ok_and(|o| o.ino() == m.ino())) => return Ok(Some(f)),
            Ok(()) => {}
            // Somebody who only looks has it for a moment.
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(None)
}

/// Whether a lab's holder lives. What a dead one left is swept away.
fn is_held(name: &str) -> Result<bool> {
    let path = lock_path(name)?;
    let f = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        f => f.with_context(|| path.display().to_string())?,
    };
    match flock(&f, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = fs::remove_file(dir()?.join(format!("{name}.json")));
            let _ = fs::remove_file(&path);
            Ok(false)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

/// Notes a lab that came up.
pub(crate) fn note(r: &Running) -> Result<()> {
    let d = dir()?;
    let part = d.join(format!("{}.part", r.name));
    fs::write(&part, serde_json::to_vec(r)?)?;
    Ok(fs::rename(part, d.join(format!("{}.json", r.name)))?)
}

/// The lab of that name, if it is up.
pub(crate) fn find(name: &str) -> Result<Option<Running>> {
    if !is_held(name)? {
        return Ok(None); // what is written is stale
    }
    let path = dir()?.join(format!("{name}.json"));
    Ok(fs::read(path).ok().and_then(|t| serde_json::from_slice(&t).ok()))
}

/// All labs that are up.
pub(crate) fn all() -> Result<Vec<Running>> {
    let mut names: Vec<String> = fs::read_dir(dir()?)?
        .flatten()
        .filter_map(|e| e.file_name().to_str().and_then(|n| n.strip_suffix(".lock")).map(str::to_owned))
        .collect();
    names.sort();
    let mut v = Vec::new();
    for n in names {
        v.extend(find(&n)?);
    }
    Ok(v)
}

/// The lab that is meant.
///
/// # Errors
/// If it is not up, or if several are and none was named.
pub(crate) fn pick(name: Option<&str>) -> Result<Running> {
    let up = all()?;
    let names: Vec<&str> = up.iter().map(|r| r.name.as_str()).collect();
    match (name, &up[..]) {
        (Some(n), _) => match up.iter().find(|r| r.name == n) {
            Some(r) => Ok(r.clone()),
            None if names.is_empty() => bail!("no lab is up; bring one up with: lab up"),
            None => bail!("no lab `{n}` is up; up are: {}", names.join(", ")),
        },
        (None, [one]) => Ok(one.clone()),
        (None, []) => bail!("no lab is up; bring one up with: lab up"),
        (None, _) => bail!("several labs are up ({}): name one with -l", names.join(", ")),
    }
}

/// `lab down`.
pub(crate) fn down(name: Option<&str>) -> Result<ExitCode> {
    let r = match (name, all()?.is_empty()) {
        (Some(n), _) if find(n)?.is_none() => {
            println!("{n} is not up");
            return Ok(ExitCode::SUCCESS);
        }
        (None, true) => {
            println!("no lab is up");
            return Ok(ExitCode::SUCCESS);
        }
        _ => pick(name)?,
    };
    take_down(&r)?;
    println!("{} is down", r.name);
    Ok(ExitCode::SUCCESS)
}

/// Ends a lab and waits until it has gone.
pub(crate) fn take_down(r: &Running) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(r.holder).context("the holder's pid")?;
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if !is_held(&r.name)? {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < end, "the holder of `{}` (pid {}) does not die", r.name, r.holder);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `lab restart`.
pub(crate) fn restart(r: &Running, node: &str) -> Result<ExitCode> {
    let v = r.ask(&Ask::Restart(node.to_owned()))?;
    println!("{node}: {}", v["done"].as_str().unwrap_or("restarted"));
    Ok(ExitCode::SUCCESS)
}

/// `lab status`.
pub(crate) fn status(name: Option<&str>, json: bool) -> Result<ExitCode> {
    let labs = match name {
        Some(_) => vec![pick(name)?],
        None => all()?,
    };
    if labs.is_empty() && !json {
        println!("no lab is up");
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = Vec::new();
    for r in &labs {
        let processes = r.processes()?;
        if json {
            let outer = outer_pids(r.holder);
            let roles: Vec<_> = processes
                .iter()
                .map(|p| {
                    let pid = outer.iter().find(|(_, inner)| *inner == p.pid).map(|(o, _)| *o);
                    serde_json::json!({ "node": p.node, "role": p.role, "pid": pid, "state": p.state, "text": p.text, "last": p.last })
                })
                .collect();
            out.push(serde_json::json!({ "name": r.name, "holder": r.holder, "paused": crate::pause::noted(r).is_some(), "file": r.file, "roles": roles }));
            continue;
        }
        println!("{} ({}), holder {}", r.name, r.file.display(), r.holder);
        if let Some(l) = crate::pause::noted(r) {
            println!("{l}");
        }
        for p in processes {
            let text = if p.text.is_empty() { String::new() } else { format!(" ({})", p.text) };
            println!("  {:<14} {:<12} {}{text}", p.node, p.role, p.state);
            for l in &p.last {
                println!("      | {l}");
            }
        }
    }
    if json {
        // One lab named: its object; else a list.
        let v = if name.is_some() || out.len() == 1 { out.into_iter().next().unwrap_or_default() } else { out.into() };
        println!("{v:#}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Pids of the lab's processes: as seen from outside, and inside.
fn outer_pids(holder: i32) -> Vec<(i32, i32)> {
    let ns = fs::read_link(format!("/proc/{holder}/ns/pid")).ok();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|p| fs::read_link(format!("/proc/{p}/ns/pid")).ok() == ns && ns.is_some())
        .filter_map(|p| {
            let status = fs::read_to_string(format!("/proc/{p}/status")).ok()?;
            let line = status.lines().find(|l| l.starts_with("NSpid:"))?;
            Some((p, line.split_whitespace().last()?.parse().ok()?))
        })
        .collect()
}

/// `lab logs`.
pub(crate) fn logs(r: &Running, node: &str, follow: bool) -> Result<ExitCode> {
    let path = r.path(&format!("{RUN}/nodes/{node}/log"));
    if !path.exists() {
        let nodes: Vec<String> = r.processes()?.into_iter().map(|p| p.node).collect();
        let near = node::nearest(node, nodes.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        bail!("nothing runs on a node `{node}`{near}");
    }
    if follow {
        use std::os::unix::process::CommandExt;
        return Err(Command::new("tail").args(["-n", "+1", "-F"]).arg(path).exec()).context("running tail");
    }
    let text = fs::read(&path)?;
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
