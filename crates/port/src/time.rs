//! The lab's one clock, which a person can stop.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Nanoseconds for which this process' clock stood.
static PAUSED: AtomicU64 = AtomicU64::new(0);
/// The time beyond which it does not go.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Nanoseconds of `CLOCK_MONOTONIC` less those for which the lab was paused: one
/// zero for every process of a lab. In tests, nanoseconds of a fake clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(u64);

/// How a lab's clock goes: what all its processes must agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClockState {
    /// Nanoseconds for which it stood until now.
    pub paused: u64,
    /// It stands when it has come here; `None`: it runs.
    pub limit: Option<Time>,
}

impl ClockState {
    /// Makes this process' clock go so.
    pub fn set(self) {
        PAUSED.store(self.paused, Ordering::Relaxed);
        LIMIT.store(self.limit.map_or(u64::MAX, |t| t.0), Ordering::Relaxed);
    }

    /// How this process' clock goes.
    pub fn get() -> ClockState {
        let limit = LIMIT.load(Ordering::Relaxed);
        ClockState { paused: PAUSED.load(Ordering::Relaxed), limit: (limit != u64::MAX).then_some(Time(limit)) }
    }

    /// The time now, on a clock that goes so.
    pub fn now(self) -> Time {
        let t = Time(raw().saturating_sub(self.paused));
        self.limit.map_or(t, |l| t.min(l))
    }

    /// The clock stands: it has come to its limit.
    pub fn stands(self) -> bool {
        self.limit.is_some_and(|l| self.now() >= l)
    }

    /// This clock, running on from where it stands.
    pub fn resumed(self) -> ClockState {
        ClockState { paused: raw().saturating_sub(self.now().0), limit: None }
    }

    /// When a time comes, in nanoseconds of `CLOCK_MONOTONIC`; `None` if the clock
    /// stands before.
    pub fn alarm(self, t: Time) -> Option<u64> {
        (self.limit.is_none_or(|l| t <= l)).then(|| t.0.saturating_add(self.paused))
    }
}

/// Nanoseconds of the Unix epoch's clock at the zero of [`raw`], as things are now.
pub fn epoch_of_raw() -> u64 {
    let wall = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    };
    // The read that was interrupted least is the truest.
    let best = (0..5).map(|_| {
        let (a, w, b) = (raw(), wall(), raw());
        (b - a, w.saturating_sub(a + (b - a) / 2))
    });
    best.min().map_or(0, |(_, o)| o)
}

/// `CLOCK_MONOTONIC` in nanoseconds, which never stands.
pub fn raw() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

impl Time {
    /// The zero of the clock.
    pub const ZERO: Time = Time(0);

    /// Reads this process' clock. Roles get time from `node`; this is its source.
    pub fn monotonic() -> Time {
        ClockState::get().now()
    }

    /// What a calendar on the lab's wall shows: the Unix epoch's clock, which stood
    /// whenever the lab was paused.
    pub fn wall(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(epoch_of_raw().saturating_add(self.0))
    }

    /// From nanoseconds.
    pub const fn from_nanos(ns: u64) -> Time {
        Time(ns)
    }

    /// Nanoseconds since the zero.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if it lies ahead.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_at_its_limit_and_goes_on_from_there() {
        let runs = ClockState::default();
        let at = runs.now();
        let stopped = ClockState { limit: Some(at), ..runs };
        assert!(stopped.stands() && stopped.now() == at && !runs.stands());
        assert_eq!(stopped.alarm(at + Duration::from_nanos(1)), None);
        assert_eq!(stopped.alarm(at), Some(at.nanos()));
        let again = stopped.resumed();
        assert!(again.now() >= at && again.now().since(at) < Duration::from_secs(5));
        assert_eq!(again.alarm(at), Some(at.nanos() + again.paused));
        assert!(!ClockState { limit: Some(at + Duration::from_secs(60)), ..runs }.stands());
    }
}
