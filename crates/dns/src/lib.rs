//! An authoritative name server: hickory's catalogue on our UDP and TCP sockets.

#![forbid(unsafe_code)]

mod serve;
mod zones;

use netstack::{Host, Limits};
use node::role::{Role, Setup};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// What a lab file may say of a name server.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Static routes.
    pub routes: Vec<flow::fib::StaticRoute>,
    /// Names and their addresses besides the lab's nodes.
    pub records: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Seconds that answers may be kept.
    pub ttl: Option<u32>,
}

/// Builds the role.
///
/// # Errors
/// If a name is none, or a route leads nowhere.
pub fn build(s: Setup<Settings>) -> anyhow::Result<Role<Host>> {
    let mut rng = s.rng;
    let seed = rand::RngExt::random(&mut rng);
    let (host, net) = Host::new(&s.config, &s.settings.routes, seed, Limits { connections: 256, ..Limits::default() }, s.clock, s.wake)?;
    let catalog = Rc::new(zones::catalog(&s.config, &s.settings)?);
    let tasks: Vec<node::Task> = vec![Box::pin(serve::udp(net.clone(), Rc::clone(&catalog))), Box::pin(serve::tcp(net, catalog))];
    Ok(Role { element: host, tasks, allow: node::Allow::default(), asker: None })
}
