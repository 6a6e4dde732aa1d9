//! The client's node as an element: a host whose address DHCP brings.

use crate::dhcp::{Change, Dhcp, Lease};
use flow::{Interface, hop};
use netstack::Host;
use netstack::resolve::Resolver;
use node::config::PortConfig;
use node::{Burst, Cidr, Cursor, Cx, DropReason, Element, Event, PortId, Query, QueryError, Rows, Status, Time};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use wire::be16;
use wire::ether::{HEADER_LEN, ethertype};
use wire::ipv4::{self, protocol};

/// The client's node.
pub struct Client {
    host: Host,
    dhcp: Option<Dhcp>,
    lease: Rc<RefCell<Lease>>,
    resolver: Resolver,
}

impl Client {
    pub(crate) fn new(mut host: Host, port: &PortConfig, name: &str, lease: Rc<RefCell<Lease>>, resolver: Resolver) -> Client {
        let dhcp = port.address.is_none().then(|| {
            let none = Cidr { addr: Ipv4Addr::UNSPECIFIED, len: 32 };
            let i = Interface { name: port.name.clone(), port: PortId(0), mac: port.mac, addr: none, mtu: port.mtu };
            host.hop.interfaces.push(i);
            Dhcp::new(PortId(0), port.mac, name)
        });
        Client { host, dhcp, lease, resolver }
    }

    fn changed(&mut self, cx: &mut Cx<'_>, c: &Change) {
        let Some(d) = &self.dhcp else { return };
        match c {
            Change::Nothing => return,
            Change::Bound(addr, gateway) => {
                if self.lease.borrow().address != d.lease.address {
                    let server = d.lease.server.map_or_else(String::new, |s| s.to_string());
                    tracing::info!("DHCP: {addr} from {server}");
                }
                cx.count("dhcp-bound");
                self.host.hop.configure(0, Some(*addr), *gateway);
            }
            Change::Lost => {
                tracing::warn!("DHCP: the lease is lost");
                self.host.hop.configure(0, None, None);
            }
        }
        self.lease.borrow_mut().clone_from(&d.lease);
    }
}

/// The UDP payload of a DHCP answer, if the frame is one.
fn dhcp_payload(f: &[u8]) -> Option<&[u8]> {
    if be16(f, 12)? != ethertype::IPV4 {
        return None;
    }
    let p = f.get(HEADER_LEN..)?;
    let h = ipv4::Header::read(p).ok()?;
    let body = h.payload(p);
    let is = h.protocol == protocol::UDP && !h.is_fragment() && be16(body, 0)? == 67 && be16(body, 2)? == 68;
    (is && ipv4::l4_checksum_ok(p, &h)).then(|| body.get(8..)).flatten()
}

impl Element for Client {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let mut rest = Burst::new();
        while let Some(f) = burst.take() {
            cx.during(Some(&f));
            let answer = self.dhcp.as_mut().and_then(|d| dhcp_payload(f.data()).map(|p| d.input(cx, p)));
            match answer {
                Some(Some(c)) => {
                    self.changed(cx, &c);
                    cx.consume(f);
                }
                Some(None) => cx.drop(f, DropReason::BadDhcp),
                None => rest.push(f),
            }
        }
        // The stack knows itself what is due to what.
        cx.during(None);
        self.host.input(cx, port, &mut rest);
    }

    fn poll(&mut self, cx: &mut Cx<'_>, event: Event) {
        if let Some(d) = &mut self.dhcp {
            let c = d.poll(cx);
            self.changed(cx, &c);
        }
        self.host.poll(cx, event);
    }

    fn deadline(&self) -> Option<Time> {
        let dhcp = self.dhcp.as_ref().map(Dhcp::deadline);
        [dhcp, self.host.deadline()].into_iter().flatten().min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        const VIEWS: &[(&str, &str)] =
            &[("lease", "what DHCP lent"), ("names", "resolved names"), ("connections", "TCP connections"), hop::VIEWS[0], hop::VIEWS[1]];
        VIEWS
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match q.what.as_str() {
            "lease" => {
                rows.columns(&["what", "value"]);
                let l = self.lease.borrow();
                let addr = |a: Option<Ipv4Addr>| a.map_or(String::new(), |a| a.to_string());
                let state = self.dhcp.as_ref().map_or("static", Dhcp::state);
                rows.row(["state".into(), state.into()]);
                rows.row(["address".into(), addr(l.address).into()]);
                rows.row(["prefix".into(), l.prefix.into()]);
                rows.row(["router".into(), addr(l.router).into()]);
                rows.row(["dns".into(), l.dns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ").into()]);
                rows.row(["domain".into(), l.domain.clone().unwrap_or_default().into()]);
                rows.row(["server".into(), addr(l.server).into()]);
                rows.row(["expires-s".into(), l.until.map(|t| t.since(q.now).as_secs()).into()]);
                Ok(None)
            }
            "names" => {
                rows.columns(&["name", "addresses", "ttl-s"]);
                Ok(rows.page(self.resolver.cached().into_iter(), from, |rows, (n, a, t)| {
                    let list: Vec<_> = a.iter().map(ToString::to_string).collect();
                    rows.row([n.into(), list.join(" ").into(), t.since(q.now).as_secs().into()]);
                }))
            }
            _ => self.host.show(q, from, rows),
        }
    }

    fn status(&self) -> Status {
        match &self.dhcp {
            Some(d) if d.lease.address.is_none() => Status::Waiting("DHCP: no lease yet".into()),
            _ => Status::Ready,
        }
    }
}
