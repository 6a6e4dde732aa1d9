//! The Layer Two Tunneling Protocol, version 2 (RFC 2661), without IO: LAC and
//! LNS of incoming calls.
//!
//! [`Endpoint`] takes UDP payloads and time, and yields UDP payloads and
//! [`Event`]s. Data does not pass through it: [`Endpoint::input`] says where a
//! PPP frame lies and whose it is, and [`Endpoint::data_header`] gives what goes
//! before one.
//!
//! ```text
//! SCCRQ ─▶          ◀─ SCCRP          SCCCN ─▶          the tunnel, each end proved by the secret
//! ICRQ ─▶           ◀─ ICRP           ICCN ─▶           a session in it, with what the LAC knows of the call
//! ```

#![forbid(unsafe_code)]

mod channel;
mod endpoint;
mod message;
mod result;
mod tunnel;

pub use endpoint::{Config, DataHeader, Endpoint, Event, Input, Key, Peer, PeerConfig, SessionView, TunnelView};
pub use message::{Call, ProxyAuth, ProxyLcp, Secrecy, hide, unhide};
pub use result::{CallResult, Outcome, StopResult};
