//! Who may come in.

use crate::settings::User;
use ppp::Proof;
use std::net::Ipv4Addr;

/// What a subscriber is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) address: Option<Ipv4Addr>,
}

/// Judges a proof against the lab file's users.
pub(crate) fn judge(users: &[User], name: &str, proof: &Proof) -> Result<Grant, &'static str> {
    let user = users.iter().find(|u| u.name == name);
    match user {
        Some(u) if proof.shows(&u.password) => Ok(Grant { address: u.address }),
        Some(_) => Err("wrong password"),
        None => Err("unknown user"),
    }
}
