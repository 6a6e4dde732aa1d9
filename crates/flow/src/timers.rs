//! One exact deadline a key: for things whose deadline moves both ways.

use node::Time;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Deadlines by key.
#[derive(Debug)]
pub struct Timers<K> {
    by_time: BTreeSet<(Time, K)>,
    by_key: HashMap<K, Time>,
}

impl<K: Ord + Hash + Copy> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_time: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Ord + Hash + Copy> Timers<K> {
    /// Sets a key's deadline; `None` takes it away.
    pub fn set(&mut self, key: K, at: Option<Time>) {
        let old = match at {
            Some(t) => self.by_key.insert(key, t),
            None => self.by_key.remove(&key),
        };
        if old == at {
            return;
        }
        if let Some(o) = old {
            self.by_time.remove(&(o, key));
        }
        if let Some(t) = at {
            self.by_time.insert((t, key));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(t, _)| *t)
    }

    /// A key whose deadline has come; it has none any more.
    pub fn due(&mut self, now: Time) -> Option<K> {
        self.next().filter(|t| *t <= now)?;
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_move_both_ways_and_go() {
        let t = Time::from_nanos;
        let mut timers = Timers::default();
        for (k, at) in [('a', 10), ('b', 20), ('c', 5)] {
            timers.set(k, Some(t(at)));
        }
        timers.set('a', Some(t(30)));
        timers.set('b', Some(t(8)));
        timers.set('c', None);
        assert_eq!((timers.next(), timers.due(t(7))), (Some(t(8)), None));
        assert_eq!((timers.due(t(9)), timers.due(t(9)), timers.due(t(30)), timers.next()), (Some('b'), None, Some('a'), None));
    }
}
