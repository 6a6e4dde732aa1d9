//! A whole host as an element: IPv4 on its ports, sockets for its tasks.

use crate::net::Net;
use crate::sockets::{Limits, Sockets};
use flow::fib::StaticRoute;
use flow::frag::{self, Reassembler};
use flow::{IpHop, NoLinks, Packet, hop};
use node::config::NodeConfig;
use node::{Burst, Cause, Clock, Cursor, Cx, DropReason, Element, Event, Frame, PortId, Query, QueryError, Rows, Time, Wake};
use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;
use wire::ipv4::{Header, protocol};
use wire::{be16, icmp, ipv4};

/// Paths whose MTU is remembered, and how long (RFC 1191 §6.3).
const PATHS: usize = 1024;
const PATH_LIFE: Duration = Duration::from_secs(600);
/// No path is believed to bear less: Linux' own limit.
const LEAST_PATH_MTU: u16 = 552;

/// A host: takes what is for its own addresses, forwards nothing.
pub struct Host {
    /// Its addresses, routes and neighbours.
    pub hop: IpHop,
    sockets: Rc<RefCell<Sockets>>,
    fragments: Reassembler,
    /// By destination: bytes of a packet that its path bears, and since when.
    paths: HashMap<Ipv4Addr, (u16, Time)>,
}

impl Host {
    /// A host with the node's addressed ports.
    ///
    /// # Errors
    /// If a route's gateway is on no link.
    pub fn new(
        config: &NodeConfig,
        routes: &[StaticRoute],
        seed: u64,
        limits: Limits,
        clock: Clock,
        wake: Wake,
    ) -> anyhow::Result<(Host, Net)> {
        let mtu = config.ports.iter().map(|p| p.mtu).min().unwrap_or(1500);
        let sockets = Rc::new(RefCell::new(Sockets::new(mtu, seed, limits, wake)));
        let hop = IpHop::new(config, routes)?;
        let net = Net::new(Rc::clone(&sockets), clock);
        Ok((Host { hop, sockets, fragments: Reassembler::default(), paths: HashMap::new() }, net))
    }

    /// Its transport layer.
    pub fn sockets(&self) -> RefMut<'_, Sockets> {
        self.sockets.borrow_mut()
    }

    /// A packet as it is, or put together from its fragments once all are there.
    pub fn whole(&mut self, cx: &mut Cx<'_>, p: Packet) -> Option<Packet> {
        if !p.header.is_fragment() {
            return Some(p);
        }
        let f = self.fragments.input(cx, p.frame, &p.header)?;
        hop::packet(cx, f)
    }

    /// Takes an ICMP error about a connection under an address that is not the host's.
    pub fn error(&mut self, cx: &mut Cx<'_>, p: Packet) {
        self.learn_path(cx, &p);
        self.deliver(cx, p);
    }

    /// Hands a whole packet to the sockets; what none wants the hop answers.
    pub fn deliver(&mut self, cx: &mut Cx<'_>, p: Packet) {
        let rest = self.sockets.borrow_mut().input(cx, p);
        if let Some(p) = rest {
            self.hop.local(cx, &mut NoLinks, p);
        }
    }

    /// Takes a packet that came in at an interface.
    pub fn packet(&mut self, cx: &mut Cx<'_>, p: Packet) {
        if !self.hop.is_local(p.header.dst) {
            return cx.drop(p.frame, DropReason::NotForUs);
        }
        self.learn_path(cx, &p);
        if let Some(p) = self.whole(cx, p) {
            self.deliver(cx, p);
        }
    }

    /// Sends what the sockets have.
    pub fn flush(&mut self, cx: &mut Cx<'_>) {
        let out = self.sockets.borrow_mut().take_output();
        for mut f in out {
            match self.path_mtu(cx.now, &f) {
                None => self.hop.originate(cx, &mut NoLinks, f, Cause::Socket),
                Some(mtu) => {
                    // The transport cannot be told: the packet goes in fragments.
                    f.data_mut()[6] &= !((ipv4::DF >> 8) as u8);
                    ipv4::fill_checksum(f.data_mut());
                    for piece in frag::fragment(cx, f, mtu) {
                        self.hop.originate(cx, &mut NoLinks, piece, Cause::Fragmented);
                    }
                }
            }
        }
    }

    /// Notes what an ICMP "fragmentation needed" says of a path (RFC 1191 §5).
    fn learn_path(&mut self, cx: &mut Cx<'_>, p: &Packet) {
        let body = p.header.payload(p.frame.data());
        let needed = p.header.protocol == protocol::ICMP && body.starts_with(&[icmp::UNREACHABLE, icmp::unreachable::FRAG_NEEDED]);
        let Some(quoted) = body.get(icmp::HEADER_LEN..).and_then(|q| Header::read_quoted(q).ok()) else { return };
        let Some(mtu) = be16(body, 6).filter(|_| needed) else { return };
        let known = || self.sockets.borrow().knows_error(&p.header, p.frame.data());
        if !self.hop.is_own(quoted.src) && !known() {
            return;
        }
        if !ipv4::l4_checksum_ok(p.frame.data(), &p.header) || (self.paths.len() >= PATHS && !self.paths.contains_key(&quoted.dst)) {
            return;
        }
        cx.count("path-mtu-learned");
        cx.say(&p.frame, || Cause::PathMtu { mtu: mtu.max(LEAST_PATH_MTU) });
        self.paths.insert(quoted.dst, (mtu.max(LEAST_PATH_MTU), cx.now));
    }

    /// What a path bears, if this packet is more.
    fn path_mtu(&mut self, now: Time, f: &Frame) -> Option<u16> {
        let (_, dst) = ipv4::addrs(f.data())?;
        let (mtu, since) = *self.paths.get(&dst)?;
        if now.since(since) > PATH_LIFE {
            self.paths.remove(&dst);
            return None;
        }
        (f.len() > usize::from(mtu)).then_some(mtu)
    }
}

impl Element for Host {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let index = self.hop.interface_of(port);
        while let Some(f) = burst.take() {
            match index {
                Some(i) => {
                    if let Some(p) = self.hop.ethernet(cx, i, f) {
                        self.packet(cx, p);
                    }
                }
                None => cx.drop(f, DropReason::NotForUs),
            }
        }
        self.flush(cx);
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        self.hop.poll(cx, &mut NoLinks);
        self.hop.take_own_failures().iter().for_each(|t| self.sockets.borrow_mut().unreachable(t));
        for f in self.fragments.poll(cx) {
            cx.drop(f, DropReason::ReassemblyTimeout);
        }
        self.sockets.borrow_mut().poll(cx);
        self.flush(cx);
    }

    fn deadline(&self) -> Option<Time> {
        [self.hop.deadline(), self.fragments.deadline(), self.sockets.borrow().deadline()].into_iter().flatten().min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        const VIEWS: &[(&str, &str)] = &[("connections", "TCP connections"), hop::VIEWS[0], hop::VIEWS[1]];
        VIEWS
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        if q.what == "connections" {
            return Ok(self.sockets.borrow().show(from, rows));
        }
        self.hop.show(q, from, rows).ok_or_else(|| QueryError::Unknown(q.what.clone()))
    }
}
