//! Links with impairment: what goes in at one port comes out at its partner's,
//! later, fewer, or damaged.
//!
//! Ports come in pairs (0 and 1, 2 and 3, …), a pair a link; each direction has
//! its own settings, queue and seeded randomness. A full queue drops the newest
//! frame (`queue-full`).

#![forbid(unsafe_code)]

use node::{Burst, Cause, Cursor, Cx, DropReason, Element, Event, Frame, PortId, Query, QueryError, Rows, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What one direction of a link does.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Direction {
    /// Nanoseconds that each frame takes.
    pub delay_ns: u64,
    /// Up to this much more or less, drawn a frame; order is kept unless
    /// `reorder` says otherwise.
    pub jitter_ns: u64,
    /// Bits a second; 0 is no limit.
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
}

/// The settings: every impaired link of the lab.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// In the order of the port pairs.
    #[serde(default)]
    pub links: Vec<Link>,
}

const QUEUE_BYTES: usize = 256 * 1024;
/// Frames under way in one direction, whatever their delay.
const UNDER_WAY: usize = 4096;

struct Waiting {
    at: Time,
    order: u64,
    frame: Frame,
}

impl PartialEq for Waiting {
    fn eq(&self, o: &Self) -> bool {
        (self.at, self.order) == (o.at, o.order)
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Waiting {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(o.at, o.order))
    }
}

struct Lane {
    is: Direction,
    rng: StdRng,
    /// When the line has sent all that waits for it.
    free_at: Time,
    /// The latest delivery in order.
    last: Time,
    waiting: BinaryHeap<Reverse<Waiting>>,
    order: u64,
    passed: u64,
    lost: u64,
}

impl Lane {
    fn new(is: Direction, seed: u64) -> Lane {
        let rng = StdRng::seed_from_u64(seed);
        Lane { is, rng, free_at: Time::ZERO, last: Time::ZERO, waiting: BinaryHeap::new(), order: 0, passed: 0, lost: 0 }
    }

    fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && self.rng.random::<f64>() < p
    }

    fn take(&mut self, cx: &mut Cx<'_>, mut f: Frame) {
        if self.happens(self.is.loss) {
            self.lost += 1;
            return cx.drop(f, DropReason::LinkLoss);
        }
        let start = self.free_at.max(cx.now);
        if self.is.rate_bps > 0 {
            let limit = if self.is.queue_bytes > 0 { self.is.queue_bytes } else { QUEUE_BYTES };
            let waits = start.since(cx.now).as_nanos() as u64;
            // Before a rate limit, bytes that wait are time that waits.
            if (u128::from(waits) * u128::from(self.is.rate_bps) / 8_000_000_000) as usize + f.len() > limit.max(f.len()) {
                self.lost += 1;
                return cx.drop(f, DropReason::QueueFull);
            }
        }
        if self.waiting.len() >= UNDER_WAY {
            self.lost += 1;
            return cx.drop(f, DropReason::QueueFull);
        }
        // 24 bytes of preamble, FCS and gap belong to a frame on the wire.
        let bits = (f.len() as u64 + 24) * 8;
        let sent = start + Duration::from_nanos((bits * 1_000_000_000).checked_div(self.is.rate_bps).unwrap_or(0));
        self.free_at = sent;
        if self.happens(self.is.corrupt) && !f.is_empty() {
            let bit = self.rng.random_range(0..f.len() * 8);
            f.data_mut()[bit / 8] ^= 1 << (bit % 8);
            cx.count("frames-corrupted");
        }
        if self.happens(self.is.duplicate)
            && let Some(c) = cx.copy(&f)
        {
            cx.count("frames-duplicated");
            self.put(cx, c, sent);
        }
        self.put(cx, f, sent);
    }

    fn put(&mut self, cx: &mut Cx<'_>, frame: Frame, sent: Time) {
        let jitter = self.is.jitter_ns;
        let base = self.is.delay_ns.saturating_sub(jitter);
        let extra = if jitter > 0 { self.rng.random_range(0..=2 * jitter) } else { 0 };
        let mut at = sent + Duration::from_nanos(base + extra);
        if self.happens(self.is.reorder) {
            // It overtakes: sent at once, as netem's reorder does.
            at = sent;
            cx.count("frames-reordered");
        } else {
            at = at.max(self.last);
            self.last = at;
        }
        self.order += 1;
        cx.hold(&frame, || Cause::Queued);
        self.waiting.push(Reverse(Waiting { at, order: self.order, frame }));
    }

    fn release(&mut self, cx: &mut Cx<'_>, to: PortId) {
        while self.waiting.peek().is_some_and(|Reverse(w)| w.at <= cx.now) {
            let Some(Reverse(w)) = self.waiting.pop() else { return };
            self.passed += 1;
            cx.send(to, w.frame, || Cause::Impaired);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.waiting.peek().map(|Reverse(w)| w.at)
    }
}

/// All impaired links of a lab.
pub struct Cable {
    names: Vec<[String; 2]>,
    /// By the port at which a direction begins.
    lanes: Vec<Lane>,
}

impl Cable {
    /// Links in the order of the port pairs.
    pub fn new(settings: &Settings) -> Cable {
        let mut lanes = Vec::new();
        for l in &settings.links {
            lanes.push(Lane::new(l.directions[0], l.seed.wrapping_mul(2)));
            lanes.push(Lane::new(l.directions[1], l.seed.wrapping_mul(2) + 1));
        }
        Cable { names: settings.links.iter().map(|l| l.ends.clone()).collect(), lanes }
    }
}

impl Element for Cable {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        while let Some(f) = burst.take() {
            match self.lanes.get_mut(usize::from(port.0)) {
                Some(l) => l.take(cx, f),
                None => cx.drop(f, DropReason::LinkDown),
            }
        }
        if let Some(l) = self.lanes.get_mut(usize::from(port.0)) {
            l.release(cx, PortId(port.0 ^ 1));
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        for (i, l) in self.lanes.iter_mut().enumerate() {
            l.release(cx, PortId(i as u8 ^ 1));
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.lanes.iter().filter_map(Lane::deadline).min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        &[("links", "each direction of each impaired link")]
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        if q.what != "links" {
            return Err(QueryError::Unknown(q.what.clone()));
        }
        rows.columns(&[
            "from",
            "to",
            "delay-ms",
            "jitter-ms",
            "rate-kbit",
            "loss",
            "reorder",
            "duplicate",
            "corrupt",
            "waiting",
            "passed",
            "lost",
        ]);
        Ok(rows.page(self.lanes.iter().enumerate(), from, |rows, (i, l)| {
            let [a, b] = &self.names[i / 2];
            let (a, b) = if i % 2 == 0 { (a, b) } else { (b, a) };
            rows.row([
                a.as_str().into(),
                b.as_str().into(),
                (l.is.delay_ns as f64 / 1e6).into(),
                (l.is.jitter_ns as f64 / 1e6).into(),
                (l.is.rate_bps / 1000).into(),
                l.is.loss.into(),
                l.is.reorder.into(),
                l.is.duplicate.into(),
                l.is.corrupt.into(),
                l.waiting.len().into(),
                l.passed.into(),
                l.lost.into(),
            ]);
        }))
    }
}

/// Builds the role.
///
/// # Errors
/// Never.
pub fn build(s: node::role::Setup<Settings>) -> anyhow::Result<node::role::Role<Cable>> {
    Ok(node::role::Role::forwarder(Cable::new(&s.settings)))
}
