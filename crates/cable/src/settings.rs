//! What a link does, as the lab writes it for the cable's process.

use serde::{Deserialize, Serialize};
use wire::line::Medium;

/// What one direction of a link does.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Direction {
    /// Nanoseconds that each frame takes.
    pub delay_ns: u64,
    /// Up to this much more or less, drawn a frame; order is kept unless
    /// `reorder` says otherwise.
    pub jitter_ns: u64,
    /// Bits a second; 0 is no limit but the medium's.
    pub rate_bps: u64,
    /// Part of the frames that is lost, 0 to 1.
    pub loss: f64,
    /// Part that overtakes the frames before it.
    pub reorder: f64,
    /// Part that arrives twice.
    pub duplicate: f64,
    /// Part in which a bit is flipped.
    pub corrupt: f64,
    /// Bytes that wait for the rate at most; 0 takes 256 KiB.
    pub queue_bytes: usize,
    /// Signal to noise on the medium; none is a medium without noise.
    pub snr_db: Option<f64>,
}

/// One link of the cable process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// Its ends, as `node.port`.
    pub ends: [String; 2],
    /// What it does from the first end to the second, and back.
    pub directions: [Direction; 2],
    /// The same seed gives the same losses.
    pub seed: u64,
    /// What frames cross as a signal; none: they cross as they are.
    #[serde(default)]
    pub medium: Option<Medium>,
}

/// The settings: every impaired link of the lab.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// In the order of the port pairs.
    #[serde(default)]
    pub links: Vec<Link>,
}
