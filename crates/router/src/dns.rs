//! DNS forwarder (RFC 5625): questions go on as they are, under an identifier
//! and a port of ours; answers come back under the asker's.

use flow::Packet;
use node::{Cx, DropReason, Frame, Parent, Time};
use rand::RngExt;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ipv4::{self, New, protocol};
use wire::{be16, udp};

/// How long an answer is awaited.
const WAIT: Duration = Duration::from_secs(10);
/// Questions under way; beyond, new ones are refused (`dns-busy`).
const OPEN: usize = 1024;
/// Bytes of a DNS header.
const HEADER: usize = 12;

#[derive(Debug)]
struct Question {
    asker: (Ipv4Addr, u16),
    /// Which of our addresses was asked.
    asked: Ipv4Addr,
    id: u16,
    server: Ipv4Addr,
    until: Time,
}

#[derive(Debug, Default)]
pub(crate) struct Forwarder {
    configured: Vec<Ipv4Addr>,
    pub(crate) learned: Vec<Ipv4Addr>,
    /// By our port and identifier.
    open: HashMap<(u16, u16), Question>,
    turn: usize,
}

/// A packet to originate.
pub(crate) type Out = Option<Frame>;

impl Forwarder {
    pub(crate) fn new(configured: Vec<Ipv4Addr>) -> Forwarder {
        Forwarder { configured, ..Forwarder::default() }
    }

    fn servers(&self) -> &[Ipv4Addr] {
        if self.configured.is_empty() { &self.learned } else { &self.configured }
    }

    /// Takes a question for port 53 of one of our addresses; `wan` is the
    /// address from which to ask.
    pub(crate) fn question(&mut self, cx: &mut Cx<'_>, p: Packet, wan: Option<Ipv4Addr>) -> Out {
        let body = p.header.payload(p.frame.data());
        let good = ipv4::l4_checksum_ok(p.frame.data(), &p.header) && body.len() >= udp::HEADER_LEN + HEADER;
        // The QR bit marks answers: those are nobody's questions.
        if !good || body[udp::HEADER_LEN + 2] & 0x80 != 0 {
            cx.drop(p.frame, DropReason::BadDns);
            return None;
        }
        let asker = (p.header.src, be16(body, 0)?);
        let mut message = body[udp::HEADER_LEN..].to_vec();
        let id = u16::from_be_bytes([message[0], message[1]]);
        let now = cx.now;
        self.open.retain(|_, q| q.until > now);
        self.turn = self.turn.wrapping_add(1);
        let server = self.servers().get(self.turn % self.servers().len().max(1)).copied();
        let out = match (server, wan) {
            (Some(server), Some(wan)) if self.open.len() < OPEN => {
                // RFC 5452: port and identifier that a stranger cannot guess.
                let key = (cx.rng().random_range(1024..=u16::MAX), cx.rng().random::<u16>());
                message[..2].copy_from_slice(&key.1.to_be_bytes());
                self.open.insert(key, Question { asker, asked: p.header.dst, id, server, until: now + WAIT });
                datagram(cx, &p.frame, (wan, key.0), (server, 53), &message)
            }
            _ => {
                // SERVFAIL at once is kinder than silence.
                cx.count(if server.is_none() || wan.is_none() { "dns-no-server" } else { "dns-busy" });
                message[2] |= 0x80;
                message[3] = (message[3] & 0xf0) | 2;
                datagram(cx, &p.frame, (p.header.dst, 53), asker, &message)
            }
        };
        cx.consume(p.frame);
        out
    }

    /// Whether a packet from outside answers one of our questions.
    pub(crate) fn expects(&self, p: &Packet) -> bool {
        let body = p.header.payload(p.frame.data());
        p.header.protocol == protocol::UDP
            && be16(body, 0) == Some(53)
            && be16(body, 2).zip(be16(body, 8)).and_then(|k| self.open.get(&k)).is_some_and(|q| q.server == p.header.src)
    }

    /// Takes an answer that [`Forwarder::expects`].
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, p: Packet) -> Out {
        let body = p.header.payload(p.frame.data());
        let question = be16(body, 2).zip(be16(body, 8)).and_then(|k| self.open.remove(&k));
        let (Some(q), true) = (question, ipv4::l4_checksum_ok(p.frame.data(), &p.header)) else {
            cx.drop(p.frame, DropReason::BadDns);
            return None;
        };
        let mut message = body[udp::HEADER_LEN..].to_vec();
        message[..2].copy_from_slice(&q.id.to_be_bytes());
        let out = datagram(cx, &p.frame, (q.asked, 53), q.asker, &message);
        cx.consume(p.frame);
        out
    }
}

fn datagram(cx: &mut Cx<'_>, about: &Frame, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), data: &[u8]) -> Out {
    let n = data.len() + udp::HEADER_LEN;
    let mut f = cx.make_sized(Parent::Of(about.seq), n + ipv4::HEADER_LEN)?;
    let ident = cx.rng().random();
    let b = f.grow(n + ipv4::HEADER_LEN);
    ipv4::write_header(b, &New { payload_len: n, ident, df: false, tos: 0, ttl: 64, protocol: protocol::UDP, src: from.0, dst: to.0 });
    b[20..22].copy_from_slice(&from.1.to_be_bytes());
    b[22..24].copy_from_slice(&to.1.to_be_bytes());
    b[24..26].copy_from_slice(&(n as u16).to_be_bytes());
    b[26..28].fill(0);
    b[28..].copy_from_slice(data);
    ipv4::fill_l4_checksum(b);
    Some(f)
}
