//! Where records come from: the nodes' trace sockets, and a program that captures
//! at kernel hosts.

use crate::collect::{Collector, Told, What};
use crate::merge::{Merge, Release};
use anyhow::{Context, Result};
use node::Time;
use node::trace::record::{Record, read_batch};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::time::{Duration, Instant};

/// The longest message of a node's.
const MESSAGE: usize = 256 * 1024;
/// How often nodes are asked for what is left.
const ASK: Duration = Duration::from_millis(10);
/// How often it is tried to reach a node that is not there.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a frame that came may wait for word of where it left while the lab's clock
/// stands.
const PATIENCE: Duration = Duration::from_millis(200);
/// A node that is silent for longer is not waited for.
const SILENT: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Source {
    node: u16,
    path: PathBuf,
    socket: Option<OwnedFd>,
    tried: Option<Instant>,
    heard: Instant,
    /// Lost on connections that ended, and on this one.
    lost: (u64, u64),
}

/// Captured frames of kernel hosts, as they come through a pipe: a length of four
/// bytes, then a batch as nodes send it.
#[derive(Debug)]
struct Hosts {
    pipe: ChildStdout,
    buf: Vec<u8>,
}

/// All sources of a lab.
#[derive(Debug)]
pub struct Feed {
    sources: Vec<Source>,
    hosts: Option<Hosts>,
    merge: Merge,
    asked: Option<Instant>,
    /// Since when a record waits for its cause while time stands, and at which time.
    stuck: Option<(Instant, Time)>,
    buf: Vec<u8>,
}

impl Feed {
    /// The nodes of `c`'s lab, whose folder is `run`; `hosts`: what captures at its
    /// kernel hosts.
    ///
    /// # Errors
    /// If the pipe cannot be read without waiting.
    pub fn new(c: &Collector, run: &Path, hosts: Option<ChildStdout>) -> Result<Feed> {
        let mut sources = Vec::new();
        for (i, n) in c.topology.nodes.iter().enumerate() {
            if !n.is_host() {
                let path = run.join("nodes").join(&n.name).join("trace.sock");
                sources.push(Source { node: i as u16, path, socket: None, tried: None, heard: Instant::now(), lost: (0, 0) });
            }
        }
        if let Some(p) = &hosts {
            rustix::io::ioctl_fionbio(p, true).context("the hosts' capture")?;
        }
        let hosts = hosts.map(|pipe| Hosts { pipe, buf: Vec::new() });
        Ok(Feed { sources, hosts, merge: Merge::new(c.topology.nodes.len()), asked: None, stuck: None, buf: vec![0; MESSAGE] })
    }

    /// Reaches the nodes that answer. Returns how many do not.
    pub fn connect(&mut self) -> usize {
        let now = Instant::now();
        let mut missing = 0;
        for s in &mut self.sources {
            if s.socket.is_none() && s.tried.is_none_or(|t| now - t >= AGAIN) {
                s.tried = Some(now);
                s.socket = open(&s.path).ok();
                s.heard = now;
                self.merge.set_live(s.node, s.socket.is_some());
            }
            missing += usize::from(s.socket.is_none());
        }
        missing
    }

    /// Every node that answers has told something, and so have the kernel hosts.
    pub fn ready(&self, c: &Collector) -> bool {
        let told = self.sources.iter().filter(|s| s.socket.is_some()).all(|s| self.merge.has_told(s.node));
        let hosts = c.topology.nodes.iter().enumerate().filter(|(_, n)| n.is_host() && self.hosts.is_some());
        told && hosts.into_iter().all(|(i, _)| self.merge.has_told(i as u16))
    }

    /// Nodes that do not answer.
    pub fn missing<'a>(&'a self, c: &'a Collector) -> impl Iterator<Item = &'a str> {
        self.sources.iter().filter(|s| s.socket.is_none()).map(|s| c.topology.name(s.node))
    }

    /// Records that nodes had no room for.
    pub fn lost(&self) -> u64 {
        self.sources.iter().map(|s| s.lost.0 + s.lost.1).sum()
    }

    /// Waits up to `wait` for records, and hands over all that are in order.
    ///
    /// # Errors
    /// What the kernel said of waiting.
    pub fn turn(&mut self, c: &mut Collector, wait: Duration) -> Result<()> {
        self.connect();
        if self.asked.is_none_or(|t| t.elapsed() >= ASK) {
            self.asked = Some(Instant::now());
            for s in &self.sources {
                if let Some(fd) = &s.socket {
                    // A full queue of questions will be answered all the same.
                    let _ = rustix::net::send(fd, b"?", SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                }
            }
        }
        {
            let mut fds: Vec<PollFd<'_>> =
                self.sources.iter().filter_map(|s| s.socket.as_ref()).map(|f| PollFd::new(f, PollFlags::IN)).collect();
            if let Some(h) = &self.hosts {
                fds.push(PollFd::from_borrowed_fd(h.pipe.as_fd(), PollFlags::IN));
            }
            let t = rustix::time::Timespec { tv_sec: 0, tv_nsec: wait.min(ASK).as_nanos() as i64 };
            match poll(&mut fds, Some(&t)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e).context("waiting for records"),
            }
        }
        for i in 0..self.sources.len() {
            self.read(c, i);
        }
        self.read_hosts(c);
        // A clock that stands brings nothing new to wait for.
        let bound = self.merge.bound();
        let since = self.stuck.filter(|(_, b)| *b == bound).map(|(t, _)| t);
        let patient = since.is_none_or(|t| t.elapsed() < PATIENCE);
        let stuck = self.merge.release(c, if patient { Release::Ordered } else { Release::Known });
        self.stuck = stuck.then(|| (since.unwrap_or_else(Instant::now), bound));
        c.lost.records = self.lost();
        Ok(())
    }

    /// Takes a frame of a kernel host that somebody else captured, and until when that
    /// is all.
    pub fn host(&mut self, c: &mut Collector, node: u16, told: Option<Told>, until: Time) {
        heard(c, node, told.as_ref().map_or(until, |t| t.at));
        self.merge.set_live(node, true);
        self.merge.push(node, told.into_iter(), until);
    }

    /// Hands over what all have told of; what only some have told yet is left out, since
    /// its causes are not known.
    pub fn finish(&mut self, c: &mut Collector) {
        self.merge.release(c, Release::Known);
        c.lost.records = self.lost();
    }

    /// Counts frames as lost whose other end told all of `after` more without them.
    pub fn settle(&self, c: &mut Collector, after: Duration) {
        let now = Time::monotonic();
        c.settle(|n| if self.merge.is_live(n) { self.merge.until(n) } else { now }, after);
    }

    fn read(&mut self, c: &mut Collector, i: usize) {
        let s = &mut self.sources[i];
        while let Some(fd) = &s.socket {
            match rustix::net::recv(fd, &mut self.buf[..], RecvFlags::DONTWAIT) {
                Ok((n, _)) if n > 0 => {
                    s.heard = Instant::now();
                    let Some((head, records)) = read_batch(&self.buf[..n]) else { continue };
                    s.lost.1 = head.lost;
                    heard(c, s.node, head.until);
                    self.merge.set_live(s.node, true);
                    self.merge.push(s.node, records.map(|r| Told::of(&r, head.until, false)), head.until);
                }
                Err(Errno::AGAIN) => {
                    if s.heard.elapsed() > SILENT {
                        self.merge.set_live(s.node, false);
                    }
                    return;
                }
                Err(Errno::INTR) => {}
                // The role has gone; another may come.
                _ => {
                    s.socket = None;
                    s.lost = (s.lost.0 + s.lost.1, 0);
                    self.merge.set_live(s.node, false);
                    c.take(s.node, Told { at: self.merge.until(s.node), what: What::Unheard });
                }
            }
        }
    }

    fn read_hosts(&mut self, c: &mut Collector) {
        let Some(h) = &mut self.hosts else { return };
        loop {
            match h.pipe.read(&mut self.buf) {
                Ok(0) => {
                    self.hosts = None;
                    let hosts = c.topology.nodes.iter().enumerate().filter(|(_, n)| n.is_host());
                    for i in hosts.map(|(i, _)| i as u16).collect::<Vec<_>>() {
                        self.merge.set_live(i, false);
                        c.take(i, Told { at: self.merge.until(i), what: What::Unheard });
                    }
                    return;
                }
                Ok(n) => h.buf.extend_from_slice(&self.buf[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let mut at = 0;
        while let Some(len) = h.buf.get(at..at + 4).map(|l| u32::from_le_bytes([l[0], l[1], l[2], l[3]]) as usize) {
            let Some(b) = h.buf.get(at + 4..at + 4 + len) else { break };
            if let Some((head, records)) = read_batch(b)
                && let Some(node) = c.topology.node(&head.node)
            {
                heard(c, node, head.until);
                self.merge.set_live(node, true);
                self.merge.push(node, records.map(|r: Record<'_>| Told::of(&r, head.until, true)), head.until);
            }
            at += 4 + len;
        }
        h.buf.drain(..at);
    }

    /// Some node that is waited for has not told all before `t`.
    pub fn is_behind(&self, t: Time) -> bool {
        self.merge.behind(t)
    }

    /// Runs until every node has told all that happened before now, or `limit` is over.
    ///
    /// # Errors
    /// As [`Feed::turn`].
    pub fn catch_up(&mut self, c: &mut Collector, limit: Duration) -> Result<()> {
        // Kernel hosts tell all but the last moment, also while the clock stands.
        let (now, end) = (Time::monotonic() - Duration::from_millis(2), Instant::now() + limit);
        while self.merge.behind(now) && Instant::now() < end {
            self.turn(c, ASK)?;
        }
        Ok(())
    }
}

/// A node tells, from `at` on if that is new.
fn heard(c: &mut Collector, node: u16, at: Time) {
    if !c.is_traced(node) && at > Time::ZERO {
        c.take(node, Told { at, what: What::Heard });
    }
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let s = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&s, &SocketAddrUnix::new(path)?)?;
    Ok(s)
}
