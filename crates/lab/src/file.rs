//! The lab file: what may stand in it. `docs/lab-file.md` tells it to people.

use crate::ordered::Ordered;
use node::{Cidr, LabError, Span};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::line::Medium;

/// Roles and the programs that play them: each role is a program of its name.
/// `null` reads one TAP and writes the other: the measure of the others.
pub(crate) const ROLES: &[&str] =
    &["switch", "router", "bras-pppoe", "firewall", "cache-proxy", "httpd", "dns", "client", "adsl-modem", "dslam", "null"];

/// A lab.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LabFile {
    /// Its name, unless `up --name` gives another.
    pub(crate) name: Span<String>,
    /// What it is for.
    #[serde(default, rename = "description")]
    pub(crate) _description: String,
    /// The domain of node names.
    #[serde(default = "domain")]
    pub(crate) domain: String,
    /// Commands worth trying, printed by `up`.
    #[serde(default, rename = "try")]
    pub(crate) tries: Vec<String>,
    /// The nodes.
    pub(crate) nodes: Ordered<Node>,
    /// The links.
    #[serde(default)]
    pub(crate) links: Vec<Link>,
}

fn domain() -> String {
    "isp.example".into()
}

/// A node: a role, or a kernel host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Node {
    /// The program that plays it.
    #[serde(default)]
    pub(crate) role: Option<Span<String>>,
    /// `host`: the kernel's own stack.
    #[serde(default)]
    pub(crate) kind: Option<Span<String>>,
    /// Ports that have an address.
    #[serde(default)]
    pub(crate) ports: Ordered<Port>,
    /// The role's own settings; the role reads them itself.
    #[serde(default, rename = "settings")]
    pub(crate) _settings: Option<toml::Value>,
    /// A host's name servers.
    #[serde(default)]
    pub(crate) dns: Vec<Ipv4Addr>,
    /// A host's default route.
    #[serde(default)]
    pub(crate) gateway: Option<Span<Ipv4Addr>>,
    /// Commands that run on a host as long as the lab.
    #[serde(default)]
    pub(crate) start: Vec<String>,
    /// Programs without which they cannot run, as `program` or `program:package`.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
}

impl Node {
    pub(crate) fn is_host(&self) -> bool {
        self.kind.is_some()
    }
}

/// A port's address.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Port {
    /// Address and prefix.
    #[serde(default)]
    pub(crate) address: Option<Span<Cidr>>,
}

/// A cable.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Link {
    /// `node.port`, twice.
    pub(crate) ends: [Span<String>; 2],
    /// Bytes of an IP packet.
    #[serde(default = "mtu")]
    pub(crate) mtu: Span<u16>,
    /// What both directions do.
    #[serde(default)]
    pub(crate) delay: Option<Time>,
    #[serde(default)]
    pub(crate) jitter: Option<Time>,
    #[serde(default)]
    pub(crate) loss: Option<Part>,
    #[serde(default)]
    pub(crate) rate: Option<Rate>,
    #[serde(default)]
    pub(crate) reorder: Option<Part>,
    #[serde(default)]
    pub(crate) duplicate: Option<Part>,
    #[serde(default)]
    pub(crate) corrupt: Option<Part>,
    /// Bytes that wait for the rate.
    #[serde(default)]
    pub(crate) queue: Option<u32>,
    /// What frames cross as a signal.
    #[serde(default)]
    pub(crate) medium: Option<Medium>,
    /// Signal to noise on the medium.
    #[serde(default)]
    pub(crate) snr_db: Option<Span<f64>>,
    /// What only the direction from the first end to the second does.
    #[serde(default)]
    pub(crate) forward: Impairment,
    /// … and back.
    #[serde(default)]
    pub(crate) backward: Impairment,
    /// The same seed, the same losses.
    #[serde(default)]
    pub(crate) seed: Option<u32>,
}

fn mtu() -> Span<u16> {
    Span::new(0..0, 1500)
}

/// What a link does in one direction.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Impairment {
    pub(crate) delay: Option<Time>,
    pub(crate) jitter: Option<Time>,
    pub(crate) loss: Option<Part>,
    pub(crate) rate: Option<Rate>,
    pub(crate) reorder: Option<Part>,
    pub(crate) duplicate: Option<Part>,
    pub(crate) corrupt: Option<Part>,
    pub(crate) queue: Option<u32>,
    pub(crate) snr_db: Option<Span<f64>>,
}

impl Link {
    /// What one direction does: its own settings before those of both.
    pub(crate) fn direction(&self, forward: bool) -> Impairment {
        let d = if forward { &self.forward } else { &self.backward };
        Impairment {
            delay: d.delay.or(self.delay),
            jitter: d.jitter.or(self.jitter),
            loss: d.loss.or(self.loss),
            rate: d.rate.or(self.rate),
            reorder: d.reorder.or(self.reorder),
            duplicate: d.duplicate.or(self.duplicate),
            corrupt: d.corrupt.or(self.corrupt),
            queue: d.queue.or(self.queue),
            snr_db: d.snr_db.clone().or_else(|| self.snr_db.clone()),
        }
    }

    /// It does nothing but carry.
    pub(crate) fn is_clean(&self) -> bool {
        self.medium.is_none() && [true, false].into_iter().all(|f| self.direction(f).is_clean())
    }
}

impl Impairment {
    fn is_clean(&self) -> bool {
        let parts = [self.loss, self.reorder, self.duplicate, self.corrupt];
        let times = [self.delay, self.jitter];
        self.rate.is_none()
            && self.queue.is_none()
            && parts.iter().flatten().all(|p| p.0 == 0.0)
            && times.iter().flatten().all(|t| t.0.is_zero())
    }

    /// As the cable role's settings.
    pub(crate) fn to_toml(&self) -> String {
        let ns = |t: Option<Time>| t.map_or(0, |t| t.0.as_nanos());
        let part = |p: Option<Part>| p.map_or(0.0, |p| p.0);
        format!(
            "{{ delay-ns = {}, jitter-ns = {}, rate-bps = {}, loss = {:?}, reorder = {:?}, duplicate = {:?}, corrupt = {:?}, queue-bytes = {}{} }}",
            ns(self.delay),
            ns(self.jitter),
            self.rate.map_or(0, |r| r.0),
            part(self.loss),
            part(self.reorder),
            part(self.duplicate),
            part(self.corrupt),
            self.queue.unwrap_or(0),
            self.snr_db.as_ref().map_or(String::new(), |s| format!(", snr-db = {:?}", s.get_ref())),
        )
    }
}

macro_rules! from_text {
    ($(#[$doc:meta])* $name:ident($inner:ty), $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) struct $name(pub(crate) $inner);
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
                let parse: fn(&str) -> Result<$inner, String> = $parse;
                parse(&s).map($name).map_err(serde::de::Error::custom)
            }
        }
    };
}

from_text!(
    /// `20ms`.
    Time(Duration),
    node::config::duration::parse
);
from_text!(
    /// `1%`.
    Part(f64),
    |s| {
        let bad = || format!("`{s}` is not a part (like 1% or 0.5%)");
        let n: f64 = s.strip_suffix('%').ok_or_else(bad)?.trim().parse().map_err(|_| bad())?;
        if (0.0..=100.0).contains(&n) { Ok(n / 100.0) } else { Err(bad()) }
    }
);
from_text!(
    /// `10mbit`.
    Rate(u64),
    node::config::rate::parse
);

/// A lab file that was read and found right.
pub(crate) struct Lab {
    /// Its text.
    pub(crate) text: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) file: LabFile,
}

/// Finds a lab by name or path, and reads it.
///
/// # Errors
/// Whatever is wrong, with its place.
pub(crate) fn load(files: &Path, which: &str) -> anyhow::Result<Lab> {
    let as_name = files.join(format!("{which}.toml"));
    let path = if which.contains('/') || which.ends_with(".toml") { PathBuf::from(which) } else { as_name };
    let text = std::fs::read_to_string(&path).map_err(|e| {
        let names: Vec<String> = std::fs::read_dir(files)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| e.file_name().to_str().and_then(|n| n.strip_suffix(".toml")).map(str::to_owned))
            .collect();
        let near = node::nearest(which, names.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        anyhow::anyhow!("no lab `{which}` ({}: {e}){near}", path.display())
    })?;
    let path = std::fs::canonicalize(&path)?;
    let file = parse(&text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    Ok(Lab { text, path, file })
}

/// Reads and checks a lab file's text.
///
/// # Errors
/// The first mistake, with its place.
pub(crate) fn parse(text: &str) -> Result<LabFile, LabError> {
    let file: LabFile = toml::from_str(text).map_err(|e| LabError::from_toml(text, &e))?;
    crate::validate::validate(text, &file)?;
    Ok(file)
}
