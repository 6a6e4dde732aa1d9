//! IPv4 neighbours by ARP (RFC 826, RFC 1122 §2.3.2): retry, negative result,
//! a bounded queue of waiting frames, refresh before expiry.

use crate::age::Age;
use crate::hop::Interface;
use node::{Cause, Cursor, Cx, DropReason, Frame, Parent, Rows, Time};
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::Mac;
use wire::ether::{Arp, HEADER_LEN, Header, ethertype};

/// How long an answer is believed.
pub const REACHABLE: Duration = Duration::from_secs(60);
/// From this age on, use asks again (to the known address).
const REFRESH: Duration = Duration::from_secs(45);
/// Between questions. RFC 1122 §2.3.2.1: at most one a second.
const RETRY: Duration = Duration::from_secs(1);
/// Questions before giving up.
const TRIES: u8 = 3;
/// How long "nobody answered" is believed.
const NEGATIVE: Duration = Duration::from_secs(3);
/// Frames that wait for one neighbour.
const QUEUE: usize = 16;
/// Neighbours at most; beyond, strangers are not learned and their frames dropped.
const ENTRIES: usize = 4096;

#[derive(Debug)]
enum State {
    Incomplete { waiting: VecDeque<(Frame, Cause)>, tries: u8, next: Time },
    Reachable { mac: Mac, since: Time, asked: Option<Time> },
    Failed { until: Time },
}

type Key = (usize, Ipv4Addr);

/// A node's neighbours on all its interfaces.
#[derive(Debug, Default)]
pub struct Neighbours {
    map: HashMap<Key, State>,
    age: Age<Key>,
}

/// The views' line on this table.
pub const VIEW: (&str, &str) = ("neighbours", "IPv4 neighbours by ARP");

impl Neighbours {
    fn deadline_of(&self, key: &Key) -> Option<Time> {
        Some(match self.map.get(key)? {
            State::Incomplete { next, .. } => *next,
            State::Reachable { since, .. } => *since + REACHABLE,
            State::Failed { until } => *until,
        })
    }

    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.age.next()
    }

    /// Sends an IPv4 packet (the frame starts at its IP header) to `next_hop`,
    /// or keeps it until the address is known. Gives the frame back when the
    /// neighbour is known not to answer.
    pub fn send(&mut self, cx: &mut Cx<'_>, index: usize, i: &Interface, next_hop: Ipv4Addr, f: Frame, why: Cause) -> Option<Frame> {
        let key = (index, next_hop);
        match self.map.get_mut(&key) {
            Some(State::Reachable { mac, since, asked }) => {
                let mac = *mac;
                if cx.now.since(*since) >= REFRESH && asked.is_none_or(|t| cx.now.since(t) >= RETRY) {
                    *asked = Some(cx.now);
                    ask(cx, i, next_hop, mac, Parent::Of(f.seq));
                }
                transmit(cx, i, mac, f, why);
                None
            }
            Some(State::Incomplete { waiting, .. }) => {
                if waiting.len() >= QUEUE
                    && let Some((old, _)) = waiting.pop_front()
                {
                    cx.drop(old, DropReason::NeighbourQueueFull);
                }
                cx.hold(&f, || Cause::AwaitsNeighbour { next_hop });
                waiting.push_back((f, why));
                None
            }
            Some(State::Failed { until }) if *until > cx.now => Some(f),
            _ => {
                if self.map.len() >= ENTRIES && !self.map.contains_key(&key) {
                    cx.drop(f, DropReason::NeighbourQueueFull);
                    return None;
                }
                cx.hold(&f, || Cause::AwaitsNeighbour { next_hop });
                ask(cx, i, next_hop, Mac::BROADCAST, Parent::Of(f.seq));
                let next = cx.now + RETRY;
                self.map.insert(key, State::Incomplete { waiting: VecDeque::from([(f, why)]), tries: 1, next });
                self.age.insert(next, key);
                None
            }
        }
    }

    /// Takes an ARP frame (from its Ethernet header on).
    pub fn input(&mut self, cx: &mut Cx<'_>, index: usize, i: &Interface, f: Frame) {
        let (Some(h), Some(arp)) = (Header::read(f.data()), f.data().get(HEADER_LEN..).and_then(Arp::read)) else {
            return cx.drop(f, DropReason::BadArp);
        };
        // A probe (RFC 5227) has no sender address; it is answered, not learned.
        let probe = arp.spa.is_unspecified();
        let impossible = arp.sha.is_multicast() || arp.sha != h.src || arp.sha == i.mac;
        if impossible || (!probe && (arp.spa == i.addr.addr || !i.addr.contains(arp.spa) || i.addr.is_broadcast(arp.spa))) {
            return cx.drop(f, DropReason::ArpSpoofed);
        }
        if !probe {
            self.learn(cx, index, i, &arp);
        }
        if arp.op == 1
            && arp.tpa == i.addr.addr
            && let Some(mut r) = cx.make(Parent::Of(f.seq))
        {
            let reply = Arp { op: 2, sha: i.mac, spa: i.addr.addr, tha: arp.sha, tpa: arp.spa };
            put(&mut r, arp.sha, i.mac, &reply);
            cx.send(i.port, r, || Cause::Answered);
        }
        cx.consume(f);
    }

    /// RFC 826: update what is known; learn a stranger only if it asked for us.
    fn learn(&mut self, cx: &mut Cx<'_>, index: usize, i: &Interface, arp: &Arp) {
        let key = (index, arp.spa);
        let known = self.map.contains_key(&key);
        if !known && (arp.tpa != i.addr.addr || self.map.len() >= ENTRIES) {
            return;
        }
        let fresh = State::Reachable { mac: arp.sha, since: cx.now, asked: None };
        let old = self.map.insert(key, fresh);
        // An entry is noted once; one that was noted with an earlier deadline is
        // put back by `expired`, one with a later deadline must be noted anew.
        if old.is_none() {
            self.age.insert(cx.now + REACHABLE, key);
        }
        if let Some(State::Incomplete { waiting, .. }) = old {
            for (f, why) in waiting {
                transmit(cx, i, arp.sha, f, why);
            }
        }
    }

    /// Asks again, gives up, forgets. Frames for which nobody answered are
    /// returned: they are owed an ICMP host unreachable.
    pub fn poll(&mut self, cx: &mut Cx<'_>, interfaces: &[Interface]) -> Vec<Frame> {
        let mut given_up = Vec::new();
        loop {
            let key = {
                let mut age = std::mem::take(&mut self.age);
                let key = age.expired(cx.now, |k| self.deadline_of(k));
                self.age = age;
                key
            };
            let Some(key) = key else { return given_up };
            match self.map.remove(&key) {
                Some(State::Incomplete { waiting, tries, .. }) if tries < TRIES => {
                    ask(cx, &interfaces[key.0], key.1, Mac::BROADCAST, Parent::Timer);
                    let next = cx.now + RETRY;
                    self.map.insert(key, State::Incomplete { waiting, tries: tries + 1, next });
                    self.age.insert(next, key);
                }
                Some(State::Incomplete { waiting, .. }) => {
                    given_up.extend(waiting.into_iter().map(|(f, _)| f));
                    let until = cx.now + NEGATIVE;
                    self.map.insert(key, State::Failed { until });
                    self.age.insert(until, key);
                }
                _ => {}
            }
        }
    }

    /// Rows for `show`.
    pub fn show(&self, now: Time, interfaces: &[Interface], from: Cursor, rows: &mut Rows) -> Option<Cursor> {
        rows.columns(&["address", "mac", "port", "state", "age-s"]);
        let mut all: Vec<_> = self.map.iter().collect();
        all.sort_by_key(|(k, _)| **k);
        rows.page(all.into_iter(), from, |rows, ((i, a), s)| {
            let port = interfaces[*i].name.as_str();
            let (mac, state, age) = match s {
                State::Incomplete { tries, .. } => (String::new(), format!("asked {tries} times"), None),
                State::Reachable { mac, since, .. } => (mac.to_string(), "reachable".into(), Some(now.since(*since).as_secs())),
                State::Failed { .. } => (String::new(), "no answer".into(), None),
            };
            rows.row([a.to_string().into(), mac.into(), port.into(), state.into(), age.into()]);
        })
    }
}

fn put(r: &mut Frame, dst: Mac, src: Mac, arp: &Arp) {
    let mut b = [0; HEADER_LEN + Arp::LEN];
    Header { dst, src, ethertype: ethertype::ARP }.write(&mut b);
    arp.write(&mut b[HEADER_LEN..]);
    r.extend(&b);
}

fn ask(cx: &mut Cx<'_>, i: &Interface, target: Ipv4Addr, to: Mac, parent: Parent<'_>) {
    let Some(mut r) = cx.make(parent) else { return };
    let question = Arp { op: 1, sha: i.mac, spa: i.addr.addr, tha: Mac::default(), tpa: target };
    put(&mut r, to, i.mac, &question);
    cx.count("arp-requests");
    cx.send(i.port, r, || Cause::ArpRequest { target });
}

/// Puts the Ethernet header on an IPv4 packet and sends it.
pub(crate) fn transmit(cx: &mut Cx<'_>, i: &Interface, dst: Mac, mut f: Frame, why: Cause) {
    Header { dst, src: i.mac, ethertype: ethertype::IPV4 }.write(f.push(HEADER_LEN));
    cx.send(i.port, f, || why);
}
