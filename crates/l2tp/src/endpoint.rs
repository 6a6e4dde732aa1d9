//! All tunnels of one end: LAC, LNS, or both.

mod control;
mod data;
mod views;

pub use data::DataHeader;
pub use views::{SessionView, TunnelView};

use crate::channel::WINDOW;
use crate::message::{Call, Message, Secrecy, attribute, kind};
use crate::result::{CallResult, Outcome, StopResult, error};
use crate::tunnel::{Ended, Session, Stage, State, Tunnel};
use flow::timers::Timers;
use node::Time;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::l2tp::{Header, PORT};

/// A closed tunnel is remembered for a full cycle of retransmissions (RFC 2661
/// §5.7: 31 seconds).
const LINGER: Duration = Duration::from_secs(31);
/// Between answers to messages of no tunnel.
const STRAY: Duration = Duration::from_millis(100);
/// A call that is not set up in this time is given up.
const SET_UP: Duration = Duration::from_secs(60);

/// Where the other end is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Peer {
    /// Its address.
    pub addr: Ipv4Addr,
    /// Its UDP port.
    pub port: u16,
}

/// A session, by this end's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Tunnel.
    pub tunnel: u16,
    /// Session.
    pub session: u16,
}

/// What holds for tunnels with one peer.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// For an LNS: the Host Name of the LAC. For a LAC: the name of this entry.
    pub name: String,
    /// The tunnel's secret; without one, neither end asks for proof.
    pub secret: Option<Vec<u8>>,
    /// Whether AVPs that tell of the subscriber are hidden.
    pub secrecy: Secrecy,
    /// A LAC asks that data be numbered.
    pub sequencing: bool,
}

/// An end's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its Host Name.
    pub host_name: String,
    /// Silence after which the peer is asked whether it lives.
    pub hello: Duration,
    /// A tunnel that its initiator does not need for this long is taken down.
    pub idle: Duration,
    /// LACs that may open tunnels to this end, by their Host Name; `*` is any.
    pub peers: Vec<PeerConfig>,
    /// Tunnels at most.
    pub max_tunnels: usize,
    /// Sessions at most, over all tunnels.
    pub max_sessions: usize,
}

/// What the owner is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A tunnel is up.
    TunnelUp {
        /// This end's number.
        tunnel: u16,
    },
    /// A tunnel is gone, for a reason in words.
    TunnelDown {
        /// This end's number.
        tunnel: u16,
        /// Why.
        reason: String,
    },
    /// LAC: the call is connected; PPP frames may flow.
    Connected {
        /// The session.
        key: Key,
        /// The owner's own number of the call.
        cookie: u32,
    },
    /// LNS: a call came in and is connected.
    Incoming {
        /// The session.
        key: Key,
        /// What the LAC knows.
        call: Box<Call>,
    },
    /// The call is over, or never came to be.
    Down {
        /// The session.
        key: Key,
        /// A LAC's own number of the call; 0 at an LNS.
        cookie: u32,
        /// The result, as it was on the wire.
        outcome: Outcome,
        /// The peer ended it.
        by_peer: bool,
    },
}

/// What a UDP payload was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// A control message; it was taken.
    Control,
    /// A PPP frame.
    Data {
        /// Whose.
        key: Key,
        /// Where it begins in the payload.
        at: usize,
        /// Its bytes.
        len: usize,
    },
    /// Broken.
    Malformed,
    /// Of no tunnel, or of another peer's.
    UnknownTunnel,
    /// Of no session.
    UnknownSession,
    /// Data behind its order.
    OutOfOrder,
}

/// One end of L2TP.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) config: Config,
    tunnels: BTreeMap<u16, Tunnel>,
    sessions: usize,
    timers: Timers<u16>,
    setups: Timers<Key>,
    out: Vec<(Peer, Vec<u8>)>,
    events: VecDeque<Event>,
    serial: u32,
    /// When a message of no tunnel may be answered next.
    stray: Time,
    rng: StdRng,
}

impl Endpoint {
    /// An end without tunnels.
    pub fn new(config: Config, rng: StdRng) -> Endpoint {
        Endpoint {
            config,
            tunnels: BTreeMap::new(),
            sessions: 0,
            timers: Timers::default(),
            setups: Timers::default(),
            out: Vec::new(),
            events: VecDeque::new(),
            serial: 0,
            stray: Time::ZERO,
            rng,
        }
    }

    /// LAC: places a call to the LNS at `lns`, over a tunnel that is there or a new
    /// one. `cookie` comes back in its events.
    ///
    /// # Errors
    /// If no tunnel or session is free.
    pub fn call(&mut self, now: Time, lns: Ipv4Addr, with: &PeerConfig, host_name: &str, call: Call, cookie: u32) -> Result<Key, Outcome> {
        let refuse = |text| Err(Outcome::call(CallResult::NoFacilitiesNow, text));
        if self.sessions >= self.config.max_sessions {
            return refuse("no session is free");
        }
        let known = self.tunnels.values().find(|t| t.initiator && t.peer.addr == lns && t.name == with.name && !t.is_closing());
        let id = match known.map(|t| t.id) {
            Some(id) => id,
            None => match self.open(now, Peer { addr: lns, port: PORT }, with, host_name) {
                Some(id) => id,
                None => return refuse("no tunnel is free"),
            },
        };
        let from: u16 = self.rng.random();
        let Some(t) = self.tunnels.get_mut(&id) else { return refuse("no tunnel is free") };
        let Some(session) = t.free_session(from) else { return refuse("no session is free") };
        let key = Key { tunnel: id, session };
        t.empty = None;
        t.sessions.insert(session, Session::new(Stage::WaitTunnel, cookie, call, t.sequencing));
        self.sessions += 1;
        self.setups.set(key, Some(now + SET_UP));
        if t.state == State::Established {
            self.dial(now, key);
            self.flush(now, id);
        }
        Ok(key)
    }

    /// Ends a call; the peer is told why, the owner hears nothing more of it.
    pub fn hang_up(&mut self, now: Time, key: Key, outcome: &Outcome) {
        if let Some(s) = self.remove_session(now, key).filter(|s| s.stage != Stage::WaitTunnel) {
            self.cdn(key, s.peer_id, outcome);
            self.flush(now, key.tunnel);
        }
    }

    /// Takes a tunnel down, with all its sessions; the owner hears of each.
    pub fn stop(&mut self, now: Time, tunnel: u16, text: &str) -> bool {
        let there = self.tunnels.get(&tunnel).is_some_and(|t| !t.is_closing());
        if there {
            self.stop_tunnel(now, tunnel, &Outcome::stop(StopResult::ShutDown, error::NONE, text));
            self.flush(now, tunnel);
        }
        there
    }

    /// The next payload to send, and where.
    pub fn take_output(&mut self) -> Vec<(Peer, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    /// The next event.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        [self.timers.next(), self.setups.next()].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn poll(&mut self, now: Time) {
        while let Some(key) = self.setups.due(now) {
            let late = Outcome::call(CallResult::TimedOut, "the call was not set up in time");
            let peer = self.tunnels.get(&key.tunnel).and_then(|t| t.sessions.get(&key.session)).map_or(0, |s| s.peer_id);
            self.end_session(now, key, late.clone(), false);
            self.cdn(key, peer, &late);
            self.flush(now, key.tunnel);
        }
        while let Some(id) = self.timers.due(now) {
            self.poll_tunnel(now, id);
        }
    }

    /// A message of no tunnel: this end has been restarted, and its peer does not know.
    /// StopCCN to tunnel 0 names the number that the peer takes for ours.
    fn stranger(&mut self, now: Time, from: Peer, tunnel: u16) {
        if tunnel == 0 || now < self.stray {
            return;
        }
        self.stray = now + STRAY;
        let why = Outcome::stop(StopResult::GeneralError, error::NONE, "no such tunnel: this end has begun anew");
        let m = Message::new(kind::STOP_CCN).u16(attribute::TUNNEL_ID, tunnel).outcome(&why);
        self.out.push((from, control(0, 0, 0, 0, &m.body)));
    }

    fn open(&mut self, now: Time, peer: Peer, with: &PeerConfig, host_name: &str) -> Option<u16> {
        let id = self.new_tunnel(now, peer, with, true)?;
        let t = self.tunnels.get_mut(&id)?;
        host_name.clone_into(&mut t.host_name);
        let m = Message::new(kind::SCCRQ).u16(attribute::VERSION, 0x0100).u32(attribute::FRAMING_CAPABILITIES, 3);
        let m = m.u32(attribute::BEARER_CAPABILITIES, 3).with(attribute::HOST_NAME, host_name.as_bytes());
        let m = m.with(attribute::VENDOR_NAME, b"packet-journey").u16(attribute::TUNNEL_ID, id).u16(attribute::WINDOW, WINDOW);
        let m = if t.secret.is_some() { m.with(attribute::CHALLENGE, &t.challenge) } else { m };
        t.channel.push(0, m.body);
        self.flush(now, id);
        Some(id)
    }

    fn new_tunnel(&mut self, now: Time, peer: Peer, with: &PeerConfig, initiator: bool) -> Option<u16> {
        if self.tunnels.len() >= self.config.max_tunnels {
            return None;
        }
        let from: u16 = self.rng.random();
        let id = (0..=u16::MAX).map(|i| from.wrapping_add(i)).find(|i| *i != 0 && !self.tunnels.contains_key(i))?;
        let t = Tunnel {
            id,
            peer_id: 0,
            peer,
            state: if initiator { State::WaitReply } else { State::WaitConnect },
            channel: crate::channel::Channel::new(),
            name: with.name.clone(),
            host_name: self.config.host_name.clone(),
            peer_name: String::new(),
            secret: with.secret.clone(),
            secrecy: with.secrecy,
            sequencing: with.sequencing,
            challenge: self.rng.random(),
            initiator,
            sessions: BTreeMap::new(),
            heard: now,
            empty: Some(now),
            owes_ack: false,
        };
        self.tunnels.insert(id, t);
        Some(id)
    }

    /// The LAC's ICRQ.
    fn dial(&mut self, now: Time, key: Key) {
        let Some(t) = self.tunnels.get_mut(&key.tunnel) else { return };
        let hiding = t.hiding();
        let Some(s) = t.sessions.get_mut(&key.session).filter(|s| s.stage == Stage::WaitTunnel) else { return };
        s.stage = Stage::WaitReply;
        self.serial = self.serial.wrapping_add(1);
        let m = s.call.icrq(key.session, self.serial, hiding.as_deref(), &mut self.rng);
        if !t.channel.push(0, m.body) {
            self.end_session(now, key, Outcome::call(CallResult::NoFacilitiesNow, "too many calls wait"), false);
        }
    }

    /// CDN; `peer` is the peer's number of the session.
    fn cdn(&mut self, key: Key, peer: u16, outcome: &Outcome) {
        let Some(t) = self.tunnels.get_mut(&key.tunnel) else { return };
        let m = Message::new(kind::CDN).outcome(outcome).u16(attribute::SESSION_ID, key.session);
        t.channel.push(peer, m.body);
    }

    fn remove_session(&mut self, now: Time, key: Key) -> Option<Session> {
        let t = self.tunnels.get_mut(&key.tunnel)?;
        let s = t.sessions.remove(&key.session)?;
        if t.sessions.is_empty() {
            t.empty = Some(now);
        }
        self.sessions -= 1;
        self.setups.set(key, None);
        Some(s)
    }

    fn end_session(&mut self, now: Time, key: Key, outcome: Outcome, by_peer: bool) {
        if let Some(s) = self.remove_session(now, key) {
            self.told(Ended { key, cookie: s.cookie, outcome, by_peer });
        }
    }

    fn told(&mut self, e: Ended) {
        self.events.push_back(Event::Down { key: e.key, cookie: e.cookie, outcome: e.outcome, by_peer: e.by_peer });
    }

    /// Ends all of a tunnel's sessions, and says so.
    fn end_all(&mut self, now: Time, id: u16, why: &Outcome, by_peer: bool) {
        let all: Vec<u16> = self.tunnels.get(&id).map(|t| t.sessions.keys().copied().collect()).unwrap_or_default();
        for session in all {
            let result = if why.result == StopResult::NotAuthorized as u16 { CallResult::NoFacilities } else { CallResult::LostCarrier };
            let outcome = Outcome { result: result as u16, error: 0, text: why.text.clone() };
            self.end_session(now, Key { tunnel: id, session }, outcome, by_peer);
        }
    }

    /// Sends StopCCN and lets the tunnel linger.
    fn stop_tunnel(&mut self, now: Time, id: u16, why: &Outcome) {
        self.end_all(now, id, why, false);
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let m = Message::new(kind::STOP_CCN).u16(attribute::TUNNEL_ID, id).outcome(why);
        t.channel.push(0, m.body);
        t.state = State::Closing { until: now + LINGER };
        self.events.push_back(Event::TunnelDown { tunnel: id, reason: why.words("StopCCN sent,") });
    }

    /// Sends what the window lets go, and an acknowledgement if one is owed.
    fn flush(&mut self, now: Time, id: u16) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let (peer, peer_id) = (t.peer, t.peer_id);
        while let Some((ns, (session, body))) = t.channel.next(now) {
            t.owes_ack = false;
            self.out.push((peer, control(peer_id, session, ns, t.channel.nr, &body)));
        }
        if std::mem::take(&mut t.owes_ack) {
            // ZLB: a header alone; its Ns is not used up (§5.8).
            self.out.push((peer, control(peer_id, 0, t.channel.ns, t.channel.nr, &[])));
        }
        let at = deadline(&self.config, t);
        self.timers.set(id, at);
    }

    fn poll_tunnel(&mut self, now: Time, id: u16) {
        let (hello, idle) = (self.config.hello, self.config.idle);
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        if let State::Closing { until } = t.state
            && until <= now
        {
            self.tunnels.remove(&id);
            return;
        }
        match t.channel.poll(now) {
            Ok(Some((ns, (session, body)))) => {
                let (peer, peer_id, nr) = (t.peer, t.peer_id, t.channel.nr);
                self.out.push((peer, control(peer_id, session, ns, nr, &body)));
            }
            Ok(None) => {}
            Err(()) => {
                let closing = t.is_closing();
                let why = Outcome::stop(StopResult::GeneralError, error::NONE, "the peer does not answer");
                self.end_all(now, id, &why, false);
                self.tunnels.remove(&id);
                if !closing {
                    self.events.push_back(Event::TunnelDown { tunnel: id, reason: why.text });
                }
                return;
            }
        }
        if t.state == State::Established && t.channel.is_idle() {
            if t.initiator && t.empty.is_some_and(|e| e + idle <= now) {
                self.stop_tunnel(now, id, &Outcome::stop(StopResult::Clear, error::NONE, "no session needs it"));
            } else if t.heard + hello <= now {
                t.channel.push(0, Message::new(kind::HELLO).body);
            }
        }
        self.flush(now, id);
    }
}

fn deadline(config: &Config, t: &Tunnel) -> Option<Time> {
    let own = match t.state {
        State::Closing { until } => Some(until),
        State::Established if t.channel.is_idle() => {
            let idle = t.empty.filter(|_| t.initiator).map(|e| e + config.idle);
            [Some(t.heard + config.hello), idle].into_iter().flatten().min()
        }
        _ => None,
    };
    [own, t.channel.deadline()].into_iter().flatten().min()
}

fn control(tunnel: u16, session: u16, ns: u16, nr: u16, body: &[u8]) -> Vec<u8> {
    let h = Header { control: true, tunnel, session, sequence: Some((ns, nr)), priority: false };
    let mut v = vec![0; h.len(true)];
    h.write(&mut v, body.len(), true);
    v.extend_from_slice(body);
    v
}
