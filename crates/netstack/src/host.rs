//! A whole host as an element: IPv4 on its ports, sockets for its tasks.

use crate::net::Net;
use crate::sockets::{Limits, Sockets};
use flow::fib::StaticRoute;
use flow::frag::Reassembler;
use flow::{IpHop, NoLinks, Packet, hop};
use node::config::NodeConfig;
use node::{Burst, Cause, Clock, Cursor, Cx, DropReason, Element, Event, PortId, Query, QueryError, Rows, Time, Wake};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// A host: takes what is for its own addresses, forwards nothing.
pub struct Host {
    /// Its addresses, routes and neighbours.
    pub hop: IpHop,
    sockets: Rc<RefCell<Sockets>>,
    fragments: Reassembler,
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
        Ok((Host { hop, sockets, fragments: Reassembler::default() }, net))
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
        if let Some(p) = self.whole(cx, p) {
            self.deliver(cx, p);
        }
    }

    /// Sends what the sockets have.
    pub fn flush(&mut self, cx: &mut Cx<'_>) {
        let out = self.sockets.borrow_mut().take_output();
        for f in out {
            self.hop.originate(cx, &mut NoLinks, f, Cause::Socket);
        }
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
