//! Sessions in tunnels: a LAC's calls, an LNS's, and what becomes of both.

use crate::aaa::{Moment, Terminate, TunnelTo};
use crate::bas::Bas;
use crate::session::{Carrier, Ended, Relay, Session};
use crate::settings::TooBig;
use crate::subscriber::How;
use flow::NoLinks;
use l2tp::{Call, CallResult, Event, Key, Outcome, PeerConfig, ProxyAuth, ProxyLcp, Secrecy};
use node::{Cx, Frame};
use ppp::{Handover, Ppp, Proof, Shown};

/// The most that a subscriber's MRU may be where the tunnel does not say.
const ETHERNET: u16 = 1500;

/// A link's state as L2TP carries it.
fn to_call(h: &Handover, s: &Session) -> Call {
    let (speeds, calling) = match &s.carrier {
        Carrier::Pppoe { line, .. } => (line.rates, if line.circuit.is_empty() { s.calling() } else { line.circuit.clone() }),
        Carrier::L2tp { calling, .. } => ((0, 0), calling.clone()),
    };
    let auth = h.shown.as_ref().map(|s| match &s.proof {
        Proof::Pap(password) => ProxyAuth { name: s.user.clone(), challenge: Vec::new(), id: s.id, response: password.clone(), pap: true },
        Proof::Chap { challenge, response, .. } => {
            ProxyAuth { name: s.user.clone(), challenge: challenge.clone(), id: s.id, response: response.clone(), pap: false }
        }
    });
    let lcp = ProxyLcp { first_received: h.first_received.clone(), last_sent: h.last_sent.clone(), last_received: h.last_received.clone() };
    Call { calling, called: String::new(), speeds, lcp: Some(lcp), auth }
}

/// … and back.
fn from_call(c: &Call) -> Option<Handover> {
    let lcp = c.lcp.clone()?;
    let shown = c.auth.clone().map(|a| Shown {
        user: a.name,
        id: a.id,
        proof: if a.pap { Proof::Pap(a.response) } else { Proof::Chap { id: a.id, challenge: a.challenge, response: a.response } },
    });
    Some(Handover { first_received: lcp.first_received, last_sent: lcp.last_sent, last_received: lcp.last_received, shown })
}

impl Bas {
    /// Sends a PPP frame, from its protocol field on, into a session's tunnel.
    pub(crate) fn tunnel_out(&mut self, cx: &mut Cx<'_>, key: Key, f: Frame) {
        if let Some((f, why)) = self.tunnels().encapsulate(cx, key, f) {
            self.hop.originate(cx, &mut NoLinks, f, why);
        }
    }

    /// LAC: a session belongs into a tunnel.
    pub(crate) fn dial(&mut self, cx: &mut Cx<'_>, number: u32, to: TunnelTo, proof: &Proof) {
        let Some(s) = self.sessions.get(&number) else { return };
        let Some(h) = s.ppp.as_ref().map(|p| p.hand_over(&s.user, proof)) else { return };
        let call = to_call(&h, s);
        self.try_lns(cx, number, to, 0, call, "no LNS is named");
    }

    /// Calls the LNSs of `to` from `tried` on, until one can be asked.
    fn try_lns(&mut self, cx: &mut Cx<'_>, number: u32, to: TunnelTo, tried: usize, call: Call, last: &str) {
        let Some(lns) = to.lns.get(tried).copied() else {
            return self.refuse(cx, number, &format!("tunnel: {last}"));
        };
        let secrecy = if to.hide { Secrecy::Hidden } else { Secrecy::Clear };
        let secret = to.secret.as_ref().map(|s| s.as_bytes().to_vec());
        let with = PeerConfig { name: to.name.clone(), secret, secrecy, sequencing: to.sequencing };
        let host_name = to.host_name.clone().or_else(|| self.settings.l2tp.host_name.clone()).unwrap_or_else(|| self.ac_name.clone());
        match self.l2tp.call(cx.now, lns, &with, &host_name, call.clone(), number) {
            Ok(key) => {
                let mtu = self.inner_mtu(lns, to.sequencing);
                self.of_call.insert(key, number);
                if let Some(s) = self.sessions.get_mut(&number) {
                    s.relay = Some(Box::new(Relay { key, to, tried, connected: false, mtu, call }));
                }
                cx.count("calls-placed");
            }
            Err(o) => self.refuse(cx, number, &o.words("tunnel:")),
        }
    }

    pub(crate) fn tunnel_event(&mut self, cx: &mut Cx<'_>, e: Event) {
        match e {
            Event::TunnelUp { tunnel } => {
                cx.count("tunnels-up");
                tracing::info!("tunnel {tunnel} is up");
            }
            Event::TunnelDown { tunnel, reason } => {
                cx.count("tunnels-down");
                tracing::warn!("tunnel {tunnel} is down: {reason}");
                self.note(Ended { at: cx.now, number: 0, calling: format!("tunnel {tunnel}"), user: String::new(), reason });
            }
            Event::Connected { key, cookie } => self.connected(cx, key, cookie),
            Event::Incoming { key, call } => self.incoming(cx, key, &call),
            Event::Down { key, outcome, by_peer, .. } => self.call_down(cx, key, &outcome, by_peer),
        }
    }

    /// LAC: the LNS has the call; PPP frames pass through from now on.
    fn connected(&mut self, cx: &mut Cx<'_>, key: Key, number: u32) {
        let Some(s) = self.sessions.get_mut(&number) else {
            return self.l2tp.hang_up(cx.now, key, &Outcome::call(CallResult::LostCarrier, "the subscriber is gone"));
        };
        let Some(r) = s.relay.as_mut().filter(|r| r.key == key) else { return };
        r.connected = true;
        r.call = Call::default();
        s.ppp = None;
        cx.count("calls-connected");
        tracing::info!("session {number} of {} is tunnelled: {}", s.calling(), s.user);
        self.account(cx, number, Moment::Start);
        self.arm(number);
    }

    /// LNS: a call came in.
    fn incoming(&mut self, cx: &mut Cx<'_>, key: Key, call: &Call) {
        let refuse = |this: &mut Bas, cx: &mut Cx<'_>, text| {
            this.l2tp.hang_up(cx.now, key, &Outcome::call(CallResult::NoFacilitiesNow, text));
        };
        if self.sessions.len() >= self.settings.max_sessions {
            return refuse(self, cx, "no session is free");
        }
        let name = self.l2tp.name_of(key.tunnel).unwrap_or_default();
        let Some(lac) = self.settings.lacs.iter().find(|l| l.host_name == name) else {
            return refuse(self, cx, "this end takes no calls");
        };
        let too_big = lac.too_big;
        let inner = self.l2tp.peer_of(key.tunnel).map_or(ETHERNET, |p| self.inner_mtu(p.addr, self.l2tp.is_sequenced(key)));
        let mru = if too_big == TooBig::LowerMru { inner.min(ETHERNET) } else { ETHERNET };
        let config = self.ppp_config(cx, mru);
        let ppp = match from_call(call) {
            Some(h) => Ppp::take_over(config, &h, cx.now),
            None => {
                let mut p = Ppp::new(config);
                p.open(cx.now);
                p
            }
        };
        let number = u32::from(key.tunnel) << 16 | u32::from(key.session);
        let mut s = Session::new(number, Carrier::L2tp { key, calling: call.calling.clone() }, ppp, cx.now, self.boot);
        if too_big != TooBig::Fragment {
            s.carrier_mtu = inner;
        }
        s.clamps = too_big == TooBig::LowerMru && inner < ETHERNET;
        cx.count("calls-taken");
        self.sessions.insert(number, s);
        self.of_call.insert(key, number);
        self.settle(cx, number);
    }

    /// A call is over, or never came to be.
    fn call_down(&mut self, cx: &mut Cx<'_>, key: Key, outcome: &Outcome, by_peer: bool) {
        let Some(number) = self.of_call.remove(&key) else { return };
        let who = if by_peer { "CDN received," } else { "the call failed," };
        let reason = outcome.words(who);
        let Some(s) = self.sessions.get_mut(&number) else { return };
        match s.relay.take() {
            // The LNS never had it: the next may.
            Some(r) if !r.connected => {
                tracing::warn!("session {number}: {} did not take the call: {reason}", r.to.lns[r.tried]);
                cx.count("calls-failed");
                self.try_lns(cx, number, r.to, r.tried + 1, r.call, &reason);
            }
            Some(_) => self.end(cx, number, &reason, How { tell: true, cause: Terminate::NasRequest }),
            None => self.end(cx, number, &reason, How { tell: false, cause: Terminate::LostCarrier }),
        }
    }
}
