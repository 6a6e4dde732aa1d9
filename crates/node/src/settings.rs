//! Reading a lab file so that every mistake is told with its line, its column,
//! what was expected and the nearest right word.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::str::FromStr;
pub use toml::Spanned as Span;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A mistake in a lab file, at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabError {
    /// From 1; 0 when the place is not known.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// The line itself.
    pub source: String,
}

impl LabError {
    /// A mistake at byte range `span` of `text`.
    pub fn at(text: &str, span: Range<usize>, message: impl Into<String>) -> LabError {
        let start = span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let source = text[line_start..].lines().next().unwrap_or("").to_owned();
        LabError {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message: message.into(),
            source,
        }
    }

    /// From the TOML reader's own error, with the nearest right word added.
    pub fn from_toml(text: &str, e: &toml::de::Error) -> LabError {
        let message = with_nearest(e.message());
        match e.span() {
            Some(s) => LabError::at(text, s, message),
            None => LabError { line: 0, column: 0, message, source: String::new() },
        }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        if !self.source.is_empty() {
            let gutter = self.line.to_string();
            let pad = " ".repeat(gutter.len());
            let at = " ".repeat(self.column.saturating_sub(1));
            write!(f, "\n {gutter} | {}\n {pad} | {at}^", self.source)?;
        }
        Ok(())
    }
}

impl std::error::Error for LabError {}

/// The word of `words` that `given` was probably meant to be.
pub fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    words
        .into_iter()
        .map(|w| (strsim::damerau_levenshtein(given, w), w))
        .filter(|(d, w)| *d <= 1 + w.len().max(given.len()) / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, w)| w)
}

/// Adds "did you mean" to serde's "unknown field/variant `x`, expected one of …".
fn with_nearest(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    match quoted.next() {
        Some(given) if is_unknown => match nearest(given, quoted) {
            Some(w) => format!("{message}; did you mean `{w}`?"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}

/// The `[nodes.NAME.settings]` table of a lab file, read as `S`. A node without
/// one has an empty table.
///
/// # Errors
/// The first mistake, with its place in the lab file.
pub fn of_node<S: DeserializeOwned>(text: &str, node: &str) -> Result<S, LabError> {
    let doc = DeTable::parse(text).map_err(|e| LabError::from_toml(text, &e))?;
    let whole = doc.span();
    let nodes = child(doc.get_ref(), "nodes");
    let this = nodes.and_then(|n| table(n)).and_then(|t| child(t, node));
    let Some(this) = this else {
        return Err(LabError::at(text, whole, format!("there is no node `{node}`")));
    };
    let value = match table(this).and_then(|t| child(t, "settings")) {
        Some(v) => v.clone(),
        None => toml::Spanned::new(this.span(), DeValue::Table(DeTable::new())),
    };
    S::deserialize(ValueDeserializer::from(value)).map_err(|e| LabError::from_toml(text, &e))
}

fn child<'a, 'i>(t: &'a DeTable<'i>, key: &str) -> Option<&'a toml::Spanned<DeValue<'i>>> {
    t.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
}

fn table<'a, 'i>(v: &'a toml::Spanned<DeValue<'i>>) -> Option<&'a DeTable<'i>> {
    match v.get_ref() {
        DeValue::Table(t) => Some(t),
        _ => None,
    }
}

/// An IPv4 address with its prefix length: `192.168.0.1/24`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The address, host bits and all.
    pub addr: Ipv4Addr,
    /// 0 to 32.
    pub len: u8,
}

impl Cidr {
    /// The mask's bits.
    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0)
    }
    /// The network's first address.
    pub fn network(self) -> Ipv4Addr {
        (u32::from(self.addr) & self.mask()).into()
    }
    /// The network's last address.
    pub fn broadcast(self) -> Ipv4Addr {
        (u32::from(self.addr) | !self.mask()).into()
    }
    /// `a` lies in the network.
    pub fn contains(self, a: Ipv4Addr) -> bool {
        (u32::from(a) ^ u32::from(self.addr)) & self.mask() == 0
    }
    /// `a` means every station of the network; /31 and /32 have no such address
    /// (RFC 3021).
    pub fn is_broadcast(self, a: Ipv4Addr) -> bool {
        self.len < 31 && a == self.broadcast()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(s: &str) -> Result<Cidr, String> {
        let bad = || format!("`{s}` is not an IPv4 prefix (like 192.168.0.0/24)");
        let (a, l) = s.split_once('/').ok_or_else(bad)?;
        let addr = a.parse().map_err(|_| bad())?;
        let len = l.parse().ok().filter(|l| *l <= 32).ok_or_else(bad)?;
        Ok(Cidr { addr, len })
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Cidr, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// Serde for rates written `800kbit`, `8mbit`, `1gbit`.
pub mod rate {
    use serde::{Deserialize, Deserializer};

    /// Reads such a text as bits a second.
    ///
    /// # Errors
    /// With an example of what is right.
    pub fn parse(s: &str) -> Result<u64, String> {
        let bad = || format!("`{s}` is not a rate (like 800kbit, 8mbit, 1gbit)");
        let split = s.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
        let scale = match &s[split..] {
            "bit" => 1.0,
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            _ => return Err(bad()),
        };
        let n: f64 = s[..split].trim().parse().map_err(|_| bad())?;
        let bps = n * scale;
        if (1000.0..=1e12).contains(&bps) { Ok(bps as u64) } else { Err(bad()) }
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        parse(&s).map_err(serde::de::Error::custom)
    }
}

/// Serde for durations written `20ms`, `1.5s`, `300us`, `2m`, `1h`.
pub mod duration {
    use serde::{Deserialize, Deserializer};
    use std::time::Duration;

    /// Reads such a text.
    ///
    /// # Errors
    /// With an example of what is right.
    pub fn parse(s: &str) -> Result<Duration, String> {
        let split = s.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(s.len());
        let (n, unit) = s.split_at(split);
        let scale = match unit {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("`{s}` is not a time (like 20ms, 1.5s, 2m)")),
        };
        n.parse::<f64>()
            .ok()
            .map(|v| v * scale)
            .filter(|v| v.is_finite() && (0.0..1e8).contains(v))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| format!("`{s}` is not a time (like 20ms, 1.5s, 2m)"))
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        parse(&s).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct S {
        #[serde(default)]
        address: Option<Cidr>,
        #[serde(default, rename = "max-age")]
        max_age: u32,
    }

    const LAB: &str = "[nodes.a]\nrole = \"x\"\n[nodes.a.settings]\nmax-age = 7\n[nodes.b.settings]\nmax-agee = 7\n[nodes.c.settings]\naddress = \"10.0.0.1\"\n[nodes.d]\nrole = \"x\"\n";

    #[test]
    fn settings_and_their_mistakes() {
        assert_eq!(of_node::<S>(LAB, "a").unwrap().max_age, 7);
        assert_eq!(of_node::<S>(LAB, "d").unwrap().address, None);
        let e = of_node::<S>(LAB, "b").unwrap_err();
        assert_eq!((e.line, e.column), (6, 1));
        assert!(e.message.contains("did you mean `max-age`?"), "{e}");
        let e = of_node::<S>(LAB, "c").unwrap_err();
        assert_eq!((e.line, e.column), (8, 11));
        assert!(e.to_string().contains("10.0.0.1"), "{e}");
    }

    #[test]
    fn prefixes() {
        let c: Cidr = "192.168.0.7/24".parse().unwrap();
        assert_eq!(c.network(), Ipv4Addr::new(192, 168, 0, 0));
        assert!(c.contains([192, 168, 0, 255].into()) && c.is_broadcast([192, 168, 0, 255].into()));
        assert!("1.2.3.4/33".parse::<Cidr>().is_err());
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains([9, 9, 9, 9].into()));
    }
}
