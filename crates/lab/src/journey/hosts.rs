//! What kernel hosts send and get, for the collector: captured at their ports, with
//! times on the lab's clock.

use crate::enter;
use crate::plan::RUN;
use crate::state::Running;
use anyhow::{Context, Result};
use journey::topology::Topology;
use node::trace::record::{Head, Record};
use node::{Cause, FrameSeq, PortId, Time};
use port::CaptureSocket;
use port::time::{ClockState, epoch_of_raw, raw};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Between two batches.
const TURN: Duration = Duration::from_millis(5);
/// A frame is stamped before it can be read; this is more than that takes.
const MARGIN: Duration = Duration::from_millis(1);
/// How often the lab's clock and the kernel's are looked at.
const LOOK: Duration = Duration::from_millis(4);
const SNAP: usize = 128 * 1024;

/// Starts the capture at all kernel hosts of a lab. It ends with its reader.
pub(crate) fn start(r: &Running) -> Result<Child> {
    let mut c = Command::new(std::env::current_exe()?);
    c.args(["-l", &r.name, "watch"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    c.spawn().context("running lab watch")
}

/// `lab watch`: enters the lab and captures there.
pub(crate) fn watch(r: &Running, t: &Topology) -> Result<ExitCode> {
    let hosts = t.nodes.iter().filter(|n| n.is_host());
    let ports: Vec<String> = hosts.flat_map(|n| n.ports.iter().enumerate().map(|(i, p)| format!("{}={i}={}", n.name, p.name))).collect();
    let mut c = Command::new("setpriv");
    c.args(["--pdeathsig", "KILL"]).arg(format!("{RUN}/bin/lab")).arg("watch-inside").args(ports);
    enter::join(r)?;
    enter::wait(c.env("PATH", crate::machine::path()).spawn().context("running setpriv")?)
}

struct Open {
    node: String,
    port: PortId,
    socket: CaptureSocket,
}

fn open(spec: &str) -> Result<Open> {
    let mut words = spec.splitn(3, '=');
    let (Some(node), Some(port), Some(interface)) = (words.next(), words.next(), words.next()) else { anyhow::bail!("a port") };
    let ns = File::open(format!("/run/netns/{node}")).with_context(|| format!("the namespace of `{node}`"))?;
    move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).with_context(|| format!("entering `{node}`"))?;
    let socket = CaptureSocket::open(interface).with_context(|| format!("capturing at {node}.{interface}"))?;
    Ok(Open { node: node.to_owned(), port: PortId(port.parse()?), socket })
}

/// `lab watch-inside`: in the lab's namespaces, but not yet in any node's.
pub(crate) fn inside(specs: &[String]) -> Result<ExitCode> {
    let ports = specs.iter().map(|s| open(s)).collect::<Result<Vec<_>>>()?;
    let mut nodes: Vec<&str> = ports.iter().map(|p| p.node.as_str()).collect();
    nodes.dedup();
    let mut out = io::stdout().lock();
    let mut scratch = vec![0; SNAP];
    let mut seen: Option<(Instant, u64)> = None;
    loop {
        let (_, epoch) = *match &mut seen {
            Some(s) if s.0.elapsed() < LOOK => s,
            s => {
                lab_clock().set();
                s.insert((Instant::now(), epoch_of_raw()))
            }
        };
        for n in &nodes {
            let until = until(ClockState::get());
            let mut lost = 0;
            let mut batch = Vec::new();
            for p in ports.iter().filter(|p| p.node == *n) {
                lost += u64::from(p.socket.dropped().unwrap_or(0));
                while let Ok(Some(f)) = p.socket.recv(&mut scratch) {
                    let seen = u64::try_from(f.at.as_nanos()).unwrap_or(u64::MAX).saturating_sub(epoch);
                    let c = ClockState::get();
                    let t = Time::from_nanos(seen.saturating_sub(c.paused));
                    let at = c.limit.map_or(t, |l| t.min(l));
                    let (seq, port, bytes) = (FrameSeq(NonZeroU64::MIN), p.port, &f.data[..]);
                    let record = if f.outgoing {
                        Record::Out { seq, port, at, cause: Cause::Socket, bytes }
                    } else {
                        Record::In { seq, port, at, bytes }
                    };
                    node::trace::record::put(&mut batch, &record);
                }
            }
            let mut message = Vec::new();
            node::trace::record::put(&mut message, &Head { node: (*n).to_owned(), lost, until });
            message.extend_from_slice(&batch);
            let len = u32::try_from(message.len()).unwrap_or(0).to_le_bytes();
            if out.write_all(&len).and_then(|()| out.write_all(&message)).and_then(|()| out.flush()).is_err() {
                // Whoever read has had enough.
                return Ok(ExitCode::SUCCESS);
            }
        }
        let mut fds: Vec<PollFd<'_>> = ports.iter().map(|p| PollFd::from_borrowed_fd(p.socket.as_fd(), PollFlags::IN)).collect();
        let t = rustix::time::Timespec { tv_sec: 0, tv_nsec: TURN.as_nanos() as i64 };
        let _ = poll(&mut fds, Some(&t));
    }
}

/// Until when all that a host's ports saw has been read, a moment ago or where the
/// clock stands.
pub(crate) fn until(c: ClockState) -> Time {
    let t = Time::from_nanos(raw().saturating_sub(MARGIN.as_nanos() as u64).saturating_sub(c.paused));
    c.limit.map_or(t, |l| t.min(l))
}

/// How the lab's clock goes, as `lab pause` noted it.
pub(crate) fn lab_clock() -> ClockState {
    std::fs::read(format!("{RUN}/clock.json")).ok().and_then(|t| serde_json::from_slice(&t).ok()).unwrap_or_default()
}
