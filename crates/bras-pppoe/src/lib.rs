//! The broadband access server: a PPPoE access concentrator (RFC 2516) that
//! authenticates subscribers over PPP, gives them addresses and routes them; a LAC
//! that passes their sessions into L2TP tunnels (RFC 2661), and an LNS that ends
//! them there.

#![forbid(unsafe_code)]

mod aaa;
mod bas;
mod cookie;
mod discovery;
mod forward;
mod lac;
mod pool;
mod session;
mod settings;
mod show;
mod subscriber;
mod udp;

pub use bas::Bas;
pub use settings::{Auth, Settings, User};

/// Builds the role.
///
/// # Errors
/// If the settings name a port that is not there, or contradict each other.
pub fn build(s: node::role::Setup<Settings>) -> anyhow::Result<node::role::Role<Bas>> {
    let mut rng = s.rng;
    Ok(node::role::Role::forwarder(Bas::new(&s.config, s.settings, rand::RngExt::random(&mut rng))?))
}
