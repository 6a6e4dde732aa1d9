//! The cache as an element: what is intercepted goes to its sockets, the rest
//! is routed.

use crate::proxy::Proxy;
use flow::frag::Reassembler;
use flow::{IpHop, NoLinks, Packet, hop};
use netstack::Sockets;
use node::{
    Burst, Cause, Cidr, Command, CommandError, Cursor, Cx, DropReason, Element, Event, PortId, Query, QueryError, Reply, Rows, Time,
};
use std::cell::RefCell;
use std::rc::Rc;
use wire::be16;
use wire::ipv4::protocol;

/// The intercepted port.
pub(crate) const HTTP: u16 = 80;

/// The cache.
pub struct Cache {
    hop: IpHop,
    sockets: Rc<RefCell<Sockets>>,
    intercept: Vec<Cidr>,
    proxy: Rc<Proxy>,
    fragments: Reassembler,
}

impl Cache {
    pub(crate) fn new(hop: IpHop, sockets: Rc<RefCell<Sockets>>, intercept: Vec<Cidr>, proxy: Rc<Proxy>) -> Cache {
        Cache { hop, sockets, intercept, proxy, fragments: Reassembler::default() }
    }

    /// TCP to port 80 of an intercepted server, or of a connection of ours: a
    /// fetch under the client's address comes back to that address.
    fn is_ours(&self, p: &Packet) -> bool {
        let h = &p.header;
        if h.protocol != protocol::TCP {
            return false;
        }
        let to_http = be16(p.frame.data(), h.header_len + 2) == Some(HTTP);
        (to_http && self.intercept.iter().any(|c| c.contains(h.dst))) || self.sockets.borrow().knows(h, p.frame.data())
    }

    fn packet(&mut self, cx: &mut Cx<'_>, index: usize, p: Packet) {
        // Fragments of TCP are put together: ports are in the first alone.
        let p = if p.header.is_fragment() && p.header.protocol == protocol::TCP {
            match self.fragments.input(cx, p.frame, &p.header).and_then(|f| hop::packet(cx, f)) {
                Some(p) => p,
                None => return,
            }
        } else {
            p
        };
        let local = self.hop.is_local(p.header.dst);
        if self.is_ours(&p) && !local {
            // An intercepted packet is a hop's too: it must not outlive its TTL.
            if p.header.ttl <= 1 && !self.sockets.borrow().knows(&p.header, p.frame.data()) {
                let from = self.hop.interfaces[index].addr.addr;
                self.hop.error(cx, &mut NoLinks, &p.frame, from, flow::icmp::Error::TTL);
                return cx.drop(p.frame, DropReason::TtlExceeded);
            }
            self.sockets.borrow_mut().input(cx, p);
            return;
        }
        if local {
            let rest = if self.is_ours(&p) { self.sockets.borrow_mut().input(cx, p) } else { Some(p) };
            if let Some(p) = rest {
                self.hop.local(cx, &mut NoLinks, p);
            }
            return;
        }
        let from = self.hop.interfaces[index].addr.addr;
        self.hop.forward(cx, &mut NoLinks, p, from);
    }

    fn flush(&mut self, cx: &mut Cx<'_>) {
        let out = self.sockets.borrow_mut().take_output();
        for f in out {
            self.hop.originate(cx, &mut NoLinks, f, Cause::Socket);
        }
    }
}

impl Element for Cache {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let index = self.hop.interface_of(port);
        while let Some(f) = burst.take() {
            match index {
                Some(i) => {
                    if let Some(p) = self.hop.ethernet(cx, i, f) {
                        self.packet(cx, i, p);
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
        const VIEWS: &[(&str, &str)] = &[("store", "stored responses"), ("connections", "TCP connections"), hop::VIEWS[0], hop::VIEWS[1]];
        VIEWS
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match q.what.as_str() {
            "store" => Ok(self.proxy.store.borrow().show(from, rows)),
            "connections" => Ok(self.sockets.borrow().show(from, rows)),
            _ => self.hop.show(q, from, rows).ok_or_else(|| QueryError::Unknown(q.what.clone())),
        }
    }

    fn counters(&self, rows: &mut Rows) {
        for (name, n) in self.proxy.counts() {
            rows.row(["http".into(), name.into(), n.into()]);
        }
        let store = self.proxy.store.borrow();
        rows.row(["store".into(), "responses".into(), store.len().into()]);
        rows.row(["store".into(), "bytes".into(), store.bytes().into()]);
        rows.row(["store".into(), "evicted".into(), store.evicted().into()]);
    }

    fn command(&mut self, _: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        match c.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["purge"] => {
                let n = self.proxy.store.borrow().len();
                self.proxy.store.borrow_mut().clear();
                Ok(format!("{n} responses forgotten"))
            }
            _ => Err(CommandError::Unknown(c.words.join(" "))),
        }
    }
}
