//! What a person may do to a link that runs.

use crate::lane::Lane;
use crate::settings::Direction;
use crate::{Cable, Link, both};
use node::config::{duration, rate};
use node::{CommandError, Cx, Reply};

/// What `set` knows, with an example of each.
const KEYS: &[(&str, &str)] = &[
    ("delay", "20ms"),
    ("jitter", "5ms"),
    ("loss", "1%"),
    ("rate", "10mbit"),
    ("reorder", "1%"),
    ("duplicate", "0.1%"),
    ("corrupt", "0.01%"),
    ("queue", "65536"),
    ("snr-db", "20"),
    ("seed", "7"),
];

fn refused<T>(text: impl Into<String>) -> Result<T, CommandError> {
    Err(CommandError::Refused(text.into()))
}

/// `1%` as a part of 1.
fn part(s: &str) -> Result<f64, String> {
    let bad = || format!("`{s}` is not a part (like 1% or 0.5%)");
    let n: f64 = s.strip_suffix('%').ok_or_else(bad)?.trim().parse().map_err(|_| bad())?;
    if (0.0..=100.0).contains(&n) { Ok(n / 100.0) } else { Err(bad()) }
}

/// One direction's settings with `words` (`delay 20ms loss 1%`) set; the rest stays.
/// The second value is a new seed.
pub(crate) fn set(mut d: Direction, words: &[String]) -> Result<(Direction, Option<u64>), String> {
    let mut seed = None;
    if words.is_empty() {
        let all: Vec<String> = KEYS.iter().map(|(k, e)| format!("{k} {e}")).collect();
        return Err(format!("set what? ({})", all.join(" ")));
    }
    for pair in words.chunks(2) {
        let [key, value] = pair else { return Err(format!("`{}` has no value", pair[0])) };
        let ns = |s: &str| duration::parse(s).map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        match key.as_str() {
            "delay" => d.delay_ns = ns(value)?,
            "jitter" => d.jitter_ns = ns(value)?,
            "loss" => d.loss = part(value)?,
            "reorder" => d.reorder = part(value)?,
            "duplicate" => d.duplicate = part(value)?,
            "corrupt" => d.corrupt = part(value)?,
            "rate" if value == "none" => d.rate_bps = 0,
            "rate" => d.rate_bps = rate::parse(value)?,
            "queue" => d.queue_bytes = value.parse().map_err(|_| format!("`{value}` is no number of bytes"))?,
            "snr-db" if value == "none" => d.snr_db = None,
            "snr-db" => {
                let db = value.parse().ok().filter(|d| (-20.0..=100.0).contains(d));
                d.snr_db = Some(db.ok_or_else(|| format!("`{value}` is no ratio in dB (-20 to 100)"))?);
            }
            "seed" => seed = Some(value.parse().map_err(|_| format!("`{value}` is no seed (a number)"))?),
            k => {
                let near = node::nearest(k, KEYS.iter().map(|(k, _)| *k)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                let all: Vec<&str> = KEYS.iter().map(|(k, _)| *k).collect();
                return Err(format!("a link has no `{k}`, expected one of: {}{near}", all.join(", ")));
            }
        }
    }
    Ok((d, seed))
}

impl Cable {
    pub(crate) fn act(&mut self, cx: &mut Cx<'_>, words: &[String]) -> Result<Reply, CommandError> {
        match words {
            [verb, rest @ ..] if verb == "attach" => self.attach(cx, rest),
            [end, verb, rest @ ..] => {
                let Some(i) = self.from(end) else { return refused(format!("no link of the cable begins at `{end}`")) };
                let to = self.ends(i).1.to_owned();
                match (verb.as_str(), rest) {
                    ("set", rest) => {
                        let (d, seed) = set(self.lanes[i].is, rest).map_err(CommandError::Refused)?;
                        if d.snr_db.is_some() && self.lanes[i].signal.is_none() {
                            return refused("this link has no medium: `snr-db` would do nothing; give it `medium` in the lab file");
                        }
                        self.lanes[i].is = d;
                        if let Some(s) = seed {
                            self.lanes[i].seed(s);
                        }
                        Ok(format!("{end} to {to}: {}", words_of(&self.lanes[i])))
                    }
                    ("off" | "on", []) => {
                        self.lanes[i].off = verb == "off";
                        Ok(format!("{end} to {to}: {}", words_of(&self.lanes[i])))
                    }
                    ("down" | "up", []) => {
                        for l in [i, i ^ 1] {
                            self.lanes[l].set_down(cx, verb == "down");
                        }
                        Ok(format!("{end} and {to}: the cable is {}", if verb == "down" { "unplugged" } else { "plugged in" }))
                    }
                    ("show", []) => {
                        Ok(format!("{end} to {to}: {}\n{to} to {end}: {}", words_of(&self.lanes[i]), words_of(&self.lanes[i ^ 1])))
                    }
                    _ => Err(CommandError::Unknown(words.join(" "))),
                }
            }
            _ => Err(CommandError::Unknown(words.join(" "))),
        }
    }

    /// `attach TAP TAP END END MTU SEED`: the lab has spliced a link.
    fn attach(&mut self, cx: &mut Cx<'_>, words: &[String]) -> Result<Reply, CommandError> {
        let [a, b, from, to, mtu, seed] = words else { return refused("attach TAP TAP END END MTU SEED") };
        let (Ok(mtu), Ok(seed)) = (mtu.parse(), seed.parse()) else { return refused("an MTU and a seed are numbers") };
        if self.from(from).is_some() || self.from(to).is_some() {
            return refused(format!("`{from}` or `{to}` is in the cable already"));
        }
        if self.lanes.len() + 2 > 256 {
            return refused("the cable carries 128 links at most");
        }
        let l = Link { ends: [from.clone(), to.clone()], directions: [Direction::default(); 2], seed, medium: None };
        for name in [a, b] {
            if cx.attach(name, mtu).is_none() {
                return refused("the cable carries 128 links at most");
            }
        }
        self.lanes.extend(both(&l));
        self.names.push(l.ends);
        Ok("attached".into())
    }
}

/// What a direction does, in words.
fn words_of(l: &Lane) -> String {
    let d = l.is;
    let mut v: Vec<String> = Vec::new();
    let ms = |ns: u64| format!("{}ms", ns as f64 / 1e6);
    let percent = |p: f64| format!("{}%", (p * 1e8).round() / 1e6);
    for (name, ns) in [("delay", d.delay_ns), ("jitter", d.jitter_ns)] {
        if ns > 0 {
            v.push(format!("{name} {}", ms(ns)));
        }
    }
    for (name, p) in [("loss", d.loss), ("reorder", d.reorder), ("duplicate", d.duplicate), ("corrupt", d.corrupt)] {
        if p > 0.0 {
            v.push(format!("{name} {}", percent(p)));
        }
    }
    if d.rate_bps > 0 {
        v.push(format!("rate {}kbit", d.rate_bps / 1000));
    }
    if d.queue_bytes > 0 {
        v.push(format!("queue {}", d.queue_bytes));
    }
    if let Some(s) = &l.signal {
        v.push(format!("medium {}", s.medium.name()));
    }
    if let Some(db) = d.snr_db {
        v.push(format!("snr-db {db}"));
    }
    let what = if v.is_empty() { "clean".to_owned() } else { v.join(" ") };
    match (l.down, l.off) {
        (true, _) => format!("down ({what})"),
        (_, true) => format!("off ({what})"),
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(s: &str) -> Vec<String> {
        s.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_set_leaves_alone_what_it_does_not_name() {
        let (d, _) =
            set(Direction::default(), &words("delay 20ms jitter 5ms loss 1% rate 10mbit reorder 1% duplicate 0.1% corrupt 0.01%")).unwrap();
        assert_eq!((d.delay_ns, d.jitter_ns, d.loss, d.rate_bps), (20_000_000, 5_000_000, 0.01, 10_000_000));
        let (e, seed) = set(d, &words("loss 0% seed 7")).unwrap();
        assert_eq!((e, seed), (Direction { loss: 0.0, ..d }, Some(7)));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, says) in [
            ("", "set what?"),
            ("dealy 20ms", "did you mean `delay`?"),
            ("delay", "has no value"),
            ("delay 20", "is not a time"),
            ("loss 120%", "is not a part"),
            ("rate fast", "is not a rate"),
            ("seed x", "is no seed"),
        ] {
            let e = set(Direction::default(), &words(text)).expect_err(text);
            assert!(e.contains(says), "{text}: {e}");
        }
    }
}
