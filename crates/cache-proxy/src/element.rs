//! The cache as an element: what is intercepted goes to its sockets, the rest
//! is routed.

use crate::proxy::Proxy;
use flow::{NoLinks, Packet, hop};
use netstack::Host;
use node::{
    Burst, Cause, Cidr, Command, CommandError, Cursor, Cx, DropReason, Element, Event, PortId, Query, QueryError, Reply, Rows, Time,
};
use std::rc::Rc;
use wire::be16;
use wire::ipv4::protocol;

/// The intercepted port.
pub(crate) const HTTP: u16 = 80;

/// The cache.
pub struct Cache {
    host: Host,
    intercept: Vec<Cidr>,
    proxy: Rc<Proxy>,
}

impl Cache {
    pub(crate) fn new(host: Host, intercept: Vec<Cidr>, proxy: Rc<Proxy>) -> Cache {
        Cache { host, intercept, proxy }
    }

    fn packet(&mut self, cx: &mut Cx<'_>, index: usize, p: Packet) {
        // Ports are in the first fragment alone.
        let is_tcp = p.header.protocol == protocol::TCP;
        let Some(p) = (if is_tcp { self.host.whole(cx, p) } else { Some(p) }) else { return };
        if self.host.hop.is_local(p.header.dst) {
            return self.host.packet(cx, p);
        }
        // A fetch under the client's address comes back to that address.
        let known = is_tcp && self.host.sockets().knows(&p.header, p.frame.data());
        if self.host.sockets().knows_error(&p.header, p.frame.data()) {
            return self.host.error(cx, p);
        }
        let to_http = is_tcp && be16(p.frame.data(), p.header.header_len + 2) == Some(HTTP);
        let intercepted = to_http && self.intercept.iter().any(|c| c.contains(p.header.dst));
        // An intercepted packet is a hop's too: it must not outlive its TTL.
        if known || (intercepted && p.header.ttl > 1) {
            cx.say(&p.frame, || Cause::Intercepted { server: p.header.dst });
            return self.host.deliver(cx, p);
        }
        let from = self.host.hop.interfaces[index].addr.addr;
        self.host.hop.forward(cx, &mut NoLinks, p, from);
    }
}

impl Element for Cache {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let index = self.host.hop.interface_of(port);
        while let Some(f) = burst.take() {
            match index {
                Some(i) => {
                    if let Some(p) = self.host.hop.ethernet(cx, i, f) {
                        self.packet(cx, i, p);
                    }
                }
                None => cx.drop(f, DropReason::NotForUs),
            }
        }
        self.host.flush(cx);
    }

    fn poll(&mut self, cx: &mut Cx<'_>, event: Event) {
        self.host.poll(cx, event);
    }

    fn deadline(&self) -> Option<Time> {
        self.host.deadline()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        const VIEWS: &[(&str, &str)] = &[("store", "stored responses"), ("connections", "TCP connections"), hop::VIEWS[0], hop::VIEWS[1]];
        VIEWS
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match q.what.as_str() {
            "store" => Ok(self.proxy.store.borrow().show(from, rows)),
            _ => self.host.show(q, from, rows),
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
