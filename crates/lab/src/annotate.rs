//! What the collector knows of captured frames: each packet's number, its journey,
//! why it went on; and which frames a filter follows.

use crate::file::LabFile;
use crate::journey::topo::topology;
use crate::plan::RUN;
use anyhow::Result;
use journey::collect::{Told, What};
use journey::filter::{Aliases, Filter};
use journey::model::{Direction, PacketId};
use journey::pcapng::Notes;
use journey::topology::PortAt;
use journey::words::Lang;
use journey::{Collector, Feed, dissect, export, hash};
use node::Time;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::Duration;

/// Sights that are kept; older ones have been written or never will be.
const SIGHTS: usize = 100_000;
/// Packets that a filter follows at once.
const FOLLOWED: usize = 200_000;

/// A frame as the collector saw it.
struct Known {
    hash: u64,
    sight: usize,
}

/// The collector beside a capture.
pub(crate) struct Annotator {
    c: Collector,
    feed: Feed,
    lang: Lang,
    seen: usize,
    known: HashMap<(PortAt, bool), VecDeque<Known>>,
    last: HashMap<(PortAt, bool), (Notes, PacketId)>,
    follow: Option<Filter>,
    followed: HashSet<PacketId>,
    /// Packets that the filter has seen.
    judged: HashSet<PacketId>,
    aliases: Aliases,
    wanted: u64,
}

impl Annotator {
    /// Reaches the nodes of the lab in whose namespaces we are.
    pub(crate) fn new(name: &str, f: &LabFile, follow: Option<&str>) -> Result<Annotator> {
        let mut c = Collector::new(topology(name, f));
        let follow = follow.map(|t| Filter::parse(t, &c.topology)).transpose().map_err(|e| anyhow::anyhow!("--follow: {e}"))?;
        let mut feed = Feed::new(&c, Path::new(RUN), None)?;
        feed.connect();
        for i in 0..10 {
            feed.turn(&mut c, Duration::from_millis(10 + i))?;
            if feed.ready(&c) {
                break;
            }
        }
        Ok(Annotator {
            c,
            feed,
            lang: Lang::of_environment(),
            seen: 0,
            known: HashMap::new(),
            last: HashMap::new(),
            follow,
            followed: HashSet::new(),
            judged: HashSet::new(),
            aliases: Aliases::default(),
            wanted: 0,
        })
    }

    /// Takes a kernel host's frame.
    pub(crate) fn host(&mut self, at: PortAt, out: bool, time: Time, bytes: &[u8]) {
        let d = if out { Direction::Out } else { Direction::In };
        let told = Told { at: time, what: What::Host(at.1, d, bytes.to_vec()) };
        self.feed.host(&mut self.c, at.0, Some(told), Time::ZERO);
    }

    /// A kernel host has told all that happened before `until`.
    pub(crate) fn host_until(&mut self, node: u16, until: Time) {
        self.feed.host(&mut self.c, node, None, until);
    }

    /// Takes what nodes told since the last turn.
    pub(crate) fn turn(&mut self) -> Result<()> {
        self.feed.turn(&mut self.c, Duration::ZERO)?;
        if self.seen > SIGHTS && self.known.values().all(VecDeque::is_empty) {
            self.c.forget();
            self.seen = 0;
        }
        for i in self.seen..self.c.sights.len() {
            let s = &self.c.sights[i];
            s.causes.iter().for_each(|c| self.aliases.learn(c));
            if let Some(f) = &self.follow
                && !self.followed.contains(&s.packet)
            {
                let layers = dissect::dissect(&s.bytes);
                // Cells alone do not show what is in them: the packet was judged before.
                let hidden = layers.iter().any(|l| l.name == "ATM") && !layers.iter().any(|l| l.name == "IPv4");
                if self.judged.len() >= FOLLOWED {
                    self.judged.clear();
                }
                if !(hidden && self.judged.contains(&s.packet)) && f.matches(&layers, &self.aliases) {
                    if self.followed.len() >= FOLLOWED {
                        self.followed.clear();
                    }
                    self.followed.insert(s.packet);
                }
                self.judged.insert(s.packet);
            }
            let q = self.known.entry((s.port, s.direction == Direction::Out)).or_default();
            q.push_back(Known { hash: hash(&s.bytes), sight: i });
            // What was seen and never captured (its port is not) does not pile up.
            if q.len() > SIGHTS / 8 {
                q.pop_front();
            }
        }
        self.seen = self.c.sights.len();
        Ok(())
    }

    /// What is known of a captured frame; `None`: nothing yet.
    pub(crate) fn notes(&mut self, at: PortAt, out: bool, bytes: &[u8]) -> Option<(Notes, PacketId)> {
        let q = self.known.get_mut(&(at, out))?;
        let h = hash(bytes);
        let i = q.iter().position(|k| k.hash == h)?;
        let k = q.drain(..=i).next_back()?;
        let s = self.c.sights.get(k.sight)?;
        let told = (export::notes(&self.c, s, self.lang), s.packet);
        self.last.insert((at, out), told.clone());
        Some(told)
    }

    /// What was told of the last frame of a port: what its cells carry is the same packet.
    pub(crate) fn last(&self, at: PortAt, out: bool) -> Option<(Notes, PacketId)> {
        self.last.get(&(at, out)).cloned()
    }

    /// Whether a frame is wanted: it, or the packet that it is, matches the filter.
    pub(crate) fn wants(&mut self, packet: Option<PacketId>, bytes: &[u8]) -> bool {
        let wants = match &self.follow {
            None => true,
            Some(_) if packet.is_some_and(|p| self.followed.contains(&p)) => true,
            // What no record tells of is judged by its own bytes.
            Some(f) => packet.is_none() && f.matches(&dissect::dissect(bytes), &self.aliases),
        };
        self.wanted += u64::from(wants);
        wants
    }

    /// Frames that were wanted, if there is a filter.
    pub(crate) fn wanted(&self) -> Option<u64> {
        self.follow.as_ref().map(|_| self.wanted)
    }

    /// Whether a node's frames will be told of.
    pub(crate) fn tells(&self, node: u16) -> bool {
        self.c.topology.nodes.get(usize::from(node)).is_some_and(|n| n.is_host() || !self.feed.missing(&self.c).any(|m| m == n.name))
    }

    /// Records that were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.feed.lost()
    }
}
