//! Network address and port translation (RFC 4787, RFC 5382, RFC 5508):
//! endpoint-independent mapping, address-dependent filtering, hairpinning.
//!
//! A mapping is an inside address and port with its outside port; a session is
//! a mapping's talk with one remote endpoint. When ports or sessions are all
//! taken, new ones are refused (counted `nat-full`); none is evicted early.

use crate::age::Age;
use crate::tcp_state::TcpState;
use crate::tuple::{Flow, Tuple, protocol_name};
use node::{Cause, Cursor, Cx, DropReason, Frame, Rows, Time};
use rand::RngExt;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ipv4::{Header, Side, protocol};
use wire::tcp;

/// RFC 4787 REQ-5: not below two minutes, five recommended.
const UDP: Duration = Duration::from_secs(300);
/// RFC 5508 REQ-2: not below 60 seconds.
const ICMP: Duration = Duration::from_secs(60);

/// Address and port (or echo identifier).
pub type Endpoint = (Ipv4Addr, u16);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub(crate) outside: u16,
    sessions: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    protocol: u8,
    inside: Endpoint,
    remote: Endpoint,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    tcp: Option<TcpState>,
    /// The inside host opened it.
    outbound: bool,
    packets: u64,
    expires: Time,
}

/// Bounds of a table.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions in all.
    pub sessions: usize,
    /// Sessions of one inside host.
    pub per_host: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { sessions: 65_536, per_host: 8_192 }
    }
}

/// A translator with one outside address.
#[derive(Debug)]
pub struct Nat {
    outside: Option<Ipv4Addr>,
    pub(crate) mappings: HashMap<(u8, Endpoint), Mapping>,
    pub(crate) by_outside: HashMap<(u8, u16), Endpoint>,
    sessions: HashMap<Key, Session>,
    /// Remote hosts that a mapping's sessions are with: the filter.
    peers: HashMap<(u8, u16, Ipv4Addr), u32>,
    hosts: HashMap<Ipv4Addr, usize>,
    age: Age<Key>,
    limits: Limits,
}

/// The views' line on this table.
pub const VIEW: (&str, &str) = ("nat", "address translations, a row a session");

impl Nat {
    /// A translator that has no outside address yet.
    pub fn new(limits: Limits) -> Nat {
        Nat {
            outside: None,
            mappings: HashMap::new(),
            by_outside: HashMap::new(),
            sessions: HashMap::new(),
            peers: HashMap::new(),
            hosts: HashMap::new(),
            age: Age::default(),
            limits,
        }
    }

    /// The outside address.
    pub fn outside(&self) -> Option<Ipv4Addr> {
        self.outside
    }

    /// Sets the outside address; another one than before ends all sessions.
    pub fn set_outside(&mut self, addr: Option<Ipv4Addr>) {
        if addr.is_some() && self.outside.is_some() && self.outside != addr {
            *self = Nat { outside: addr, ..Nat::new(self.limits) };
        } else if addr.is_some() {
            self.outside = addr;
        }
    }

    /// ICMP has no remote port: its identifier is the inside's own.
    fn remote(t: &Tuple, e: Endpoint) -> Endpoint {
        if t.protocol == protocol::ICMP { (e.0, 0) } else { e }
    }

    /// Translates a whole packet (from its IP header on) on its way out.
    ///
    /// # Errors
    /// Why it cannot go out.
    pub fn outbound(&mut self, cx: &mut Cx<'_>, f: &mut Frame, h: &Header) -> Result<Cause, DropReason> {
        let outside = self.outside.ok_or(DropReason::LinkDown)?;
        let t = match Flow::read(f.data(), h) {
            Flow::Of(t) => t,
            Flow::Error(t) => return self.error_out(f, h, t, outside),
            Flow::Other => return Err(DropReason::NatProtocol),
        };
        let key = Key { protocol: t.protocol, inside: t.src, remote: Self::remote(&t, t.dst) };
        let flags = flags_of(&t, f, h);
        if !self.touch(cx.now, &key, true, flags)? {
            if t.protocol == protocol::TCP && flags & (tcp::SYN | tcp::ACK | tcp::RST) != tcp::SYN {
                return Err(DropReason::OutOfState);
            }
            self.open(cx, key, true)?;
        }
        let port = self.mappings.get(&(t.protocol, t.src)).ok_or(DropReason::NatFull)?.outside;
        f.set_ipv4(Side::Source, outside);
        f.set_l4_port(Side::Source, port);
        Ok(Cause::Nat { from: t.src, to: (outside, port) })
    }

    /// Translates a whole packet that came from outside.
    ///
    /// # Errors
    /// Why it does not come in.
    pub fn inbound(&mut self, cx: &mut Cx<'_>, f: &mut Frame, h: &Header) -> Result<Cause, DropReason> {
        let t = match Flow::read(f.data(), h) {
            Flow::Of(t) => t,
            Flow::Error(t) => return self.error_in(f, h, t),
            Flow::Other => return Err(DropReason::NatProtocol),
        };
        let outside_port = t.dst.1;
        let inside = *self.by_outside.get(&(t.protocol, outside_port)).ok_or(DropReason::NatNoMapping)?;
        let key = Key { protocol: t.protocol, inside, remote: Self::remote(&t, t.src) };
        let flags = flags_of(&t, f, h);
        if !self.touch(cx.now, &key, false, flags)? {
            // RFC 4787 REQ-8: a host that the inside spoke to may speak from any port.
            if !self.peers.contains_key(&(t.protocol, outside_port, t.src.0)) {
                return Err(DropReason::NatFiltered);
            }
            if t.protocol == protocol::TCP && flags & (tcp::SYN | tcp::ACK | tcp::RST) != tcp::SYN {
                return Err(DropReason::OutOfState);
            }
            self.open(cx, key, false)?;
        }
        f.set_ipv4(Side::Destination, inside.0);
        // An echo's identifier is one field; "destination" names it here too.
        f.set_l4_port(Side::Destination, inside.1);
        Ok(Cause::Nat { from: t.dst, to: inside })
    }

    /// Brings a session up to date; false if there is none.
    fn touch(&mut self, now: Time, key: &Key, from_inside: bool, flags: u8) -> Result<bool, DropReason> {
        let Some(s) = self.sessions.get_mut(key) else { return Ok(false) };
        if s.expires <= now {
            let key = *key;
            self.close(&key);
            return Ok(false);
        }
        if let Some(state) = s.tcp {
            s.tcp = Some(state.next(from_inside == s.outbound, flags).ok_or(DropReason::OutOfState)?);
        }
        s.packets += 1;
        // RFC 4787 REQ-6: only what goes out keeps a UDP mapping alive.
        if key.protocol != protocol::UDP || from_inside {
            let until = now + timeout(key, s);
            if until < s.expires {
                self.age.insert(until, *key); // it closed: sooner than was noted
            }
            s.expires = until;
        }
        Ok(true)
    }

    fn open(&mut self, cx: &mut Cx<'_>, key: Key, outbound: bool) -> Result<(), DropReason> {
        let host = self.hosts.get(&key.inside.0).copied().unwrap_or(0);
        if self.sessions.len() >= self.limits.sessions || host >= self.limits.per_host {
            return Err(DropReason::NatFull);
        }
        let outside = match self.mappings.get(&(key.protocol, key.inside)) {
            Some(m) => m.outside,
            None => {
                let port = self.free_port(cx, key.protocol, key.inside.1).ok_or(DropReason::NatFull)?;
                self.mappings.insert((key.protocol, key.inside), Mapping { outside: port, sessions: 0 });
                self.by_outside.insert((key.protocol, port), key.inside);
                port
            }
        };
        if let Some(m) = self.mappings.get_mut(&(key.protocol, key.inside)) {
            m.sessions += 1;
        }
        *self.peers.entry((key.protocol, outside, key.remote.0)).or_default() += 1;
        *self.hosts.entry(key.inside.0).or_default() += 1;
        let tcp = (key.protocol == protocol::TCP).then_some(TcpState::SynSent);
        let mut s = Session { tcp, outbound, packets: 1, expires: cx.now };
        s.expires = cx.now + timeout(&key, &s);
        self.age.insert(s.expires, key);
        self.sessions.insert(key, s);
        Ok(())
    }

    /// The same port if it is free (RFC 4787 REQ-3 allows, debugging likes it),
    /// else a random one; well-known inside ports keep well-known outside ones.
    fn free_port(&self, cx: &mut Cx<'_>, protocol: u8, wanted: u16) -> Option<u16> {
        let free = |p: u16| !self.by_outside.contains_key(&(protocol, p));
        if wanted != 0 && free(wanted) {
            return Some(wanted);
        }
        let (low, high) = if (1..1024).contains(&wanted) { (1, 1023) } else { (1024, u16::MAX) };
        let n = u32::from(high - low) + 1;
        let start = cx.rng().random_range(0..n);
        (0..n).map(|i| low + ((start + i) % n) as u16).find(|p| free(*p))
    }

    fn close(&mut self, key: &Key) {
        if self.sessions.remove(key).is_none() {
            return;
        }
        let id = (key.protocol, key.inside);
        let Some(m) = self.mappings.get_mut(&id) else { return };
        m.sessions -= 1;
        let outside = m.outside;
        if m.sessions == 0 {
            self.mappings.remove(&id);
            self.by_outside.remove(&(key.protocol, outside));
        }
        less(&mut self.peers, (key.protocol, outside, key.remote.0));
        if let Some(n) = self.hosts.get_mut(&key.inside.0) {
            *n -= 1;
            if *n == 0 {
                self.hosts.remove(&key.inside.0);
            }
        }
    }

    /// A session exists between an inside endpoint and a remote one.
    pub(crate) fn has_session(&self, t: &Tuple, inside: Endpoint, remote: Endpoint) -> bool {
        self.sessions.contains_key(&Key { protocol: t.protocol, inside, remote: Self::remote(t, remote) })
    }

    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.age.next()
    }

    /// Forgets what is over.
    pub fn poll(&mut self, now: Time) {
        loop {
            let sessions = &self.sessions;
            let Some(key) = self.age.expired(now, |k| sessions.get(k).map(|s| s.expires)) else { return };
            self.close(&key);
        }
    }

    /// Sessions now.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Rows for `show`.
    pub fn show(&self, now: Time, from: Cursor, rows: &mut Rows) -> Option<Cursor> {
        rows.columns(&["protocol", "inside", "outside", "remote", "state", "packets", "expires-s"]);
        let live = self.sessions.iter().filter(|(_, s)| s.expires > now);
        rows.page(live, from, |rows, (k, s)| {
            let outside = self.mappings.get(&(k.protocol, k.inside)).map_or(0, |m| m.outside);
            let own = self.outside.unwrap_or(Ipv4Addr::UNSPECIFIED);
            rows.row([
                protocol_name(k.protocol).into(),
                format!("{}:{}", k.inside.0, k.inside.1).into(),
                format!("{own}:{outside}").into(),
                format!("{}:{}", k.remote.0, k.remote.1).into(),
                s.tcp.map_or("open", TcpState::name).into(),
                s.packets.into(),
                s.expires.since(now).as_secs().into(),
            ]);
        })
    }
}

fn timeout(key: &Key, s: &Session) -> Duration {
    match (key.protocol, s.tcp) {
        (_, Some(t)) => t.timeout(),
        (protocol::ICMP, _) => ICMP,
        _ => UDP,
    }
}

fn less(map: &mut HashMap<(u8, u16, Ipv4Addr), u32>, key: (u8, u16, Ipv4Addr)) {
    if let Some(n) = map.get_mut(&key) {
        *n -= 1;
        if *n == 0 {
            map.remove(&key);
        }
    }
}

fn flags_of(t: &Tuple, f: &Frame, h: &Header) -> u8 {
    if t.protocol == protocol::TCP { tcp::flags(h.payload(f.data())).unwrap_or(0) } else { 0 }
}
