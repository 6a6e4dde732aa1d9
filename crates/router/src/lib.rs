//! IPv4 routers: a core router (forwarding table, ICMP) and, by its settings, a
//! home router (address translation, PPPoE client, DHCP server, DNS forwarder,
//! MSS clamp).

#![forbid(unsafe_code)]

mod dhcp;
mod dns;
mod element;
mod pppoe;
mod settings;

pub use element::Router;
pub use settings::{Dhcp, Dns, Pppoe, Settings};

/// Builds the role.
///
/// # Errors
/// If the settings name a port that is not there, or contradict each other.
pub fn build(s: node::role::Setup<Settings>) -> anyhow::Result<node::role::Role<Router>> {
    Ok(node::role::Role::forwarder(Router::new(&s.config, s.settings)?))
}
