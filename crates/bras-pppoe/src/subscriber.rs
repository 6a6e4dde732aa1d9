//! A session's life: it begins, is judged, comes up, is accounted for, and ends.

use crate::aaa::{self, Grant, Moment, Order, Subscriber, Terminate, Verdict, What};
use crate::bas::Bas;
use crate::discovery;
use crate::forward::put_pppoe;
use crate::session::{Carrier, Ended, Session};
use crate::settings::{Auth, TooBig};
use crate::udp;
use flow::Route;
use l2tp::{CallResult, Outcome};
use node::{Cause, Cidr, Cx, Parent, Protocol, Time};
use ppp::{Addresses, AuthProtocol, Config, Event as PppEvent, Ppp, Side};
use rand::RngExt;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::pppoe::{self, Discovery, code};

/// Ends of sessions that `show log` remembers.
const LOG: usize = 64;

/// PPPoE sessions at most: their numbers have 16 bits.
const PPPOE_SESSIONS: usize = 65_000;

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// The subscriber's side is told, by PADT or CDN.
    pub(crate) tell: bool,
    pub(crate) cause: Terminate,
}

impl Bas {
    /// What a server's side of PPP needs, with `mru` at most.
    pub(crate) fn ppp_config(&self, cx: &mut Cx<'_>, mru: u16) -> Config {
        let mut challenge = [0; 16];
        cx.rng().fill(&mut challenge);
        let accept = self.settings.auth.iter().map(|a| match a {
            Auth::Pap => AuthProtocol::Pap,
            Auth::Chap => AuthProtocol::Chap,
        });
        Config {
            side: Side::Server { accept: accept.collect(), name: self.ac_name.clone() },
            mru,
            magic: cx.rng().random_range(1..=u32::MAX),
            challenge,
            echo_interval: self.settings.echo_interval,
            echo_failures: 3,
        }
    }

    /// Begins a PPPoE session; LCP's first words wait until `settle`.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, carrier: impl FnOnce(u16) -> Carrier) -> Option<u16> {
        // Only a table that large can have used the numbers up.
        let used_up = self.sessions.len() > PPPOE_SESSIONS && self.sessions.range(..0xffff).nth(PPPOE_SESSIONS).is_some();
        if self.sessions.len() >= self.settings.max_sessions || used_up {
            return None;
        }
        let mut id = self.next_id;
        // RFC 2516 §4: 0 means none and 0xffff is reserved.
        while id == 0 || id == 0xffff || self.sessions.contains_key(&u32::from(id)) {
            id = id.wrapping_add(1);
        }
        self.next_id = id.wrapping_add(1);
        let carrier = carrier(id);
        let Carrier::Pppoe { port, mac, .. } = &carrier else { return None };
        let (port, mac) = (*port, *mac);
        let link_mtu = self.access.iter().find(|(p, _, _)| *p == port).map_or(1500, |a| a.2);
        let mut mru = (link_mtu - pppoe::SESSION_OVERHEAD as u16).min(1492);
        // Where the session will end is not known yet. If some tunnels want it as it is,
        // the LNS of one that does not negotiates anew.
        let all_lower = self.settings.tunnels.iter().all(|t| t.too_big == TooBig::LowerMru);
        for t in self.settings.tunnels.iter().filter(|_| all_lower) {
            mru = t.lns.iter().map(|l| self.inner_mtu(*l, t.sequencing)).fold(mru, u16::min);
        }
        let mut ppp = Ppp::new(self.ppp_config(cx, mru));
        ppp.open(cx.now);
        cx.count("sessions-begun");
        let number = u32::from(id);
        self.sessions.insert(number, Session::new(number, carrier, ppp, cx.now, self.boot));
        self.of_station.entry((port, mac)).or_default().push(id);
        Some(id)
    }

    /// Sends what a session's PPP has to say and does what became of it.
    pub(crate) fn settle(&mut self, cx: &mut Cx<'_>, number: u32) {
        loop {
            let Some(s) = self.sessions.get_mut(&number) else { return };
            let Some(ppp) = s.ppp.as_mut() else { return };
            let out = ppp.take_output();
            let event = ppp.take_event();
            for p in out {
                self.say(cx, number, &p);
            }
            match event {
                None => break,
                Some(PppEvent::Authenticate { user, proof }) => self.asked(cx, number, user, proof),
                Some(PppEvent::Up(a)) => self.up(cx, number, a),
                Some(PppEvent::Down(reason)) => {
                    return self.end(cx, number, &reason, How { tell: true, cause: Terminate::LostCarrier });
                }
            }
        }
        self.arm(number);
    }

    /// Sends a PPP packet of this server's own.
    fn say(&mut self, cx: &mut Cx<'_>, number: u32, p: &[u8]) {
        let Some(mut f) = cx.make(Parent::Timer) else { return };
        f.extend(p);
        match self.sessions.get(&number).map(|s| &s.carrier) {
            Some(Carrier::Pppoe { port, mac, id, .. }) => {
                put_pppoe(cx, &self.access, (*port, *mac, *id), f, Cause::Control { protocol: Protocol::Ppp });
            }
            Some(Carrier::L2tp { key, .. }) => {
                let key = *key;
                self.tunnel_out(cx, key, f);
            }
            None => cx.consume(f),
        }
    }

    /// A subscriber showed its proof: to its tunnel, or to be judged.
    fn asked(&mut self, cx: &mut Cx<'_>, number: u32, user: String, proof: ppp::Proof) {
        let open = self.settings.auth.is_empty();
        let Some(s) = self.sessions.get_mut(&number) else { return };
        user.clone_into(&mut s.user);
        if matches!(s.carrier, Carrier::Pppoe { .. })
            && let Some(to) = aaa::local::tunnel(&self.settings.tunnels, &self.settings.users, &user)
        {
            return self.dial(cx, number, to, &proof);
        }
        let who = Subscriber {
            user,
            proof: (!open).then_some(proof),
            session: s.account_id.clone(),
            number,
            calling: s.calling(),
            circuit: s.circuit().to_owned(),
        };
        self.aaa.authenticate(cx.now, who);
    }

    fn judged(&mut self, cx: &mut Cx<'_>, number: u32, v: Verdict) {
        let Some(s) = self.sessions.get_mut(&number) else { return };
        match v {
            Verdict::Granted(g) => {
                let address = match g.address {
                    Some(a) => self.pools.reserve(a),
                    None => self.pools.take(g.pool.as_deref().unwrap_or("")),
                };
                match address {
                    Ok(a) => self.granted(cx, number, a, &g),
                    Err(why) => {
                        s.result = CallResult::NoFacilitiesNow;
                        self.refuse(cx, number, &why);
                    }
                }
            }
            Verdict::Tunnel(to) if matches!(s.carrier, Carrier::Pppoe { .. }) => {
                let Some(proof) = s.ppp.as_ref().and_then(|p| p.shown()) else { return };
                self.dial(cx, number, to, &proof);
            }
            Verdict::Tunnel(_) => self.refuse(cx, number, "a tunnelled session cannot be tunnelled again"),
            Verdict::Refused(why) => {
                s.result = if why.contains("not answer") { CallResult::NoFacilitiesNow } else { CallResult::Administrative };
                self.refuse(cx, number, &why);
            }
        }
    }

    fn granted(&mut self, cx: &mut Cx<'_>, number: u32, a: Ipv4Addr, g: &Grant) {
        let dns = [self.settings.dns.first().copied(), self.settings.dns.get(1).copied()];
        let gift = Addresses { local: Some(self.local), peer: Some(a), dns };
        let Some(s) = self.sessions.get_mut(&number) else { return };
        if let Some(old) = s.address.replace(a) {
            self.pools.give(old);
        }
        s.interim = g.interim;
        s.expires = g.timeout.map(|t| cx.now + t);
        let user = s.user.clone();
        if let Some(p) = s.ppp.as_mut() {
            p.authenticated(cx.now, &user, Ok(gift));
        }
        self.settle(cx, number);
    }

    pub(crate) fn refuse(&mut self, cx: &mut Cx<'_>, number: u32, why: &str) {
        let Some(s) = self.sessions.get_mut(&number) else { return };
        cx.count("authentication-refused");
        tracing::warn!("session {number} of {}: `{}` refused: {why}", s.calling(), s.user);
        let user = s.user.clone();
        if let Some(p) = s.ppp.as_mut() {
            p.authenticated(cx.now, &user, Err(why));
        }
        self.settle(cx, number);
    }

    fn up(&mut self, cx: &mut Cx<'_>, number: u32, a: Addresses) {
        let Some(s) = self.sessions.get_mut(&number) else { return };
        s.up = true;
        if let Some(peer) = a.peer {
            self.hop.fib.insert(Cidr { addr: peer, len: 32 }, Route::Link(number));
        }
        cx.count("sessions-up");
        let has = a.peer.map_or_else(String::new, |p| p.to_string());
        tracing::info!("session {number} of {} is up: {} has {has}", s.calling(), s.user);
        self.account(cx, number, Moment::Start);
    }

    /// Tells accounting of a session.
    pub(crate) fn account(&mut self, cx: &mut Cx<'_>, number: u32, moment: Moment) {
        let Some(s) = self.sessions.get_mut(&number) else { return };
        s.interim_at = match moment {
            Moment::Stop(_) => None,
            _ => s.interim.map(|i| cx.now + i),
        };
        if moment == Moment::Start && std::mem::replace(&mut s.accounted, true) {
            return; // IPCP came up anew
        }
        if s.accounted {
            self.aaa.account(cx.now, moment, s.account(cx.now));
        }
    }

    /// Forgets a session.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>, number: u32, reason: &str, how: How) {
        self.account(cx, number, Moment::Stop(how.cause));
        let Some(s) = self.sessions.remove(&number) else { return };
        self.timers.set(number, None);
        self.aaa.forget(number);
        if let Some(a) = s.address {
            self.hop.fib.remove(Cidr { addr: a, len: 32 });
            self.pools.give(a);
        }
        if let Some(r) = &s.relay {
            self.of_call.remove(&r.key);
            self.l2tp.hang_up(cx.now, r.key, &Outcome::call(CallResult::LostCarrier, reason));
        }
        match &s.carrier {
            Carrier::Pppoe { port, mac, id, .. } => {
                if let Some(ids) = self.of_station.get_mut(&(*port, *mac)) {
                    ids.retain(|i| i != id);
                    if ids.is_empty() {
                        self.of_station.remove(&(*port, *mac));
                    }
                }
                if how.tell
                    && let Some((_, own, _)) = self.access.iter().find(|(p, _, _)| p == port)
                {
                    discovery::send(cx, *port, *own, *mac, Parent::Timer, &Discovery::new(code::PADT, *id).finish());
                }
            }
            Carrier::L2tp { key, .. } => {
                self.of_call.remove(key);
                if how.tell {
                    self.l2tp.hang_up(cx.now, *key, &Outcome::call(s.result, reason));
                }
            }
        }
        cx.count("sessions-ended");
        tracing::info!("session {number} of {} ended: {reason}", s.calling());
        self.note(Ended { at: cx.now, number, calling: s.calling(), user: s.user, reason: reason.to_owned() });
    }

    pub(crate) fn note(&mut self, e: Ended) {
        if self.log.len() >= LOG {
            self.log.pop_front();
        }
        self.log.push_back(e);
    }

    pub(crate) fn poll_session(&mut self, cx: &mut Cx<'_>, number: u32) {
        let now = cx.now;
        let due = |t: Option<Time>| t.is_some_and(|t| t <= now);
        let Some(s) = self.sessions.get_mut(&number) else { return };
        if due(s.expires) {
            s.expires = None;
            s.result = CallResult::Administrative;
            self.close(cx, number, "the session's time is over", Terminate::SessionTimeout);
        } else if due(s.interim_at) {
            self.account(cx, number, Moment::Interim);
        }
        if let Some(p) = self.sessions.get_mut(&number).and_then(|s| s.ppp.as_mut()) {
            p.poll(now);
        }
        self.settle(cx, number);
        self.arm(number);
    }

    /// Ends a session in good order, so that the subscriber hears why.
    pub(crate) fn close(&mut self, cx: &mut Cx<'_>, number: u32, why: &str, cause: Terminate) {
        self.account(cx, number, Moment::Stop(cause));
        let Some(s) = self.sessions.get_mut(&number) else { return };
        s.accounted = false;
        match s.ppp.as_mut() {
            Some(p) => {
                p.close(cx.now, why);
                self.settle(cx, number);
            }
            None => self.end(cx, number, why, How { tell: true, cause }),
        }
    }

    /// Does what tunnels and RADIUS ask for, and sends what they have to say.
    pub(crate) fn work(&mut self, cx: &mut Cx<'_>) {
        loop {
            let mut any = false;
            while let Some(e) = self.l2tp.take_event() {
                self.tunnel_event(cx, e);
                any = true;
            }
            while let Some((number, v)) = self.aaa.verdict() {
                self.judged(cx, number, v);
                any = true;
            }
            while let Some(o) = self.aaa.order() {
                self.ordered(cx, o);
                any = true;
            }
            if !any {
                break;
            }
        }
        for (peer, payload) in self.l2tp.take_output() {
            let own = self.known_as.get(&peer.addr).copied().or_else(|| self.hop.towards(peer.addr).map(|i| i.addr.addr));
            self.ident = self.ident.wrapping_add(1);
            let from = (own.unwrap_or(self.local), wire::l2tp::PORT);
            udp::send(cx, &mut self.hop, from, (peer.addr, peer.port), self.ident, &payload, Protocol::L2tp);
        }
        while let Some(d) = self.aaa.output() {
            let own = self.hop.towards(d.peer.0).map_or(self.local, |i| i.addr.addr);
            self.ident = self.ident.wrapping_add(1);
            udp::send(cx, &mut self.hop, (own, d.own_port), d.peer, self.ident, &d.payload, Protocol::Radius);
        }
    }

    /// A RADIUS server's order to sessions that run.
    fn ordered(&mut self, cx: &mut Cx<'_>, o: Order) {
        let w = &o.which;
        let fits = |s: &Session| {
            w.session.as_ref().is_none_or(|i| *i == s.account_id)
                && w.user.as_ref().is_none_or(|u| *u == s.user)
                && w.address.is_none_or(|a| Some(a) == s.address)
                && w.calling.as_ref().is_none_or(|c| *c == s.calling())
        };
        let met: Vec<u32> = self.sessions.values().filter(|s| s.accounted && fits(s)).map(|s| s.number).collect();
        self.aaa.done(o.id, met.len());
        for number in met {
            match o.what {
                What::Disconnect => {
                    if let Some(s) = self.sessions.get_mut(&number) {
                        s.result = CallResult::Administrative;
                    }
                    self.close(cx, number, "disconnected by RADIUS", Terminate::AdminReset);
                }
                What::Change { timeout, interim } => self.change(cx.now, number, timeout, interim),
            }
        }
    }

    fn change(&mut self, now: Time, number: u32, timeout: Option<Duration>, interim: Option<Duration>) {
        let Some(s) = self.sessions.get_mut(&number) else { return };
        if let Some(t) = timeout {
            // RFC 2865 §5.27: counted from the session's beginning; 0 takes the limit away.
            s.expires = (!t.is_zero()).then(|| (s.since + t).max(now));
        }
        if let Some(i) = interim {
            s.interim = (!i.is_zero()).then_some(i);
            s.interim_at = s.interim.map(|i| now + i);
        }
        self.arm(number);
    }
}
