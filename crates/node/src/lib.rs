//! What every role stands on: the [`Element`] that a device is, the loop that
//! drives it over TAPs, its clock and timers, its control socket, the trace
//! hooks, logging, configuration and the sandbox.
//!
//! The two central types are [`Element`] (frames and time go in, frames come
//! out; no clock, socket or thread of its own) and [`Driver`], which feeds it.
//! [`run`] drives it in a lab; [`sim`] drives many in one process under a fake
//! clock.

#![forbid(unsafe_code)]

mod clock;
pub mod config;
mod control;
mod cx;
mod driver;
mod element;
mod hold;
mod reason;
pub mod role;
mod run;
mod sandbox;
mod settings;
pub mod sim;
mod table;
pub mod trace;

/// Bytes as hexadecimal digits, for what is told as JSON.
pub fn hex(b: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    b.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

pub use clock::{Clock, Sleep};
pub use control::{Asked, Asker, Request};
pub use cx::{Core, Cx, Held, PortStats};
pub use driver::Driver;
pub use element::{Command, CommandError, Element, Event, PortId, Query, QueryError, Reply, Status};
pub use port::{Burst, Csum, Frame, FrameSeq, Pool, Time};
pub use reason::DropReason;
pub use run::{Task, Wake};
pub use sandbox::Allow;
pub use settings::{Cidr, LabError, Span, nearest};
pub use table::{Cursor, PAGE, Rows};
pub use trace::{Act, Cause, Origin, Parent, Protocol, Record, Trace};
