//! What a lab file may say of a router.

use flow::fib::StaticRoute;
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A router's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Static routes.
    pub routes: Vec<StaticRoute>,
    /// Keep silent where an ICMP unreachable is due, "fragmentation needed" among
    /// them, as careless operators have their routers do.
    pub silent: bool,
    /// Translate everything that leaves by this port (an Ethernet port with an
    /// address, or the PPPoE client's).
    pub nat: Option<String>,
    /// Translations at most.
    pub nat_sessions: Option<usize>,
    /// Dial in over PPPoE.
    pub pppoe: Option<Pppoe>,
    /// Give addresses out.
    pub dhcp: Option<Dhcp>,
    /// Pass DNS questions on.
    pub dns: Option<Dns>,
}

/// The PPPoE client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pppoe {
    /// The port to dial on.
    pub port: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Service to ask for; empty is any.
    #[serde(default)]
    pub service: String,
    /// Between LCP echoes.
    #[serde(default = "echo_interval", with = "node::config::duration")]
    pub echo_interval: Duration,
}

fn echo_interval() -> Duration {
    Duration::from_secs(2)
}

/// The DHCP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dhcp {
    /// The port to serve; it has an address.
    pub port: String,
    /// First address of the pool.
    pub first: Ipv4Addr,
    /// Last address of the pool.
    pub last: Ipv4Addr,
    /// How long an address is lent.
    #[serde(default = "lease", with = "node::config::duration")]
    pub lease: Duration,
    /// The domain that clients are told.
    #[serde(default)]
    pub domain: Option<String>,
}

fn lease() -> Duration {
    Duration::from_secs(3600)
}

/// The DNS forwarder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Dns {
    /// Name servers to ask; empty takes those that PPP brought.
    pub upstream: Vec<Ipv4Addr>,
}
