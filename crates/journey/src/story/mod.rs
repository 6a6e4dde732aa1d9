//! A journey told stage by stage, as `the-story` has it, with what really happened.

mod find;
mod hop;
mod mtu;
mod stages;
mod verdict;

pub use find::{Kind, Seen};
pub use hop::HopView;

use crate::collect::Collector;
use crate::words::Lang;
use node::Time;
use serde::{Deserialize, Serialize};

/// What a journey is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// The journey's number.
    pub journey: u64,
    /// The page.
    pub url: String,
    /// The node that asks for it.
    pub from: u16,
    /// When it began.
    pub start: Time,
    /// What curl said, where it did the fetch: status, bytes, its error.
    pub curl: Option<(u16, u64, String)>,
    /// It was not over when the story was told.
    pub unfinished: bool,
    /// The lab was paused meanwhile.
    pub paused: bool,
}

/// A part of a story.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "item")]
pub enum Item {
    /// A stage begins.
    Stage {
        /// Its title.
        title: String,
    },
    /// A part of a stage begins.
    Part {
        /// Its title.
        title: String,
    },
    /// A sentence.
    Line {
        /// The sentence.
        text: String,
        /// The packet that it is about.
        packet: Option<u64>,
    },
    /// A packet's stay at a node.
    Hop(Box<HopView>),
    /// A table.
    Table {
        /// Column heads.
        head: Vec<String>,
        /// Rows.
        rows: Vec<Vec<String>>,
    },
    /// What it came to.
    Verdict {
        /// The page came.
        good: bool,
        /// In a line.
        text: String,
    },
}

/// A story.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Its language.
    pub lang: Lang,
    /// Its parts, in order; the verdict is the last.
    pub items: Vec<Item>,
}

impl Story {
    /// Tells a journey.
    pub fn tell(c: &Collector, about: &About, lang: Lang) -> Story {
        let mut t = Teller { c, about, lang, items: Vec::new(), seen: find::all(c, lang, about.journey) };
        t.stages();
        t.mtu();
        t.losses();
        t.verdict();
        Story { lang, items: t.items }
    }

    /// Tells one packet's way.
    pub fn of_packet(c: &Collector, id: u64, start: Time, lang: Lang) -> Option<Story> {
        let p = c.packets.get(&id).filter(|p| !p.sights.is_empty())?;
        let about = About {
            journey: p.journey.unwrap_or(0),
            url: String::new(),
            from: p.node,
            start,
            curl: None,
            unfinished: false,
            paused: false,
        };
        let mut t = Teller { c, about: &about, lang, items: Vec::new(), seen: Vec::new() };
        let s = find::seen(c, lang, p);
        t.items.push(Item::Part { title: format!("#{id} {} {}", s.protocol, s.title) });
        if let Some(b) = p.because {
            t.line(lang.pick(format!("made because of packet {b}"), format!("패킷 {b} 때문에 만들어짐")), Some(b));
        }
        if let Some(a) = p.again {
            t.line(lang.pick(format!("copy of packet {a}"), format!("패킷 {a}의 재전송")), Some(a));
        }
        t.way(p);
        Some(Story { lang, items: t.items })
    }

    /// The last line.
    pub fn last(&self) -> Option<(bool, &str)> {
        match self.items.last() {
            Some(Item::Verdict { good, text }) => Some((*good, text)),
            _ => None,
        }
    }
}

/// What a story is told with.
struct Teller<'a> {
    c: &'a Collector,
    about: &'a About,
    lang: Lang,
    items: Vec<Item>,
    seen: Vec<Seen<'a>>,
}

impl Teller<'_> {
    fn line(&mut self, text: String, packet: Option<u64>) {
        self.items.push(Item::Line { text, packet });
    }

    fn part(&mut self, en: &str, ko: &str) {
        let title = self.lang.pick(en, ko).to_owned();
        self.items.push(Item::Part { title });
    }

    fn stage(&mut self, en: &str, ko: &str) {
        let title = self.lang.pick(en, ko).to_owned();
        self.items.push(Item::Stage { title });
    }

    fn name(&self, node: u16) -> &str {
        self.c.topology.name(node)
    }

    fn role(&self, node: u16) -> Option<&str> {
        self.c.topology.nodes.get(usize::from(node)).and_then(|n| n.role.as_deref())
    }
}

/// Where a packet ended: the node, or the cable by its ends.
pub fn place_of_end(c: &Collector, p: &crate::model::Packet, e: &crate::model::End) -> String {
    hop::place_of_end(c, p, e)
}

/// How a packet ended somewhere, in words.
pub fn ended_words(c: &Collector, lang: Lang, e: &crate::model::End) -> String {
    hop::ended(c, lang, e)
}

/// Milliseconds since the start, as a story shows them.
pub fn since(start: Time, t: Time) -> String {
    format!("{:.3} ms", t.since(start).as_secs_f64() * 1e3)
}
