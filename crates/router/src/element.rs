//! The router as an element.
//!
//! ```text
//! Ethernet ─┬─ PPPoE ─▶ session ─▶ outside_packet ─ DNS answer │ NAT in ─┐
//!           └─ IPv4 ─▶ inside_packet ─ DHCP │ DNS │ local ───────────────┤
//!                                                    check: TTL, route, MTU
//!                                                    NAT out, MSS clamp ─▶ emit
//! ```

use crate::dhcp::Server;
use crate::dns::Forwarder;
use crate::pppoe::{Change, Client, Wan};
use crate::settings::Settings;
use flow::frag::Reassembler;
use flow::icmp::Error;
use flow::nat::{Limits, Nat};
use flow::{IpHop, Packet, Route, Tuple, hop, nat};
use node::config::NodeConfig;
use node::{Burst, Cause, Cidr, Cursor, Cx, DropReason, Element, Event, Frame, PortId, Protocol, Query, QueryError, Rows, Status, Time};
use std::net::Ipv4Addr;
use wire::ether::{Header as Ethernet, ethertype};
use wire::ipv4::{Header, protocol};
use wire::{be16, tcp};

/// The PPPoE session's number as a link.
const WAN: u32 = 0;
const DEFAULT: Cidr = Cidr { addr: Ipv4Addr::UNSPECIFIED, len: 0 };

/// What is translated: everything that leaves by this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    Session,
    Interface(usize),
}

/// A router.
#[derive(Debug)]
pub struct Router {
    hop: IpHop,
    wan: Wan,
    nat: Option<(Nat, Outside)>,
    dhcp: Option<Server>,
    dns: Option<Forwarder>,
    fragments: Reassembler,
}

impl Router {
    /// A router with the node's ports.
    ///
    /// # Errors
    /// If the settings name a port that is not there, or contradict each other.
    pub fn new(config: &NodeConfig, s: Settings) -> anyhow::Result<Router> {
        let mut hop = IpHop::new(config, &s.routes)?;
        hop.unreachables = !s.silent;
        let index_of = |name: &str| -> anyhow::Result<usize> {
            let (port, _) = config.need_port(name)?;
            hop.interface_of(port).ok_or_else(|| anyhow::anyhow!("port `{name}` has no address"))
        };
        let client = match s.pppoe {
            Some(p) => {
                let (port, c) = config.need_port(&p.port)?;
                anyhow::ensure!(c.address.is_none(), "pppoe: port `{}` gets its address from the access concentrator", p.port);
                Some(Client::new(port, c.mac, c.mtu, p))
            }
            None => None,
        };
        let nat = match s.nat {
            Some(name) => {
                let (port, _) = config.need_port(&name)?;
                let outside =
                    if client.as_ref().is_some_and(|c| c.port == port) { Outside::Session } else { Outside::Interface(index_of(&name)?) };
                let mut limits = Limits::default();
                if let Some(n) = s.nat_sessions {
                    limits.sessions = n;
                }
                let mut nat = Nat::new(limits);
                if let Outside::Interface(i) = outside {
                    nat.set_outside(Some(hop.interfaces[i].addr.addr));
                }
                Some((nat, outside))
            }
            None => None,
        };
        let dhcp = match s.dhcp {
            Some(d) => {
                let i = index_of(&d.port)?;
                Some(Server::new(i, &hop.interfaces[i], d)?)
            }
            None => None,
        };
        let dns = s.dns.map(|d| Forwarder::new(d.upstream));
        Ok(Router { hop, wan: Wan { client }, nat, dhcp, dns, fragments: Reassembler::default() })
    }

    /// The address under which this router is seen outside.
    fn outside_address(&self) -> Option<Ipv4Addr> {
        match (&self.nat, &self.wan.client) {
            (Some((n, Outside::Interface(_))), _) => n.outside(),
            (Some((n, Outside::Session)), Some(c)) if c.is_up() => n.outside(),
            (None, _) => self.hop.interfaces.first().map(|i| i.addr.addr),
            _ => None,
        }
    }

    fn frame(&mut self, cx: &mut Cx<'_>, port: PortId, f: Frame) {
        if let Some(client) = self.wan.client.as_mut().filter(|c| c.port == port) {
            let packet = match Ethernet::read(f.data()).map(|h| h.ethertype) {
                Some(ethertype::PPPOE_DISCOVERY) => {
                    client.discovery_input(cx, f);
                    None
                }
                Some(ethertype::PPPOE_SESSION) => client.session_input(cx, f),
                Some(_) => return cx.drop(f, DropReason::UnknownEthertype),
                None => return cx.drop(f, DropReason::Truncated),
            };
            if let Some(p) = packet.and_then(|f| hop::packet(cx, f)) {
                self.outside_packet(cx, p);
            }
            return self.session_changes();
        }
        let Some(index) = self.hop.interface_of(port) else {
            return cx.drop(f, DropReason::NotForUs);
        };
        let Some(p) = self.hop.ethernet(cx, index, f) else { return };
        if matches!(&self.nat, Some((_, Outside::Interface(i))) if *i == index) {
            self.outside_packet(cx, p);
        } else {
            self.inside_packet(cx, index, p);
        }
    }

    fn inside_packet(&mut self, cx: &mut Cx<'_>, index: usize, p: Packet) {
        let i = &self.hop.interfaces[index];
        let to = udp_port(&p);
        if let Some(d) = self.dhcp.as_mut().filter(|d| d.index == index && to == Some(67)) {
            return d.input(cx, i, p);
        }
        // RFC 2827: behind a translator only the link's own addresses speak.
        if p.header.src.is_unspecified() || (self.nat.is_some() && !i.addr.contains(p.header.src)) {
            return cx.drop(p.frame, DropReason::SpoofedSource);
        }
        let from = i.addr.addr;
        let Some(p) = self.whole(cx, p) else { return };
        if self.hop.is_local(p.header.dst) {
            return match &mut self.dns {
                Some(_) if udp_port(&p) == Some(53) => self.dns_question(cx, p),
                _ => self.hop.local(cx, &mut self.wan, p),
            };
        }
        if self.outside_address() == Some(p.header.dst) {
            return self.hairpin(cx, p);
        }
        self.forward(cx, p, from);
    }

    /// A translator needs ports, and only a whole packet has them.
    fn whole(&mut self, cx: &mut Cx<'_>, p: Packet) -> Option<Packet> {
        if self.nat.is_none() || !p.header.is_fragment() {
            return Some(p);
        }
        let f = self.fragments.input(cx, p.frame, &p.header)?;
        hop::packet(cx, f)
    }

    fn dns_question(&mut self, cx: &mut Cx<'_>, p: Packet) {
        let wan = self.outside_address();
        if wan.is_none() {
            self.say_down(cx, &p.frame);
        }
        let out = self.dns.as_mut().and_then(|d| d.question(cx, p, wan));
        if let Some(f) = out {
            self.hop.originate(cx, &mut self.wan, f, Cause::Control { protocol: Protocol::Dns });
        }
    }

    /// Says why there is no way out.
    fn say_down(&self, cx: &mut Cx<'_>, f: &Frame) {
        if let Some(Status::Waiting(why) | Status::Failed(why)) = self.wan.client.as_ref().map(Client::status) {
            cx.say(f, || Cause::WanDown { why });
        }
    }

    fn forward(&mut self, cx: &mut Cx<'_>, p: Packet, from: Ipv4Addr) {
        if self.hop.fib.lookup(p.header.dst).is_none() {
            self.say_down(cx, &p.frame);
        }
        let Some((mut p, route)) = self.hop.check(cx, &mut self.wan, p, from) else { return };
        let leaves = match (&self.nat, route) {
            (Some((_, Outside::Session)), Route::Link(_)) => true,
            (Some((_, Outside::Interface(o))), Route::Interface { index, .. }) => *o == index,
            _ => false,
        };
        if matches!(route, Route::Link(_)) {
            self.clamp(cx, &mut p);
        }
        if leaves && let Some((nat, _)) = &mut self.nat {
            match nat.outbound(cx, &mut p.frame, &p.header) {
                Ok(why) => cx.say(&p.frame, || why),
                Err(reason) => return cx.drop(p.frame, reason),
            }
        }
        self.hop.emit(cx, &mut self.wan, p, route, Cause::Forwarded);
    }

    /// RFC 4787 REQ-9: an inside host reaches another by its outside address.
    fn hairpin(&mut self, cx: &mut Cx<'_>, mut p: Packet) {
        let Some((nat, _)) = &mut self.nat else { return cx.drop(p.frame, DropReason::NoRoute) };
        let is_echo = p.header.protocol == protocol::ICMP && p.frame.data().get(p.header.header_len) == Some(&wire::icmp::ECHO_REQUEST);
        if is_echo {
            flow::icmp::echo_reply(&mut p.frame, 64);
            return self.hop.originate(cx, &mut self.wan, p.frame, Cause::Answered);
        }
        let turned = nat.outbound(cx, &mut p.frame, &p.header).and_then(|out| {
            cx.say(&p.frame, || out);
            let h = Header::read_quoted(p.frame.data()).map_err(|_| DropReason::BadIpHeader)?;
            nat.inbound(cx, &mut p.frame, &h)
        });
        match turned {
            Ok(why) => {
                cx.say(&p.frame, || why);
                if let Some(p) = hop::packet(cx, p.frame) {
                    let from = self.hop.interfaces[0].addr.addr;
                    self.hop.forward(cx, &mut self.wan, p, from);
                }
            }
            Err(reason) => cx.drop(p.frame, reason),
        }
    }

    fn outside_packet(&mut self, cx: &mut Cx<'_>, p: Packet) {
        let Some(mut p) = self.whole(cx, p) else { return };
        let own = self.outside_address();
        let from = own.unwrap_or(Ipv4Addr::UNSPECIFIED);
        if own != Some(p.header.dst) || self.nat.is_none() {
            // Not translated: a plain router's way, if inside addresses are public.
            return match (&self.nat, own) {
                (None, _) if self.hop.is_local(p.header.dst) => self.hop.local(cx, &mut self.wan, p),
                (None, _) => {
                    self.clamp(cx, &mut p);
                    self.hop.forward(cx, &mut self.wan, p, from);
                }
                _ => cx.drop(p.frame, DropReason::NotForUs),
            };
        }
        if self.dns.as_ref().is_some_and(|d| d.expects(&p)) {
            let out = self.dns.as_mut().and_then(|d| d.answer(cx, p));
            if let Some(f) = out {
                self.hop.originate(cx, &mut self.wan, f, Cause::Control { protocol: Protocol::Dns });
            }
            return;
        }
        let echo = p.header.protocol == protocol::ICMP && p.frame.data().get(p.header.header_len) == Some(&wire::icmp::ECHO_REQUEST);
        if echo {
            if !wire::ipv4::l4_checksum_ok(p.frame.data(), &p.header) {
                return cx.drop(p.frame, DropReason::BadChecksum);
            }
            flow::icmp::echo_reply(&mut p.frame, 64);
            return self.hop.originate(cx, &mut self.wan, p.frame, Cause::Answered);
        }
        if p.header.ttl <= 1 && Tuple::read(p.frame.data(), &p.header).is_some() {
            // Before translation, so that the error quotes what the sender sent.
            self.hop.error(cx, &mut self.wan, &p.frame, from, Error::TTL);
            return cx.drop(p.frame, DropReason::TtlExceeded);
        }
        let Some((nat, _)) = &mut self.nat else { return cx.drop(p.frame, DropReason::NotForUs) };
        match nat.inbound(cx, &mut p.frame, &p.header) {
            Ok(why) => {
                cx.say(&p.frame, || why);
                let Some(mut p) = hop::packet(cx, p.frame) else { return };
                self.clamp(cx, &mut p);
                if let Some((p, route)) = self.hop.check(cx, &mut self.wan, p, from) {
                    self.hop.emit(cx, &mut self.wan, p, route, Cause::Forwarded);
                }
            }
            Err(reason) => {
                if reason == DropReason::NatNoMapping && p.header.protocol == protocol::UDP {
                    self.hop.error(cx, &mut self.wan, &p.frame, from, Error::PORT);
                }
                cx.drop(p.frame, reason);
            }
        }
    }

    /// Lowers a SYN's MSS to what the PPPoE session carries (RFC 4459 §3.2).
    fn clamp(&self, cx: &mut Cx<'_>, p: &mut Packet) {
        if p.header.protocol != protocol::TCP || p.header.offset != 0 || self.wan.client.is_none() {
            return;
        }
        let most = flow::Links::mtu(&self.wan, WAN).saturating_sub(40);
        let from = p.header.header_len.min(p.frame.len());
        if let Some(old) = tcp::clamp_mss(&mut p.frame.data_mut()[from..], most) {
            cx.count("mss-clamped");
            cx.say(&p.frame, || Cause::MssClamped { from: old, to: most });
        }
    }

    fn session_changes(&mut self) {
        let Some(client) = &mut self.wan.client else { return };
        for c in std::mem::take(&mut client.changes) {
            match c {
                Change::Up(a) => {
                    self.hop.fib.insert(DEFAULT, Route::Link(WAN));
                    if let Some((nat, Outside::Session)) = &mut self.nat {
                        nat.set_outside(a.local);
                    }
                    if let Some(d) = &mut self.dns {
                        d.learned = a.dns.iter().flatten().copied().collect();
                    }
                }
                Change::Down => {
                    self.hop.fib.remove(DEFAULT);
                }
            }
        }
    }
}

fn udp_port(p: &Packet) -> Option<u16> {
    if p.header.protocol != protocol::UDP || p.header.offset != 0 {
        return None;
    }
    be16(p.frame.data(), p.header.header_len + 2)
}

impl Element for Router {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        while let Some(f) = burst.take() {
            cx.during(Some(&f));
            self.frame(cx, port, f);
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        if let Some(c) = &mut self.wan.client {
            c.poll(cx);
        }
        self.session_changes();
        self.hop.poll(cx, &mut self.wan);
        for f in self.fragments.poll(cx) {
            cx.drop(f, DropReason::ReassemblyTimeout);
        }
        if let Some((n, _)) = &mut self.nat {
            n.poll(cx.now);
        }
    }

    fn deadline(&self) -> Option<Time> {
        let wan = self.wan.client.as_ref().and_then(Client::deadline);
        let nat = self.nat.as_ref().and_then(|(n, _)| n.deadline());
        [wan, nat, self.hop.deadline(), self.fragments.deadline()].into_iter().flatten().min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        const CORE: &[(&str, &str)] = &[hop::VIEWS[0], hop::VIEWS[1]];
        const HOME: &[(&str, &str)] =
            &[nat::VIEW, ("leases", "addresses lent by DHCP"), ("pppoe", "the PPPoE session"), hop::VIEWS[0], hop::VIEWS[1]];
        if self.nat.is_some() || self.wan.client.is_some() || self.dhcp.is_some() { HOME } else { CORE }
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match q.what.as_str() {
            "nat" => Ok(self.nat.as_ref().and_then(|(n, _)| n.show(q.now, from, rows))),
            "leases" => Ok(self.dhcp.as_ref().and_then(|d| d.show(q.now, from, rows))),
            "pppoe" => {
                rows.columns(&["what", "value"]);
                for (k, v) in self.wan.client.iter().flat_map(Client::facts) {
                    rows.row([k.into(), v.into()]);
                }
                Ok(None)
            }
            _ => self.hop.show(q, from, rows).ok_or_else(|| QueryError::Unknown(q.what.clone())),
        }
    }

    fn status(&self) -> Status {
        self.wan.client.as_ref().map_or(Status::Ready, Client::status)
    }
}
