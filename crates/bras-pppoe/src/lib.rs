//! The broadband access server: a PPPoE access concentrator (RFC 2516) that
//! authenticates subscribers over PPP, gives them addresses and routes them.

#![forbid(unsafe_code)]

mod aaa;
mod cookie;
mod discovery;
mod element;
mod pool;
mod session;
mod settings;

pub use element::Bas;
pub use settings::{Auth, Settings, User};

/// Builds the role.
///
/// # Errors
/// If the settings name a port that is not there, or contradict each other.
pub fn build(s: node::role::Setup<Settings>) -> anyhow::Result<node::role::Role<Bas>> {
    let mut rng = s.rng;
    Ok(node::role::Role::forwarder(Bas::new(&s.config, s.settings, rand::RngExt::random(&mut rng))?))
}
