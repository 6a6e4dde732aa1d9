//! The way of packets: subscribers' frames in, the core's frames in, and what a
//! session carries out.

use crate::aaa::Datagram;
use crate::bas::{Access, Bas};
use crate::discovery;
use crate::session::{Carrier, Session};
use crate::settings::TooBig;
use crate::udp;
use flow::icmp::Error;
use flow::{IpHop, Links, NoLinks, Packet, hop};
use l2tp::{DataHeader, Endpoint, Input, Key, Peer};
use node::{Cause, Cx, DropReason, Frame, Parent, PortId};
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::ipv4::protocol as ip;
use wire::l2tp::PORT;
use wire::ppp::protocol;
use wire::pppoe::{self, Discovery, Packet as Pppoe, code};
use wire::{Mac, be16, tcp};

/// Address and control field of PPP in HDLC-like framing, which L2TP keeps
/// (RFC 2661 §5.3).
const FRAMING: [u8; 2] = [0xff, 0x03];
/// Tunnels' peers whose name for us is remembered.
const PEERS: usize = 4096;
/// Bytes before an IP packet in a tunnel, besides L2TP's header: IPv4, UDP,
/// framing and PPP's protocol.
const TUNNEL_OVERHEAD: u16 = 20 + 8 + 2 + 2;

/// Sessions as links: the number is the session's.
struct SessionLinks<'a> {
    sessions: &'a mut BTreeMap<u32, Session>,
    tunnels: Tunnels<'a>,
    access: &'a [Access],
    /// Packets of tunnels, to be sent when the hop is free again.
    outer: &'a mut Vec<(Frame, Cause)>,
}

/// What is needed to put a frame into a tunnel.
pub(crate) struct Tunnels<'a> {
    pub(crate) l2tp: &'a mut Endpoint,
    pub(crate) known_as: &'a HashMap<Ipv4Addr, Ipv4Addr>,
    pub(crate) own: Ipv4Addr,
    pub(crate) ident: &'a mut u16,
    pub(crate) data: DataHeader,
}

impl Tunnels<'_> {
    /// Puts a PPP frame, from its protocol field on, into a session's tunnel: the
    /// frame is an IP packet then.
    pub(crate) fn encapsulate(&mut self, cx: &mut Cx<'_>, key: Key, mut f: Frame) -> Option<(Frame, Cause)> {
        f.push(FRAMING.len()).copy_from_slice(&FRAMING);
        let Some((peer, header, n)) = self.l2tp.data_header(key, f.len(), self.data) else {
            cx.drop(f, DropReason::UnknownL2tpSession);
            return None;
        };
        f.push(n).copy_from_slice(&header[..n]);
        *self.ident = self.ident.wrapping_add(1);
        let own = self.known_as.get(&peer.addr).copied().unwrap_or(self.own);
        udp::wrap(&mut f, (own, PORT), (peer.addr, peer.port), *self.ident, false);
        let at = self.l2tp.peer_key(key).unwrap_or(key);
        Some((f, Cause::L2tpEncapsulated { tunnel: at.tunnel, session: at.session }))
    }
}

impl Links for SessionLinks<'_> {
    fn mtu(&self, link: u32) -> u16 {
        self.sessions.get(&link).map_or(1492, Session::mtu)
    }

    fn send(&mut self, cx: &mut Cx<'_>, link: u32, mut f: Frame, why: Cause) {
        let Some(s) = self.sessions.get_mut(&link).filter(|s| s.up) else {
            return cx.drop(f, DropReason::LinkDown);
        };
        s.tx = (s.tx.0 + 1, s.tx.1 + f.len() as u64);
        if why != Cause::Forwarded {
            cx.say(&f, || why);
        }
        if s.clamps {
            clamp(cx, &mut f, s.mtu());
        }
        f.push(2).copy_from_slice(&protocol::IPV4.to_be_bytes());
        match &s.carrier {
            Carrier::Pppoe { port, mac, id, .. } => {
                put_pppoe(cx, self.access, (*port, *mac, *id), f, Cause::PppoeEncapsulated { session: *id });
            }
            Carrier::L2tp { key, .. } => {
                self.outer.extend(self.tunnels.encapsulate(cx, *key, f));
            }
        }
    }
}

/// Lowers the MSS of a connection's first segments to what `mtu` bears.
fn clamp(cx: &mut Cx<'_>, f: &mut Frame, mtu: u16) {
    let Ok(h) = wire::ipv4::Header::read_quoted(f.data()) else { return };
    if h.protocol == ip::TCP
        && h.offset == 0
        && let Some(t) = f.data_mut().get_mut(h.header_len..)
        && let Some(from) = tcp::clamp_mss(t, mtu.saturating_sub(40))
    {
        cx.count("mss-clamped");
        cx.say(f, || Cause::MssClamped { from, to: mtu.saturating_sub(40) });
    }
}

/// Sends a PPP frame, from its protocol field on, to a PPPoE subscriber.
pub(crate) fn put_pppoe(cx: &mut Cx<'_>, access: &[Access], to: (PortId, Mac, u16), mut f: Frame, why: Cause) {
    let (port, mac, id) = to;
    let Some((_, src, mtu)) = access.iter().find(|(p, _, _)| *p == port) else {
        return cx.drop(f, DropReason::LinkDown);
    };
    let len = f.len();
    if len + pppoe::HEADER_LEN > usize::from(*mtu) {
        return cx.drop(f, DropReason::FragmentationNeeded);
    }
    pppoe::write_header(f.push(pppoe::HEADER_LEN), code::SESSION, id, len);
    Header { dst: mac, src: *src, ethertype: ethertype::PPPOE_SESSION }.write(f.push(HEADER_LEN));
    cx.send(port, f, || why);
}

impl Bas {
    pub(crate) fn tunnels(&mut self) -> Tunnels<'_> {
        let own = self.hop.interfaces.first().map_or(Ipv4Addr::UNSPECIFIED, |i| i.addr.addr);
        Tunnels { l2tp: &mut self.l2tp, known_as: &self.known_as, own, ident: &mut self.ident, data: self.settings.l2tp.data() }
    }

    /// Bytes of an IP packet that a tunnel to `peer` bears without fragments.
    pub(crate) fn inner_mtu(&self, peer: Ipv4Addr, sequencing: bool) -> u16 {
        let link = self.hop.towards(peer).map_or(1500, |i| i.mtu);
        let header = self.settings.l2tp.data().len(sequencing) as u16;
        link.saturating_sub(TUNNEL_OVERHEAD + header)
    }

    /// Runs the hop with sessions as its links, and sends what became of it.
    fn with_hop(&mut self, cx: &mut Cx<'_>, f: impl FnOnce(&mut Cx<'_>, &mut IpHop, &mut dyn Links)) {
        let mut outer = Vec::new();
        let own = self.hop.interfaces.first().map_or(Ipv4Addr::UNSPECIFIED, |i| i.addr.addr);
        let tunnels =
            Tunnels { l2tp: &mut self.l2tp, known_as: &self.known_as, own, ident: &mut self.ident, data: self.settings.l2tp.data() };
        let mut links = SessionLinks { sessions: &mut self.sessions, tunnels, access: &self.access, outer: &mut outer };
        f(cx, &mut self.hop, &mut links);
        for (f, why) in outer {
            self.hop.originate(cx, &mut NoLinks, f, why);
        }
    }

    pub(crate) fn poll_hop(&mut self, cx: &mut Cx<'_>) {
        self.with_hop(cx, |cx, hop, links| hop.poll(cx, links));
    }

    pub(crate) fn access_frame(&mut self, cx: &mut Cx<'_>, port: PortId, own: Mac, mut f: Frame) {
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
        let (id, len) = (p.session, p.payload.len());
        let number = u32::from(id);
        let is_its = |s: &&mut Session| matches!(&s.carrier, Carrier::Pppoe { port: p, mac, .. } if *p == port && *mac == h.src);
        let Some(s) = self.sessions.get_mut(&number).filter(is_its) else {
            // After a restart the subscriber's session is unknown here: tell it.
            if self.rates.strangers.take(cx.now) && !h.src.is_multicast() {
                discovery::send(cx, port, own, h.src, Parent::Of(f.seq), &Discovery::new(code::PADT, id).finish());
                cx.count("padt-to-strangers");
            }
            return cx.drop(f, DropReason::UnknownSession);
        };
        f.truncate(HEADER_LEN + pppoe::HEADER_LEN + len);
        if !f.pull(HEADER_LEN + pppoe::HEADER_LEN) {
            return cx.drop(f, DropReason::BadPppoe);
        }
        cx.say(&f, || Cause::PppoeDecapsulated { session: id });
        if s.relay.as_ref().is_some_and(|r| r.connected) {
            return self.relay_up(cx, number, f);
        }
        self.ppp_frame(cx, number, f);
    }

    /// A PPP frame, from its protocol field on, of a session that ends here.
    pub(crate) fn ppp_frame(&mut self, cx: &mut Cx<'_>, number: u32, mut f: Frame) {
        let Some(s) = self.sessions.get_mut(&number) else {
            return cx.drop(f, DropReason::UnknownSession);
        };
        match be16(f.data(), 0) {
            Some(protocol::IPV4) if s.up && f.pull(2) => {
                s.rx = (s.rx.0 + 1, s.rx.1 + f.len() as u64);
                if s.clamps {
                    let mtu = s.mtu();
                    clamp(cx, &mut f, mtu);
                }
                let own = s.address;
                if let Some(p) = hop::packet(cx, f) {
                    self.subscriber_packet(cx, own, p);
                }
            }
            Some(protocol::IPV4) => cx.drop(f, DropReason::PppNotOpen),
            Some(_) => {
                let understood = s.ppp.as_mut().is_some_and(|p| p.input(cx.now, f.data()));
                self.settle(cx, number);
                if understood { cx.consume(f) } else { cx.drop(f, DropReason::BadPpp) }
            }
            None => cx.drop(f, DropReason::BadPpp),
        }
    }

    fn subscriber_packet(&mut self, cx: &mut Cx<'_>, own: Option<Ipv4Addr>, p: Packet) {
        // RFC 2827: a subscriber speaks from the address it was given.
        if Some(p.header.src) != own {
            return cx.drop(p.frame, DropReason::SpoofedSource);
        }
        let local = self.local;
        let is_local = p.header.dst == local || self.hop.is_local(p.header.dst);
        self.with_hop(cx, |cx, hop, links| {
            if is_local {
                answer_local(cx, hop, links, local, p);
            } else if let Some((p, route)) = hop.check(cx, links, p, local) {
                hop.emit(cx, links, p, route, Cause::Forwarded);
            }
        });
    }

    pub(crate) fn core_frame(&mut self, cx: &mut Cx<'_>, index: usize, f: Frame) {
        let Some(p) = self.hop.ethernet(cx, index, f) else { return };
        let from = self.hop.interfaces[index].addr.addr;
        // A subscriber's source can only come from a session.
        if self.pools.owns(p.header.src) {
            return cx.drop(p.frame, DropReason::SpoofedSource);
        }
        let is_local = self.hop.is_local(p.header.dst) || p.header.dst == self.local;
        if is_local && p.header.protocol == ip::UDP {
            return self.own_udp(cx, p);
        }
        let local = self.local;
        self.with_hop(cx, |cx, hop, links| if is_local { answer_local(cx, hop, links, local, p) } else { hop.forward(cx, links, p, from) });
    }

    /// UDP for the server itself: a tunnel's messages, RADIUS, or nobody's.
    fn own_udp(&mut self, cx: &mut Cx<'_>, p: Packet) {
        let p = if p.header.is_fragment() {
            let Some(f) = self.pieces.input(cx, p.frame, &p.header) else { return };
            let Some(p) = hop::packet(cx, f) else { return };
            p
        } else {
            p
        };
        let Packet { mut frame, header } = p;
        let at = header.header_len;
        let (Some(src), Some(dst), Some(len)) = (be16(frame.data(), at), be16(frame.data(), at + 2), be16(frame.data(), at + 4)) else {
            return cx.drop(frame, DropReason::BadLength);
        };
        let len = usize::from(len);
        if len < udp::UDP || at + len > header.total_len {
            return cx.drop(frame, DropReason::BadLength);
        }
        let tunnels = dst == PORT && self.speaks_l2tp();
        if !tunnels && !self.aaa.listens(dst) {
            let local = self.local;
            return self.with_hop(cx, |cx, hop, links| answer_local(cx, hop, links, local, Packet { frame, header }));
        }
        if !wire::ipv4::l4_checksum_ok(frame.data(), &header) {
            return cx.drop(frame, DropReason::BadChecksum);
        }
        frame.truncate(at + len);
        if !frame.pull(at + udp::UDP) {
            return cx.drop(frame, DropReason::BadLength);
        }
        if !tunnels {
            let d = Datagram { own_port: dst, peer: (header.src, src), payload: frame.data().to_vec() };
            return if self.aaa.input(&d) { cx.consume(frame) } else { cx.drop(frame, DropReason::BadRadius) };
        }
        match self.l2tp.input(cx.now, Peer { addr: header.src, port: src }, frame.data()) {
            Input::Control => {
                if self.known_as.len() >= PEERS && !self.known_as.contains_key(&header.src) {
                    self.known_as.clear(); // learned again by the next message
                }
                self.known_as.insert(header.src, header.dst);
                cx.consume(frame);
            }
            Input::Data { key, at, len } => {
                frame.truncate(at + len);
                let framed = frame.pull(at) && frame.data().starts_with(&FRAMING);
                if framed && !frame.pull(FRAMING.len()) {
                    return cx.drop(frame, DropReason::BadPpp);
                }
                self.tunnel_frame(cx, key, frame);
            }
            Input::Malformed => cx.drop(frame, DropReason::BadL2tp),
            Input::UnknownTunnel => cx.drop(frame, DropReason::UnknownTunnel),
            Input::UnknownSession => cx.drop(frame, DropReason::UnknownL2tpSession),
            Input::OutOfOrder => cx.drop(frame, DropReason::L2tpOutOfOrder),
        }
    }

    fn speaks_l2tp(&self) -> bool {
        !self.settings.tunnels.is_empty() || !self.settings.lacs.is_empty() || self.settings.radius.is_some()
    }

    /// A PPP frame out of a tunnel: at an LNS it ends here, at a LAC it goes on.
    fn tunnel_frame(&mut self, cx: &mut Cx<'_>, key: Key, f: Frame) {
        cx.say(&f, || Cause::L2tpDecapsulated { tunnel: key.tunnel, session: key.session });
        let Some(s) = self.of_call.get(&key).and_then(|n| self.sessions.get_mut(n)) else {
            return cx.drop(f, DropReason::UnknownL2tpSession);
        };
        match &s.carrier {
            Carrier::Pppoe { port, mac, id, .. } => {
                s.tx = (s.tx.0 + 1, s.tx.1 + f.len() as u64);
                put_pppoe(cx, &self.access, (*port, *mac, *id), f, Cause::PppoeEncapsulated { session: *id });
            }
            Carrier::L2tp { .. } => {
                let number = s.number;
                self.ppp_frame(cx, number, f);
            }
        }
    }

    /// A subscriber's PPP frame, from its protocol field on, into its tunnel.
    fn relay_up(&mut self, cx: &mut Cx<'_>, number: u32, mut f: Frame) {
        let Some(s) = self.sessions.get_mut(&number) else { return cx.drop(f, DropReason::UnknownSession) };
        let Some(r) = &s.relay else { return cx.drop(f, DropReason::UnknownSession) };
        let (key, mtu) = (r.key, r.mtu);
        s.rx = (s.rx.0 + 1, s.rx.1 + f.len() as u64);
        let is_ip = be16(f.data(), 0) == Some(protocol::IPV4);
        if is_ip && r.to.too_big == TooBig::Tell && f.len() - 2 > usize::from(mtu) {
            let df = f.pull(2) && wire::ipv4::Header::read_quoted(f.data()).is_ok_and(|h| h.df);
            if df {
                self.too_big(cx, number, &f, mtu);
                return cx.drop(f, DropReason::FragmentationNeeded);
            }
            f.push(2).copy_from_slice(&protocol::IPV4.to_be_bytes());
        }
        if let Some((f, why)) = self.tunnels().encapsulate(cx, key, f) {
            self.hop.originate(cx, &mut NoLinks, f, why);
        }
    }

    /// Tells a subscriber whose session ends elsewhere what its tunnel bears.
    fn too_big(&mut self, cx: &mut Cx<'_>, number: u32, about: &Frame, mtu: u16) {
        let from = self.hop.interfaces.first().map_or(self.local, |i| i.addr.addr);
        let Some(mut e) = flow::icmp::make(cx, about, from, Error::frag_needed(mtu)) else { return };
        cx.count("icmp-errors-sent");
        e.push(2).copy_from_slice(&protocol::IPV4.to_be_bytes());
        match self.sessions.get(&number).map(|s| &s.carrier) {
            Some(Carrier::Pppoe { port, mac, id, .. }) => {
                put_pppoe(cx, &self.access, (*port, *mac, *id), e, Cause::IcmpError { kind: 3, code: 4, mtu });
            }
            _ => cx.drop(e, DropReason::LinkDown),
        }
    }
}

/// Answers a packet for the server itself; its PPP address is own too, though on
/// no Ethernet interface.
fn answer_local(cx: &mut Cx<'_>, hop: &mut IpHop, links: &mut dyn Links, local: Ipv4Addr, p: Packet) {
    if p.header.dst != local {
        return hop.local(cx, links, p);
    }
    let Packet { mut frame, header } = p;
    if header.is_fragment() || !wire::ipv4::l4_checksum_ok(frame.data(), &header) {
        return cx.drop(frame, DropReason::BadChecksum);
    }
    let echo = header.protocol == ip::ICMP && frame.data().get(header.header_len) == Some(&wire::icmp::ECHO_REQUEST);
    if echo {
        flow::icmp::echo_reply(&mut frame, 64);
        return hop.originate(cx, links, frame, Cause::Answered);
    }
    if header.protocol == ip::UDP {
        hop.error(cx, links, &frame, local, Error::PORT);
    }
    cx.drop(frame, DropReason::NoSocket);
}
