//! What is said of causes, reasons and stages, in English and in Korean.

mod cause;
mod failure;
mod particle;
mod reason;
mod title;

pub use cause::{cause, change};
pub(crate) use failure::failure;
pub use reason::reason;
pub use title::title;

use serde::Serialize;

/// A language.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Korean.
    Ko,
}

impl Lang {
    /// The one that the environment asks for (POSIX: `LC_ALL`, `LC_MESSAGES`, `LANG`).
    pub fn of_environment() -> Lang {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|v| std::env::var(v).ok().filter(|s| !s.is_empty()));
        if set.is_some_and(|s| s.starts_with("ko")) { Lang::Ko } else { Lang::En }
    }

    /// The text in this language.
    pub fn pick<T: Text>(self, en: T, ko: T) -> T {
        match self {
            Lang::En => en,
            Lang::Ko => ko.korean(),
        }
    }
}

/// A text that a language is picked for.
pub trait Text {
    /// With the particles that its words want (`을(를)` is written where either may be).
    #[must_use]
    fn korean(self) -> Self;
}

impl Text for &str {
    fn korean(self) -> Self {
        self
    }
}

impl<const N: usize> Text for [&str; N] {
    fn korean(self) -> Self {
        self
    }
}

impl Text for String {
    fn korean(self) -> Self {
        particle::choose(self)
    }
}

impl std::str::FromStr for Lang {
    type Err = String;
    fn from_str(s: &str) -> Result<Lang, String> {
        match s {
            "en" => Ok(Lang::En),
            "ko" => Ok(Lang::Ko),
            _ => Err(format!("`{s}` is no language here, expected `en` or `ko`")),
        }
    }
}

/// So many of a thing, in English.
pub(crate) fn many(n: impl Into<u64>, thing: &str) -> String {
    let n = n.into();
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

/// A device in a word.
pub fn role(lang: Lang, role: Option<&str>) -> &str {
    match role {
        None => lang.pick("host", "호스트"),
        Some("client") => lang.pick("browser", "브라우저"),
        Some("switch") => lang.pick("switching hub", "스위칭 허브"),
        Some("router") => lang.pick("router", "라우터"),
        Some("adsl-modem") => lang.pick("ADSL modem", "ADSL 모뎀"),
        Some("dslam") => lang.pick("DSLAM", "DSLAM"),
        Some("bras-pppoe") => lang.pick("access server", "접속 서버"),
        Some("firewall") => lang.pick("firewall", "방화벽"),
        Some("cache-proxy") => lang.pick("cache server", "캐시 서버"),
        Some("httpd") => lang.pick("web server", "웹 서버"),
        Some("dns") => lang.pick("name server", "네임 서버"),
        Some("cable") => lang.pick("cable", "케이블"),
        Some(other) => other,
    }
}
