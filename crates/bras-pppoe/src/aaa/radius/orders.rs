//! Disconnect-Message and Change-of-Authorization (RFC 5176).

use super::super::{Datagram, Order, What, Which};
use super::messages::{Attributes, shown};
use radius::core::code::Code;
use radius::core::packet::Packet;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::be32;

/// Answers kept for requests that are sent again.
const KEPT: usize = 64;

/// Error-Cause values (§3.5).
const MISSING_ATTRIBUTE: u32 = 402;
const UNSUPPORTED_ATTRIBUTE: u32 = 401;
const SESSION_NOT_FOUND: u32 = 503;

#[derive(Debug)]
struct Asked {
    from: Datagram,
    packet: Box<Packet>,
    id: u64,
    answer: Option<Datagram>,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orders").field("next", &self.next).field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// Orders that came and what was answered.
#[derive(Default)]
pub(super) struct Orders {
    asked: VecDeque<Asked>,
    waiting: VecDeque<Order>,
    next: u64,
}

/// What became of a request.
pub(super) enum Taken {
    /// It waits in [`Orders::next`].
    Order,
    /// It was answered before, or can be answered without a session.
    Answered(Datagram),
    /// Broken, or not signed by the secret.
    Bad,
}

impl Orders {
    pub(super) fn take(&mut self, d: &Datagram, secret: &[u8]) -> Taken {
        let Some(b) = wire::be16(&d.payload, 2).and_then(|n| d.payload.get(..usize::from(n))) else { return Taken::Bad };
        if let Some(a) = self.asked.iter().find(|a| a.from == *d) {
            return a.answer.clone().map_or(Taken::Order, Taken::Answered);
        }
        let Ok(packet) = Packet::decode(b, secret) else { return Taken::Bad };
        let code = packet.get_code();
        if !matches!(code, Code::DisconnectRequest | Code::CoARequest) || !Packet::is_authentic_request(b, secret) {
            return Taken::Bad;
        }
        let mut which = Which::default();
        let (mut timeout, mut interim, mut unknown) = (None, None, false);
        let seconds = |v: &[u8]| be32(v, 0).map(|s| Duration::from_secs(u64::from(s)));
        for a in Attributes::new(b) {
            match a.kind {
                1 => which.user = Some(shown(a.value)),
                8 => which.address = be32(a.value, 0).map(Ipv4Addr::from),
                31 => which.calling = Some(shown(a.value)),
                44 => which.session = Some(shown(a.value)),
                27 if code == Code::CoARequest => timeout = seconds(a.value),
                85 if code == Code::CoARequest => interim = seconds(a.value),
                // Who is meant (NAS-IP-Address, NAS-Identifier, NAS-Port), a time stamp,
                // proxy state, a signature.
                4 | 5 | 32 | 33 | 55 | 80 | 87 => {}
                _ => unknown = true,
            }
        }
        self.next += 1;
        let id = self.next;
        if self.asked.len() >= KEPT {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { from: d.clone(), packet: Box::new(packet), id, answer: None });
        let refuse = if which == Which::default() || (code == Code::CoARequest && timeout.is_none() && interim.is_none() && !unknown) {
            Some(MISSING_ATTRIBUTE)
        } else {
            unknown.then_some(UNSUPPORTED_ATTRIBUTE)
        };
        if let Some(cause) = refuse {
            return self.say(id, Some(cause)).map_or(Taken::Bad, Taken::Answered);
        }
        let what = if code == Code::DisconnectRequest { What::Disconnect } else { What::Change { timeout, interim } };
        self.waiting.push_back(Order { id, which, what });
        Taken::Order
    }

    pub(super) fn next(&mut self) -> Option<Order> {
        self.waiting.pop_front()
    }

    pub(super) fn answer(&mut self, id: u64, met: usize) -> Option<Datagram> {
        self.say(id, (met == 0).then_some(SESSION_NOT_FOUND))
    }

    fn say(&mut self, id: u64, refused: Option<u32>) -> Option<Datagram> {
        let a = self.asked.iter_mut().find(|a| a.id == id)?;
        let code = match (a.packet.get_code(), refused.is_some()) {
            (Code::DisconnectRequest, false) => Code::DisconnectACK,
            (Code::DisconnectRequest, true) => Code::DisconnectNAK,
            (_, false) => Code::CoAACK,
            (_, true) => Code::CoANAK,
        };
        let mut p = a.packet.make_response_packet(code);
        if let Some(cause) = refused {
            radius::core::rfc3576::add_error_cause(&mut p, cause);
        }
        let payload = p.encode().ok()?;
        let d = Datagram { own_port: a.from.own_port, peer: a.from.peer, payload };
        a.answer = Some(d.clone());
        Some(d)
    }
}
