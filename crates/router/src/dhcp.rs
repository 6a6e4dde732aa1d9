//! DHCPv4 server (RFC 2131, RFC 2132) on one port.
//!
//! A full pool offers nothing (counted `dhcp-pool-empty`); the oldest expired
//! lease is used again first.

use crate::settings::Dhcp;
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use flow::{Interface, Packet};
use node::{Cause, Cursor, Cx, DropReason, Frame, Parent, Rows, Time};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::Mac;
use wire::ether::{HEADER_LEN, Header, ethertype};
use wire::ipv4::{self, New, protocol};

/// How long an offer is held for its taker.
const OFFER: Duration = Duration::from_secs(30);
/// How long an address that somebody declined is left alone.
const DECLINED: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
struct Lease {
    client: Vec<u8>,
    mac: Mac,
    name: String,
    until: Time,
    bound: bool,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) index: usize,
    settings: Dhcp,
    leases: HashMap<Ipv4Addr, Lease>,
}

impl Server {
    pub(crate) fn new(index: usize, i: &Interface, settings: Dhcp) -> anyhow::Result<Server> {
        let (a, b) = (settings.first, settings.last);
        anyhow::ensure!(i.addr.contains(a) && i.addr.contains(b), "dhcp: the pool {a} to {b} is not in {} of port `{}`", i.addr, i.name);
        anyhow::ensure!(a <= b, "dhcp: the pool's first address {a} is after its last {b}");
        Ok(Server { index, settings, leases: HashMap::new() })
    }

    /// Takes a UDP packet for port 67, from its IP header on.
    pub(crate) fn input(&mut self, cx: &mut Cx<'_>, i: &Interface, p: Packet) {
        let body = p.header.payload(p.frame.data());
        let ok = ipv4::l4_checksum_ok(p.frame.data(), &p.header);
        let m = body.get(8..).filter(|_| ok).and_then(|b| Message::decode(&mut Decoder::new(b)).ok());
        let Some(m) = m.filter(|m| m.opcode() == Opcode::BootRequest && m.hlen() == 6) else {
            return cx.drop(p.frame, DropReason::BadDhcp);
        };
        // RFC 2131 §4.1: messages for another server are not ours to answer.
        if let Some(DhcpOption::ServerIdentifier(s)) = m.opts().get(OptionCode::ServerIdentifier)
            && *s != i.addr.addr
        {
            let client = client_id(&m);
            self.leases.retain(|_, l| l.bound || l.client != client);
            return cx.consume(p.frame);
        }
        let answer = match m.opts().msg_type() {
            Some(MessageType::Discover) => self.discover(cx, i, &m),
            Some(MessageType::Request) => self.request(cx, i, &m),
            Some(MessageType::Inform) => Some(self.reply(i, &m, MessageType::Ack, Ipv4Addr::UNSPECIFIED, false)),
            Some(MessageType::Release) => {
                let client = client_id(&m);
                self.leases.retain(|a, l| *a != m.ciaddr() || l.client != client);
                None
            }
            Some(MessageType::Decline) => {
                if let Some(DhcpOption::RequestedIpAddress(a)) = m.opts().get(OptionCode::RequestedIpAddress)
                    && self.leases.get(a).is_some_and(|l| l.client == client_id(&m))
                {
                    let lease =
                        Lease { client: Vec::new(), mac: Mac::default(), name: "declined".into(), until: cx.now + DECLINED, bound: true };
                    self.leases.insert(*a, lease);
                    cx.count("dhcp-declined");
                }
                None
            }
            _ => return cx.drop(p.frame, DropReason::BadDhcp),
        };
        if let Some(r) = answer {
            send(cx, i, &p.frame, &m, &r);
        }
        cx.consume(p.frame);
    }

    fn discover(&mut self, cx: &mut Cx<'_>, i: &Interface, m: &Message) -> Option<Message> {
        let client = client_id(m);
        let wish = match m.opts().get(OptionCode::RequestedIpAddress) {
            Some(DhcpOption::RequestedIpAddress(a)) => Some(*a),
            _ => None,
        };
        let Some(addr) = self.pick(cx.now, i, &client, wish) else {
            cx.count("dhcp-pool-empty");
            return None;
        };
        let keep = self.leases.get(&addr).filter(|l| l.client == client && l.until > cx.now + OFFER).cloned();
        let until = cx.now + OFFER;
        let offer = Lease { client, mac: mac(m), name: host_name(m), until, bound: false };
        self.leases.insert(addr, keep.unwrap_or(offer));
        Some(self.reply(i, m, MessageType::Offer, addr, true))
    }

    /// RFC 2131 §4.3.1: its own again, else what it wishes, else a fresh one,
    /// else the one that expired longest ago.
    fn pick(&self, now: Time, i: &Interface, client: &[u8], wish: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if let Some((a, _)) = self.leases.iter().find(|(_, l)| l.client == client) {
            return Some(*a);
        }
        let usable = |a: &Ipv4Addr| *a >= self.settings.first && *a <= self.settings.last && *a != i.addr.addr && !i.addr.is_broadcast(*a);
        let free = |a: &Ipv4Addr| self.leases.get(a).is_none_or(|l| l.until <= now);
        if let Some(a) = wish.filter(|a| usable(a) && free(a)) {
            return Some(a);
        }
        let pool = || (u32::from(self.settings.first)..=u32::from(self.settings.last)).map(Ipv4Addr::from).filter(|a| usable(a));
        pool()
            .find(|a| !self.leases.contains_key(a))
            .or_else(|| pool().filter(|a| free(a)).min_by_key(|a| self.leases.get(a).map(|l| l.until)))
    }

    fn request(&mut self, cx: &mut Cx<'_>, i: &Interface, m: &Message) -> Option<Message> {
        let client = client_id(m);
        let selecting = m.opts().get(OptionCode::ServerIdentifier).is_some();
        let addr = match m.opts().get(OptionCode::RequestedIpAddress) {
            Some(DhcpOption::RequestedIpAddress(a)) => *a,
            _ => m.ciaddr(),
        };
        let mine = self.leases.get(&addr).is_some_and(|l| l.client == client);
        let in_pool = addr >= self.settings.first && addr <= self.settings.last && i.addr.contains(addr);
        let free = self.leases.get(&addr).is_none_or(|l| l.until <= cx.now);
        // A server that restarted knows nobody: a lease in its own pool that is
        // free is granted again rather than refused.
        let grant = mine || (in_pool && free && addr != i.addr.addr && !selecting);
        if !grant {
            cx.count("dhcp-nak");
            return Some(self.reply(i, m, MessageType::Nak, Ipv4Addr::UNSPECIFIED, false));
        }
        let lease = Lease { client, mac: mac(m), name: host_name(m), until: cx.now + self.settings.lease, bound: true };
        self.leases.insert(addr, lease);
        Some(self.reply(i, m, MessageType::Ack, addr, true))
    }

    fn reply(&self, i: &Interface, m: &Message, kind: MessageType, addr: Ipv4Addr, lease: bool) -> Message {
        let mut r = Message::default();
        r.set_opcode(Opcode::BootReply)
            .set_xid(m.xid())
            .set_flags(m.flags())
            .set_yiaddr(addr)
            .set_giaddr(m.giaddr())
            .set_chaddr(m.chaddr());
        if kind != MessageType::Nak {
            r.set_ciaddr(m.ciaddr());
        }
        let o = r.opts_mut();
        o.insert(DhcpOption::MessageType(kind));
        o.insert(DhcpOption::ServerIdentifier(i.addr.addr));
        if kind == MessageType::Nak {
            return r;
        }
        if lease {
            let secs = u32::try_from(self.settings.lease.as_secs()).unwrap_or(u32::MAX);
            o.insert(DhcpOption::AddressLeaseTime(secs));
            o.insert(DhcpOption::Renewal(secs / 2));
            o.insert(DhcpOption::Rebinding(secs / 8 * 7));
        }
        o.insert(DhcpOption::SubnetMask(i.addr.mask().into()));
        o.insert(DhcpOption::Router(vec![i.addr.addr]));
        o.insert(DhcpOption::DomainNameServer(vec![i.addr.addr]));
        if let Some(d) = &self.settings.domain {
            o.insert(DhcpOption::DomainName(d.clone()));
        }
        if let Some(id) = m.opts().get(OptionCode::ClientIdentifier) {
            o.insert(id.clone()); // RFC 6842
        }
        r
    }

    pub(crate) fn show(&self, now: Time, from: Cursor, rows: &mut Rows) -> Option<Cursor> {
        rows.columns(&["address", "mac", "name", "state", "expires-s"]);
        let mut all: Vec<_> = self.leases.iter().collect();
        all.sort_by_key(|(a, _)| **a);
        rows.page(all.into_iter(), from, |rows, (a, l)| {
            let state = if l.until <= now {
                "expired"
            } else if l.bound {
                "bound"
            } else {
                "offered"
            };
            rows.row([
                a.to_string().into(),
                l.mac.to_string().into(),
                l.name.clone().into(),
                state.into(),
                l.until.since(now).as_secs().into(),
            ]);
        })
    }
}

fn client_id(m: &Message) -> Vec<u8> {
    match m.opts().get(OptionCode::ClientIdentifier) {
        Some(DhcpOption::ClientIdentifier(id)) if !id.is_empty() => id.clone(),
        _ => m.chaddr().to_vec(),
    }
}

fn mac(m: &Message) -> Mac {
    Mac::read(m.chaddr(), 0).unwrap_or_default()
}

fn host_name(m: &Message) -> String {
    match m.opts().get(OptionCode::Hostname) {
        Some(DhcpOption::Hostname(n)) => n.chars().filter(|c| !c.is_control()).take(63).collect(),
        _ => String::new(),
    }
}

/// RFC 2131 §4.1: where an answer goes.
fn send(cx: &mut Cx<'_>, i: &Interface, about: &Frame, m: &Message, r: &Message) {
    let Ok(mut data) = r.to_vec() else { return };
    data.resize(data.len().max(300), 0); // RFC 1542 §2.1: some clients want it
    let nak = r.opts().msg_type() == Some(MessageType::Nak);
    let broadcast = (Mac::BROADCAST, Ipv4Addr::BROADCAST);
    let (dst_mac, dst) = if nak {
        broadcast
    } else if !m.ciaddr().is_unspecified() {
        (mac(m), m.ciaddr())
    } else if m.flags().broadcast() {
        broadcast
    } else {
        (mac(m), r.yiaddr())
    };
    let Some(mut f) = cx.make(Parent::Of(about.seq)) else { return };
    let n = data.len() + 8;
    let b = f.grow(ipv4::HEADER_LEN + n);
    let new = New { payload_len: n, ident: 0, df: false, tos: 0x10, ttl: 64, protocol: protocol::UDP, src: i.addr.addr, dst };
    ipv4::write_header(b, &new);
    b[20..28].copy_from_slice(&[0, 67, 0, 68, (n >> 8) as u8, n as u8, 0, 0]);
    b[28..].copy_from_slice(&data);
    ipv4::fill_l4_checksum(b);
    Header { dst: dst_mac, src: i.mac, ethertype: ethertype::IPV4 }.write(f.push(HEADER_LEN));
    cx.send(i.port, f, || Cause::Answered);
}
