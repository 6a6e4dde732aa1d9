//! `lab capture`: every port of a lab in one pcapng, live.

use crate::aal5::Derived;
use crate::enter;
use crate::file::parse;
use crate::pcapng::{self, Interface, LinkType};
use crate::plan::{RUN, plan};
use crate::state::Running;
use anyhow::{Context, Result, bail};
use port::CaptureSocket;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Frames wait this long for older ones of other ports.
const HOLD: Duration = Duration::from_millis(20);
/// How often it is looked whether the capture is to end.
const LOOK: Duration = Duration::from_millis(20);
const SNAP: usize = 128 * 1024;

/// Marks a port of a phone line whose cells are put together besides.
const DERIVE: &str = "+aal5";

/// Marks those of `ports` (`node.port=interface`) that are a phone line's: the
/// modem's end if it is captured, else the DSLAM's.
fn mark_lines(file: &crate::file::LabFile, ports: &mut [String]) {
    let is = |end: &str, role: &str| {
        let node = end.split_once('.').and_then(|(n, _)| file.nodes.get(n));
        node.and_then(|n| n.role.as_ref()).is_some_and(|r| r.get_ref() == role)
    };
    for l in &file.links {
        let [a, b] = [0, 1].map(|e| l.ends[e].get_ref().as_str());
        let (modem, dslam) = if is(a, "adsl-modem") { (a, b) } else { (b, a) };
        if !is(modem, "adsl-modem") || !is(dslam, "dslam") {
            continue;
        }
        let at = |end: &str| ports.iter().position(|p| p.split_once('=').is_some_and(|(name, _)| name == end));
        if let Some(i) = at(modem).or_else(|| at(dslam)) {
            ports[i] += DERIVE;
        }
    }
}

/// `NODE` or `NODE.PORT` of the lab, as `node.port=interface`.
fn select(r: &Running, wanted: &[String]) -> Result<Vec<String>> {
    let file = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let all: Vec<(String, String)> = plan(&file)
        .nodes
        .into_iter()
        .filter(|n| file.nodes.get(&n.name).is_some())
        .flat_map(|n| n.ports.into_iter().map(move |p| (n.name.clone(), p.config.name)))
        .collect();
    let mark = |mut v: Vec<String>| {
        mark_lines(&file, &mut v);
        v
    };
    let full = |(n, p): &(String, String)| format!("{n}.{p}={p}");
    if wanted.is_empty() {
        return Ok(mark(all.iter().map(full).collect()));
    }
    let mut out: Vec<String> = Vec::new();
    for w in wanted {
        let hits: Vec<String> = all.iter().filter(|(n, p)| n == w || format!("{n}.{p}") == *w).map(full).collect();
        if hits.is_empty() {
            let names: Vec<String> = all.iter().flat_map(|(n, p)| [n.clone(), format!("{n}.{p}")]).collect();
            let near = node::nearest(w, names.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            bail!("lab `{}` has no node or port `{w}`{near}", r.name);
        }
        out.extend(hits.into_iter().filter(|h| !out.contains(h)).collect::<Vec<_>>());
    }
    Ok(mark(out))
}

/// Runs the command.
pub(crate) fn capture(r: &Running, wanted: &[String], to: &str) -> Result<ExitCode> {
    let ports = select(r, wanted)?;
    let split = to.ends_with('/') || std::path::Path::new(to).is_dir();
    let mut c = Command::new("setpriv");
    c.args(["--pdeathsig", "KILL"]).arg(format!("{RUN}/bin/lab")).arg("capture-inside").args(&ports);
    if split {
        std::fs::create_dir_all(to).with_context(|| to.to_owned())?;
        c.arg("--split").stdin(File::open(to).with_context(|| to.to_owned())?);
    } else {
        c.stdin(Stdio::null());
        if to == "-" {
            anyhow::ensure!(
                !io::stdout().is_terminal(),
                "pcapng is not for a terminal: pipe it (lab capture | wireshark -k -i -), or write it with -w FILE"
            );
        } else {
            c.stdout(File::create(to).with_context(|| to.to_owned())?);
        }
    }
    enter::join(r)?;
    enter::wait(c.env("PATH", crate::machine::path()).spawn().context("running setpriv")?)
}

struct Open {
    name: String,
    socket: CaptureSocket,
    received: u64,
    dropped: u64,
    /// The number of its derived interface, and what is under way there.
    derived: Option<(usize, Derived)>,
}

fn open(spec: &str) -> Result<Open> {
    let (spec, derives) = spec.strip_suffix(DERIVE).map_or((spec, false), |s| (s, true));
    let (name, interface) = spec.split_once('=').context("a port")?;
    let (node, _) = name.split_once('.').context("a port")?;
    let ns = File::open(format!("/run/netns/{node}")).with_context(|| format!("the namespace of `{node}`"))?;
    move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).with_context(|| format!("entering `{node}`"))?;
    let socket = CaptureSocket::open(interface).with_context(|| format!("capturing at {name}"))?;
    Ok(Open { name: name.to_owned(), socket, received: 0, dropped: 0, derived: derives.then(|| (0, Derived::default())) })
}

/// Where frames go: one file, or a file a port.
enum Sink {
    One(BufWriter<io::Stdout>),
    Each(Vec<BufWriter<File>>),
}

impl Sink {
    fn to(&mut self, port: usize) -> (&mut dyn Write, u32) {
        match self {
            Sink::One(w) => (w, port as u32),
            Sink::Each(v) => (&mut v[port], 0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::One(w) => w.flush(),
            Sink::Each(v) => v.iter_mut().try_for_each(Write::flush),
        }
    }
}

fn sink(ports: &mut [Open], split: bool) -> Result<Sink> {
    let mut all: Vec<Interface> = ports
        .iter()
        .map(|p| Interface { name: p.name.clone(), description: format!("port {}", p.name), link: LinkType::Ethernet })
        .collect();
    for p in ports.iter_mut() {
        if let Some((number, _)) = &mut p.derived {
            *number = all.len();
            let description = format!("AAL5 of the cells at port {}", p.name);
            all.push(Interface { name: format!("{}/aal5", p.name), description, link: LinkType::SunAtm });
        }
    }
    if !split {
        let mut w = BufWriter::with_capacity(1 << 20, io::stdout());
        pcapng::head(&mut w, &all)?;
        return Ok(Sink::One(w));
    }
    let dir = io::stdin();
    let mut files = Vec::new();
    for i in all {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::TRUNC | rustix::fs::OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(dir.as_fd(), format!("{}.pcapng", i.name.replace('/', "-")), flags, rustix::fs::Mode::from_raw_mode(0o644))?;
        let mut w = BufWriter::new(File::from(fd));
        pcapng::head(&mut w, &[i])?;
        files.push(w);
    }
    Ok(Sink::Each(files))
}

/// A thread that hears when to stop.
fn stopper() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let rt = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::spawn(move || {
        rt.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            if let (Ok(mut a), Ok(mut b)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
                tokio::select! { _ = a.recv() => {}, _ = b.recv() => {} }
                flag.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(stop)
}

type Waiting = BinaryHeap<Reverse<(Duration, u64, usize, bool, usize, Vec<u8>)>>;

/// `lab capture-inside`: in the lab's namespaces, but not yet in any node's.
pub(crate) fn inside(specs: &[String], split: bool) -> Result<ExitCode> {
    let mut ports = specs.iter().map(|s| open(s)).collect::<Result<Vec<_>>>()?;
    let mut out = sink(&mut ports, split)?;
    out.flush()?;
    let stop = stopper()?;
    eprintln!("lab: capturing at {} ports", ports.len());
    let mut waiting: Waiting = BinaryHeap::new();
    let mut count = 0u64;
    let mut scratch = vec![0; SNAP];
    loop {
        let ending = stop.load(Ordering::Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for (i, p) in ports.iter_mut().enumerate() {
            // An interface that went away has no more to say.
            while let Ok(Some(c)) = p.socket.recv(&mut scratch) {
                count += 1;
                p.received += 1;
                if let Some((number, d)) = &mut p.derived {
                    d.frame(&c.data, c.outgoing, |sdu| {
                        count += 1;
                        waiting.push(Reverse((c.at, count, *number, c.outgoing, sdu.len(), sdu)));
                    });
                }
                waiting.push(Reverse((c.at, count, i, c.outgoing, c.original_len, c.data)));
            }
        }
        let until = if ending { Duration::MAX } else { now.saturating_sub(HOLD) };
        if let Err(e) = release(&mut waiting, until, &mut out) {
            // Whoever read has had enough.
            return if e.kind() == io::ErrorKind::BrokenPipe { Ok(ExitCode::SUCCESS) } else { Err(e.into()) };
        }
        if ending {
            break;
        }
        let soon = if waiting.is_empty() { 10 * LOOK } else { LOOK };
        wait(&ports, soon, waiting.is_empty())?;
    }
    finish(&mut ports, &mut out)
}

fn release(waiting: &mut Waiting, until: Duration, out: &mut Sink) -> io::Result<()> {
    let mut any = false;
    while waiting.peek().is_some_and(|Reverse(f)| f.0 <= until) {
        let Some(Reverse((at, _, port, outgoing, original, data))) = waiting.pop() else { break };
        let (w, id) = out.to(port);
        pcapng::packet(w, id, at, outgoing, original, &data)?;
        any = true;
    }
    if any { out.flush() } else { Ok(()) }
}

fn wait(ports: &[Open], most: Duration, idle: bool) -> Result<()> {
    if !idle {
        std::thread::sleep(most.min(Duration::from_millis(5)));
        return Ok(());
    }
    let mut fds: Vec<PollFd<'_>> = ports.iter().map(|p| PollFd::from_borrowed_fd(p.socket.as_fd(), PollFlags::IN)).collect();
    let time = rustix::time::Timespec { tv_sec: 0, tv_nsec: i64::try_from(most.as_nanos()).unwrap_or(i64::MAX) };
    match poll(&mut fds, Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn finish(ports: &mut [Open], out: &mut Sink) -> Result<ExitCode> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut frames, mut lost) = (0, 0);
    for (i, p) in ports.iter_mut().enumerate() {
        p.dropped += u64::from(p.socket.dropped().unwrap_or(0));
        let (w, id) = out.to(i);
        pcapng::statistics(w, id, now, p.received, p.dropped)?;
        frames += p.received;
        lost += p.dropped;
    }
    out.flush()?;
    eprintln!("lab: {frames} frames captured, {lost} lost by the kernel");
    Ok(ExitCode::SUCCESS)
}
