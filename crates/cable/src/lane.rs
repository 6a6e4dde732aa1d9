//! One direction of a link.

use crate::settings::Direction;
use crate::signal::Signal;
use node::{Cause, Cx, DropReason, Frame, PortId, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use wire::line::Medium;

const QUEUE_BYTES: usize = 256 * 1024;
/// Frames under way in one direction, whatever their delay.
const UNDER_WAY: usize = 4096;

pub(crate) struct Waiting {
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

pub(crate) struct Lane {
    pub(crate) is: Direction,
    /// Impairments are left out.
    pub(crate) off: bool,
    /// The cable is unplugged.
    pub(crate) down: bool,
    pub(crate) signal: Option<Box<Signal>>,
    rng: StdRng,
    /// When the line has sent all that waits for it.
    free_at: Time,
    /// The latest delivery in order.
    last: Time,
    pub(crate) waiting: BinaryHeap<Reverse<Waiting>>,
    order: u64,
    pub(crate) passed: u64,
    pub(crate) lost: u64,
}

impl Lane {
    pub(crate) fn new(is: Direction, medium: Option<Medium>, seed: u64) -> Lane {
        let rng = StdRng::seed_from_u64(seed);
        let signal = medium.map(|m| Box::new(Signal::new(m, seed)));
        Lane {
            is,
            off: false,
            down: false,
            signal,
            rng,
            free_at: Time::ZERO,
            last: Time::ZERO,
            waiting: BinaryHeap::new(),
            order: 0,
            passed: 0,
            lost: 0,
        }
    }

    fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && self.rng.random::<f64>() < p
    }

    /// In a word, for tables.
    pub(crate) fn state(&self) -> &'static str {
        match (self.down, self.off) {
            (true, _) => "down",
            (_, true) => "off",
            _ => "on",
        }
    }

    /// The same losses again from now on.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.rng = StdRng::seed_from_u64(seed);
    }

    /// Unplugs the cable, or plugs it in; what is under way is lost.
    pub(crate) fn set_down(&mut self, cx: &mut Cx<'_>, down: bool) {
        self.down = down;
        if down {
            for Reverse(w) in self.waiting.drain() {
                self.lost += 1;
                cx.drop(w.frame, DropReason::LinkDown);
            }
        }
    }

    pub(crate) fn take(&mut self, cx: &mut Cx<'_>, mut f: Frame) {
        if self.down {
            self.lost += 1;
            return cx.drop(f, DropReason::LinkDown);
        }
        let is = if self.off { Direction::default() } else { self.is };
        let medium = self.signal.as_ref().map_or(u64::MAX, |s| s.medium.rate());
        let rate = [is.rate_bps, medium].into_iter().filter(|r| *r > 0 && *r < u64::MAX).min().unwrap_or(0);
        if self.happens(is.loss) {
            self.lost += 1;
            return cx.drop(f, DropReason::LinkLoss);
        }
        let start = self.free_at.max(cx.now);
        if rate > 0 {
            let limit = if is.queue_bytes > 0 { is.queue_bytes } else { QUEUE_BYTES };
            let waits = start.since(cx.now).as_nanos() as u64;
            // Before a rate limit, bytes that wait are time that waits.
            if (u128::from(waits) * u128::from(rate) / 8_000_000_000) as usize + f.len() > limit.max(f.len()) {
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
        let sent = start + Duration::from_nanos((bits * 1_000_000_000).checked_div(rate).unwrap_or(0));
        self.free_at = sent;
        if let Some(s) = &mut self.signal {
            match s.cross(cx, f, is.snr_db) {
                Some(got) => f = got,
                None => {
                    self.lost += 1;
                    return;
                }
            }
        }
        if self.happens(is.corrupt) && !f.is_empty() {
            let bit = self.rng.random_range(0..f.len() * 8);
            f.data_mut()[bit / 8] ^= 1 << (bit % 8);
            cx.count("frames-corrupted");
        }
        if self.happens(is.duplicate)
            && let Some(c) = cx.copy(&f)
        {
            cx.count("frames-duplicated");
            cx.say(&c, || Cause::Duplicated);
            self.put(cx, c, sent, &is);
        }
        self.put(cx, f, sent, &is);
    }

    fn put(&mut self, cx: &mut Cx<'_>, frame: Frame, sent: Time, is: &Direction) {
        let jitter = is.jitter_ns;
        let base = is.delay_ns.saturating_sub(jitter);
        let extra = if jitter > 0 { self.rng.random_range(0..=2 * jitter) } else { 0 };
        let mut at = sent + Duration::from_nanos(base + extra);
        if self.happens(is.reorder) {
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

    pub(crate) fn release(&mut self, cx: &mut Cx<'_>, to: PortId) {
        while self.waiting.peek().is_some_and(|Reverse(w)| w.at <= cx.now) {
            let Some(Reverse(w)) = self.waiting.pop() else { return };
            self.passed += 1;
            let signalled = self.signal.is_some();
            cx.send(to, w.frame, || if signalled { Cause::Signalled } else { Cause::Impaired });
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.waiting.peek().map(|Reverse(w)| w.at)
    }
}
