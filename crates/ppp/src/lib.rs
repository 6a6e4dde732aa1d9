//! The Point-to-Point Protocol, without IO: LCP (RFC 1661), PAP (RFC 1334),
//! CHAP-MD5 (RFC 1994) and IPCP (RFC 1332, RFC 1877), client and server side.
//!
//! [`Ppp`] takes payloads (protocol field first) and time, and yields payloads
//! and [`Event`]s. Datagrams do not pass through it: while [`Ppp::is_up`] holds,
//! whoever owns the link moves them itself.

#![forbid(unsafe_code)]

mod auth;
mod automaton;
mod ipcp;
mod lcp;
mod link;
mod link_auth;
mod machine;
mod proxy;

pub use auth::{AuthProtocol, Proof};
pub use automaton::{Action, AutomatonEvent, State, transition};
pub use ipcp::Addresses;
pub use link::{Config, Event, Phase, Ppp, Side};
pub use proxy::{Handover, Shown};
