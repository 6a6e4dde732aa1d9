//! A story as text for a terminal.

use crate::diff::Compared;
use crate::story::{HopView, Item, Story};
use std::fmt::Write as _;

/// How to write it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// A line a hop.
    pub brief: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// What changed: in colour, or between marks.
    fn changed(self, text: &str) -> String {
        if self.colour { self.paint("1;33", text) } else { format!("«{text}»") }
    }
}

/// Writes a story.
pub fn write(story: &Story, s: Style) -> String {
    let mut out = String::new();
    for i in &story.items {
        match i {
            Item::Stage { title } => {
                let _ = write!(out, "\n{}\n", s.paint("1;36", title));
            }
            Item::Part { title } => {
                let _ = write!(out, "\n  {}\n", s.paint("1", title));
            }
            Item::Line { text, .. } => {
                let _ = writeln!(out, "    {text}");
            }
            Item::Hop(h) => hop(&mut out, h, s),
            Item::Table { head, rows } => table(&mut out, head, rows),
            Item::Verdict { good, text } => {
                let mark = if *good { s.paint("1;32", "✓") } else { s.paint("1;31", "✗") };
                let _ = write!(out, "\n{mark} {text}\n");
            }
        }
    }
    out
}

fn ms(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e6)
}

fn hop(out: &mut String, h: &HopView, s: Style) {
    let ports = match (&h.came, h.left.is_empty()) {
        (Some(i), false) => format!(" {i} → {}", h.left.join(", ")),
        (Some(i), true) => format!(" {i}"),
        (None, false) => format!(" → {}", h.left.join(", ")),
        (None, true) => String::new(),
    };
    let frames = |(n, b): (usize, usize)| if n > 1 { format!("{n} × {b} B") } else { format!("{b} B") };
    let size = match (h.r#in.0, h.out.0) {
        (0, _) => frames(h.out),
        (_, 0) => frames(h.r#in),
        _ if h.r#in == h.out => frames(h.r#in),
        _ => format!("{} → {}", frames(h.r#in), frames(h.out)),
    };
    let head = format!("    {}  {} {}{ports}  {size}", s.paint("2", &format!("+{} ms", ms(h.at))), s.paint("1;35", &h.node), h.device);
    if s.brief {
        let mut all: Vec<&str> = h.why.iter().chain(&h.waited).map(String::as_str).collect();
        all.extend(h.ended.as_deref());
        let _ = writeln!(out, "{head}{}{}", if all.is_empty() { "" } else { "  · " }, all.join("; "));
        return;
    }
    let _ = writeln!(out, "{head}");
    // A cable and a hub change nothing: one line of headers is enough.
    let same = h.changes.is_empty() && !h.before.iter().chain(&h.after).any(|c| c.alone);
    if !h.before.is_empty() && !same {
        let _ = writeln!(out, "        {} {}", s.paint("2", "in "), headers(&h.before, h.after.is_empty(), "31", s));
    }
    if !h.after.is_empty() {
        let mark = if same && !h.before.is_empty() { "   " } else { "out" };
        let _ = writeln!(out, "        {} {}", s.paint("2", mark), headers(&h.after, h.before.is_empty(), "32", s));
    } else if same && !h.before.is_empty() {
        let _ = writeln!(out, "        {} {}", s.paint("2", "in "), headers(&h.before, true, "31", s));
    }
    for w in h.why.iter().chain(&h.waited) {
        let _ = writeln!(out, "        · {w}");
    }
    for (c, why) in &h.changes {
        // Sums follow every change; that is said once, by the causes.
        if c.field == "checksum" || c.field == "length" || c.field == "id" {
            continue;
        }
        let why = why.as_ref().map(|w| s.paint("2", &format!("  ({w})"))).unwrap_or_default();
        let _ = writeln!(out, "        Δ {} {} {} → {}{why}", c.layer, c.field, c.from, s.changed(&c.to));
    }
    if let Some(e) = &h.ended {
        let _ = writeln!(out, "        {} {e}", if h.lost { s.paint("1;31", "✗") } else { "·".to_owned() });
    }
}

fn headers(list: &[Compared], alone: bool, colour: &str, s: Style) -> String {
    let one = |c: &Compared| {
        let fields: Vec<String> = c
            .brief
            .iter()
            .map(|(n, v, changed)| {
                let v = if *changed { s.changed(v) } else { v.clone() };
                if *n == "line" || *n == "packet" { v } else { format!("{n} {v}") }
            })
            .collect();
        let name = if c.alone && !alone {
            s.paint(colour, &format!("{}{}", if colour == "32" { "+" } else { "-" }, c.name))
        } else {
            c.name.to_owned()
        };
        format!("{name} {}", fields.join(" ")).trim_end().to_owned()
    };
    list.iter().map(one).collect::<Vec<_>>().join(" │ ")
}

/// Columns that a text takes: Korean letters take two.
fn width(t: &str) -> usize {
    t.chars().map(|c| if matches!(c as u32, 0x1100..=0x115f | 0x2e80..=0xd7a3 | 0xf900..=0xfaff | 0xff00..=0xff60) { 2 } else { 1 }).sum()
}

fn table(out: &mut String, head: &[String], rows: &[Vec<String>]) {
    let all: Vec<&Vec<String>> = rows.iter().collect();
    let w = |i: usize| all.iter().filter_map(|r| r.get(i)).chain(head.get(i)).map(|c| width(c)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(w).collect();
    let mut line = |r: &[String]| {
        let cells: Vec<String> = r.iter().zip(&widths).map(|(c, w)| format!("{c}{}", " ".repeat(w - width(c)))).collect();
        let _ = writeln!(out, "    {}", cells.join("  ").trim_end());
    };
    line(head);
    rows.iter().for_each(|r| line(r));
}
