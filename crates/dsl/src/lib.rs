//! The two ends of an ADSL line: the subscriber's modem and the provider's DSLAM.
//!
//! ```text
//! Ethernet ─ RFC 2684 ─ AAL5 ─ ATM cells ─ line (rate, interleaving, bit errors) ─ cells ─ AAL5 ─ RFC 2684 ─ Ethernet
//! ```
//! On the phone line's TAPs cells travel in frames (RFC 4717, N:1 without control
//! word), label 16 towards the provider and 17 towards the subscriber, and the
//! modems' own signals (training, showtime, reports) under ethertype 0x88b5.

#![forbid(unsafe_code)]

mod agent;
mod cells;
mod copper;
mod dslam;
mod line;
mod modem;
mod settings;
mod signal;

pub use dslam::{Dslam, build as dslam};
pub use modem::{Modem, build as modem};
pub use settings::{DslamSettings, LineSettings, ModemSettings};
