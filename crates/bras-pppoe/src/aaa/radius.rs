//! RADIUS (RFC 2865, 2866, 2868, 2869, 5176): a client of one or more servers.
//!
//! A request goes to the first server that is not known to be silent, `tries`
//! times, then to the next. Accounting is kept until some server has it: it is lost
//! only when the queue is full, and that is counted.

mod messages;
mod orders;

use super::{Aaa, Account, Datagram, Moment, Number, Order, Subscriber, Verdict};
use crate::settings::RadiusSettings;
use flow::timers::Timers;
use node::Time;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;

/// Our ports: each gives 256 identifiers.
const FIRST_PORT: u16 = 50_000;
const PORTS: u16 = 64;
/// Requests that wait for answers at most.
const OUTSTANDING: usize = 8192;
/// Accounting is sent again after a silence of all servers for this many rounds.
const ROUNDS: u32 = 100;

/// A request on its way.
#[derive(Debug)]
struct Request {
    server: usize,
    /// Servers asked so far, and requests to this one.
    asked: usize,
    tries: u32,
    rounds: u32,
    /// All servers were silent: it rests before the next round.
    rests: bool,
    bytes: Vec<u8>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Access(Box<Subscriber>),
    Accounting { moment: Moment, account: Box<Account>, at: Time },
}

/// One server's state.
#[derive(Debug, Default)]
struct Server {
    silent_until: Time,
    requests: u64,
    answers: u64,
    timeouts: u64,
}

#[derive(Debug, Default)]
struct Counts {
    accepts: u64,
    rejects: u64,
    accounted: u64,
    accounting_lost: u64,
    failovers: u64,
    bad: u64,
    orders: u64,
    orders_refused: u64,
}

/// The client.
#[derive(Debug)]
pub(crate) struct Radius {
    settings: RadiusSettings,
    nas: messages::Nas,
    servers: Vec<Server>,
    /// By our port and the identifier.
    requests: BTreeMap<(u16, u8), Request>,
    /// Access requests by session.
    asking: HashMap<Number, (u16, u8)>,
    timers: Timers<(u16, u8)>,
    next: u32,
    out: VecDeque<Datagram>,
    verdicts: VecDeque<(Number, Verdict)>,
    orders: orders::Orders,
    counts: Counts,
}

impl Radius {
    /// A client that calls itself `name` at `address`.
    pub(crate) fn new(settings: RadiusSettings, name: &str, address: Ipv4Addr) -> Radius {
        let nas = messages::Nas { name: settings.nas_identifier.clone().unwrap_or_else(|| name.to_owned()), address };
        Radius {
            servers: settings.servers.iter().map(|_| Server::default()).collect(),
            settings,
            nas,
            requests: BTreeMap::new(),
            asking: HashMap::new(),
            timers: Timers::default(),
            next: 0,
            out: VecDeque::new(),
            verdicts: VecDeque::new(),
            orders: orders::Orders::default(),
            counts: Counts::default(),
        }
    }

    /// A free pair of port and identifier.
    fn slot(&mut self) -> Option<(u16, u8)> {
        if self.requests.len() >= OUTSTANDING {
            return None;
        }
        for _ in 0..u32::from(PORTS) * 256 {
            let n = self.next;
            self.next = n.wrapping_add(1);
            let slot = (FIRST_PORT + (n >> 8) as u16 % PORTS, n as u8);
            if !self.requests.contains_key(&slot) {
                return Some(slot);
            }
        }
        None
    }

    /// The server to begin with: the first that is not known to be silent.
    fn first_server(&self, now: Time) -> usize {
        self.servers.iter().position(|s| s.silent_until <= now).unwrap_or(0)
    }

    /// Writes a request for its server and sends it.
    fn send(&mut self, now: Time, slot: (u16, u8), anew: bool) {
        let Some(r) = self.requests.get_mut(&slot) else { return };
        let server = &self.settings.servers[r.server];
        if anew {
            let made = match &r.kind {
                Kind::Access(who) => messages::access(&self.nas, &server.secret, slot.1, who),
                Kind::Accounting { moment, account, at } => {
                    messages::accounting(&self.nas, &server.secret, slot.1, *moment, account, now.since(*at))
                }
            };
            match made {
                Some(b) => r.bytes = b,
                None => {
                    self.counts.bad += 1;
                    return self.give_up(slot, "the request cannot be written");
                }
            }
        }
        let port = if matches!(r.kind, Kind::Access(_)) { server.port } else { server.acct_port };
        self.servers[r.server].requests += 1;
        self.out.push_back(Datagram { own_port: slot.0, peer: (server.address, port), payload: r.bytes.clone() });
        self.timers.set(slot, Some(now + self.settings.timeout));
    }

    fn begin(&mut self, now: Time, kind: Kind) -> Option<(u16, u8)> {
        let slot = self.slot()?;
        let server = self.first_server(now);
        self.requests.insert(slot, Request { server, asked: 1, tries: 1, rounds: 0, rests: false, bytes: Vec::new(), kind });
        self.send(now, slot, true);
        Some(slot)
    }

    fn remove(&mut self, slot: (u16, u8)) -> Option<Request> {
        self.timers.set(slot, None);
        let r = self.requests.remove(&slot)?;
        if let Kind::Access(who) = &r.kind {
            self.asking.remove(&who.number);
        }
        Some(r)
    }

    fn give_up(&mut self, slot: (u16, u8), why: &str) {
        match self.remove(slot).map(|r| r.kind) {
            Some(Kind::Access(who)) => self.verdicts.push_back((who.number, Verdict::Refused(why.to_owned()))),
            Some(Kind::Accounting { .. }) => self.counts.accounting_lost += 1,
            None => {}
        }
    }

    fn late(&mut self, now: Time, slot: (u16, u8)) {
        let Some(r) = self.requests.get_mut(&slot) else { return };
        self.servers[r.server].timeouts += 1;
        if r.tries < self.settings.tries {
            r.tries += 1;
            return self.send(now, slot, false);
        }
        self.servers[r.server].silent_until = now + self.settings.dead_time;
        r.tries = 1;
        r.server = (r.server + 1) % self.settings.servers.len();
        if r.asked < self.settings.servers.len() {
            r.asked += 1;
            self.counts.failovers += 1;
            return self.send(now, slot, true);
        }
        match r.kind {
            Kind::Accounting { .. } if r.rounds < ROUNDS => {
                (r.rounds, r.asked, r.rests) = (r.rounds + 1, 1, true);
                let wait = self.settings.timeout * r.rounds.min(30);
                self.timers.set(slot, Some(now + wait));
            }
            _ => self.give_up(slot, "RADIUS does not answer"),
        }
    }

    fn answer(&mut self, slot: (u16, u8), from: (Ipv4Addr, u16), payload: &[u8]) -> bool {
        let Some(r) = self.requests.get(&slot) else { return false };
        let server = &self.settings.servers[r.server];
        let access = matches!(r.kind, Kind::Access(_));
        let port = if access { server.port } else { server.acct_port };
        if from != (server.address, port) {
            return false;
        }
        let Some(answer) = messages::answer(payload, &r.bytes, &server.secret) else {
            self.counts.bad += 1;
            return true;
        };
        let s = &mut self.servers[r.server];
        s.answers += 1;
        s.silent_until = Time::ZERO;
        match (&r.kind, answer) {
            (Kind::Access(who), messages::Answer::Accept(v)) => {
                self.counts.accepts += 1;
                let v = match v {
                    Verdict::Granted(mut g) => {
                        g.interim = g.interim.or(Some(self.settings.interim)).filter(|i| !i.is_zero());
                        Verdict::Granted(g)
                    }
                    v => v,
                };
                self.verdicts.push_back((who.number, v));
            }
            (Kind::Access(who), messages::Answer::Reject(text)) => {
                self.counts.rejects += 1;
                self.verdicts.push_back((who.number, Verdict::Refused(text)));
            }
            (Kind::Accounting { .. }, messages::Answer::Accounted) => self.counts.accounted += 1,
            _ => {
                self.counts.bad += 1;
                return true;
            }
        }
        self.remove(slot);
        true
    }
}

impl Aaa for Radius {
    fn authenticate(&mut self, now: Time, who: Subscriber) {
        let number = who.number;
        match self.begin(now, Kind::Access(Box::new(who))) {
            Some(slot) => {
                self.asking.insert(number, slot);
            }
            None => self.verdicts.push_back((number, Verdict::Refused("too many wait for RADIUS".into()))),
        }
    }

    fn verdict(&mut self) -> Option<(Number, Verdict)> {
        self.verdicts.pop_front()
    }

    fn forget(&mut self, number: Number) {
        if let Some(slot) = self.asking.remove(&number) {
            self.remove(slot);
        }
    }

    fn account(&mut self, now: Time, moment: Moment, account: Account) {
        if self.begin(now, Kind::Accounting { moment, account: Box::new(account), at: now }).is_none() {
            self.counts.accounting_lost += 1;
        }
    }

    fn listens(&self, port: u16) -> bool {
        (FIRST_PORT..FIRST_PORT + PORTS).contains(&port) || port == self.settings.coa_port
    }

    fn input(&mut self, d: &Datagram) -> bool {
        if d.own_port != self.settings.coa_port {
            let id = d.payload.get(1).copied().unwrap_or(0);
            return self.answer((d.own_port, id), d.peer, &d.payload);
        }
        let Some(server) = self.settings.servers.iter().find(|s| s.address == d.peer.0) else { return false };
        match self.orders.take(d, server.secret.as_bytes()) {
            orders::Taken::Order => self.counts.orders += 1,
            orders::Taken::Answered(again) => self.out.push_back(again),
            orders::Taken::Bad => {
                self.counts.bad += 1;
                return false;
            }
        }
        true
    }

    fn output(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    fn order(&mut self) -> Option<Order> {
        self.orders.next()
    }

    fn done(&mut self, order: u64, met: usize) {
        if met == 0 {
            self.counts.orders_refused += 1;
        }
        self.out.extend(self.orders.answer(order, met));
    }

    fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    fn poll(&mut self, now: Time) {
        while let Some(slot) = self.timers.due(now) {
            let rested = self.requests.get_mut(&slot).is_some_and(|r| std::mem::take(&mut r.rests));
            if rested {
                self.send(now, slot, true);
            } else {
                self.late(now, slot);
            }
        }
    }

    fn counters(&self) -> Vec<(String, u64)> {
        let c = &self.counts;
        let mut v: Vec<(String, u64)> = [
            ("accepts", c.accepts),
            ("rejects", c.rejects),
            ("accounting-acknowledged", c.accounted),
            ("accounting-lost", c.accounting_lost),
            ("failovers", c.failovers),
            ("bad-messages", c.bad),
            ("orders", c.orders),
            ("orders-refused", c.orders_refused),
            ("waiting", self.requests.len() as u64),
        ]
        .into_iter()
        .map(|(n, v)| (n.to_owned(), v))
        .collect();
        for (s, at) in self.servers.iter().zip(&self.settings.servers) {
            for (what, n) in [("requests", s.requests), ("answers", s.answers), ("timeouts", s.timeouts)] {
                v.push((format!("{}.{what}", at.address), n));
            }
        }
        v
    }
}
