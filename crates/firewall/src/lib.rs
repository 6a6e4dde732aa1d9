//! A stateful packet filter and IPv4 hop: harmful packets are dropped whatever
//! the rules say; the rest passes by connection tracking and an ordered list of
//! rules; what no rule allows is denied.

#![forbid(unsafe_code)]

mod element;
mod harm;
mod rules;

pub use element::Firewall;
pub use rules::{Action, Ports, Protocol, Rule, Settings, Zone};

/// Builds the role.
///
/// # Errors
/// If the settings name a port that is not there, or contradict each other.
pub fn build(s: node::role::Setup<Settings>) -> anyhow::Result<node::role::Role<Firewall>> {
    Ok(node::role::Role::forwarder(Firewall::new(&s.config, s.settings)?))
}
