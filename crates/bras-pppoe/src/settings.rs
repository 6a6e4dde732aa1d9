//! What a lab file may say of a BAS.

use flow::fib::StaticRoute;
use node::Cidr;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Ports with subscribers behind them.
    #[serde(default)]
    pub access: Vec<String>,
    /// The concentrator's name (AC-Name); the node's name if left out.
    #[serde(default)]
    pub ac_name: Option<String>,
    /// Service names offered besides "any".
    #[serde(default)]
    pub services: Vec<String>,
    /// How subscribers prove themselves, best first.
    #[serde(default = "both")]
    pub auth: Vec<Auth>,
    /// Who may come in.
    #[serde(default)]
    pub users: Vec<User>,
    /// Addresses for subscribers whose sessions end here.
    #[serde(default)]
    pub pool: Option<Cidr>,
    /// More pools, by the name that RADIUS calls them (Framed-Pool).
    #[serde(default)]
    pub pools: BTreeMap<String, Cidr>,
    /// The concentrator's own end of every session; the pool's first address if
    /// left out.
    #[serde(default)]
    pub local: Option<Ipv4Addr>,
    /// Name servers for subscribers (RFC 1877).
    #[serde(default)]
    pub dns: Vec<Ipv4Addr>,
    /// Routes to the core.
    #[serde(default)]
    pub routes: Vec<StaticRoute>,
    /// LAC: realms whose sessions end elsewhere, and the tunnels that lead there.
    #[serde(default)]
    pub tunnels: Vec<TunnelSettings>,
    /// LNS: who may open tunnels to this server.
    #[serde(default)]
    pub lacs: Vec<LacSettings>,
    /// What holds for all tunnels.
    #[serde(default)]
    pub l2tp: L2tpSettings,
    /// RADIUS in the place of `users`.
    #[serde(default)]
    pub radius: Option<RadiusSettings>,
    /// Sessions at most.
    #[serde(default = "sessions")]
    pub max_sessions: usize,
    /// Sessions from one MAC address at most.
    #[serde(default = "per_mac")]
    pub max_per_mac: usize,
    /// Between LCP echoes.
    #[serde(default = "echo", with = "node::config::duration")]
    pub echo_interval: Duration,
}

fn both() -> Vec<Auth> {
    vec![Auth::Chap, Auth::Pap]
}

fn sessions() -> usize {
    16_000
}

fn per_mac() -> usize {
    8
}

fn echo() -> Duration {
    Duration::from_secs(10)
}

/// A way to prove oneself.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Password in clear.
    Pap,
    /// Challenge and MD5.
    Chap,
}

/// A subscriber.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    /// Name, as the subscriber gives it.
    pub name: String,
    /// Password.
    pub password: String,
    /// Always this address.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
}

/// What becomes of a packet that its tunnel's link cannot carry whole.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum TooBig {
    /// The subscriber's MRU and the MSS of its connections are lowered, so that
    /// none is made.
    #[default]
    LowerMru,
    /// The outer packet goes in fragments.
    Fragment,
    /// Its sender is told, by ICMP, what fits.
    #[serde(rename = "packet-too-big")]
    Tell,
}

/// A realm that is tunnelled.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TunnelSettings {
    /// What follows the `@` of a user's name; `*` is any that is not known here.
    pub realm: String,
    /// LNSs, in the order in which they are tried.
    pub lns: Vec<Ipv4Addr>,
    /// Host Name towards this LNS; the server's own if left out.
    #[serde(default)]
    pub host_name: Option<String>,
    /// The tunnel's secret.
    #[serde(default)]
    pub secret: Option<String>,
    /// AVPs that tell of the subscriber are hidden; needs a secret.
    #[serde(default)]
    pub hide: bool,
    /// Data is numbered.
    #[serde(default)]
    pub sequencing: bool,
    /// Packets that are too big for the tunnel.
    #[serde(default)]
    pub too_big: TooBig,
}

/// A LAC that may open tunnels to this server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LacSettings {
    /// Its Host Name; `*` is any.
    pub host_name: String,
    /// The tunnel's secret.
    #[serde(default)]
    pub secret: Option<String>,
    /// AVPs that tell of the subscriber are hidden; needs a secret.
    #[serde(default)]
    pub hide: bool,
    /// Packets that are too big for the tunnel.
    #[serde(default)]
    pub too_big: TooBig,
}

/// What holds for all tunnels.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct L2tpSettings {
    /// Host Name; the node's name if left out.
    pub host_name: Option<String>,
    /// Silence after which the peer is asked whether it lives.
    #[serde(with = "node::config::duration")]
    pub hello: Duration,
    /// A LAC's tunnel without sessions goes after this.
    #[serde(with = "node::config::duration")]
    pub idle: Duration,
    /// Data messages have the length field.
    pub data_length: bool,
    /// … and the offset field, with so many bytes of padding, 16 at most.
    pub data_offset: Option<u8>,
    /// Tunnels at most.
    pub max_tunnels: usize,
}

impl Default for L2tpSettings {
    fn default() -> Self {
        let (hello, idle) = (Duration::from_secs(20), Duration::from_secs(60));
        L2tpSettings { host_name: None, hello, idle, data_length: false, data_offset: None, max_tunnels: 256 }
    }
}

impl L2tpSettings {
    /// What data messages have in their headers.
    pub(crate) fn data(&self) -> l2tp::DataHeader {
        l2tp::DataHeader { length: self.data_length, offset: self.data_offset }
    }
}

/// RADIUS servers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RadiusSettings {
    /// In the order in which they are tried.
    pub servers: Vec<RadiusServer>,
    /// NAS-Identifier; the node's name if left out.
    #[serde(default)]
    pub nas_identifier: Option<String>,
    /// How long an answer is waited for.
    #[serde(default = "second", with = "node::config::duration")]
    pub timeout: Duration,
    /// Requests to a server before the next is asked.
    #[serde(default = "two")]
    pub tries: u32,
    /// A server that was silent is not asked first for this long.
    #[serde(default = "half_minute", with = "node::config::duration")]
    pub dead_time: Duration,
    /// Between interim accounting messages, unless the server says otherwise; 0: none.
    #[serde(default = "minutes", with = "node::config::duration")]
    pub interim: Duration,
    /// Where Disconnect-Message and CoA arrive (RFC 5176).
    #[serde(default = "coa_port")]
    pub coa_port: u16,
}

/// A RADIUS server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RadiusServer {
    /// Its address.
    pub address: Ipv4Addr,
    /// The shared secret.
    pub secret: String,
    /// Authentication port.
    #[serde(default = "auth_port")]
    pub port: u16,
    /// Accounting port.
    #[serde(default = "acct_port")]
    pub acct_port: u16,
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn two() -> u32 {
    2
}

fn half_minute() -> Duration {
    Duration::from_secs(30)
}

fn minutes() -> Duration {
    Duration::from_secs(300)
}

fn coa_port() -> u16 {
    3799
}

fn auth_port() -> u16 {
    1812
}

fn acct_port() -> u16 {
    1813
}
