//! What a lab file may say of a firewall, and how a rule matches.

use flow::fib::StaticRoute;
use node::Cidr;
use serde::{Deserialize, Deserializer};
use wire::ipv4::{Header, protocol};
use wire::{be16, icmp};

/// The settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Ports of the zone outside.
    pub outside: Vec<String>,
    /// Ports of the zone inside.
    pub inside: Vec<String>,
    /// Rules in order; the first that matches decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Static routes.
    #[serde(default)]
    pub routes: Vec<StaticRoute>,
    /// Prefixes that live inside: as a source from outside they are spoofed.
    #[serde(default)]
    pub protect: Vec<Cidr>,
    /// New connections a second to one address, on average.
    #[serde(default = "syn_rate")]
    pub syn_rate: f64,
    /// … and at once.
    #[serde(default = "syn_burst")]
    pub syn_burst: f64,
    /// Tracked flows at most.
    #[serde(default = "flows")]
    pub max_flows: usize,
}

fn syn_rate() -> f64 {
    500.0
}
fn syn_burst() -> f64 {
    1000.0
}
fn flows() -> usize {
    65_536
}

/// A zone.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    /// The net.
    Outside,
    /// What is protected.
    Inside,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Let the flow pass.
    Allow,
    /// Drop in silence.
    Deny,
    /// Drop and tell the sender: "administratively prohibited".
    Reject,
}

/// A rule's protocol.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo.
    Echo,
    /// Any ICMP.
    Icmp,
}

/// A port or a range of ports: `80` or `"33434-33523"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports(pub u16, pub u16);

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Ports, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(u16),
            Range(String),
        }
        let bad = |s: &str| serde::de::Error::custom(format!("`{s}` is not a port or a range of ports (like 80 or \"1000-2000\")"));
        match Either::deserialize(d).map_err(|_| bad("this"))? {
            Either::One(p) => Ok(Ports(p, p)),
            Either::Range(s) => {
                let (a, b) = s.split_once('-').unwrap_or((&s, &s));
                let (a, b) = (a.trim().parse().map_err(|_| bad(&s))?, b.trim().parse().map_err(|_| bad(&s))?);
                if a > b { Err(bad(&s)) } else { Ok(Ports(a, b)) }
            }
        }
    }
}

/// A rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// Its name in counters.
    pub name: String,
    /// What it decides.
    pub action: Action,
    /// Packets that come in here; any if left out.
    #[serde(default)]
    pub from: Option<Zone>,
    /// Protocol; any if left out.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// Source prefix.
    #[serde(default)]
    pub src: Option<Cidr>,
    /// Destination prefix.
    #[serde(default)]
    pub dst: Option<Cidr>,
    /// Destination ports of TCP or UDP.
    #[serde(default)]
    pub ports: Option<Ports>,
}

impl Rule {
    /// Whether a whole packet matches.
    pub fn matches(&self, zone: Zone, p: &[u8], h: &Header) -> bool {
        let kind = p.get(h.header_len).copied().unwrap_or(0);
        let protocol = match self.protocol {
            None => true,
            Some(Protocol::Tcp) => h.protocol == protocol::TCP,
            Some(Protocol::Udp) => h.protocol == protocol::UDP,
            Some(Protocol::Icmp) => h.protocol == protocol::ICMP,
            Some(Protocol::Echo) => h.protocol == protocol::ICMP && icmp::is_echo(kind),
        };
        let port = || {
            let has = matches!(h.protocol, protocol::TCP | protocol::UDP);
            be16(p, h.header_len + 2).filter(|_| has)
        };
        protocol
            && self.from.is_none_or(|z| z == zone)
            && self.src.is_none_or(|c| c.contains(h.src))
            && self.dst.is_none_or(|c| c.contains(h.dst))
            && self.ports.is_none_or(|r| port().is_some_and(|p| (r.0..=r.1).contains(&p)))
    }
}
