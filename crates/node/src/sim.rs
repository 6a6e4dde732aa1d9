//! Many elements in one process, over in-memory links, under a fake clock.

use crate::{Burst, Clock, Core, Driver, Element, Event, PortId, PortStats, Time, Wake};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What a simulated link does to frames; both directions alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fault {
    /// Fixed delay.
    pub delay: Duration,
    /// Up to this much more, drawn a frame: reorders.
    pub jitter: Duration,
    /// Part of the frames that is lost, 0 to 1.
    pub loss: f64,
    /// Part that arrives twice.
    pub duplicate: f64,
}

/// A node's configuration for a simulation: ports with their addresses, numbered
/// MAC addresses, no files.
///
/// # Panics
/// If an address is none.
pub fn config(name: &str, node: u16, ports: &[(&str, Option<&str>)]) -> crate::config::NodeConfig {
    let none = std::path::PathBuf::new();
    let port = |(i, (name, address)): (usize, &(&str, Option<&str>))| crate::config::PortConfig {
        name: (*name).to_owned(),
        mac: wire::Mac::of_lab(node, i as u8),
        mtu: 1500,
        address: address.map(|a| a.parse().expect("a prefix")),
        peer: String::new(),
    };
    crate::config::NodeConfig {
        node: name.to_owned(),
        domain: "isp.example".to_owned(),
        lab: none.clone(),
        control: none.clone(),
        state: none.clone(),
        files: none,
        ports: ports.iter().enumerate().map(port).collect(),
        hosts: Vec::new(),
    }
}

/// Settings as they would stand in a lab file.
///
/// # Panics
/// If they are wrong.
pub fn settings<S: serde::de::DeserializeOwned>(text: &str) -> S {
    crate::config::settings_of(&format!("[nodes.n.settings]\n{text}"), "n").expect("settings")
}

/// A node of the simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(usize);

struct SimNode {
    driver: Driver<Box<dyn Element>>,
    clock: Option<Clock>,
    wake: Wake,
}

impl Element for Box<dyn Element> {
    fn input(&mut self, cx: &mut crate::Cx<'_>, port: PortId, burst: &mut Burst) {
        (**self).input(cx, port, burst);
    }
    fn poll(&mut self, cx: &mut crate::Cx<'_>, event: Event) {
        (**self).poll(cx, event);
    }
    fn deadline(&self) -> Option<Time> {
        (**self).deadline()
    }
    fn views(&self) -> &'static [(&'static str, &'static str)] {
        (**self).views()
    }
    fn show(&self, q: &crate::Query, from: crate::Cursor, rows: &mut crate::Rows) -> Result<Option<crate::Cursor>, crate::QueryError> {
        (**self).show(q, from, rows)
    }
    fn counters(&self, rows: &mut crate::Rows) {
        (**self).counters(rows);
    }
    fn command(&mut self, cx: &mut crate::Cx<'_>, c: crate::Command) -> Result<crate::Reply, crate::CommandError> {
        (**self).command(cx, c)
    }
    fn status(&self) -> crate::Status {
        (**self).status()
    }
}

type End = (NodeId, PortId);

/// The simulation.
pub struct Sim {
    /// The fake clock; starts at one second.
    pub now: Time,
    nodes: Vec<SimNode>,
    links: HashMap<End, (End, Fault)>,
    flying: BTreeMap<(Time, u64), (End, Vec<u8>)>,
    count: u64,
    rng: StdRng,
    /// Frames sent at ports that lead nowhere, in order.
    loose: HashMap<End, Vec<Vec<u8>>>,
    /// Frames that entered each linked port, if recording is on.
    recorded: Option<Vec<(End, Vec<u8>)>>,
}

impl Sim {
    /// An empty simulation; the same seed gives the same run.
    pub fn new(seed: u64) -> Sim {
        port::teardown(false);
        Sim {
            now: Time::from_nanos(1_000_000_000),
            nodes: Vec::new(),
            links: HashMap::new(),
            flying: BTreeMap::new(),
            count: 0,
            rng: StdRng::seed_from_u64(seed),
            loose: HashMap::new(),
            recorded: None,
        }
    }

    /// Adds a forwarder with `ports` ports.
    pub fn add(&mut self, element: impl Element, ports: usize) -> NodeId {
        self.add_host(element, ports, None, Wake::default())
    }

    /// Adds a host: its tasks use `clock` and `wake`.
    pub fn add_host(&mut self, element: impl Element, ports: usize, clock: Option<Clock>, wake: Wake) -> NodeId {
        let id = NodeId(self.nodes.len());
        let mut core = Core::new(16_384, StdRng::seed_from_u64(self.rng.random()));
        core.ports = vec![PortStats::default(); ports];
        if let Some(c) = &clock {
            c.advance(self.now);
        }
        self.nodes.push(SimNode { driver: Driver::new(Box::new(element) as Box<dyn Element>, core), clock, wake });
        let now = self.now;
        self.nodes[id.0].driver.poll(now, Event::Start);
        id
    }

    /// Joins two ports.
    pub fn link(&mut self, a: (NodeId, u8), b: (NodeId, u8), fault: Fault) {
        let (a, b) = ((a.0, PortId(a.1)), (b.0, PortId(b.1)));
        self.links.insert(a, (b, fault));
        self.links.insert(b, (a, fault));
    }

    /// Cuts a link.
    pub fn unlink(&mut self, a: (NodeId, u8)) {
        if let Some((b, _)) = self.links.remove(&(a.0, PortId(a.1))) {
            self.links.remove(&b);
        }
    }

    /// Records every frame that arrives over a link from now on.
    pub fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// What was recorded, and recording goes on.
    pub fn recorded(&mut self) -> Vec<((NodeId, PortId), Vec<u8>)> {
        self.recorded.replace(Vec::new()).unwrap_or_default()
    }

    /// The element of a node.
    ///
    /// # Panics
    /// If it is of another type.
    pub fn get<E: Element>(&mut self, id: NodeId) -> &mut E {
        let e: &mut dyn Any = self.nodes[id.0].driver.element.as_mut();
        e.downcast_mut().expect("the node's element is of another type")
    }

    /// The core of a node: counters, trace.
    pub fn core(&mut self, id: NodeId) -> &mut Core {
        &mut self.nodes[id.0].driver.core
    }

    /// Calls an element with a context, as a command or a test would.
    pub fn with<E: Element, R>(&mut self, id: NodeId, f: impl FnOnce(&mut E, &mut crate::Cx<'_>) -> R) -> R {
        let now = self.now;
        let d = &mut self.nodes[id.0].driver;
        let e: &mut dyn Any = d.element.as_mut();
        let r = f(e.downcast_mut().expect("the node's element is of another type"), &mut d.core.cx(now));
        self.flush(id);
        r
    }

    /// A whole view of a node as JSON rows.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn show(&self, id: NodeId, what: &str) -> Vec<serde_json::Value> {
        let (mut from, mut out) = (Some(crate::Cursor(0)), Vec::new());
        while let Some(at) = from {
            let mut rows = crate::Rows::default();
            let q = crate::Query { what: what.to_owned(), now: self.now };
            from = self.nodes[id.0].driver.element.show(&q, at, &mut rows).expect("a view");
            out.extend(rows.to_json());
        }
        out
    }

    /// Lets a frame arrive at a port now.
    pub fn inject(&mut self, at: (NodeId, u8), bytes: &[u8]) {
        self.deliver((at.0, PortId(at.1)), bytes);
    }

    /// Frames sent at a port that leads nowhere, since the last call.
    pub fn sent(&mut self, at: (NodeId, u8)) -> Vec<Vec<u8>> {
        self.loose.remove(&(at.0, PortId(at.1))).unwrap_or_default()
    }

    /// Lets `n` frames arrive that were made from `bases` by flipping, cutting,
    /// lengthening and splicing; answers at loose ports are thrown away, and time
    /// goes on a little.
    ///
    /// # Panics
    /// If a frame is lost without being counted, or the element panics.
    pub fn mutate(&mut self, node: NodeId, ports: u8, bases: &[Vec<u8>], n: usize) {
        let before: u64 = self.core(node).ports.iter().map(|p| p.rx).sum();
        for i in 0..n {
            let mut f = bases[self.rng.random_range(0..bases.len())].clone();
            for _ in 0..self.rng.random_range(0..6) {
                let at = self.rng.random_range(0..f.len());
                match self.rng.random_range(0..5) {
                    0 => f[at] ^= 1 << self.rng.random_range(0..8),
                    1 => f[at] = self.rng.random(),
                    2 => f.truncate(at.max(1)),
                    3 => f.extend(vec![self.rng.random::<u8>(); at.min(40)]),
                    _ => {
                        let other = &bases[self.rng.random_range(0..bases.len())];
                        f.truncate(at.max(1));
                        f.extend_from_slice(&other[at.min(other.len())..]);
                    }
                }
            }
            f.truncate(1514);
            let port = self.rng.random_range(0..ports);
            self.inject((node, port), &f);
            if i % 64 == 0 {
                self.run(Duration::from_millis(5));
                self.loose.clear();
            }
        }
        self.run(Duration::from_secs(120));
        let arrived: u64 = self.core(node).ports.iter().map(|p| p.rx).sum::<u64>() - before;
        assert!(arrived >= n as u64, "only {arrived} of {n} frames arrived");
        let out = self.core(node).pool.out();
        assert!(out < 512, "{out} frames are still out");
    }

    fn deliver(&mut self, end: End, bytes: &[u8]) {
        if let Some(r) = &mut self.recorded {
            r.push((end, bytes.to_vec()));
        }
        let now = self.now;
        let node = &mut self.nodes[end.0.0];
        if let Some(c) = &node.clock {
            c.advance(now);
        }
        let read = |buf: &mut [u8]| {
            buf[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        };
        let d = &mut node.driver;
        let Ok(f) = d.core.pool.read_with(bytes.len().max(1514), now, read) else { return };
        let mut burst = Burst::new();
        d.core.arrived(&f, end.1);
        burst.push(f);
        d.input(now, end.1, &mut burst);
        self.flush(end.0);
    }

    fn flush(&mut self, id: NodeId) {
        let mut sent: Vec<(PortId, Vec<u8>)> = Vec::new();
        let now = self.now;
        self.nodes[id.0].driver.core.flush(now, |port, f| {
            sent.push((port, f.data().to_vec()));
            Ok(())
        });
        for (port, bytes) in sent {
            let Some((to, fault)) = self.links.get(&(id, port)).copied() else {
                self.loose.entry((id, port)).or_default().push(bytes);
                continue;
            };
            if self.rng.random::<f64>() < fault.loss {
                continue;
            }
            let copies = 1 + usize::from(self.rng.random::<f64>() < fault.duplicate);
            for _ in 0..copies {
                let extra = fault.jitter.mul_f64(self.rng.random::<f64>());
                self.count += 1;
                self.flying.insert((self.now + fault.delay + extra, self.count), (to, bytes.clone()));
            }
        }
    }

    /// Does what is due now; true if there was anything.
    fn turn(&mut self) -> bool {
        let mut any = false;
        while let Some(((t, _), _)) = self.flying.first_key_value() {
            if *t > self.now {
                break;
            }
            let Some((_, (end, bytes))) = self.flying.pop_first() else { break };
            self.deliver(end, &bytes);
            any = true;
        }
        for i in 0..self.nodes.len() {
            let (id, now) = (NodeId(i), self.now);
            let n = &mut self.nodes[i];
            if let Some(c) = &n.clock {
                c.advance(now);
            }
            if n.wake.take() {
                n.driver.poll(now, Event::Woken);
                any = true;
            }
            if n.driver.element.deadline().is_some_and(|t| t <= now) {
                n.driver.poll(now, Event::Deadline);
                any = true;
            }
            self.flush(id);
        }
        any
    }

    fn next(&self) -> Option<Time> {
        let flying = self.flying.first_key_value().map(|((t, _), _)| *t);
        let nodes = self.nodes.iter().flat_map(|n| [n.driver.element.deadline(), n.clock.as_ref().and_then(Clock::deadline)]);
        nodes.chain([flying]).flatten().min()
    }

    /// Runs until `until` holds or `limit` has passed; true if it held.
    pub fn run_until(&mut self, limit: Duration, mut until: impl FnMut(&mut Sim) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            let mut spins = 0;
            while self.turn() {
                spins += 1;
                assert!(spins < 1_000_000, "the simulation does not come to rest at {:?}", self.now);
                if until(self) {
                    return true;
                }
            }
            if until(self) {
                return true;
            }
            match self.next() {
                Some(t) if t <= end => self.now = self.now.max(t),
                _ => {
                    self.now = end;
                    return false;
                }
            }
        }
    }

    /// Runs for a while.
    pub fn run(&mut self, d: Duration) {
        self.run_until(d, |_| false);
    }

    /// Runs tasks and elements until `main` ends; `None` if that takes longer
    /// than `limit` of the fake time.
    ///
    /// # Panics
    /// If no runtime can be made.
    pub fn block_on<R: 'static>(&mut self, limit: Duration, main: impl Future<Output = R> + 'static) -> Option<R> {
        let rt = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        let end = self.now + limit;
        local.block_on(&rt, async move {
            let main = tokio::task::spawn_local(main);
            loop {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                if main.is_finished() {
                    return main.await.ok();
                }
                if self.turn() {
                    continue;
                }
                match self.next() {
                    Some(t) if t <= end => self.now = self.now.max(t),
                    _ => return None,
                }
            }
        })
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        port::teardown(true);
        self.nodes.clear();
    }
}
