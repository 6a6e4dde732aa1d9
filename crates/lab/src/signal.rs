//! `lab signal`: a frame as levels on its medium, drawn in the terminal and as SVG.

use crate::file::parse;
use crate::link;
use crate::show;
use crate::state::Running;
use crate::validate::CABLE;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// One field of the frame, as the cable tells it.
#[derive(Deserialize)]
struct Field {
    field: String,
    bytes: usize,
    hex: String,
    #[serde(rename = "at-ns")]
    at: f64,
    #[serde(rename = "symbol-ns")]
    symbol: f64,
    sent: Vec<f32>,
    received: Vec<f32>,
    frame: Frame,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Frame {
    medium: String,
    whole: bool,
    age_ms: u64,
}

impl Field {
    fn per_byte(&self) -> usize {
        self.sent.len() / self.bytes.max(1)
    }

    /// Its first bytes in hexadecimal.
    fn hex_of(&self, n: usize) -> impl Iterator<Item = &str> {
        (0..n.min(self.bytes)).filter_map(|i| self.hex.get(2 * i..2 * i + 2))
    }
}

/// Runs the command.
pub(crate) fn signal(r: &Running, port: &str, last: bool, svg: Option<&Path>, json: bool) -> Result<ExitCode> {
    let f = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let l = link::find(&f, r, port)?;
    if l.medium.is_none() {
        let with: Vec<&str> =
            f.links.iter().filter(|l| l.medium.is_some()).flat_map(|l| l.ends.iter().map(|e| e.get_ref().as_str())).collect();
        let list = if with.is_empty() { "no link of this lab has one".into() } else { format!("ports that have one: {}", with.join(", ")) };
        bail!("the link at `{port}` has no medium, so its frames are no signal; {list}");
    }
    let what = if last { format!("signal {port} last") } else { format!("signal {port}") };
    let rows = show::objects(&show::table(r, CABLE, &what)?);
    if json {
        println!("{rows:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let fields: Vec<Field> = serde_json::from_value(rows).context("the cable's answer")?;
    let Some(first) = fields.first() else { bail!("`{port}` has sent no frame yet") };
    let to = l.ends.iter().map(|e| e.get_ref().as_str()).find(|e| *e != port).unwrap_or("");
    let bytes: usize = fields.iter().map(|f| f.bytes).sum();
    let fate = if first.frame.whole { "received whole" } else { "damaged: its receiver dropped it" };
    let title =
        format!("{port} to {to}, {}: {bytes} bytes from preamble to FCS, {} ms ago, {fate}", first.frame.medium, first.frame.age_ms);
    if let Some(path) = svg {
        std::fs::write(path, draw_svg(&title, &fields)).with_context(|| path.display().to_string())?;
        println!("{title}\nwritten to {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let width = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(100);
    print!("{}", draw(&title, &fields, width));
    Ok(ExitCode::SUCCESS)
}

/// High, middle and low, one character a symbol.
fn level(l: f32) -> char {
    if l > 0.5 {
        '▀'
    } else if l < -0.5 {
        '▄'
    } else {
        '━'
    }
}

fn draw(title: &str, fields: &[Field], width: usize) -> String {
    const MARGIN: usize = 10;
    let mut out = format!("{title}\n(▀ high, ━ zero, ▄ low; one character is {} ns)\n\n", fields.first().map_or(0.0, |f| f.symbol));
    for f in fields {
        let per = f.per_byte().max(1);
        let n = (width.saturating_sub(MARGIN) / per).clamp(1, f.bytes.max(1));
        let more = if f.bytes > n { format!("  … {} more", f.bytes - n) } else { String::new() };
        let bytes = if f.bytes == 1 { "byte" } else { "bytes" };
        let _ = writeln!(out, "{:<MARGIN$}{} {bytes}, from {:.2} µs", f.field, f.bytes, f.at / 1e3);
        let hex: String = f.hex_of(n).map(|h| format!("{h:<per$}")).collect();
        let wave: String = f.sent.iter().take(n * per).map(|l| level(*l)).collect();
        let _ = writeln!(out, "{:MARGIN$}{}\n{:MARGIN$}{wave}{more}\n", "", hex.trim_end(), "");
    }
    out
}

const COLOURS: [&str; 8] = ["#8e8e93", "#5e5ce6", "#0a84ff", "#30b0c7", "#34c759", "#ff9f0a", "#a2845e", "#ff375f"];

fn draw_svg(title: &str, fields: &[Field]) -> String {
    const SYMBOL: usize = 5;
    const BYTES: usize = 12;
    const ROW: usize = 92;
    const LEFT: usize = 110;
    let widest = fields.iter().map(|f| f.per_byte() * f.bytes.min(BYTES)).max().unwrap_or(0);
    let (w, h) = ((LEFT + widest * SYMBOL + 130).max(32 + 9 * title.chars().count() + 9), 70 + fields.len() * ROW);
    let mut s = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" font-family=\"ui-monospace, monospace\" role=\"img\">\n<title>{t}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"16\" y=\"26\" font-size=\"15\" fill=\"#1c1c1e\">{t}</text>\n<text x=\"16\" y=\"46\" font-size=\"12\" fill=\"#636366\">coloured: as sent; grey: as received, with the medium's noise; one step is {} ns</text>\n",
        fields.first().map_or(0.0, |f| f.symbol),
        t = title.replace('&', "&amp;").replace('<', "&lt;"),
    );
    for (i, f) in fields.iter().enumerate() {
        let (top, colour) = (64 + i * ROW, COLOURS[i % COLOURS.len()]);
        let mid = top + 48;
        let per = f.per_byte();
        let n = f.bytes.min(BYTES);
        let _ = writeln!(
            s,
            "<g><text x=\"16\" y=\"{}\" font-size=\"14\" font-weight=\"bold\" fill=\"{colour}\">{}</text><text x=\"16\" y=\"{}\" font-size=\"11\" fill=\"#636366\">{} byte{}</text><text x=\"16\" y=\"{}\" font-size=\"11\" fill=\"#636366\">{:.2} µs</text>",
            mid - 8,
            f.field,
            mid + 8,
            f.bytes,
            if f.bytes == 1 { "" } else { "s" },
            mid + 22,
            f.at / 1e3
        );
        let _ = writeln!(s, "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{mid}\" y2=\"{mid}\" stroke=\"#d1d1d6\"/>", LEFT + n * per * SYMBOL);
        for (b, hex) in f.hex_of(n).enumerate() {
            let x = LEFT + b * per * SYMBOL;
            let _ = writeln!(
                s,
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\" stroke=\"#e5e5ea\"/><text x=\"{}\" y=\"{}\" font-size=\"11\" fill=\"#3a3a3c\" text-anchor=\"middle\">{hex}</text>",
                top + 8,
                mid + 30,
                x + per * SYMBOL / 2,
                top + 14
            );
        }
        for (levels, stroke, width) in [(&f.received, "#aeaeb2", 1.0), (&f.sent, colour, 2.0)] {
            let mut points = String::new();
            for (k, l) in levels.iter().take(n * per).enumerate() {
                let y = mid as f32 - 24.0 * l.clamp(-1.6, 1.6);
                let _ = write!(points, "{},{y:.1} {},{y:.1} ", LEFT + k * SYMBOL, LEFT + (k + 1) * SYMBOL);
            }
            let _ = writeln!(s, "<polyline fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" points=\"{}\"/>", points.trim_end());
        }
        if f.bytes > n {
            let x = LEFT + n * per * SYMBOL + 8;
            let _ = writeln!(s, "<text x=\"{x}\" y=\"{}\" font-size=\"11\" fill=\"#636366\">… {} more</text>", mid + 4, f.bytes - n);
        }
        s.push_str("</g>\n");
    }
    s.push_str("</svg>\n");
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, hex: &str, sent: Vec<f32>) -> Field {
        let frame = Frame { medium: "10base-t".into(), whole: true, age_ms: 3 };
        Field { field: name.into(), bytes: hex.len() / 2, hex: hex.into(), at: 0.0, symbol: 50.0, received: sent.clone(), sent, frame }
    }

    #[test]
    fn a_drawing_shows_levels_under_their_bytes() {
        let half = [-1.0, 1.0].repeat(8);
        let f = [field("SFD", "d5", half.clone()), field("MAC", "ffff", [half.clone(), half].concat())];
        let text = draw("t", &f, 30);
        assert!(text.contains("SFD       1 byte, from 0.00 µs\n          d5\n          ▄▀▄▀▄▀▄▀▄▀▄▀▄▀▄▀\n"), "{text}");
        assert!(text.contains("… 1 more"), "{text}");
        let svg = draw_svg("a < b", &f);
        assert!(svg.starts_with("<svg") && svg.contains("a &lt; b") && svg.matches("<polyline").count() == 4);
    }
}
