//! PPPoE client (RFC 2516): discovery, then a PPP session, again and again.
//!
//! ```text
//! Waiting ─▶ PADI ─PADO▶ PADR ─PADS▶ Session ─PADT, echo lost, PPP down▶ Waiting
//! ```

use crate::settings::Pppoe;
use flow::Links;
use node::{Cause, Cx, DropReason, Frame, Parent, PortId, Protocol, Status, Time};
use ppp::{Addresses, Config, Event, Ppp, Side};
use rand::RngExt;
use std::time::Duration;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::ppp::protocol;
use wire::pppoe::{self, Discovery, Packet, Tags, code, tag};
use wire::{Mac, be16};

/// Between discovery packets at first, doubling.
const DISCOVERY_FIRST: Duration = Duration::from_millis(250);
/// … and at most: a concentrator that comes back is found within this.
const DISCOVERY_MOST: Duration = Duration::from_secs(2);
/// Before dialling again after a session ended.
const REDIAL_FIRST: Duration = Duration::from_millis(100);
/// … and at most, after refusals.
const REDIAL_MOST: Duration = Duration::from_secs(30);
/// PADRs before starting over.
const PADR_TRIES: u32 = 4;

#[derive(Debug)]
enum State {
    Waiting { until: Time },
    Padi { next: Time, wait: Duration },
    Padr { next: Time, wait: Duration, tries: u32, offer: Offer },
    Session { ac: Mac, id: u16, ppp: Box<Ppp> },
}

#[derive(Clone, Debug)]
struct Offer {
    ac: Mac,
    name: String,
    cookie: Option<Vec<u8>>,
    relay: Option<Vec<u8>>,
}

/// What the session became since the last look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Up(Addresses),
    Down,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) port: PortId,
    mac: Mac,
    mtu: u16,
    settings: Pppoe,
    unique: [u8; 8],
    state: State,
    redial: Duration,
    ac_name: String,
    last_error: Option<String>,
    pub(crate) changes: Vec<Change>,
    sessions: u64,
}

impl Client {
    pub(crate) fn new(port: PortId, mac: Mac, link_mtu: u16, settings: Pppoe) -> Client {
        Client {
            port,
            mac,
            // RFC 2516 §7: the MRU must not exceed 1492 on a plain Ethernet.
            mtu: (link_mtu - pppoe::SESSION_OVERHEAD as u16).min(1492),
            settings,
            unique: [0; 8],
            state: State::Waiting { until: Time::ZERO },
            redial: REDIAL_FIRST,
            ac_name: String::new(),
            last_error: None,
            changes: Vec::new(),
            sessions: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(&self.state, State::Session { ppp, .. } if ppp.is_up())
    }

    pub(crate) fn status(&self) -> Status {
        let doing = match &self.state {
            State::Session { ppp, .. } if ppp.is_up() => return Status::Ready,
            State::Session { ppp, .. } => format!("PPP: {}", ppp.phase().name()),
            State::Padi { .. } => "PPPoE: no access concentrator answers yet".into(),
            State::Padr { .. } => "PPPoE: waiting for a session".into(),
            State::Waiting { .. } => "PPPoE: waiting to dial".into(),
        };
        match &self.last_error {
            Some(e) => Status::Failed(format!("PPPoE: {e}")),
            None => Status::Waiting(doing),
        }
    }

    /// Rows for `show`: state, session, concentrator, addresses, last error.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut v = vec![("user", self.settings.user.clone())];
        match &self.state {
            State::Session { ac, id, ppp } => {
                let a = ppp.addresses();
                let show = |x: Option<std::net::Ipv4Addr>| x.map_or(String::new(), |x| x.to_string());
                v.push(("state", if ppp.is_up() { "up".into() } else { ppp.phase().name().into() }));
                v.push(("session", id.to_string()));
                v.push(("concentrator", format!("{} ({ac})", self.ac_name)));
                v.push(("address", show(a.local)));
                v.push(("peer", show(a.peer)));
                v.push(("dns", a.dns.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
                v.push(("mtu", ppp.mtu().to_string()));
                v.push(("authentication", ppp.auth_protocol().map_or("none".into(), |p| p.name().into())));
            }
            State::Padi { .. } => v.push(("state", "padi sent".into())),
            State::Padr { .. } => v.push(("state", "padr sent".into())),
            State::Waiting { .. } => v.push(("state", "waiting to dial".into())),
        }
        v.push(("sessions-so-far", self.sessions.to_string()));
        v.push(("last-error", self.last_error.clone().unwrap_or_default()));
        v
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Padi { next, .. } | State::Padr { next, .. } => Some(*next),
            State::Session { ppp, .. } => ppp.deadline(),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        match &mut self.state {
            State::Waiting { until } if *until <= now => {
                cx.rng().fill(&mut self.unique);
                self.state = State::Padi { next: now + DISCOVERY_FIRST, wait: DISCOVERY_FIRST };
                self.padi(cx);
            }
            State::Padi { next, wait } if *next <= now => {
                *wait = (*wait * 2).min(DISCOVERY_MOST);
                *next = now + *wait;
                self.padi(cx);
            }
            State::Padr { next, wait, tries, offer } if *next <= now => {
                *tries += 1;
                *wait = (*wait * 2).min(DISCOVERY_MOST);
                *next = now + *wait;
                let (tries, offer) = (*tries, offer.clone());
                if tries > PADR_TRIES {
                    self.redial(cx, Some(format!("{} offered a session but confirms none", offer.name)));
                } else {
                    self.padr(cx, &offer);
                }
            }
            State::Session { ppp, .. } => {
                ppp.poll(now);
                self.settle(cx);
            }
            _ => {}
        }
    }

    fn padi(&mut self, cx: &mut Cx<'_>) {
        let p = Discovery::new(code::PADI, 0)
            .tag(tag::SERVICE_NAME, self.settings.service.as_bytes())
            .tag(tag::HOST_UNIQ, &self.unique)
            .finish();
        self.discovery(cx, Mac::BROADCAST, &p);
    }

    fn padr(&mut self, cx: &mut Cx<'_>, o: &Offer) {
        let p = Discovery::new(code::PADR, 0)
            .tag(tag::SERVICE_NAME, self.settings.service.as_bytes())
            .tag(tag::HOST_UNIQ, &self.unique)
            .maybe(tag::AC_COOKIE, o.cookie.as_deref())
            .maybe(tag::RELAY_SESSION_ID, o.relay.as_deref())
            .finish();
        self.discovery(cx, o.ac, &p);
    }

    fn discovery(&self, cx: &mut Cx<'_>, dst: Mac, p: &[u8]) {
        let Some(mut f) = cx.make(Parent::Timer) else { return };
        f.extend(p);
        Header { dst, src: self.mac, ethertype: ethertype::PPPOE_DISCOVERY }.write(f.push(HEADER_LEN));
        cx.send(self.port, f, || Cause::Control { protocol: Protocol::Pppoe });
    }

    /// Waits and dials again; with an error the waits grow.
    fn redial(&mut self, cx: &mut Cx<'_>, error: Option<String>) {
        if let Some(e) = error {
            tracing::warn!("PPPoE: {e}");
            self.last_error = Some(e);
            self.redial = (self.redial * 2).min(REDIAL_MOST);
        }
        if matches!(self.state, State::Session { .. }) {
            self.changes.push(Change::Down);
        }
        // A tenth of chance, so that many homes do not dial in step.
        let wait = self.redial.mul_f64(cx.rng().random_range(0.9..1.1));
        self.state = State::Waiting { until: cx.now + wait };
    }

    /// Takes a discovery frame, from its Ethernet header on.
    pub(crate) fn discovery_input(&mut self, cx: &mut Cx<'_>, f: Frame) {
        let (Some(h), Some(p)) = (Header::read(f.data()), Packet::read(&f.data()[HEADER_LEN..])) else {
            return cx.drop(f, DropReason::BadPppoe);
        };
        if h.dst != self.mac {
            return cx.drop(f, DropReason::NotForUs);
        }
        let mine = Tags::find(p.payload, tag::HOST_UNIQ) == Some(&self.unique[..]);
        let error = || {
            [tag::SERVICE_NAME_ERROR, tag::AC_SYSTEM_ERROR, tag::GENERIC_ERROR].into_iter().find_map(|t| {
                let said = String::from_utf8_lossy(Tags::find(p.payload, t)?).into_owned();
                let kind = match t {
                    tag::SERVICE_NAME_ERROR => "service refused",
                    tag::AC_SYSTEM_ERROR => "access concentrator cannot serve",
                    _ => "error",
                };
                Some(if said.is_empty() { kind.to_owned() } else { format!("{kind}: {said}") })
            })
        };
        match (&mut self.state, p.code) {
            (State::Padi { .. }, code::PADO) if mine => {
                if let Some(e) = error() {
                    self.redial(cx, Some(e));
                    return cx.consume(f);
                }
                let offer = Offer {
                    ac: h.src,
                    name: Tags::find(p.payload, tag::AC_NAME).map(|n| String::from_utf8_lossy(n).into_owned()).unwrap_or_default(),
                    cookie: Tags::find(p.payload, tag::AC_COOKIE).map(<[u8]>::to_vec),
                    relay: Tags::find(p.payload, tag::RELAY_SESSION_ID).map(<[u8]>::to_vec),
                };
                self.ac_name.clone_from(&offer.name);
                self.state = State::Padr { next: cx.now + DISCOVERY_FIRST, wait: DISCOVERY_FIRST, tries: 1, offer: offer.clone() };
                self.padr(cx, &offer);
            }
            (State::Padr { offer, .. }, code::PADS) if mine && offer.ac == h.src => {
                let ac = offer.ac;
                match error() {
                    Some(e) => self.redial(cx, Some(e)),
                    None if p.session == 0 => self.redial(cx, Some("PADS without a session".into())),
                    None => self.begin(cx, ac, p.session),
                }
            }
            (State::Session { ac, id, .. }, code::PADT) if *ac == h.src && *id == p.session => {
                let (was, why) = (self.is_up(), error());
                let State::Session { ppp, .. } = &mut self.state else { return };
                ppp.carrier_lost("PADT from the access concentrator");
                // A refusal has been said by PPP; a PADT out of the blue is the
                // concentrator's restart, and is dialled again at once.
                let said = std::iter::from_fn(|| ppp.take_event()).find_map(|e| if let Event::Down(r) = e { Some(r) } else { None });
                let reason = why.or(said).unwrap_or_else(|| "PADT".into());
                tracing::info!("PPPoE: session ended: {reason}");
                self.redial(cx, (!was).then_some(reason));
            }
            (_, code::PADI | code::PADR) => return cx.drop(f, DropReason::PppoeMismatch),
            _ => return cx.drop(f, DropReason::PppoeMismatch),
        }
        cx.consume(f);
    }

    fn begin(&mut self, cx: &mut Cx<'_>, ac: Mac, id: u16) {
        let mut challenge = [0; 16];
        cx.rng().fill(&mut challenge);
        let mut ppp = Ppp::new(Config {
            side: Side::Client { user: self.settings.user.clone(), password: self.settings.password.clone() },
            mru: self.mtu,
            magic: cx.rng().random_range(1..=u32::MAX),
            challenge,
            echo_interval: self.settings.echo_interval,
            echo_failures: 3,
        });
        ppp.open(cx.now);
        self.sessions += 1;
        self.state = State::Session { ac, id, ppp: Box::new(ppp) };
        self.settle(cx);
    }

    /// Sends what PPP has to say and hears what became of it.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        let State::Session { ac, id, ppp } = &mut self.state else { return };
        let (ac, id) = (*ac, *id);
        for p in ppp.take_output() {
            let Some(mut f) = cx.make(Parent::Timer) else { continue };
            f.extend(&p);
            session_header(&mut f, ac, self.mac, id);
            cx.send(self.port, f, || Cause::Control { protocol: Protocol::Ppp });
        }
        while let Some(e) = match &mut self.state {
            State::Session { ppp, .. } => ppp.take_event(),
            _ => None,
        } {
            match e {
                Event::Up(a) => {
                    self.redial = REDIAL_FIRST;
                    self.last_error = None;
                    let own = a.local.map_or_else(String::new, |l| l.to_string());
                    tracing::info!("PPPoE: session {id} of {} is up: {own}", self.ac_name);
                    self.changes.push(Change::Up(a));
                }
                Event::Down(reason) => {
                    let p = Discovery::new(code::PADT, id).finish();
                    self.discovery(cx, ac, &p);
                    self.redial(cx, Some(reason));
                    return;
                }
                Event::Authenticate { .. } => {}
            }
        }
    }

    /// Takes a session frame, from its Ethernet header on. Gives back an IPv4
    /// packet, from its IP header on.
    pub(crate) fn session_input(&mut self, cx: &mut Cx<'_>, mut f: Frame) -> Option<Frame> {
        let (Some(h), Some(p)) = (Header::read(f.data()), Packet::read(&f.data()[HEADER_LEN..])) else {
            cx.drop(f, DropReason::BadPppoe);
            return None;
        };
        let State::Session { ac, id, ppp } = &mut self.state else {
            cx.drop(f, DropReason::UnknownSession);
            return None;
        };
        if h.dst != self.mac || h.src != *ac || p.session != *id || p.code != code::SESSION {
            cx.drop(f, DropReason::UnknownSession);
            return None;
        }
        match be16(p.payload, 0) {
            Some(protocol::IPV4) if ppp.is_up() => {
                let end = HEADER_LEN + pppoe::HEADER_LEN + p.payload.len();
                f.truncate(end);
                if f.pull(HEADER_LEN + pppoe::SESSION_OVERHEAD) {
                    cx.say(&f, || Cause::PppoeDecapsulated { session: *id });
                    return Some(f);
                }
                cx.drop(f, DropReason::BadPpp);
            }
            Some(protocol::IPV4) => cx.drop(f, DropReason::PppNotOpen),
            Some(_) => {
                let understood = ppp.input(cx.now, p.payload);
                self.settle(cx);
                if understood { cx.consume(f) } else { cx.drop(f, DropReason::BadPpp) }
            }
            None => cx.drop(f, DropReason::BadPpp),
        }
        None
    }
}

fn session_header(f: &mut Frame, dst: Mac, src: Mac, id: u16) {
    let len = f.len();
    pppoe::write_header(f.push(pppoe::HEADER_LEN), code::SESSION, id, len);
    Header { dst, src, ethertype: ethertype::PPPOE_SESSION }.write(f.push(HEADER_LEN));
}

/// The WAN as a link for the hop: at most one session.
#[derive(Debug, Default)]
pub(crate) struct Wan {
    pub(crate) client: Option<Client>,
}

impl Links for Wan {
    fn mtu(&self, _: u32) -> u16 {
        match &self.client {
            Some(Client { state: State::Session { ppp, .. }, .. }) => ppp.mtu(),
            _ => 1492,
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>, _: u32, mut f: Frame, why: Cause) {
        match &self.client {
            Some(Client { state: State::Session { ac, id, ppp }, mac, port, .. }) if ppp.is_up() => {
                f.push(2).copy_from_slice(&protocol::IPV4.to_be_bytes());
                session_header(&mut f, *ac, *mac, *id);
                if why != Cause::Forwarded {
                    cx.say(&f, || why);
                }
                cx.send(*port, f, || Cause::PppoeEncapsulated { session: *id });
            }
            _ => cx.drop(f, DropReason::LinkDown),
        }
    }
}
