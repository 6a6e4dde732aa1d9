//! An IPv4 hop (RFC 1812): interfaces, forwarding table, neighbours, ICMP.
//!
//! ```text
//! frame ─ ethernet() ─▶ Packet ─┬─ is_local ─▶ local()          echo, port unreachable
//!                               └─ forward(): TTL, route, MTU ─▶ emit(): fragment, neighbour
//! ```
//! A role steps in between: a firewall filters before `forward`, a translator
//! rewrites between `check` and `emit`.

use crate::fib::{Fib, Route, StaticRoute};
use crate::icmp::{self, Bucket, Error};
use crate::neighbour::Neighbours;
use crate::tuple::Tuple;
use crate::{fib, frag, reset};
use node::config::NodeConfig;
use node::{Cause, Cidr, Cursor, Cx, DropReason, Frame, PortId, Query, Rows, Time};
use std::net::Ipv4Addr;
use wire::ether::{HEADER_LEN, Header as Ethernet, ethertype};
use wire::ipv4::{self, Header, protocol};
use wire::{Mac, be16};

/// An Ethernet port with an address.
#[derive(Clone, Debug)]
pub struct Interface {
    /// The port's name.
    pub name: String,
    /// The port.
    pub port: PortId,
    /// Its MAC address.
    pub mac: Mac,
    /// Its address and prefix.
    pub addr: Cidr,
    /// Bytes of an IP packet that its link carries.
    pub mtu: u16,
}

/// An IPv4 packet whose frame starts at its IP header, without link padding.
#[derive(Debug)]
pub struct Packet {
    /// The bytes.
    pub frame: Frame,
    /// Its header, checked.
    pub header: Header,
}

/// Links that need no neighbour: PPP sessions.
pub trait Links {
    /// Bytes of an IP packet that the link carries.
    fn mtu(&self, link: u32) -> u16;
    /// Sends a packet (from its IP header on) into the link.
    fn send(&mut self, cx: &mut Cx<'_>, link: u32, f: Frame, why: Cause);
}

/// No such links.
#[derive(Debug)]
pub struct NoLinks;

impl Links for NoLinks {
    fn mtu(&self, _: u32) -> u16 {
        1500
    }
    fn send(&mut self, cx: &mut Cx<'_>, _: u32, f: Frame, _: Cause) {
        cx.drop(f, DropReason::NoRoute);
    }
}

/// The hop.
#[derive(Debug)]
pub struct IpHop {
    /// Its Ethernet interfaces.
    pub interfaces: Vec<Interface>,
    /// Its routes.
    pub fib: Fib,
    /// Its neighbours.
    pub neighbours: Neighbours,
    /// It tells senders of packets that it cannot deliver. Many real routers are
    /// told not to, and so make holes for packets that are too big (RFC 2923 §2.1).
    pub unreachables: bool,
    errors: Bucket,
    /// Packets of this node's own that no neighbour would take; its sockets ask.
    own_failures: Vec<Tuple>,
}

/// Own failures that are remembered until somebody asks.
const OWN_FAILURES: usize = 64;

/// What the hop's own views are.
pub const VIEWS: [(&str, &str); 2] = [crate::neighbour::VIEW, ("fib", "forwarding table")];

impl IpHop {
    /// A hop with all addressed ports of a node, connected routes included.
    ///
    /// # Errors
    /// If a static route's gateway is on no link of the node.
    pub fn new(config: &NodeConfig, routes: &[StaticRoute]) -> anyhow::Result<IpHop> {
        let mut hop = IpHop {
            interfaces: Vec::new(),
            fib: Fib::default(),
            neighbours: Neighbours::default(),
            unreachables: true,
            errors: Bucket::new(100.0, 100.0),
            own_failures: Vec::new(),
        };
        for (i, p) in config.ports.iter().enumerate() {
            if let Some(addr) = p.address {
                let index = hop.interfaces.len();
                hop.fib.insert(addr, Route::Interface { index, gateway: None });
                let port = PortId(i as u8);
                hop.interfaces.push(Interface { name: p.name.clone(), port, mac: p.mac, addr, mtu: p.mtu });
            }
        }
        for r in routes {
            let route = hop.resolve(r)?;
            hop.fib.insert(r.to, route);
        }
        Ok(hop)
    }

    /// Gives an interface its address and, if there is one, the default route:
    /// what a DHCP lease brings. `None` takes both away.
    pub fn configure(&mut self, index: usize, addr: Option<Cidr>, gateway: Option<Ipv4Addr>) {
        let default = Cidr { addr: Ipv4Addr::UNSPECIFIED, len: 0 };
        let old = self.interfaces[index].addr;
        self.fib.remove(old);
        self.fib.remove(default);
        let none = Cidr { addr: Ipv4Addr::UNSPECIFIED, len: 32 };
        self.interfaces[index].addr = addr.unwrap_or(none);
        if let Some(a) = addr {
            self.fib.insert(a, Route::Interface { index, gateway: None });
            if gateway.is_some() {
                self.fib.insert(default, Route::Interface { index, gateway });
            }
        }
    }

    fn resolve(&self, r: &StaticRoute) -> anyhow::Result<Route> {
        match r.via {
            _ if r.blackhole => Ok(Route::Blackhole),
            None => anyhow::bail!("route to {}: give `via`, or `blackhole = true`", r.to),
            Some(via) => {
                let index = self.interfaces.iter().position(|i| i.addr.contains(via));
                let links: Vec<_> = self.interfaces.iter().map(|i| i.addr.to_string()).collect();
                match index {
                    Some(index) => Ok(Route::Interface { index, gateway: Some(via) }),
                    None => anyhow::bail!("route to {}: its gateway {via} is on no link of this node (links: {})", r.to, links.join(", ")),
                }
            }
        }
    }

    /// The interface on `port`.
    pub fn interface_of(&self, port: PortId) -> Option<usize> {
        self.interfaces.iter().position(|i| i.port == port)
    }

    /// `a` is one of this hop's own addresses.
    pub fn is_own(&self, a: Ipv4Addr) -> bool {
        self.interfaces.iter().any(|i| i.addr.addr == a)
    }

    /// `a` is own, or means every station on a link.
    pub fn is_local(&self, a: Ipv4Addr) -> bool {
        a.is_broadcast() || self.interfaces.iter().any(|i| i.addr.addr == a || i.addr.is_broadcast(a))
    }

    /// Takes a frame from an Ethernet interface: ARP ends here, IPv4 is checked
    /// and returned, the rest is dropped.
    pub fn ethernet(&mut self, cx: &mut Cx<'_>, index: usize, mut f: Frame) -> Option<Packet> {
        let i = &self.interfaces[index];
        let Some(e) = Ethernet::read(f.data()) else {
            cx.drop(f, DropReason::Truncated);
            return None;
        };
        if e.dst != i.mac && !e.dst.is_multicast() {
            cx.drop(f, DropReason::NotForUs);
            return None;
        }
        match e.ethertype {
            ethertype::IPV4 if f.pull(HEADER_LEN) => {
                let p = packet(cx, f)?;
                // RFC 1812 §5.3.4: a link broadcast is never forwarded.
                if e.dst.is_multicast() && !self.is_local(p.header.dst) && !p.header.dst.is_multicast() {
                    cx.drop(p.frame, DropReason::NotForUs);
                    return None;
                }
                Some(p)
            }
            ethertype::ARP => {
                self.neighbours.input(cx, index, i, f);
                None
            }
            _ => {
                cx.drop(f, DropReason::UnknownEthertype);
                None
            }
        }
    }

    /// Answers a packet for the hop itself: echo, and unreachable for the rest.
    pub fn local(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, p: Packet) {
        let Packet { mut frame, header } = p;
        let single = self.is_own(header.dst);
        let is_echo = header.protocol == protocol::ICMP && frame.data().get(header.header_len) == Some(&wire::icmp::ECHO_REQUEST);
        if header.is_fragment() {
            cx.drop(frame, DropReason::NotForUs);
        } else if is_echo && single {
            if !ipv4::l4_checksum_ok(frame.data(), &header) {
                return cx.drop(frame, DropReason::BadChecksum);
            }
            icmp::echo_reply(&mut frame, 64);
            self.originate(cx, links, frame, Cause::Answered);
        } else if single && header.protocol == protocol::UDP {
            self.error(cx, links, &frame, header.dst, Error::PORT);
            cx.drop(frame, DropReason::NoSocket);
        } else if single && header.protocol == protocol::TCP && ipv4::l4_checksum_ok(frame.data(), &header) {
            if let Some(r) = reset::refuse(cx, &frame, &header) {
                self.originate(cx, links, r, Cause::Answered);
            }
            cx.drop(frame, DropReason::NoSocket);
        } else {
            cx.drop(frame, DropReason::NoSocket);
        }
    }

    /// TTL and route of a packet in transit, and whether its route's link
    /// carries it whole; what fails is answered with ICMP from `from` and ends.
    pub fn check(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, mut p: Packet, from: Ipv4Addr) -> Option<(Packet, Route)> {
        let h = p.header;
        if h.dst.is_multicast() || h.dst.is_broadcast() || h.dst.octets()[0] >= 240 || h.dst.is_loopback() || h.dst.is_unspecified() {
            cx.drop(p.frame, DropReason::NotForwardable);
            return None;
        }
        if h.ttl <= 1 {
            self.error(cx, links, &p.frame, from, Error::TTL);
            cx.drop(p.frame, DropReason::TtlExceeded);
            return None;
        }
        let entry = match self.fib.entry(h.dst) {
            Some((c, Route::Interface { index, gateway: None })) if self.interfaces[index].addr.is_broadcast(h.dst) => {
                Some((c, Route::Blackhole))
            }
            e => e,
        };
        let route = entry.map(|(_, r)| r);
        let mtu = match route {
            Some(Route::Interface { index, .. }) => self.interfaces[index].mtu,
            Some(Route::Link(l)) => links.mtu(l),
            None => {
                self.error(cx, links, &p.frame, from, Error::NET);
                cx.drop(p.frame, DropReason::NoRoute);
                return None;
            }
            Some(Route::Blackhole) => {
                cx.drop(p.frame, DropReason::Blackhole);
                return None;
            }
        };
        if h.total_len > usize::from(mtu) && h.df {
            self.error(cx, links, &p.frame, from, Error::frag_needed(mtu));
            cx.drop(p.frame, DropReason::FragmentationNeeded);
            return None;
        }
        ipv4::decrement_ttl(p.frame.data_mut());
        p.header.ttl -= 1;
        let (prefix, route) = entry?;
        cx.say(&p.frame, || routed(prefix, &route, h.dst));
        Some((p, route))
    }

    /// Sends a packet by its route, in fragments if the link is too small.
    pub fn emit(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, p: Packet, route: Route, why: Cause) {
        let mtu = match route {
            Route::Interface { index, .. } => self.interfaces[index].mtu,
            Route::Link(l) => links.mtu(l),
            Route::Blackhole => return cx.drop(p.frame, DropReason::Blackhole),
        };
        if p.frame.len() > usize::from(mtu) {
            cx.say(&p.frame, || why);
            for piece in frag::fragment(cx, p.frame, mtu) {
                self.emit_one(cx, links, piece, p.header.dst, route, Cause::Fragmented);
            }
        } else {
            self.emit_one(cx, links, p.frame, p.header.dst, route, why);
        }
    }

    fn emit_one(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, f: Frame, dst: Ipv4Addr, route: Route, why: Cause) {
        match route {
            Route::Interface { index, gateway } => {
                let next_hop = gateway.unwrap_or(dst);
                let refused = self.neighbours.send(cx, index, &self.interfaces[index], next_hop, f, why);
                if let Some(f) = refused {
                    self.unreachable(cx, links, f);
                }
            }
            Route::Link(l) => links.send(cx, l, f, why),
            Route::Blackhole => cx.drop(f, DropReason::Blackhole),
        }
    }

    /// Checks and sends a packet in transit: what a plain router does.
    pub fn forward(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, p: Packet, from: Ipv4Addr) {
        if let Some((p, route)) = self.check(cx, links, p, from) {
            self.emit(cx, links, p, route, Cause::Forwarded);
        }
    }

    /// Sends a packet of this node's own making (from its IP header on).
    pub fn originate(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, f: Frame, why: Cause) {
        let Ok(header) = Header::read_quoted(f.data()) else {
            return cx.drop(f, DropReason::BadIpHeader);
        };
        match self.fib.entry(header.dst) {
            Some((prefix, route)) => {
                cx.say(&f, || routed(prefix, &route, header.dst));
                self.emit(cx, links, Packet { frame: f, header }, route, why);
            }
            None => cx.drop(f, DropReason::NoRoute),
        }
    }

    /// Sends an ICMP error about a packet, if one is due and the rate allows.
    pub fn error(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, about: &Frame, from: Ipv4Addr, e: Error) {
        let due = Header::read_quoted(about.data()).is_ok_and(|h| icmp::may_answer(about.data(), &h));
        if !due {
            return;
        }
        if !self.unreachables && e.kind == wire::icmp::UNREACHABLE {
            cx.say(about, || Cause::ErrorWithheld { kind: e.kind, code: e.code, mtu: e.word as u16 });
            return cx.count("icmp-errors-withheld");
        }
        if !self.errors.take(cx.now) {
            return cx.count("icmp-errors-rate-limited");
        }
        if let Some(f) = icmp::make(cx, about, from, e) {
            cx.count("icmp-errors-sent");
            self.originate(cx, links, f, Cause::IcmpError { kind: e.kind, code: e.code, mtu: e.word as u16 });
        }
    }

    /// Flows of this node's own that met no neighbour since the last call.
    pub fn take_own_failures(&mut self) -> Vec<Tuple> {
        std::mem::take(&mut self.own_failures)
    }

    fn unreachable(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links, f: Frame) {
        if let Ok(h) = Header::read_quoted(f.data())
            && let Some(t) = Tuple::read(f.data(), &h)
            && self.own_failures.len() < OWN_FAILURES
        {
            self.own_failures.push(t);
        }
        let from = self.source_towards(&f);
        // The error's own way could lead over a dead neighbour again; errors are
        // never answered by errors, so this ends.
        self.error(cx, links, &f, from, Error::HOST);
        cx.drop(f, DropReason::NeighbourUnreachable);
    }

    /// The interface by which `dst` is reached.
    pub fn towards(&self, dst: Ipv4Addr) -> Option<&Interface> {
        match self.fib.lookup(dst)? {
            Route::Interface { index, .. } => self.interfaces.get(index),
            _ => None,
        }
    }

    /// The address from which to tell a packet's sender of its fate.
    fn source_towards(&self, f: &Frame) -> Ipv4Addr {
        let src = ipv4::addrs(f.data()).map(|(s, _)| s);
        let index = match src.and_then(|s| self.fib.lookup(s)) {
            Some(Route::Interface { index, .. }) => index,
            _ => 0,
        };
        self.interfaces.get(index).map_or(Ipv4Addr::UNSPECIFIED, |i| i.addr.addr)
    }

    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        self.neighbours.deadline()
    }

    /// Lets time pass for the neighbours.
    pub fn poll(&mut self, cx: &mut Cx<'_>, links: &mut dyn Links) {
        for f in self.neighbours.poll(cx, &self.interfaces) {
            self.unreachable(cx, links, f);
        }
    }

    /// Rows of `fib` and `neighbours`; `None` if the query is for neither.
    pub fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Option<Option<Cursor>> {
        match q.what.as_str() {
            "neighbours" => Some(self.neighbours.show(q.now, &self.interfaces, from, rows)),
            "fib" => {
                rows.columns(&["prefix", "via", "port"]);
                Some(rows.page(self.fib.iter(), from, |rows, (c, r)| {
                    let (via, port) = match r {
                        fib::Route::Interface { index, gateway } => {
                            (gateway.map_or("on link".into(), |g| g.to_string()), self.interfaces[index].name.clone())
                        }
                        fib::Route::Link(n) => (format!("session {n}"), "ppp".into()),
                        fib::Route::Blackhole => ("blackhole".into(), String::new()),
                    };
                    rows.row([c.to_string().into(), via.into(), port.into()]);
                }))
            }
            _ => None,
        }
    }
}

/// The neighbour that a route leads to.
pub fn next_hop(route: &Route, dst: Ipv4Addr) -> Ipv4Addr {
    match route {
        Route::Interface { gateway: Some(g), .. } => *g,
        _ => dst,
    }
}

/// What is said of a route that was chosen.
fn routed(prefix: Cidr, route: &Route, dst: Ipv4Addr) -> Cause {
    let next_hop = if let Route::Link(_) = route { Ipv4Addr::UNSPECIFIED } else { next_hop(route, dst) };
    Cause::Routed { prefix, next_hop }
}

/// Checks a frame that starts at its IP header; link padding is cut off.
pub fn packet(cx: &mut Cx<'_>, mut f: Frame) -> Option<Packet> {
    match Header::read(f.data()) {
        Ok(header) => {
            f.truncate(header.total_len);
            let s = header.src;
            // RFC 1812 §5.3.7: martian sources. 0.0.0.0 is a DHCP client's.
            let dhcp = s.is_unspecified() && header.protocol == protocol::UDP && be16(f.data(), header.header_len + 2) == Some(67);
            if (s.is_unspecified() && !dhcp) || s.is_multicast() || s.is_loopback() || s.octets()[0] >= 240 {
                cx.drop(f, DropReason::MartianSource);
                return None;
            }
            Some(Packet { frame: f, header })
        }
        Err(e) => {
            let reason = if e == ipv4::Error::Checksum { DropReason::BadIpChecksum } else { DropReason::BadIpHeader };
            cx.drop(f, reason);
            None
        }
    }
}
