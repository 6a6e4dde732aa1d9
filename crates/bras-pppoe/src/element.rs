//! The BAS as an element: subscribers on one side, the core on the other.

use crate::aaa;
use crate::cookie::Cookies;
use crate::discovery;
use crate::pool::Pool;
use crate::session::{Ended, Rates, Session};
use crate::settings::{Auth, Settings};
use flow::age::Age;
use flow::icmp::Error;
use flow::{IpHop, Links, Packet, Route, hop};
use node::config::NodeConfig;
use node::{
    Burst, Cause, Cidr, Command, CommandError, Cursor, Cx, DropReason, Element, Event, Frame, Parent, PortId, Query, QueryError, Reply,
    Rows, Time,
};
use ppp::{Addresses, AuthProtocol, Config, Event as PppEvent, Phase, Ppp, Side};
use rand::RngExt;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::ppp::protocol;
use wire::pppoe::{self, Discovery, Packet as Pppoe, code};
use wire::{Mac, be16};

/// Ends of sessions that `show log` remembers.
const LOG: usize = 64;

/// The access server.
#[derive(Debug)]
pub struct Bas {
    pub(crate) settings: Settings,
    pub(crate) ac_name: String,
    access: Vec<(PortId, Mac, u16)>,
    hop: IpHop,
    local: Ipv4Addr,
    pool: Pool,
    pub(crate) cookies: Cookies,
    pub(crate) rates: Rates,
    /// By session id; the MAC address and port are checked on every frame.
    pub(crate) sessions: BTreeMap<u16, Session>,
    next_id: u16,
    age: Age<u16>,
    log: VecDeque<Ended>,
}

/// Sessions as links: the number is the session's id.
struct Carrier<'a> {
    sessions: &'a mut BTreeMap<u16, Session>,
    access: &'a [(PortId, Mac, u16)],
}

impl Links for Carrier<'_> {
    fn mtu(&self, link: u32) -> u16 {
        self.sessions.get(&(link as u16)).map_or(1492, |s| s.ppp.mtu())
    }

    fn send(&mut self, cx: &mut Cx<'_>, link: u32, mut f: Frame, _: Cause) {
        let Some(s) = self.sessions.get_mut(&(link as u16)).filter(|s| s.up) else {
            return cx.drop(f, DropReason::LinkDown);
        };
        s.tx = (s.tx.0 + 1, s.tx.1 + f.len() as u64);
        f.push(2).copy_from_slice(&protocol::IPV4.to_be_bytes());
        put_session(cx, self.access, s, f, Cause::PppoeEncapsulated { session: s.id });
    }
}

fn put_session(cx: &mut Cx<'_>, access: &[(PortId, Mac, u16)], s: &Session, mut f: Frame, why: Cause) {
    let src = access.iter().find(|(p, _, _)| *p == s.port).map_or(Mac::default(), |(_, m, _)| *m);
    let len = f.len();
    pppoe::write_header(f.push(pppoe::HEADER_LEN), code::SESSION, s.id, len);
    Header { dst: s.mac, src, ethertype: ethertype::PPPOE_SESSION }.write(f.push(HEADER_LEN));
    cx.send(s.port, f, || why);
}

impl Bas {
    /// An access server. `key` makes its cookies.
    ///
    /// # Errors
    /// If the settings name a port that is not there, or contradict each other.
    pub fn new(config: &NodeConfig, settings: Settings, key: u64) -> anyhow::Result<Bas> {
        anyhow::ensure!(!settings.access.is_empty(), "`access` names no port");
        let mut access = Vec::new();
        for name in &settings.access {
            let (port, c) = config.need_port(name)?;
            anyhow::ensure!(c.address.is_none(), "access port `{name}` must have no address of its own");
            access.push((port, c.mac, c.mtu));
        }
        let first = Ipv4Addr::from(u32::from(settings.pool.network()) + u32::from(settings.pool.len < 31));
        let local = settings.local.unwrap_or(first);
        for u in &settings.users {
            if let Some(a) = u.address {
                anyhow::ensure!(
                    settings.pool.contains(a) && a != local,
                    "user `{}`: {a} is not free in the pool {}",
                    u.name,
                    settings.pool
                );
            }
        }
        let fixed = settings.users.iter().filter_map(|u| u.address);
        let pool = Pool::new(settings.pool, fixed.chain([local]));
        let mut hop = IpHop::new(config, &settings.routes)?;
        // Addresses of the pool that nobody has go nowhere.
        hop.fib.insert(settings.pool, Route::Blackhole);
        Ok(Bas {
            ac_name: settings.ac_name.clone().unwrap_or_else(|| config.node.clone()),
            settings,
            access,
            hop,
            local,
            pool,
            cookies: Cookies::new(key),
            rates: Rates::new(),
            sessions: BTreeMap::new(),
            next_id: 1,
            age: Age::default(),
            log: VecDeque::new(),
        })
    }

    /// Begins a session; LCP's first words wait until `settle`.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, port: PortId, mac: Mac, host_uniq: Option<Vec<u8>>) -> Option<u16> {
        if self.sessions.len() >= self.settings.max_sessions.min(65_000) {
            return None;
        }
        let mut id = self.next_id;
        // RFC 2516 §4: 0 means none and 0xffff is reserved.
        while id == 0 || id == 0xffff || self.sessions.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.next_id = id.wrapping_add(1);
        let mut challenge = [0; 16];
        cx.rng().fill(&mut challenge);
        let accept = self.settings.auth.iter().map(|a| match a {
            Auth::Pap => AuthProtocol::Pap,
            Auth::Chap => AuthProtocol::Chap,
        });
        let link_mtu = self.access.iter().find(|(p, _, _)| *p == port).map_or(1500, |a| a.2);
        let mut ppp = Ppp::new(Config {
            side: Side::Server { accept: accept.collect(), name: self.ac_name.clone() },
            mru: (link_mtu - pppoe::SESSION_OVERHEAD as u16).min(1492),
            magic: cx.rng().random_range(1..=u32::MAX),
            challenge,
            echo_interval: self.settings.echo_interval,
            echo_failures: 3,
        });
        ppp.open(cx.now);
        cx.count("sessions-begun");
        let s = Session { port, mac, id, ppp, since: cx.now, address: None, up: false, rx: (0, 0), tx: (0, 0), host_uniq, noted: None };
        self.sessions.insert(id, s);
        Some(id)
    }

    /// Sends what a session's PPP has to say and does what became of it.
    pub(crate) fn settle(&mut self, cx: &mut Cx<'_>, id: u16) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let mut ended = None;
        loop {
            for p in s.ppp.take_output() {
                let Some(mut f) = cx.make(Parent::Timer) else { continue };
                f.extend(&p);
                put_session(cx, &self.access, s, f, Cause::Control { protocol: "PPP" });
            }
            let Some(e) = s.ppp.take_event() else { break };
            match e {
                PppEvent::Authenticate { user, proof } => {
                    let open = self.settings.auth.is_empty();
                    let grant = if open { Ok(aaa::Grant { address: None }) } else { aaa::judge(&self.settings.users, &user, &proof) };
                    let address = grant.and_then(|g| match g.address {
                        Some(a) if self.pool.reserve(a) => Ok(a),
                        Some(_) => Err("the subscriber's address is in use"),
                        None => self.pool.take().ok_or("no address is free"),
                    });
                    match address {
                        Ok(a) => {
                            if let Some(old) = s.address.replace(a) {
                                self.pool.give(old);
                            }
                            let dns = [self.settings.dns.first().copied(), self.settings.dns.get(1).copied()];
                            let gift = Addresses { local: Some(self.local), peer: Some(a), dns };
                            s.ppp.authenticated(cx.now, &user, Ok(gift));
                        }
                        Err(why) => {
                            cx.count("authentication-refused");
                            tracing::warn!("session {id} of {}: `{user}` refused: {why}", s.mac);
                            s.ppp.authenticated(cx.now, &user, Err(why));
                        }
                    }
                }
                PppEvent::Up(a) => {
                    s.up = true;
                    if let Some(peer) = a.peer {
                        self.hop.fib.insert(Cidr { addr: peer, len: 32 }, Route::Link(u32::from(id)));
                    }
                    cx.count("sessions-up");
                    let has = a.peer.map_or_else(String::new, |p| p.to_string());
                    tracing::info!("session {id} of {} is up: {} has {has}", s.mac, s.ppp.user().unwrap_or("nobody"));
                }
                PppEvent::Down(reason) => ended = Some(reason),
            }
        }
        match ended {
            Some(reason) => self.end(cx, id, &reason, true),
            None => {
                if let Some(t) = s.ppp.deadline()
                    && s.noted.is_none_or(|n| t < n || n <= cx.now)
                {
                    s.noted = Some(t);
                    self.age.insert(t, id);
                }
            }
        }
    }

    /// Forgets a session; `tell`: with a PADT.
    fn end(&mut self, cx: &mut Cx<'_>, id: u16, reason: &str, tell: bool) {
        let Some(s) = self.sessions.remove(&id) else { return };
        if let Some(a) = s.address {
            self.hop.fib.remove(Cidr { addr: a, len: 32 });
            self.pool.give(a);
        }
        if tell && let Some((_, own, _)) = self.access.iter().find(|(p, _, _)| *p == s.port) {
            discovery::send(cx, s.port, *own, s.mac, Parent::Timer, &Discovery::new(code::PADT, id).finish());
        }
        cx.count("sessions-ended");
        tracing::info!("session {id} of {} ended: {reason}", s.mac);
        if self.log.len() >= LOG {
            self.log.pop_front();
        }
        let user = s.ppp.user().unwrap_or("").to_owned();
        self.log.push_back(Ended { at: cx.now, mac: s.mac, id, user, reason: reason.to_owned() });
    }

    pub(crate) fn padt(&mut self, cx: &mut Cx<'_>, port: PortId, from: Mac, id: u16) -> bool {
        let known = self.sessions.get(&id).is_some_and(|s| s.mac == from && s.port == port);
        if known {
            self.end(cx, id, "PADT from the subscriber", false);
        }
        known
    }

    fn access_frame(&mut self, cx: &mut Cx<'_>, port: PortId, own: Mac, mut f: Frame) {
        let Some(h) = Header::read(f.data()) else {
            return cx.drop(f, DropReason::Truncated);
        };
        match h.ethertype {
            ethertype::PPPOE_DISCOVERY => return self.discovery(cx, port, own, f),
            ethertype::PPPOE_SESSION if h.dst == own => {}
            ethertype::PPPOE_SESSION => return cx.drop(f, DropReason::NotForUs),
            _ => return cx.drop(f, DropReason::UnknownEthertype),
        }
        let Some(p) = Pppoe::read(&f.data()[HEADER_LEN..]).filter(|p| p.code == code::SESSION) else {
            return cx.drop(f, DropReason::BadPppoe);
        };
        let id = p.session;
        let Some(s) = self.sessions.get_mut(&id).filter(|s| s.mac == h.src && s.port == port) else {
            // After a restart the subscriber's session is unknown here: tell it.
            if self.rates.strangers.take(cx.now) && !h.src.is_multicast() {
                discovery::send(cx, port, own, h.src, Parent::Of(f.seq), &Discovery::new(code::PADT, id).finish());
                cx.count("padt-to-strangers");
            }
            return cx.drop(f, DropReason::UnknownSession);
        };
        match be16(p.payload, 0) {
            Some(protocol::IPV4) if s.up => {
                let end = HEADER_LEN + pppoe::HEADER_LEN + p.payload.len();
                f.truncate(end);
                if !f.pull(HEADER_LEN + pppoe::SESSION_OVERHEAD) {
                    return cx.drop(f, DropReason::BadPpp);
                }
                s.rx = (s.rx.0 + 1, s.rx.1 + f.len() as u64);
                let own_address = s.address;
                if let Some(p) = hop::packet(cx, f) {
                    self.subscriber_packet(cx, own_address, id, p);
                }
            }
            Some(protocol::IPV4) => cx.drop(f, DropReason::PppNotOpen),
            Some(_) => {
                let understood = s.ppp.input(cx.now, p.payload);
                self.settle(cx, id);
                if understood { cx.consume(f) } else { cx.drop(f, DropReason::BadPpp) }
            }
            None => cx.drop(f, DropReason::BadPpp),
        }
    }

    fn subscriber_packet(&mut self, cx: &mut Cx<'_>, own: Option<Ipv4Addr>, id: u16, p: Packet) {
        // RFC 2827: a subscriber speaks from the address it was given.
        if Some(p.header.src) != own {
            return cx.drop(p.frame, DropReason::SpoofedSource);
        }
        let local = self.local;
        let mut links = Carrier { sessions: &mut self.sessions, access: &self.access };
        if p.header.dst == local || self.hop.is_local(p.header.dst) {
            return answer_local(cx, &mut self.hop, &mut links, local, p);
        }
        if let Some((p, route)) = self.hop.check(cx, &mut links, p, local) {
            self.hop.emit(cx, &mut links, p, route, Cause::PppoeDecapsulated { session: id });
        }
    }

    fn core_frame(&mut self, cx: &mut Cx<'_>, index: usize, f: Frame) {
        let Some(p) = self.hop.ethernet(cx, index, f) else { return };
        let from = self.hop.interfaces[index].addr.addr;
        // A source in the pool can only come from a session.
        if self.settings.pool.contains(p.header.src) {
            return cx.drop(p.frame, DropReason::SpoofedSource);
        }
        let mut links = Carrier { sessions: &mut self.sessions, access: &self.access };
        if self.hop.is_local(p.header.dst) || p.header.dst == self.local {
            return answer_local(cx, &mut self.hop, &mut links, self.local, p);
        }
        self.hop.forward(cx, &mut links, p, from);
    }
}

/// Answers a packet for the server itself; its PPP address is own too, though on
/// no Ethernet interface.
fn answer_local(cx: &mut Cx<'_>, hop: &mut IpHop, links: &mut Carrier<'_>, local: Ipv4Addr, p: Packet) {
    if p.header.dst != local {
        return hop.local(cx, links, p);
    }
    let Packet { mut frame, header } = p;
    if header.is_fragment() || !wire::ipv4::l4_checksum_ok(frame.data(), &header) {
        return cx.drop(frame, DropReason::BadChecksum);
    }
    let echo = header.protocol == wire::ipv4::protocol::ICMP && frame.data().get(header.header_len) == Some(&wire::icmp::ECHO_REQUEST);
    if echo {
        flow::icmp::echo_reply(&mut frame, 64);
        return hop.originate(cx, links, frame, Cause::Answered);
    }
    if header.protocol == wire::ipv4::protocol::UDP {
        hop.error(cx, links, &frame, local, Error::PORT);
    }
    cx.drop(frame, DropReason::NoSocket);
}

impl Element for Bas {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let access = self.access.iter().find(|(p, _, _)| *p == port).map(|(_, m, _)| *m);
        let index = self.hop.interface_of(port);
        while let Some(f) = burst.take() {
            match (access, index) {
                (Some(own), _) => self.access_frame(cx, port, own, f),
                (None, Some(i)) => self.core_frame(cx, i, f),
                (None, None) => cx.drop(f, DropReason::NotForUs),
            }
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        let mut links = Carrier { sessions: &mut self.sessions, access: &self.access };
        self.hop.poll(cx, &mut links);
        loop {
            let sessions = &self.sessions;
            let due = self.age.expired(cx.now, |id| sessions.get(id).and_then(|s| s.ppp.deadline()));
            let Some(id) = due else { return };
            if let Some(s) = self.sessions.get_mut(&id) {
                s.noted = None;
                s.ppp.poll(cx.now);
            }
            self.settle(cx, id);
        }
    }

    fn deadline(&self) -> Option<Time> {
        [self.hop.deadline(), self.age.next()].into_iter().flatten().min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        const VIEWS: &[(&str, &str)] =
            &[("sessions", "PPPoE sessions"), ("log", "sessions that ended, and why"), hop::VIEWS[0], hop::VIEWS[1]];
        VIEWS
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match q.what.as_str() {
            "sessions" => {
                rows.columns(&[
                    "session",
                    "mac",
                    "user",
                    "phase",
                    "address",
                    "auth",
                    "mtu",
                    "up-s",
                    "rx-packets",
                    "tx-packets",
                    "rx-bytes",
                    "tx-bytes",
                ]);
                Ok(rows.page(self.sessions.values(), from, |rows, s| {
                    let phase = if s.up { "up" } else { s.ppp.phase().name() };
                    rows.row([
                        s.id.into(),
                        s.mac.to_string().into(),
                        s.ppp.user().into(),
                        phase.into(),
                        s.address.map(|a| a.to_string()).into(),
                        s.ppp.auth_protocol().map_or("none", AuthProtocol::name).into(),
                        s.ppp.mtu().into(),
                        q.now.since(s.since).as_secs().into(),
                        s.rx.0.into(),
                        s.tx.0.into(),
                        s.rx.1.into(),
                        s.tx.1.into(),
                    ]);
                }))
            }
            "log" => {
                rows.columns(&["ago-s", "session", "mac", "user", "reason"]);
                Ok(rows.page(self.log.iter().rev(), from, |rows, e| {
                    let ago = q.now.since(e.at).as_secs();
                    rows.row([ago.into(), e.id.into(), e.mac.to_string().into(), e.user.clone().into(), e.reason.clone().into()]);
                }))
            }
            _ => self.hop.show(q, from, rows).ok_or_else(|| QueryError::Unknown(q.what.clone())),
        }
    }

    fn counters(&self, rows: &mut Rows) {
        rows.row(["table".into(), "sessions".into(), self.sessions.len().into()]);
        rows.row(["table".into(), "addresses-in-use".into(), self.pool.used().into()]);
    }

    fn command(&mut self, cx: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        match c.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["disconnect", id] => {
                let id: u16 = id.parse().map_err(|_| CommandError::Refused(format!("`{id}` is no session number")))?;
                let s = self.sessions.get_mut(&id).ok_or_else(|| CommandError::Refused(format!("there is no session {id}")))?;
                if s.ppp.phase() == Phase::Dead {
                    return Err(CommandError::Refused(format!("session {id} is ending already")));
                }
                s.ppp.close(cx.now, "disconnected by the operator");
                self.settle(cx, id);
                Ok(format!("session {id} is being ended"))
            }
            _ => Err(CommandError::Unknown(c.words.join(" "))),
        }
    }
}
