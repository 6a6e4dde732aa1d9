//! PPPoE discovery, the concentrator's side (RFC 2516 §5).

use crate::aaa::Terminate;
use crate::bas::Bas;
use crate::session::{Carrier, Line};
use crate::subscriber::How;
use node::{Cause, Cx, DropReason, Frame, Parent, PortId, Protocol};
use wire::Mac;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::pppoe::{Discovery, Packet, Tags, code, tag};

/// Sends a discovery packet.
pub(crate) fn send(cx: &mut Cx<'_>, port: PortId, src: Mac, dst: Mac, parent: Parent<'_>, p: &[u8]) {
    let Some(mut f) = cx.make(parent) else { return };
    f.extend(p);
    Header { dst, src, ethertype: ethertype::PPPOE_DISCOVERY }.write(f.push(HEADER_LEN));
    cx.send(port, f, || Cause::Control { protocol: Protocol::Pppoe });
}

impl Bas {
    /// Takes a discovery frame, from its Ethernet header on.
    pub(crate) fn discovery(&mut self, cx: &mut Cx<'_>, port: PortId, own: Mac, f: Frame) {
        let (Some(h), Some(p)) = (Header::read(f.data()), f.data().get(HEADER_LEN..).and_then(Packet::read)) else {
            return cx.drop(f, DropReason::BadPppoe);
        };
        let mut tags = Tags::new(p.payload);
        tags.by_ref().for_each(drop);
        if tags.broken() || h.src.is_multicast() {
            return cx.drop(f, DropReason::BadPppoe);
        }
        let to_us = h.dst == own;
        match p.code {
            code::PADI if h.dst == Mac::BROADCAST || to_us => self.padi(cx, port, own, h.src, &f, p.payload),
            code::PADR if to_us => self.padr(cx, port, own, h.src, &f, p.payload),
            // §5.5: PADT counts only from the session's own MAC and with its id.
            code::PADT if to_us => {
                if !self.padt(cx, port, h.src, p.session) {
                    return cx.drop(f, DropReason::UnknownSession);
                }
            }
            // Another concentrator's offers and confirmations.
            _ => return cx.drop(f, DropReason::PppoeMismatch),
        }
        cx.consume(f);
    }

    /// The service that was asked for, if it is offered.
    fn serves(&self, payload: &[u8]) -> Option<bool> {
        let wanted = Tags::find(payload, tag::SERVICE_NAME)?;
        Some(wanted.is_empty() || self.settings.services.iter().any(|s| s.as_bytes() == wanted))
    }

    fn answer(&self, kind: u8, session: u16, payload: &[u8]) -> Discovery {
        Discovery::new(kind, session)
            .maybe(tag::HOST_UNIQ, Tags::find(payload, tag::HOST_UNIQ))
            .maybe(tag::RELAY_SESSION_ID, Tags::find(payload, tag::RELAY_SESSION_ID))
    }

    fn padi(&mut self, cx: &mut Cx<'_>, port: PortId, own: Mac, from: Mac, f: &Frame, payload: &[u8]) {
        match self.serves(payload) {
            // §5.2: a concentrator that cannot serve the request must not answer.
            Some(false) => return cx.count("padi-service-not-offered"),
            None => return cx.count("padi-without-service-name"),
            Some(true) => {}
        }
        if !self.rates.offers.take(cx.now) {
            return cx.count_drop(DropReason::PppoeRateLimited);
        }
        let mut pado = self
            .answer(code::PADO, 0, payload)
            .tag(tag::AC_NAME, self.ac_name.as_bytes())
            .tag(tag::SERVICE_NAME, Tags::find(payload, tag::SERVICE_NAME).unwrap_or_default())
            .tag(tag::AC_COOKIE, &self.cookies.make(from, port.0));
        for s in &self.settings.services {
            pado = pado.tag(tag::SERVICE_NAME, s.as_bytes());
        }
        cx.count("pado-sent");
        send(cx, port, own, from, Parent::Of(f.seq), &pado.finish());
    }

    fn padr(&mut self, cx: &mut Cx<'_>, port: PortId, own: Mac, from: Mac, f: &Frame, payload: &[u8]) {
        let service = Tags::find(payload, tag::SERVICE_NAME).unwrap_or_default().to_vec();
        let refuse = |cx: &mut Cx<'_>, this: &Self, kind: u16, why: &str| {
            let p = this.answer(code::PADS, 0, payload).tag(tag::SERVICE_NAME, &service).tag(kind, why.as_bytes()).finish();
            send(cx, port, own, from, Parent::Of(f.seq), &p);
        };
        if !self.cookies.is_good(from, port.0, Tags::find(payload, tag::AC_COOKIE)) {
            cx.count_drop(DropReason::PppoeMismatch);
            return refuse(cx, self, tag::GENERIC_ERROR, "wrong AC-Cookie");
        }
        if self.serves(payload) != Some(true) {
            cx.count("padr-service-not-offered");
            return refuse(cx, self, tag::SERVICE_NAME_ERROR, "no such service");
        }
        let unique = Tags::find(payload, tag::HOST_UNIQ).map(<[u8]>::to_vec);
        // Our PADS was lost: the same session again, if PPP has not begun to speak.
        let own_ids = self.of_station.get(&(port, from)).cloned().unwrap_or_default();
        let again = own_ids.iter().copied().find(|id| {
            let s = self.sessions.get(&u32::from(*id));
            let same = |s: &crate::session::Session| matches!(&s.carrier, Carrier::Pppoe { host_uniq, .. } if *host_uniq == unique);
            unique.is_some() && s.is_some_and(|s| same(s) && !s.up && s.relay.is_none())
        });
        let id = match again {
            Some(id) => id,
            None => {
                if own_ids.len() >= self.settings.max_per_mac {
                    cx.count_drop(DropReason::SessionsFull);
                    return refuse(cx, self, tag::AC_SYSTEM_ERROR, "too many sessions from this address");
                }
                let line = Line::read(payload);
                match self.begin(cx, |id| Carrier::Pppoe { port, mac: from, id, host_uniq: unique, line }) {
                    Some(id) => id,
                    None => {
                        cx.count_drop(DropReason::SessionsFull);
                        return refuse(cx, self, tag::AC_SYSTEM_ERROR, "no session is free");
                    }
                }
            }
        };
        let max_payload = Tags::find(payload, tag::PPP_MAX_PAYLOAD).filter(|v| v.len() == 2);
        let p = self
            .answer(code::PADS, id, payload)
            .tag(tag::SERVICE_NAME, &service)
            .tag(tag::AC_NAME, self.ac_name.as_bytes())
            .maybe(tag::PPP_MAX_PAYLOAD, max_payload)
            .finish();
        send(cx, port, own, from, Parent::Of(f.seq), &p);
        // LCP speaks only behind PADS: a client opens its session by it.
        self.settle(cx, u32::from(id));
    }

    /// A PADT ends its session, if it comes from the session's own station.
    fn padt(&mut self, cx: &mut Cx<'_>, port: PortId, from: Mac, id: u16) -> bool {
        let known = self.of_station.get(&(port, from)).is_some_and(|ids| ids.contains(&id));
        if known {
            self.end(cx, u32::from(id), "PADT from the subscriber", How { tell: false, cause: Terminate::User });
        }
        known
    }
}
