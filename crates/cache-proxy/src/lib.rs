//! A transparent HTTP cache that is an IP hop: connections to port 80 beyond it
//! are answered by the cache under the server's own address; everything else is
//! routed.

#![forbid(unsafe_code)]

mod body;
mod element;
mod proxy;
mod request;
mod respond;
mod store;
mod upstream;

pub use element::Cache;

use netstack::{Host, Limits};
use node::Cidr;
use node::role::{Role, Setup};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// What a lab file may say of a cache.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Its name in `Via` and `Cache-Status`; the node's name if left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Servers whose port 80 is intercepted.
    pub intercept: Vec<Cidr>,
    /// Whose address a fetch bears.
    #[serde(default)]
    pub upstream_source: UpstreamSource,
    /// How long a server may take to begin its answer.
    #[serde(default = "upstream_timeout", with = "node::config::duration")]
    pub upstream_timeout: std::time::Duration,
    /// Bytes of all stored bodies at most.
    #[serde(default = "store_bytes")]
    pub store_bytes: u64,
    /// Bytes of one stored body at most; larger ones pass.
    #[serde(default = "object_bytes")]
    pub object_bytes: u64,
    /// Static routes.
    #[serde(default)]
    pub routes: Vec<flow::fib::StaticRoute>,
}

fn upstream_timeout() -> std::time::Duration {
    std::time::Duration::from_secs(30)
}
fn store_bytes() -> u64 {
    64 << 20
}
fn object_bytes() -> u64 {
    16 << 20
}

/// Whose address a fetch bears.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamSource {
    /// The client's: the server sees who asks.
    #[default]
    Client,
    /// The cache's own.
    Own,
}

/// Builds the role.
///
/// # Errors
/// If the settings contradict each other or a route leads nowhere.
pub fn build(s: Setup<Settings>) -> anyhow::Result<Role<Cache>> {
    let mut rng = s.rng;
    let seed = rand::RngExt::random(&mut rng);
    let (host, net) = Host::new(&s.config, &s.settings.routes, seed, Limits::default(), s.clock, s.wake)?;
    let own: Vec<(Cidr, Ipv4Addr)> = host.hop.interfaces.iter().map(|i| (i.addr, i.addr.addr)).collect();
    let name = s.settings.name.clone().unwrap_or_else(|| s.config.node.clone());
    let proxy = Rc::new(proxy::Proxy::new(
        name,
        net,
        s.settings.upstream_source,
        own,
        s.settings.upstream_timeout,
        s.settings.store_bytes,
        s.settings.object_bytes,
    ));
    let element = Cache::new(host, s.settings.intercept, Rc::clone(&proxy));
    let tasks: Vec<node::Task> = vec![Box::pin(proxy.serve())];
    Ok(Role { element, tasks, allow: node::Allow::default(), asker: None })
}
