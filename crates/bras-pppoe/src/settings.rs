//! What a lab file may say of a BAS.

use flow::fib::StaticRoute;
use node::Cidr;
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Ports with subscribers behind them.
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
    /// Addresses for subscribers.
    pub pool: Cidr,
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
