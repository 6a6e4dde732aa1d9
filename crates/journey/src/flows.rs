//! Kernel hosts do not tell from what a packet comes: their flows do. A packet is
//! due to what came last on its flow; the first of a flow begins a journey.

use crate::collect::Collector;
use crate::model::PacketId;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use wire::ether::{self, ethertype};
use wire::ipv4::{Header, protocol};
use wire::{be16, be32, tcp};

/// One side and the other of a flow, as the host sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowKey {
    /// IP protocol.
    pub protocol: u8,
    /// The host's end; an echo's identifier stands for both ports.
    pub local: (Ipv4Addr, u16),
    /// The other end.
    pub remote: (Ipv4Addr, u16),
}

#[derive(Debug)]
struct Flow {
    journey: u64,
    last_in: Option<PacketId>,
    /// By first sequence number: what carried it.
    sent: HashMap<u32, PacketId>,
}

/// Flows of kernel hosts.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: HashMap<(u16, FlowKey), Flow>,
}

/// Sequence numbers remembered of a flow.
const SENT: usize = 65_536;
/// Flows that are remembered; beyond, all begin anew.
const FLOWS: usize = 16_384;

fn key(bytes: &[u8], out: bool) -> Option<FlowKey> {
    let e = ether::Header::read(bytes)?;
    if e.ethertype != ethertype::IPV4 {
        return None;
    }
    let p = bytes.get(ether::HEADER_LEN..)?;
    let h = Header::read_quoted(p).ok()?;
    let t = h.payload(p);
    let (src, dst) = match h.protocol {
        protocol::TCP | protocol::UDP if h.offset == 0 => (be16(t, 0)?, be16(t, 2)?),
        protocol::ICMP if t.first().is_some_and(|k| wire::icmp::is_echo(*k)) => (be16(t, wire::icmp::IDENT)?, be16(t, wire::icmp::IDENT)?),
        _ => return None,
    };
    let (src, dst) = ((h.src, src), (h.dst, dst));
    let (local, remote) = if out { (src, dst) } else { (dst, src) };
    Some(FlowKey { protocol: h.protocol, local, remote })
}

/// The sequence number of a segment that takes some.
fn takes(bytes: &[u8]) -> Option<u32> {
    let p = bytes.get(ether::HEADER_LEN..)?;
    let h = Header::read_quoted(p).ok().filter(|h| h.protocol == protocol::TCP && h.offset == 0)?;
    let t = p.get(h.header_len..h.total_len.min(p.len()))?;
    let some = t.len() > tcp::header_len(t)? || tcp::flags(t)? & (tcp::SYN | tcp::FIN) != 0;
    some.then(|| be32(t, 4)).flatten()
}

impl Flows {
    /// Notes what a packet of a host carries.
    pub(crate) fn note_out(&mut self, node: u16, bytes: &[u8], packet: PacketId) {
        let Some(k) = key(bytes, true) else { return };
        if let (Some(f), Some(seq)) = (self.flows.get_mut(&(node, k)), takes(bytes))
            && f.sent.len() < SENT
        {
            f.sent.entry(seq).or_insert(packet);
        }
    }
}

impl Collector {
    /// Journey, reason and original of a packet that a host sends.
    pub(crate) fn flow_out(&mut self, node: u16, bytes: &[u8]) -> (Option<u64>, Option<PacketId>, Option<PacketId>) {
        let Some(k) = key(bytes, true) else { return (None, None, None) };
        if !self.flows.flows.contains_key(&(node, k)) {
            if self.flows.flows.len() >= FLOWS {
                self.flows.flows.clear();
            }
            let journey = self.new_journey();
            self.flows.flows.insert((node, k), Flow { journey, last_in: None, sent: HashMap::new() });
        }
        let Some(f) = self.flows.flows.get(&(node, k)) else { return (None, None, None) };
        let again = takes(bytes).and_then(|s| f.sent.get(&s).copied());
        (Some(f.journey), f.last_in, again)
    }

    /// Notes a packet that a host got.
    pub(crate) fn flow_in(&mut self, node: u16, bytes: &[u8], packet: PacketId) {
        let Some(k) = key(bytes, false) else { return };
        let journey = self.packets.get(&packet).and_then(|p| p.journey);
        match self.flows.flows.get_mut(&(node, k)) {
            Some(f) => f.last_in = Some(packet),
            // It began elsewhere: what the host answers belongs to that.
            None => {
                let journey = journey.unwrap_or_else(|| self.new_journey());
                self.flows.flows.insert((node, k), Flow { journey, last_in: Some(packet), sent: HashMap::new() });
            }
        }
    }

    /// The flows of a host, with their journeys.
    pub fn flows_of(&self, node: u16) -> impl Iterator<Item = (FlowKey, u64)> {
        self.flows.flows.iter().filter(move |((n, _), _)| *n == node).map(|((_, k), f)| (*k, f.journey))
    }

    /// The journey of a fetch that a kernel host made: its connection (its local port
    /// and the server, if they are known), the questions for `name`, and what was
    /// asked of neighbours since `start`.
    pub fn gather(&mut self, node: u16, connection: Option<(u16, &str)>, name: &str, start: node::Time) -> u64 {
        let into = self.new_journey();
        let is_its = |k: &FlowKey| match connection {
            Some((port, remote)) if port != 0 => k.local.1 == port && format!("{}:{}", k.remote.0, k.remote.1) == remote,
            _ => k.protocol == protocol::TCP && k.remote.1 == 80,
        };
        let since = |p: &crate::model::Packet| p.sights.first().and_then(|i| self.sights.get(*i)).is_some_and(|s| s.at >= start);
        let mut others = Vec::new();
        let mut arp = Vec::new();
        for p in self.packets.values().filter(|p| p.node == node && since(p)) {
            let Some(s) = p.sights.first().and_then(|i| self.sights.get(*i)) else { continue };
            let layers = crate::dissect::dissect(&s.bytes);
            let asks = layers.iter().find(|l| l.name == "DNS").and_then(|l| l.get("question"));
            let wanted = match asks {
                Some(q) => q.split(' ').next().is_some_and(|n| n.eq_ignore_ascii_case(name)),
                None if layers.iter().any(|l| l.name == "ARP") => {
                    arp.push(p.id);
                    continue;
                }
                None => key(&s.bytes, true).is_some_and(|k| is_its(&k)),
            };
            others.extend(p.journey.filter(|j| wanted && !others.contains(j)));
        }
        self.join(into, &others);
        for id in arp {
            self.adopt(id, into);
        }
        into
    }

    /// Gives a packet, and all that was made because of it, to a journey.
    fn adopt(&mut self, id: PacketId, journey: u64) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let Some(p) = self.packets.get_mut(&id).filter(|p| p.journey.is_none()) else { continue };
            p.journey = Some(journey);
            todo.extend(self.packets.values().filter(|p| p.because == Some(id)).map(|p| p.id));
        }
    }

    /// Makes several journeys one.
    pub fn join(&mut self, into: u64, others: &[u64]) {
        for p in self.packets.values_mut() {
            if p.journey.is_some_and(|j| others.contains(&j)) {
                p.journey = Some(into);
            }
        }
        for e in &mut self.events {
            if e.journey.is_some_and(|j| others.contains(&j)) {
                e.journey = Some(into);
            }
        }
        for f in self.flows.flows.values_mut() {
            if others.contains(&f.journey) {
                f.journey = into;
            }
        }
    }
}
