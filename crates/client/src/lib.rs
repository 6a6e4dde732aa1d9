//! The browser, resident on its node: it keeps its lease, neighbours, names and
//! connections, and fetches pages when the `client` command asks it to.

#![forbid(unsafe_code)]

pub mod ask;
pub mod command;
mod dhcp;
mod element;
mod fetch;
mod page;
mod pool;

pub use element::Client;

use netstack::resolve::Resolver;
use netstack::{Host, Limits};
use node::role::{Role, Setup};
use serde::Deserialize;
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// What a lab file may say of a client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Name servers, where no DHCP server tells them.
    pub dns: Vec<Ipv4Addr>,
    /// Static routes, likewise.
    pub routes: Vec<flow::fib::StaticRoute>,
}

/// Builds the role.
///
/// # Errors
/// If the node has not exactly one port, or a route leads nowhere.
pub fn build(s: Setup<Settings>) -> anyhow::Result<Role<Client>> {
    let [port] = &s.config.ports[..] else {
        anyhow::bail!("a client has one port; this node has {}", s.config.ports.len());
    };
    let mut rng = s.rng;
    let seed = rand::RngExt::random(&mut rng);
    let (host, net) = Host::new(&s.config, &s.settings.routes, seed, Limits { connections: 256, ..Limits::default() }, s.clock, s.wake)?;
    let lease = Rc::new(RefCell::new(dhcp::Lease::default()));
    if let Some(a) = port.address {
        *lease.borrow_mut() = dhcp::Lease { address: Some(a.addr), dns: s.settings.dns.clone(), ..dhcp::Lease::default() };
    }
    let resolver = Resolver::new(net.clone());
    let element = Client::new(host, port, &s.config.node, Rc::clone(&lease), resolver.clone());
    let browser = Rc::new(fetch::Browser::new(net, resolver, lease));
    let asker: node::Asker = Rc::new(move |v, out| Box::pin(ask::answer(Rc::clone(&browser), v, out)));
    Ok(Role { element, tasks: vec![Box::pin(std::future::pending())], allow: node::Allow::default(), asker: Some(asker) })
}
