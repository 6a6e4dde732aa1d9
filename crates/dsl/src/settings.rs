//! What a lab file may say of a modem and of a DSLAM.

use node::config::{duration, rate};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// A modem's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ModemSettings {
    /// The port with the subscriber behind it.
    pub lan: String,
    /// The port of the phone line.
    pub line: String,
    /// Virtual path.
    pub vpi: u8,
    /// Virtual channel; 0 to 31 are reserved (I.361).
    pub vci: u16,
    /// Sends frames with their FCS (RFC 2684 §5.2); both kinds are received.
    pub fcs: bool,
    /// Bytes that wait for the line at most.
    pub queue: u32,
    /// The same seed, the same bit errors.
    pub seed: u64,
}

impl Default for ModemSettings {
    fn default() -> Self {
        let (lan, line) = ("lan".to_owned(), "line".to_owned());
        ModemSettings { lan, line, vpi: 0, vci: 35, fcs: false, queue: 64 * 1024, seed: 1 }
    }
}

/// A DSLAM's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DslamSettings {
    /// The port to the access server.
    pub uplink: String,
    /// Its name in circuit-ids; the node's name if left out.
    pub name: Option<String>,
    /// What every line does.
    pub profile: Profile,
    /// What some lines do otherwise.
    pub lines: Vec<LineSettings>,
    /// Stations behind a line at most.
    pub stations: usize,
    /// How long a silent station is remembered.
    #[serde(with = "duration")]
    pub ageing: Duration,
}

impl Default for DslamSettings {
    fn default() -> Self {
        DslamSettings {
            uplink: "uplink".into(),
            name: None,
            profile: Profile::default(),
            lines: Vec::new(),
            stations: 8,
            ageing: Duration::from_secs(300),
        }
    }
}

/// A line profile: what the provider sells, and what the copper is like.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Profile {
    /// Bits a second towards the subscriber at most.
    #[serde(with = "rate")]
    pub down: u64,
    /// Bits a second towards the provider at most.
    #[serde(with = "rate")]
    pub up: u64,
    /// Interleaving delay, each way.
    #[serde(with = "duration")]
    pub interleave: Duration,
    /// From the first tones to showtime.
    #[serde(with = "duration")]
    pub training: Duration,
    /// Signal to noise at the subscriber.
    pub snr_db: f64,
    /// Signal to noise at the provider.
    pub snr_up_db: f64,
    /// The margin that training leaves.
    pub target_margin_db: f64,
    /// Virtual path.
    pub vpi: u8,
    /// Virtual channel.
    pub vci: u16,
    /// Sends frames with their FCS.
    pub fcs: bool,
    /// Bytes that wait for a line at most.
    pub queue: u32,
    /// The same seed, the same bit errors.
    pub seed: u64,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            down: 8_000_000,
            up: 800_000,
            interleave: Duration::from_millis(4),
            training: Duration::from_millis(200),
            snr_db: 45.0,
            snr_up_db: 45.0,
            target_margin_db: 6.0,
            vpi: 0,
            vci: 35,
            fcs: false,
            queue: 256 * 1024,
            seed: 1,
        }
    }
}

/// A line that differs from the profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LineSettings {
    /// Its port.
    pub port: String,
    /// Circuit-id (TR-101 R-124); made of the DSLAM's name, the port's number and
    /// the channel if left out.
    pub circuit_id: Option<String>,
    /// Remote-id: how the provider calls the subscriber.
    pub remote_id: Option<String>,
    /// As [`Profile::down`].
    #[serde(deserialize_with = "some_rate")]
    pub down: Option<u64>,
    /// As [`Profile::up`].
    #[serde(deserialize_with = "some_rate")]
    pub up: Option<u64>,
    /// As [`Profile::interleave`].
    #[serde(deserialize_with = "some_duration")]
    pub interleave: Option<Duration>,
    /// As [`Profile::training`].
    #[serde(deserialize_with = "some_duration")]
    pub training: Option<Duration>,
    /// As [`Profile::snr_db`].
    pub snr_db: Option<f64>,
    /// As [`Profile::snr_up_db`].
    pub snr_up_db: Option<f64>,
    /// As [`Profile::vpi`].
    pub vpi: Option<u8>,
    /// As [`Profile::vci`].
    pub vci: Option<u16>,
    /// As [`Profile::fcs`].
    pub fcs: Option<bool>,
}

fn some_rate<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    rate::deserialize(d).map(Some)
}

fn some_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    duration::deserialize(d).map(Some)
}

impl LineSettings {
    /// The profile with this line's own words.
    pub(crate) fn over(&self, p: Profile) -> Profile {
        Profile {
            down: self.down.unwrap_or(p.down),
            up: self.up.unwrap_or(p.up),
            interleave: self.interleave.unwrap_or(p.interleave),
            training: self.training.unwrap_or(p.training),
            snr_db: self.snr_db.unwrap_or(p.snr_db),
            snr_up_db: self.snr_up_db.unwrap_or(p.snr_up_db),
            vpi: self.vpi.unwrap_or(p.vpi),
            vci: self.vci.unwrap_or(p.vci),
            fcs: self.fcs.unwrap_or(p.fcs),
            ..p
        }
    }
}

impl Profile {
    /// What cannot be, in words.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!((32_000..=24_000_000).contains(&self.down), "`down` must lie between 32kbit and 24mbit");
        anyhow::ensure!((32_000..=3_500_000).contains(&self.up), "`up` must lie between 32kbit and 3500kbit");
        anyhow::ensure!(self.vci >= 32, "`vci` {} is reserved (I.361): take 32 or more", self.vci);
        for db in [self.snr_db, self.snr_up_db, self.target_margin_db] {
            anyhow::ensure!((-20.0..=100.0).contains(&db), "{db} dB is not possible: -20 to 100");
        }
        anyhow::ensure!(self.interleave <= Duration::from_secs(1), "`interleave` may be one second at most");
        anyhow::ensure!(self.training <= Duration::from_secs(120), "`training` may be two minutes at most");
        Ok(())
    }
}
