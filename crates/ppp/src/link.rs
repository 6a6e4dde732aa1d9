//! One PPP link: its phases (RFC 1661 §3) over LCP, authentication and IPCP.

use crate::auth::{AuthProtocol, Proof};
use crate::automaton::{AutomatonEvent as E, State};
use crate::ipcp::{Addresses, IpcpOptions};
use crate::lcp::LcpOptions;
use crate::link_auth::AUTH_RETRY;
use crate::machine::{Machine, Signal};
use node::Time;
use std::collections::VecDeque;
use std::time::Duration;
use wire::be16;
use wire::ppp::{Control, protocol};

const ECHO_REQUEST: u8 = 9;
const ECHO_REPLY: u8 = 10;
const DISCARD: u8 = 11;
const IDENTIFICATION: u8 = 12;
const TIME_REMAINING: u8 = 13;
const PROTOCOL_REJECT: u8 = 8;

/// Which side of the link this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Side {
    /// Proves itself and asks for an address.
    Client {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
    /// Asks for proof and gives addresses.
    Server {
        /// What it accepts as proof, best first. Empty: no proof is asked.
        accept: Vec<AuthProtocol>,
        /// Its name in challenges.
        name: String,
    },
}

/// A link's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Which side.
    pub side: Side,
    /// What this side can receive, and the most that the carrier bears.
    pub mru: u16,
    /// A magic number that is not zero.
    pub magic: u32,
    /// 16 random bytes for the challenge.
    pub challenge: [u8; 16],
    /// Between LCP echoes; zero: none.
    pub echo_interval: Duration,
    /// Unanswered echoes before the link counts as dead.
    pub echo_failures: u32,
}

/// Phases (RFC 1661 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Not begun, or over.
    Dead,
    /// LCP negotiates.
    Establish,
    /// Proof is awaited.
    Authenticate,
    /// IPCP negotiates, or is open.
    Network,
    /// LCP says goodbye.
    Terminate,
}

impl Phase {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Dead => "dead",
            Phase::Establish => "establish",
            Phase::Authenticate => "authenticate",
            Phase::Network => "network",
            Phase::Terminate => "terminate",
        }
    }
}

/// What the link's owner is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A server must judge this proof: see [`Ppp::authenticated`].
    Authenticate {
        /// The name that the peer gave.
        user: String,
        /// Its proof.
        proof: Proof,
    },
    /// Datagrams may flow.
    Up(Addresses),
    /// They may not any more, or never could; the reason, for a person.
    Down(String),
}

#[derive(Debug)]
pub(crate) struct Trying {
    pub(crate) tries: u32,
    pub(crate) next: Time,
}

/// One link.
#[derive(Debug)]
pub struct Ppp {
    pub(crate) config: Config,
    pub(crate) phase: Phase,
    pub(crate) lcp: Machine<LcpOptions>,
    pub(crate) ipcp: Option<Machine<IpcpOptions>>,
    pub(crate) user: Option<String>,
    pub(crate) trying: Option<Trying>,
    pub(crate) chap_id: u8,
    /// The proof that was judged good: a repeat is answered alike.
    pub(crate) judged: bool,
    /// The proof that is being judged.
    pub(crate) waiting: Option<Proof>,
    pub(crate) echo_at: Option<Time>,
    pub(crate) echoes_open: u32,
    pub(crate) echo_id: u8,
    pub(crate) reason: Option<String>,
    pub(crate) out: Vec<Vec<u8>>,
    pub(crate) events: VecDeque<Event>,
}

impl Ppp {
    /// A link that has not begun.
    pub fn new(config: Config) -> Ppp {
        let (require, can) = match &config.side {
            Side::Client { .. } => (vec![], vec![AuthProtocol::Chap, AuthProtocol::Pap]),
            Side::Server { accept, .. } => (accept.clone(), vec![]),
        };
        let lcp = Machine::new(LcpOptions::new(config.mru, config.magic, require, can));
        Ppp {
            config,
            phase: Phase::Dead,
            lcp,
            ipcp: None,
            user: None,
            trying: None,
            chap_id: 0,
            judged: false,
            waiting: None,
            echo_at: None,
            echoes_open: 0,
            echo_id: 0,
            reason: None,
            out: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The carrier is there: begin.
    pub fn open(&mut self, now: Time) {
        self.phase = Phase::Establish;
        self.lcp(now, E::Open);
        self.lcp(now, E::Up);
    }

    /// End the link in good order; `reason` goes to the peer and the owner.
    pub fn close(&mut self, now: Time, reason: &str) {
        if matches!(self.phase, Phase::Dead | Phase::Terminate) {
            return;
        }
        self.reason.get_or_insert_with(|| reason.to_owned());
        self.phase = Phase::Terminate;
        let mut signals = Vec::new();
        self.lcp.close(now, reason, &mut self.out, &mut signals);
        self.signals(now, signals);
    }

    /// The carrier is gone: end without a word to the peer.
    pub fn carrier_lost(&mut self, reason: &str) {
        if self.phase != Phase::Dead {
            self.finish(reason);
        }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Datagrams may flow.
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Network && self.ipcp.as_ref().is_some_and(Machine::is_open)
    }

    /// What both ends agreed on so far.
    pub fn addresses(&self) -> Addresses {
        self.ipcp.as_ref().map(|i| i.options.agreed).unwrap_or_default()
    }

    /// The most bytes that a datagram to the peer may have.
    pub fn mtu(&self) -> u16 {
        self.lcp.options.peer_mru.min(self.config.mru)
    }

    /// The user that proved itself (server side).
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// By what the peer was asked to prove itself.
    pub fn auth_protocol(&self) -> Option<AuthProtocol> {
        match self.config.side {
            Side::Client { .. } => self.lcp.options.peer_auth,
            Side::Server { .. } => self.lcp.options.demanded(),
        }
    }

    /// The next payload to send, protocol field first.
    pub fn take_output(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    /// The next event.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        let ipcp = self.ipcp.as_ref().and_then(Machine::deadline);
        [self.lcp.deadline(), ipcp, self.trying.as_ref().map(|t| t.next), self.echo_at].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn poll(&mut self, now: Time) {
        let mut signals = Vec::new();
        self.lcp.poll(now, &mut self.out, &mut signals);
        self.signals(now, signals);
        if let Some(ipcp) = &mut self.ipcp {
            let mut signals = Vec::new();
            ipcp.poll(now, &mut self.out, &mut signals);
            self.ipcp_signals(now, signals);
        }
        if self.trying.as_ref().is_some_and(|t| t.next <= now) {
            self.try_again(now);
        }
        if self.echo_at.is_some_and(|t| t <= now) {
            self.echo(now);
        }
    }

    /// Takes a payload, protocol field first. Returns false if it was not
    /// understood or came out of its phase.
    pub fn input(&mut self, now: Time, payload: &[u8]) -> bool {
        let (Some(proto), Some(body)) = (be16(payload, 0), payload.get(2..)) else { return false };
        if self.phase == Phase::Dead {
            return false;
        }
        match proto {
            protocol::LCP => self.lcp_input(now, body),
            // RFC 1661 §3.4: before LCP is open, all else is silently discarded.
            _ if !self.lcp.is_open() => false,
            protocol::PAP | protocol::CHAP => {
                let Some(c) = Control::read(body) else { return false };
                if proto == protocol::PAP { self.pap_input(now, &c) } else { self.chap_input(now, &c) }
            }
            protocol::IPCP if self.phase == Phase::Network => {
                let Some(c) = Control::read(body) else { return false };
                let Some(ipcp) = &mut self.ipcp else { return false };
                let mut signals = Vec::new();
                if !ipcp.input(now, &c, body, &mut self.out, &mut signals) {
                    ipcp.unknown_code(now, &c, body, &mut self.out, &mut signals);
                }
                self.ipcp_signals(now, signals);
                true
            }
            protocol::IPCP | protocol::IPV4 => false,
            // RFC 1661 §5.7: a protocol that is not spoken here.
            _ if self.phase == Phase::Network => {
                let mut v = Vec::with_capacity(payload.len() + 8);
                v.extend_from_slice(&payload[..payload.len().min(usize::from(self.lcp.options.peer_mru) - 4)]);
                self.echo_id = self.echo_id.wrapping_add(1);
                self.out.push(Control { code: PROTOCOL_REJECT, id: self.echo_id, data: &v }.to_vec(protocol::LCP));
                true
            }
            _ => false,
        }
    }

    fn lcp_input(&mut self, now: Time, body: &[u8]) -> bool {
        let Some(c) = Control::read(body) else { return false };
        let mut signals = Vec::new();
        if self.lcp.input(now, &c, body, &mut self.out, &mut signals) {
            if c.code == 5 && self.reason.is_none() {
                let said = text(c.data);
                self.reason =
                    Some(if said.is_empty() { "the peer ended the link".into() } else { format!("the peer ended the link: {said}") });
            }
            self.signals(now, signals);
            return true;
        }
        match c.code {
            ECHO_REQUEST if self.lcp.is_open() => {
                // §5.8: the reply carries our own magic number.
                let mut data = c.data.to_vec();
                if data.len() < 4 {
                    return false;
                }
                data[..4].copy_from_slice(&self.lcp.options.magic.to_be_bytes());
                self.out.push(Control { code: ECHO_REPLY, id: c.id, data: &data }.to_vec(protocol::LCP));
            }
            ECHO_REPLY => self.echoes_open = 0,
            PROTOCOL_REJECT => {
                if be16(c.data, 0) == Some(protocol::IPCP) {
                    self.close(now, "the peer does not speak IPCP");
                }
            }
            ECHO_REQUEST | DISCARD | IDENTIFICATION | TIME_REMAINING => {}
            _ => {
                let mut signals = Vec::new();
                self.lcp.unknown_code(now, &c, body, &mut self.out, &mut signals);
                self.signals(now, signals);
            }
        }
        true
    }

    pub(crate) fn resumed(&mut self, now: Time, signals: Vec<Signal>) {
        self.signals(now, signals);
    }

    fn lcp(&mut self, now: Time, e: E) {
        let mut signals = Vec::new();
        self.lcp.event(now, e, &mut self.out, &mut signals);
        self.signals(now, signals);
    }

    fn signals(&mut self, now: Time, signals: Vec<Signal>) {
        for s in signals {
            match s {
                Signal::Up => self.lcp_up(now),
                Signal::Down => {
                    self.ipcp = None;
                    self.trying = None;
                    self.echo_at = None;
                    self.judged = false;
                    if self.phase != Phase::Terminate {
                        // A peer that renegotiates begins again; one that ends
                        // is left in Stopping.
                        self.phase = if self.lcp.state() == State::Stopping { Phase::Terminate } else { Phase::Establish };
                    }
                }
                Signal::Finished => {
                    let reason = self.reason.take().unwrap_or_else(|| "LCP: the peer does not answer".into());
                    self.finish(&reason);
                }
            }
        }
    }

    fn finish(&mut self, reason: &str) {
        self.phase = Phase::Dead;
        self.ipcp = None;
        self.trying = None;
        self.echo_at = None;
        self.events.push_back(Event::Down(reason.to_owned()));
    }

    fn lcp_up(&mut self, now: Time) {
        if !self.config.echo_interval.is_zero() {
            self.echo_at = Some(now + self.config.echo_interval);
            self.echoes_open = 0;
        }
        self.phase = Phase::Authenticate;
        match self.config.side.clone() {
            Side::Client { .. } => match self.lcp.options.peer_auth {
                None => self.network(now, IpcpOptions::client()),
                Some(AuthProtocol::Pap) => {
                    self.trying = Some(Trying { tries: 0, next: now });
                    self.try_again(now);
                }
                Some(AuthProtocol::Chap) => self.trying = Some(Trying { tries: 0, next: now + AUTH_RETRY }),
            },
            Side::Server { accept, .. } => {
                if accept.is_empty() {
                    // Nobody is asked for proof: the owner still gives the addresses.
                    self.events.push_back(Event::Authenticate { user: String::new(), proof: Proof::Pap(Vec::new()) });
                } else if self.lcp.options.auth_refused {
                    self.close(now, "the peer refuses to authenticate");
                } else {
                    self.chap_id = self.chap_id.wrapping_add(1);
                    self.trying = Some(Trying { tries: 0, next: now });
                    self.try_again(now);
                }
            }
        }
    }

    pub(crate) fn network(&mut self, now: Time, options: IpcpOptions) {
        self.phase = Phase::Network;
        self.trying = None;
        let mut ipcp = Machine::new(options);
        let mut signals = Vec::new();
        ipcp.event(now, E::Open, &mut self.out, &mut signals);
        ipcp.event(now, E::Up, &mut self.out, &mut signals);
        self.ipcp = Some(ipcp);
        self.ipcp_signals(now, signals);
    }

    fn ipcp_signals(&mut self, now: Time, signals: Vec<Signal>) {
        for s in signals {
            match s {
                Signal::Up => {
                    let a = self.addresses();
                    let has = if matches!(self.config.side, Side::Client { .. }) { a.local } else { a.peer };
                    match has {
                        Some(_) => self.events.push_back(Event::Up(a)),
                        None => self.close(now, "IPCP gave no address"),
                    }
                }
                Signal::Down => {}
                Signal::Finished => self.close(now, "IPCP: the peer does not answer"),
            }
        }
    }

    fn echo(&mut self, now: Time) {
        self.echo_at = Some(now + self.config.echo_interval);
        if !self.lcp.is_open() {
            return;
        }
        if self.echoes_open >= self.config.echo_failures {
            self.finish(&format!("no answer to {} LCP echoes", self.echoes_open));
            return;
        }
        self.echoes_open += 1;
        self.echo_id = self.echo_id.wrapping_add(1);
        let magic = self.lcp.options.magic.to_be_bytes();
        self.out.push(Control { code: ECHO_REQUEST, id: self.echo_id, data: &magic }.to_vec(protocol::LCP));
    }
}

/// Peer's words, fit to be shown: no control characters.
pub(crate) fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).chars().map(|c| if c.is_control() { '.' } else { c }).take(200).collect()
}
