//! The capture itself, inside of the lab's namespaces.

use super::DERIVE;
use crate::aal5::Derived;
use crate::annotate::Annotator;
use crate::file::parse;
use crate::plan::RUN;
use anyhow::{Context, Result};
use journey::export;
use journey::pcapng::{self, Interface, LinkType, Notes};
use journey::topology::{PortAt, Topology};
use node::Time;
use port::CaptureSocket;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Frames wait this long for older ones of other ports.
const HOLD: Duration = Duration::from_millis(20);
/// How often it is looked whether the capture is to end.
const LOOK: Duration = Duration::from_millis(20);
const SNAP: usize = 128 * 1024;
/// … and this long for what the collector knows of them.
const LATE: Duration = Duration::from_millis(400);

/// `lab capture-inside`'s arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Inside {
    /// `node.port=interface`
    ports: Vec<String>,
    /// Standard input is a folder: a file a port
    #[arg(long)]
    split: bool,
    #[arg(long)]
    name: String,
    #[arg(long)]
    follow: Option<String>,
    #[arg(long)]
    plain: bool,
}

struct Open {
    name: String,
    socket: CaptureSocket,
    /// Its place in the lab, and whether a kernel host's stack is behind it.
    at: Option<(PortAt, bool)>,
    /// Only the collector wants to know of it.
    hidden: bool,
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
    Ok(Open {
        name: name.to_owned(),
        socket,
        at: None,
        hidden: false,
        received: 0,
        dropped: 0,
        derived: derives.then(|| (0, Derived::default())),
    })
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

fn sink(ports: &mut [Open], split: bool, t: &Topology) -> Result<Sink> {
    let (known, _) = export::interfaces(t);
    let mut all: Vec<Interface> = ports
        .iter()
        .map(|p| {
            let known = known.iter().find(|i| i.name == p.name).cloned();
            known.unwrap_or_else(|| Interface {
                name: p.name.clone(),
                description: format!("port {}", p.name),
                speed: None,
                link: LinkType::Ethernet,
            })
        })
        .collect();
    for p in ports.iter_mut() {
        if let Some((number, _)) = &mut p.derived {
            *number = all.len();
            let description = format!("AAL5 of the cells at port {}", p.name);
            all.push(Interface { name: format!("{}/aal5", p.name), description, speed: None, link: LinkType::SunAtm });
        }
    }
    if !split {
        let mut w = BufWriter::with_capacity(1 << 20, io::stdout());
        pcapng::head(&mut w, &all, &t.names)?;
        return Ok(Sink::One(w));
    }
    let dir = io::stdin();
    let mut files = Vec::new();
    for i in all {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::TRUNC | rustix::fs::OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(dir.as_fd(), format!("{}.pcapng", i.name.replace('/', "-")), flags, rustix::fs::Mode::from_raw_mode(0o644))?;
        let mut w = BufWriter::new(File::from(fd));
        pcapng::head(&mut w, &[i], &t.names)?;
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

/// A frame that waits for older ones, and for what is known of it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    at: Duration,
    count: u64,
    port: usize,
    /// As its node sees it.
    outgoing: bool,
    original: usize,
    data: Vec<u8>,
    /// The derived interface that it is for, instead of its port's own.
    derived: Option<usize>,
}

type Waiting = BinaryHeap<Reverse<Frame>>;

/// `lab capture-inside`: in the lab's namespaces, but not yet in any node's.
pub(crate) fn inside(a: &Inside) -> Result<ExitCode> {
    let text = std::fs::read_to_string(format!("{RUN}/lab.toml"))?;
    let file = parse(&text).map_err(|e| anyhow::anyhow!("{e}"))?;
    let t = crate::journey::topo::topology(&a.name, &file);
    let mut ports = a.ports.iter().map(|s| open(s)).collect::<Result<Vec<_>>>()?;
    let shown = ports.len();
    let mut notes = if a.plain { None } else { Some(Annotator::new(&a.name, &file, a.follow.as_deref())?) };
    if notes.is_some() {
        // The collector sees kernel hosts only through captures.
        for n in t.nodes.iter().filter(|n| n.is_host()) {
            for p in &n.ports {
                let name = format!("{}.{}", n.name, p.name);
                if !ports.iter().any(|o| o.name == name) {
                    ports.push(Open { hidden: true, ..open(&format!("{name}={}", p.name))? });
                }
            }
        }
    }
    for p in &mut ports {
        p.at = t.port(&p.name).map(|at| (at, t.nodes[usize::from(at.0)].is_host()));
    }
    let mut out = sink(&mut ports[..shown], a.split, &t)?;
    out.flush()?;
    let stop = stopper()?;
    eprintln!("lab: capturing at {shown} ports");
    let mut waiting: Waiting = BinaryHeap::new();
    let mut count = 0u64;
    let mut scratch = vec![0; SNAP];
    let mut ended: Option<Duration> = None;
    loop {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if stop.load(Ordering::Relaxed) && ended.is_none() {
            ended = Some(now);
        }
        read(&mut ports, &mut notes, &mut waiting, &mut count, &mut scratch);
        if let Some(n) = &mut notes {
            n.turn()?;
        }
        // At the end what was captured still waits for what is known of it, for a while.
        let over = ended.is_some_and(|e| notes.is_none() || now - e > LATE);
        if let Err(e) = release(&mut waiting, &ports, now, over, &mut notes, &mut out) {
            // Whoever read has had enough.
            return if e.kind() == io::ErrorKind::BrokenPipe { Ok(ExitCode::SUCCESS) } else { Err(e.into()) };
        }
        if ended.is_some() && (over || waiting.is_empty()) {
            break;
        }
        let soon = if waiting.is_empty() { 10 * LOOK } else { LOOK };
        wait(&ports, if notes.is_some() { LOOK / 2 } else { soon }, waiting.is_empty())?;
    }
    finish(&mut ports[..shown], &mut out, notes.as_ref())
}

/// Takes what came at every port.
fn read(ports: &mut [Open], notes: &mut Option<Annotator>, waiting: &mut Waiting, count: &mut u64, scratch: &mut [u8]) {
    let (epoch, clock) = (port::time::epoch_of_raw(), crate::journey::hosts::lab_clock());
    let on_lab = |raw: u64| {
        let t = Time::from_nanos(raw.saturating_sub(clock.paused));
        clock.limit.map_or(t, |l| t.min(l))
    };
    let until = crate::journey::hosts::until(clock);
    let mut hosts = Vec::new();
    for (i, p) in ports.iter_mut().enumerate() {
        // An interface that went away has no more to say.
        while let Ok(Some(c)) = p.socket.recv(scratch) {
            *count += 1;
            p.received += 1;
            // A frame that goes out of a TAP goes to the role that holds it.
            let outgoing = c.outgoing == p.at.is_some_and(|(_, host)| host);
            if let (Some((at, true)), Some(n)) = (p.at, notes.as_mut()) {
                n.host(at, outgoing, on_lab((c.at.as_nanos() as u64).saturating_sub(epoch)), &c.data);
            }
            if p.hidden {
                continue;
            }
            // What its cells carry comes behind it, and is told as it is.
            let mut carried = Vec::new();
            if let Some((number, d)) = &mut p.derived {
                d.frame(&c.data, outgoing, |sdu| carried.push((*number, sdu)));
            }
            let (at, original) = (c.at, c.original_len);
            waiting.push(Reverse(Frame { at, count: *count, port: i, outgoing, original, data: c.data, derived: None }));
            for (number, data) in carried {
                *count += 1;
                waiting.push(Reverse(Frame { at, count: *count, port: i, outgoing, original: data.len(), data, derived: Some(number) }));
            }
        }
        hosts.extend(p.at.filter(|(_, host)| *host).map(|(at, _)| at.0));
    }
    if let Some(n) = notes {
        hosts.into_iter().for_each(|h| n.host_until(h, until));
    }
}

fn release(
    waiting: &mut Waiting,
    ports: &[Open],
    now: Duration,
    over: bool,
    notes: &mut Option<Annotator>,
    out: &mut Sink,
) -> io::Result<()> {
    let mut any = false;
    while let Some(Reverse(f)) = waiting.peek() {
        let age = now.saturating_sub(f.at);
        if !over && age < HOLD {
            break;
        }
        let place = ports[f.port].at;
        let known = match (notes.as_mut(), place, f.derived) {
            (Some(n), Some((at, _)), None) => n.notes(at, f.outgoing, &f.data),
            (Some(n), Some((at, _)), Some(_)) => n.last(at, f.outgoing),
            _ => None,
        };
        if let (Some(n), None, Some((at, _)), None) = (notes.as_ref(), &known, place, f.derived)
            && !over
            && age < LATE
            && n.tells(at.0)
        {
            break;
        }
        let Some(Reverse(f)) = waiting.pop() else { break };
        let (told, packet) = known.map_or((Notes::default(), None), |(n, p)| (n, Some(p)));
        if notes.as_mut().is_none_or(|n| n.wants(packet, &f.data)) {
            let (w, id) = out.to(f.derived.unwrap_or(f.port));
            pcapng::packet(w, id, f.at, f.outgoing, f.original, &f.data, &told)?;
            any = true;
        }
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

fn finish(ports: &mut [Open], out: &mut Sink, notes: Option<&Annotator>) -> Result<ExitCode> {
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
    let records = notes.map_or(0, Annotator::lost);
    let missing = if records > 0 { format!(", {records} records of the trace lost") } else { String::new() };
    let wanted = notes.and_then(Annotator::wanted).map_or_else(String::new, |n| format!(", {n} of them followed"));
    eprintln!("lab: {frames} frames captured{wanted}, {lost} lost by the kernel{missing}");
    Ok(ExitCode::SUCCESS)
}
