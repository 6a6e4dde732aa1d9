//! The firewall as an element.
//!
//! ```text
//! frame ─▶ zone ─▶ spoofed? ─▶ harmful header? ─▶ put fragments together
//!       ─▶ harmful transport? ─▶ tracked? ─▶ SYN limit ─▶ rules ─▶ forward
//! ```

use crate::harm;
use crate::rules::{Action, Rule, Settings, Zone};
use flow::conntrack::{self, Conntrack, Verdict};
use flow::frag::Reassembler;
use flow::icmp::{Bucket, Error};
use flow::{IpHop, NoLinks, Packet, hop};
use node::config::NodeConfig;
use node::{Burst, Cause, Cidr, Cursor, Cx, DropReason, Element, Event, Frame, PortId, Query, QueryError, Rows, Time};
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use wire::ipv4::{Header, protocol};
use wire::{be16, tcp};

/// Log lines that `show log` remembers.
const LOG: usize = 128;
/// Addresses whose SYNs are counted; beyond, they share one bucket.
const SYN_TARGETS: usize = 4096;

#[derive(Debug)]
struct Denied {
    at: Time,
    what: String,
    why: String,
}

/// The firewall.
#[derive(Debug)]
pub struct Firewall {
    hop: IpHop,
    zones: Vec<Zone>,
    rules: Vec<(Rule, u64)>,
    protect: Vec<Cidr>,
    conntrack: Conntrack,
    fragments: Reassembler,
    syns: HashMap<Ipv4Addr, Bucket>,
    syn_limit: (f64, f64),
    log: VecDeque<Denied>,
    log_rate: Bucket,
    unlogged: u64,
}

impl Firewall {
    /// A firewall.
    ///
    /// # Errors
    /// If the settings name a port that is not there, or contradict each other.
    pub fn new(config: &NodeConfig, s: Settings) -> anyhow::Result<Firewall> {
        let hop = IpHop::new(config, &s.routes)?;
        let mut zones = vec![None; hop.interfaces.len()];
        for (zone, names) in [(Zone::Outside, &s.outside), (Zone::Inside, &s.inside)] {
            for n in names {
                let (port, _) = config.need_port(n)?;
                let i = hop.interface_of(port).ok_or_else(|| anyhow::anyhow!("port `{n}` has no address"))?;
                anyhow::ensure!(zones[i].is_none(), "port `{n}` is in two zones");
                zones[i] = Some(zone);
            }
        }
        let missing = zones.iter().position(Option::is_none).map(|i| hop.interfaces[i].name.clone());
        if let Some(name) = missing {
            anyhow::bail!("port `{name}` is in no zone: name it in `outside` or `inside`");
        }
        Ok(Firewall {
            hop,
            zones: zones.into_iter().flatten().collect(),
            rules: s.rules.into_iter().map(|r| (r, 0)).collect(),
            protect: s.protect,
            conntrack: Conntrack::new(s.max_flows),
            fragments: Reassembler::default(),
            syns: HashMap::new(),
            syn_limit: (s.syn_rate, s.syn_burst),
            log: VecDeque::new(),
            log_rate: Bucket::new(10.0, 50.0),
            unlogged: 0,
        })
    }

    /// Ends a packet that is denied, with a line in the log if the rate allows.
    fn deny(&mut self, cx: &mut Cx<'_>, f: Frame, h: &Header, reason: DropReason, by: &str) {
        if self.log_rate.take(cx.now) {
            let ports = (be16(f.data(), h.header_len), be16(f.data(), h.header_len + 2));
            let what = match (h.protocol, ports, h.offset) {
                (protocol::TCP | protocol::UDP, (Some(s), Some(d)), 0) => {
                    format!("{} {}:{s} > {}:{d}", flow::tuple::protocol_name(h.protocol), h.src, h.dst)
                }
                _ => format!("{} {} > {}", flow::tuple::protocol_name(h.protocol), h.src, h.dst),
            };
            let why = if by.is_empty() { reason.name().to_owned() } else { format!("{} {by}", reason.name()) };
            tracing::info!("denied {what}: {why}");
            if self.log.len() >= LOG {
                self.log.pop_front();
            }
            self.log.push_back(Denied { at: cx.now, what, why });
        } else {
            self.unlogged += 1;
        }
        cx.drop(f, reason);
    }

    fn frame(&mut self, cx: &mut Cx<'_>, index: usize, f: Frame) {
        let zone = self.zones[index];
        let Some(p) = self.hop.ethernet(cx, index, f) else { return };
        let h = p.header;
        if self.is_spoofed(index, zone, h.src) {
            return self.deny(cx, p.frame, &h, DropReason::SpoofedSource, "");
        }
        if let Some(reason) = harm::header(p.frame.data(), &h) {
            return self.deny(cx, p.frame, &h, reason, "");
        }
        let p = if h.is_fragment() {
            let Some(p) = self.fragments.input(cx, p.frame, &h).and_then(|f| hop::packet(cx, f)) else { return };
            p
        } else {
            p
        };
        let h = p.header;
        if let Some(reason) = harm::transport(p.frame.data(), &h) {
            return self.deny(cx, p.frame, &h, reason, "");
        }
        self.decide(cx, index, zone, p);
    }

    /// RFC 2827, RFC 3704: an inside address cannot come from outside, and from
    /// inside nothing else but what the routes know there.
    fn is_spoofed(&self, index: usize, zone: Zone, src: Ipv4Addr) -> bool {
        let own = self.hop.is_own(src);
        match zone {
            Zone::Outside => own || self.protect.iter().any(|c| c.contains(src)) || self.leads_to(src) == Some(Zone::Inside),
            // The cache speaks with its clients' addresses, so inside may use
            // those; its own links' addresses only on their own link.
            Zone::Inside => {
                own || self
                    .hop
                    .interfaces
                    .iter()
                    .enumerate()
                    .any(|(i, x)| i != index && x.addr.contains(src) && self.zones[i] == Zone::Outside)
            }
        }
    }

    fn leads_to(&self, a: Ipv4Addr) -> Option<Zone> {
        match self.hop.fib.lookup(a) {
            Some(flow::Route::Interface { index, .. }) => Some(self.zones[index]),
            _ => None,
        }
    }

    fn decide(&mut self, cx: &mut Cx<'_>, index: usize, zone: Zone, p: Packet) {
        let from = self.hop.interfaces[index].addr.addr;
        let h = p.header;
        let verdict = self.conntrack.packet(cx.now, p.frame.data(), &h);
        let rule = match verdict {
            Verdict::Tracked { rule } | Verdict::Related { rule } => {
                return self.pass(cx, from, p, if matches!(verdict, Verdict::Tracked { .. }) { 0 } else { rule });
            }
            Verdict::Invalid(reason) => return self.deny(cx, p.frame, &h, reason, ""),
            Verdict::New(_) | Verdict::Untracked => self.rules.iter().position(|(r, _)| r.matches(zone, p.frame.data(), &h)),
        };
        let Some(i) = rule else {
            cx.say(&p.frame, || Cause::Denied { rule: 0, name: String::new() });
            return self.deny(cx, p.frame, &h, DropReason::DeniedByDefault, "");
        };
        self.rules[i].1 += 1;
        let (action, name) = (self.rules[i].0.action, self.rules[i].0.name.clone());
        let number = u16::try_from(i + 1).unwrap_or(u16::MAX);
        if action != Action::Allow {
            cx.say(&p.frame, || Cause::Denied { rule: number, name: name.clone() });
        }
        match action {
            Action::Allow => {}
            Action::Deny => return self.deny(cx, p.frame, &h, DropReason::DeniedByRule, &name),
            Action::Reject => {
                self.hop.error(cx, &mut NoLinks, &p.frame, from, Error::ADMIN);
                return self.deny(cx, p.frame, &h, DropReason::DeniedByRule, &name);
            }
        }
        let is_syn = h.protocol == protocol::TCP && tcp::flags(h.payload(p.frame.data())).is_some_and(|f| f & tcp::SYN != 0);
        if is_syn && !self.syn_allowed(cx.now, h.dst) {
            return self.deny(cx, p.frame, &h, DropReason::SynFlood, "");
        }
        if let Verdict::New(t) = verdict
            && !self.conntrack.begin(cx.now, t, number, h.total_len)
        {
            return self.deny(cx, p.frame, &h, DropReason::ConntrackFull, "");
        }
        self.pass(cx, from, p, number);
    }

    fn syn_allowed(&mut self, now: Time, dst: Ipv4Addr) -> bool {
        let (rate, burst) = self.syn_limit;
        let known = self.syns.contains_key(&dst) || self.syns.len() < SYN_TARGETS;
        let key = if known { dst } else { Ipv4Addr::UNSPECIFIED };
        self.syns.entry(key).or_insert_with(|| Bucket::new(rate, burst)).take(now)
    }

    fn pass(&mut self, cx: &mut Cx<'_>, from: Ipv4Addr, p: Packet, rule: u16) {
        let rules = &self.rules;
        cx.say(&p.frame, || match usize::from(rule).checked_sub(1).and_then(|i| rules.get(i)) {
            Some((r, _)) => Cause::Allowed { rule, name: r.name.clone() },
            None => Cause::Established,
        });
        if self.hop.is_local(p.header.dst) {
            return self.hop.local(cx, &mut NoLinks, p);
        }
        if let Some((p, route)) = self.hop.check(cx, &mut NoLinks, p, from) {
            self.hop.emit(cx, &mut NoLinks, p, route, Cause::Forwarded);
        }
    }
}

impl Element for Firewall {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let index = self.hop.interface_of(port);
        while let Some(f) = burst.take() {
            match index {
                Some(i) => self.frame(cx, i, f),
                None => cx.drop(f, DropReason::NotForUs),
            }
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        self.hop.poll(cx, &mut NoLinks);
        self.conntrack.poll(cx.now);
        for f in self.fragments.poll(cx) {
            let to = self.hop.interfaces.first().map_or(Ipv4Addr::UNSPECIFIED, |i| i.addr.addr);
            self.hop.error(cx, &mut NoLinks, &f, to, Error::REASSEMBLY);
            cx.drop(f, DropReason::ReassemblyTimeout);
        }
    }

    fn deadline(&self) -> Option<Time> {
        [self.hop.deadline(), self.conntrack.deadline(), self.fragments.deadline()].into_iter().flatten().min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        const VIEWS: &[(&str, &str)] = &[
            conntrack::VIEW,
            ("rules", "rules and how often each decided"),
            ("log", "what was denied lately"),
            hop::VIEWS[0],
            hop::VIEWS[1],
        ];
        VIEWS
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match q.what.as_str() {
            "conntrack" => Ok(self.conntrack.show(q.now, from, rows)),
            "rules" => {
                rows.columns(&["number", "name", "action", "hits"]);
                Ok(rows.page(self.rules.iter().enumerate(), from, |rows, (i, (r, n))| {
                    let action = format!("{:?}", r.action).to_lowercase();
                    rows.row([(i + 1).into(), r.name.clone().into(), action.into(), (*n).into()]);
                }))
            }
            "log" => {
                rows.columns(&["ago-s", "packet", "reason"]);
                Ok(rows.page(self.log.iter().rev(), from, |rows, d| {
                    rows.row([q.now.since(d.at).as_secs().into(), d.what.clone().into(), d.why.clone().into()]);
                }))
            }
            _ => self.hop.show(q, from, rows).ok_or_else(|| QueryError::Unknown(q.what.clone())),
        }
    }

    fn counters(&self, rows: &mut Rows) {
        for (r, n) in &self.rules {
            rows.row(["rule".into(), r.name.clone().into(), (*n).into()]);
        }
        rows.row(["table".into(), "flows".into(), self.conntrack.len().into()]);
        rows.row(["event".into(), "denials-not-logged".into(), self.unlogged.into()]);
    }
}
