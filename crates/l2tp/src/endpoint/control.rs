//! Control messages that arrive (RFC 2661 §6, §7).

use super::{Endpoint, Event, Input, Key, LINGER, Peer, SET_UP};
use crate::channel::{Order, WINDOW};
use crate::message::{Call, Message, Read, Unreadable, attribute, kind, response};
use crate::result::{CallResult, Outcome, StopResult, error};
use crate::tunnel::{Session, Stage, State};
use node::Time;
use rand::RngExt;
use wire::l2tp::Header;

/// What a message of a tunnel does to it.
enum Then {
    Nothing,
    Stop(Outcome),
}

fn stop(result: StopResult, text: &str) -> Then {
    Then::Stop(Outcome::stop(result, error::NONE, text))
}

impl Endpoint {
    pub(super) fn control_input(&mut self, now: Time, from: Peer, h: Header, body: &[u8]) -> Input {
        let id = if h.tunnel == 0 {
            match self.first(now, from, body) {
                Some(id) => id,
                None => return if self.stopped(now, from, body) { Input::Control } else { Input::UnknownTunnel },
            }
        } else {
            h.tunnel
        };
        if !self.tunnels.contains_key(&id) {
            self.stranger(now, from, id);
        }
        let Some(t) = self.tunnels.get_mut(&id).filter(|t| t.peer.addr == from.addr) else {
            return Input::UnknownTunnel;
        };
        if t.state == State::WaitReply {
            // §8.1: the responder may answer from a port of its own choice.
            t.peer.port = from.port;
        }
        t.heard = now;
        let (ns, nr) = h.sequence.unwrap_or_default();
        t.channel.acknowledged(now, nr);
        if body.is_empty() {
            self.flush(now, id);
            return Input::Control;
        }
        t.owes_ack = true;
        if t.channel.order(ns, || (h.session, body.to_vec())) == Order::Next {
            self.message(now, id, h.session, body);
            while let Some((session, body)) = self.tunnels.get_mut(&id).and_then(|t| t.channel.kept()) {
                self.message(now, id, session, &body);
            }
        }
        self.flush(now, id);
        Input::Control
    }

    /// A StopCCN to tunnel 0 from a peer that has begun anew: the tunnel that it names
    /// by its own number is gone.
    fn stopped(&mut self, now: Time, from: Peer, body: &[u8]) -> bool {
        let Ok(r) = Read::parse(body, None) else { return false };
        let peer_id = r.u16(attribute::TUNNEL_ID).unwrap_or(0);
        let known = self.tunnels.values().find(|t| t.peer == from && t.peer_id == peer_id && peer_id != 0 && !t.is_closing());
        let Some(id) = known.map(|t| t.id).filter(|_| r.kind == kind::STOP_CCN) else { return false };
        let why = r.outcome();
        self.end_all(now, id, &why, true);
        self.tunnels.remove(&id);
        self.timers.set(id, None);
        self.events.push_back(Event::TunnelDown { tunnel: id, reason: why.words("StopCCN received,") });
        true
    }

    /// A message to tunnel 0: an SCCRQ, new or repeated, or a StopCCN of a peer that
    /// never learned our number.
    fn first(&mut self, now: Time, from: Peer, body: &[u8]) -> Option<u16> {
        let r = Read::parse(body, None).ok()?;
        let peer_id = r.u16(attribute::TUNNEL_ID).filter(|i| *i != 0)?;
        let same = self.tunnels.values().find(|t| t.peer == from && t.peer_id == peer_id && !t.initiator);
        if let Some(t) = same {
            return Some(t.id);
        }
        if r.kind == kind::STOP_CCN {
            return self.tunnels.values().find(|t| t.peer.addr == from.addr && t.state == State::WaitReply).map(|t| t.id);
        }
        if r.kind != kind::SCCRQ {
            return None;
        }
        let name = r.text(attribute::HOST_NAME);
        let with = self.config.peers.iter().find(|p| p.name == name || p.name == "*").cloned();
        let known = with.is_some();
        let with =
            with.unwrap_or(super::PeerConfig { name: name.clone(), secret: None, secrecy: crate::Secrecy::Clear, sequencing: false });
        let id = self.new_tunnel(now, from, &with, false)?;
        let t = self.tunnels.get_mut(&id)?;
        (t.peer_id, t.peer_name) = (peer_id, name);
        if !known {
            let text = format!("no peer `{}` is known here", t.peer_name);
            self.stop_tunnel(now, id, &Outcome::stop(StopResult::NotAuthorized, error::NONE, &text));
        }
        Some(id)
    }

    fn message(&mut self, now: Time, id: u16, session: u16, body: &[u8]) {
        let Some(t) = self.tunnels.get(&id) else { return };
        if t.is_closing() {
            return; // acknowledged, no more
        }
        let r = match Read::parse(body, t.secret.as_deref()) {
            Ok(r) => r,
            Err(e) => return self.unreadable(now, id, session, e),
        };
        let then = match r.kind {
            kind::SCCRQ | kind::SCCRP | kind::SCCCN => self.tunnel_message(now, id, &r),
            kind::STOP_CCN => {
                let why = r.outcome();
                self.end_all(now, id, &why, true);
                if let Some(t) = self.tunnels.get_mut(&id) {
                    t.state = State::Closing { until: now + LINGER };
                }
                self.events.push_back(Event::TunnelDown { tunnel: id, reason: why.words("StopCCN received,") });
                Then::Nothing
            }
            kind::HELLO | kind::WEN | kind::SLI => Then::Nothing,
            _ if self.tunnels.get(&id).is_none_or(|t| t.state != State::Established) => {
                stop(StopResult::Fsm, &format!("{} before the tunnel is up", kind::name(r.kind)))
            }
            kind::ICRQ => {
                self.incoming(now, id, &r);
                Then::Nothing
            }
            kind::ICRP | kind::ICCN | kind::CDN => {
                self.call_message(now, id, session, &r);
                Then::Nothing
            }
            kind::OCRQ => {
                let peer = r.u16(attribute::SESSION_ID).unwrap_or(0);
                let no = Outcome::call(CallResult::NoFacilities, "no outgoing calls here");
                self.cdn(Key { tunnel: id, session: 0 }, peer, &no);
                Then::Nothing
            }
            k => stop(StopResult::GeneralError, &format!("unknown message type {k}")),
        };
        if let Then::Stop(why) = then {
            self.stop_tunnel(now, id, &why);
        }
    }

    /// §4.1: an AVP that must be understood and is not ends its session, or else its
    /// tunnel.
    fn unreadable(&mut self, now: Time, id: u16, session: u16, e: Unreadable) {
        let (message, code, text) = match e {
            Unreadable::Malformed => (0, error::LENGTH, "malformed AVPs".to_owned()),
            Unreadable::UnknownMandatory { message, kind } => (message, error::UNKNOWN_AVP, format!("unknown mandatory AVP {kind}")),
            Unreadable::Hidden { message } => (message, error::UNKNOWN_AVP, "a hidden AVP that our secret does not show".to_owned()),
        };
        let key = Key { tunnel: id, session };
        let peer = self.tunnels.get(&id).and_then(|t| t.sessions.get(&session)).map(|s| s.peer_id);
        match (message, peer) {
            (kind::ICRQ..=kind::SLI, Some(peer)) => {
                let why = Outcome { result: CallResult::GeneralError as u16, error: code, text };
                self.end_session(now, key, why.clone(), false);
                self.cdn(key, peer, &why);
            }
            _ => self.stop_tunnel(now, id, &Outcome::stop(StopResult::GeneralError, code, &text)),
        }
    }

    /// §5.1, §7.2: who we are, and proof of it.
    fn tunnel_message(&mut self, now: Time, id: u16, r: &Read) -> Then {
        let Some(t) = self.tunnels.get_mut(&id) else { return Then::Nothing };
        if let Some(w) = r.u16(attribute::WINDOW) {
            t.channel.set_window(w);
        }
        let challenge = r.get(attribute::CHALLENGE).map(<[u8]>::to_vec);
        let proved = |message: u16, t: &crate::tunnel::Tunnel| match &t.secret {
            Some(s) => r.get(attribute::RESPONSE) == Some(&response(message, s, &t.challenge)[..]),
            None => true,
        };
        // Our own proof, if it was asked for; `Err` if we have no secret.
        let proof = |message: u16, t: &crate::tunnel::Tunnel| match (&challenge, &t.secret) {
            (Some(c), Some(s)) => Ok(Some(response(message, s, c))),
            (Some(_), None) => Err(stop(StopResult::NotAuthorized, "no secret for this peer")),
            (None, _) => Ok(None),
        };
        let wrong = || stop(StopResult::NotAuthorized, "the tunnel's secret is not the same at both ends");
        match (r.kind, t.state) {
            (kind::SCCRQ, State::WaitConnect) if t.channel.nr == 1 => {
                if r.u16(attribute::VERSION).is_some_and(|v| v >> 8 != 1) {
                    return stop(StopResult::Version, "only version 1 of the protocol is spoken here");
                }
                let proof = match proof(kind::SCCRP, t) {
                    Ok(p) => p,
                    Err(e) => return e,
                };
                let m = Message::new(kind::SCCRP).u16(attribute::VERSION, 0x0100).u32(attribute::FRAMING_CAPABILITIES, 3);
                let m = m.with(attribute::HOST_NAME, t.host_name.as_bytes()).with(attribute::VENDOR_NAME, b"packet-journey");
                let m = m.u16(attribute::TUNNEL_ID, id).u16(attribute::WINDOW, WINDOW);
                let m = if t.secret.is_some() { m.with(attribute::CHALLENGE, &t.challenge) } else { m };
                let m = if let Some(p) = proof { m.with(attribute::RESPONSE, &p) } else { m };
                t.channel.push(0, m.body);
                Then::Nothing
            }
            (kind::SCCRP, State::WaitReply) => {
                let Some(peer_id) = r.u16(attribute::TUNNEL_ID).filter(|i| *i != 0) else {
                    return stop(StopResult::GeneralError, "SCCRP without a tunnel number");
                };
                t.peer_id = peer_id;
                t.peer_name = r.text(attribute::HOST_NAME);
                if !proved(kind::SCCRP, t) {
                    return wrong();
                }
                let proof = match proof(kind::SCCCN, t) {
                    Ok(p) => p,
                    Err(e) => return e,
                };
                let m = Message::new(kind::SCCCN);
                let m = if let Some(p) = proof { m.with(attribute::RESPONSE, &p) } else { m };
                t.channel.push(0, m.body);
                t.state = State::Established;
                self.events.push_back(Event::TunnelUp { tunnel: id });
                let waiting: Vec<u16> = t.sessions.keys().copied().collect();
                for session in waiting {
                    self.dial(now, Key { tunnel: id, session });
                }
                Then::Nothing
            }
            (kind::SCCCN, State::WaitConnect) => {
                if !proved(kind::SCCCN, t) {
                    return wrong();
                }
                t.state = State::Established;
                self.events.push_back(Event::TunnelUp { tunnel: id });
                Then::Nothing
            }
            _ => stop(StopResult::Fsm, &format!("{} in state {}", kind::name(r.kind), t.state.name())),
        }
    }

    /// ICRQ at an LNS.
    fn incoming(&mut self, now: Time, id: u16, r: &Read) {
        let peer = r.u16(attribute::SESSION_ID).unwrap_or(0);
        let from: u16 = self.rng.random();
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let free = t.free_session(from).filter(|_| self.sessions < self.config.max_sessions && peer != 0);
        let Some(session) = free else {
            let no = if peer == 0 {
                Outcome { result: CallResult::GeneralError as u16, error: error::BAD_SESSION, text: "session 0".into() }
            } else {
                Outcome { result: CallResult::NoFacilitiesNow as u16, error: error::RESOURCES, text: "no session is free".into() }
            };
            return self.cdn(Key { tunnel: id, session: 0 }, peer, &no);
        };
        let mut call = Call::default();
        call.take_icrq(r);
        let s = Session { peer_id: peer, ..Session::new(Stage::WaitConnect, 0, call, false) };
        t.sessions.insert(session, s);
        t.empty = None;
        self.sessions += 1;
        self.setups.set(Key { tunnel: id, session }, Some(now + SET_UP));
        t.channel.push(peer, Message::new(kind::ICRP).u16(attribute::SESSION_ID, session).body);
    }

    fn call_message(&mut self, now: Time, id: u16, session: u16, r: &Read) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let own = match session {
            // A peer that never learned our number names its own.
            0 => {
                let peer = r.u16(attribute::SESSION_ID).unwrap_or(0);
                t.sessions.iter().find(|(_, s)| s.peer_id == peer && peer != 0).map(|(i, _)| *i)
            }
            s => Some(s),
        };
        let Some(own) = own else { return };
        let key = Key { tunnel: id, session: own };
        if r.kind == kind::CDN {
            return self.end_session(now, key, r.outcome(), true);
        }
        let hiding = t.hiding();
        let Some(s) = t.sessions.get_mut(&own) else { return };
        match (r.kind, s.stage) {
            (kind::ICRP, Stage::WaitReply) => {
                s.peer_id = r.u16(attribute::SESSION_ID).unwrap_or(0);
                s.stage = Stage::Established;
                let (m, cookie, peer) = (s.call.iccn(s.sequencing, hiding.as_deref(), &mut self.rng), s.cookie, s.peer_id);
                // What was told is not needed here any more.
                (s.call.lcp, s.call.auth) = (None, None);
                t.channel.push(peer, m.body);
                self.setups.set(key, None);
                self.events.push_back(Event::Connected { key, cookie });
            }
            (kind::ICCN, Stage::WaitConnect) => {
                s.call.take_iccn(r);
                s.sequencing = r.get(attribute::SEQUENCING).is_some();
                s.stage = Stage::Established;
                let call = Box::new(s.call.clone());
                (s.call.lcp, s.call.auth) = (None, None);
                self.setups.set(key, None);
                self.events.push_back(Event::Incoming { key, call });
            }
            (k, stage) => {
                let peer = s.peer_id;
                let text = format!("{} in state {}", kind::name(k), stage.name());
                let why = Outcome { result: CallResult::GeneralError as u16, error: error::BAD_SESSION, text };
                self.end_session(now, key, why.clone(), false);
                self.cdn(key, peer, &why);
            }
        }
    }
}
