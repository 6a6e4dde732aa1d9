//! Connection tracking without translation: a stateful filter's memory.
//!
//! A full table refuses new flows (counted); what is tracked is never evicted
//! before its time.

use crate::age::Age;
use crate::tcp_state::TcpState;
use crate::tuple::{Flow, Tuple, protocol_name};
use node::{Cursor, DropReason, Rows, Time};
use std::collections::HashMap;
use std::time::Duration;
use wire::ipv4::{Header, protocol};
use wire::tcp;

/// Seconds that a UDP flow is kept while only one side spoke.
const UDP_UNREPLIED: Duration = Duration::from_secs(30);
/// RFC 4787 REQ-5: at least two minutes once both spoke.
const UDP_REPLIED: Duration = Duration::from_secs(180);
/// RFC 5508 REQ-2: at least a minute.
const ICMP: Duration = Duration::from_secs(60);

/// One tracked flow, by its first packet's tuple.
#[derive(Clone, Debug)]
pub struct Entry {
    /// TCP's state; `None` for others.
    pub tcp: Option<TcpState>,
    /// The other side has answered.
    pub replied: bool,
    /// The rule that let it in, from 1.
    pub rule: u16,
    /// Packets both ways.
    pub packets: u64,
    /// Bytes both ways.
    pub bytes: u64,
    expires: Time,
}

/// What a packet is to the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Of a tracked flow, which has been brought up to date.
    Tracked {
        /// The rule that let the flow in.
        rule: u16,
    },
    /// An ICMP error about a tracked flow.
    Related {
        /// The rule that let the flow in.
        rule: u16,
    },
    /// It may begin a flow, if the rules let it: see [`Conntrack::begin`].
    New(Tuple),
    /// It belongs to nothing and may begin nothing.
    Invalid(DropReason),
    /// A protocol that is not tracked.
    Untracked,
}

/// The table.
#[derive(Debug)]
pub struct Conntrack {
    map: HashMap<Tuple, Entry>,
    age: Age<Tuple>,
    limit: usize,
}

/// The views' line on this table.
pub const VIEW: (&str, &str) = ("conntrack", "tracked flows");

fn timeout(t: &Tuple, e: &Entry) -> Duration {
    match (t.protocol, e.tcp) {
        (_, Some(s)) => s.timeout(),
        (protocol::ICMP, _) => ICMP,
        _ if e.replied => UDP_REPLIED,
        _ => UDP_UNREPLIED,
    }
}

impl Conntrack {
    /// A table of at most `limit` flows.
    pub fn new(limit: usize) -> Conntrack {
        Conntrack { map: HashMap::new(), age: Age::default(), limit }
    }

    fn find(&self, t: Tuple) -> Option<(Tuple, bool)> {
        if self.map.contains_key(&t) {
            return Some((t, true));
        }
        let r = t.reversed();
        self.map.contains_key(&r).then_some((r, false))
    }

    /// Looks a whole, checked packet up and brings its flow up to date.
    pub fn packet(&mut self, now: Time, p: &[u8], h: &Header) -> Verdict {
        let t = match Flow::read(p, h) {
            Flow::Of(t) => t,
            Flow::Error(t) => {
                return match self.find(t) {
                    Some((k, _)) => Verdict::Related { rule: self.map[&k].rule },
                    None => Verdict::Invalid(DropReason::UnrelatedError),
                };
            }
            Flow::Other => return Verdict::Untracked,
        };
        let flags = if t.protocol == protocol::TCP { tcp::flags(h.payload(p)).unwrap_or(0) } else { 0 };
        if let Some((key, original)) = self.find(t) {
            let Some(e) = self.map.get_mut(&key) else { return Verdict::Untracked };
            if e.expires > now {
                if let Some(s) = e.tcp {
                    match s.next(original, flags) {
                        Some(n) => e.tcp = Some(n),
                        None => return Verdict::Invalid(DropReason::OutOfState),
                    }
                }
                e.replied |= !original;
                e.packets += 1;
                e.bytes += h.total_len as u64;
                let until = now + timeout(&key, e);
                if until < e.expires {
                    self.age.insert(until, key); // it closed: sooner than was noted
                }
                e.expires = until;
                return Verdict::Tracked { rule: e.rule };
            }
            self.map.remove(&key);
        }
        match t.protocol {
            protocol::TCP if flags & (tcp::SYN | tcp::ACK) != tcp::SYN => Verdict::Invalid(DropReason::OutOfState),
            protocol::ICMP if p.get(h.header_len) == Some(&wire::icmp::ECHO_REPLY) => Verdict::Invalid(DropReason::OutOfState),
            _ => Verdict::New(t),
        }
    }

    /// Begins a flow that a rule let in. False: the table is full.
    #[must_use]
    pub fn begin(&mut self, now: Time, t: Tuple, rule: u16, len: usize) -> bool {
        if self.map.len() >= self.limit {
            return false;
        }
        let tcp = (t.protocol == protocol::TCP).then_some(TcpState::SynSent);
        let mut e = Entry { tcp, replied: false, rule, packets: 1, bytes: len as u64, expires: now };
        e.expires = now + timeout(&t, &e);
        self.age.insert(e.expires, t);
        self.map.insert(t, e);
        true
    }

    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.age.next()
    }

    /// Forgets what is over.
    pub fn poll(&mut self, now: Time) {
        while let Some(t) = self.age.expired(now, |t| self.map.get(t).map(|e| e.expires)) {
            self.map.remove(&t);
        }
    }

    /// Tracked flows.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Rows for `show`.
    pub fn show(&self, now: Time, from: Cursor, rows: &mut Rows) -> Option<Cursor> {
        rows.columns(&["protocol", "source", "destination", "state", "rule", "packets", "bytes", "expires-s"]);
        let live = self.map.iter().filter(|(_, e)| e.expires > now);
        rows.page(live, from, |rows, (t, e)| {
            let state = e.tcp.map_or(if e.replied { "replied" } else { "unreplied" }, TcpState::name);
            rows.row([
                protocol_name(t.protocol).into(),
                format!("{}:{}", t.src.0, t.src.1).into(),
                format!("{}:{}", t.dst.0, t.dst.1).into(),
                state.into(),
                e.rule.into(),
                e.packets.into(),
                e.bytes.into(),
                e.expires.since(now).as_secs().into(),
            ]);
        })
    }
}
