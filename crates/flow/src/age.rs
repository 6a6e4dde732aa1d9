//! Deadlines of table entries, re-armed lazily: touching an entry costs nothing
//! here, and one that was touched is put back when its old deadline comes up.

use node::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Deadlines of entries with key `K`.
#[derive(Debug)]
pub struct Age<K> {
    heap: BinaryHeap<Reverse<(Time, K)>>,
}

impl<K: Ord> Default for Age<K> {
    fn default() -> Self {
        Age { heap: BinaryHeap::new() }
    }
}

impl<K: Ord> Age<K> {
    /// Notes a new entry, or an earlier deadline of an old one. Later deadlines
    /// need no call.
    pub fn insert(&mut self, at: Time, key: K) {
        self.heap.push(Reverse((at, key)));
    }

    /// The earliest noted deadline.
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((t, _))| *t)
    }

    /// A key whose noted deadline has come. `deadline` tells the entry's true
    /// one: a later one is noted and the search goes on; `None` (the entry is
    /// gone) is forgotten.
    pub fn expired(&mut self, now: Time, mut deadline: impl FnMut(&K) -> Option<Time>) -> Option<K> {
        while let Some(Reverse((t, _))) = self.heap.peek() {
            if *t > now {
                return None;
            }
            let Reverse((_, key)) = self.heap.pop()?;
            match deadline(&key) {
                Some(t) if t > now => self.heap.push(Reverse((t, key))),
                Some(_) => return Some(key),
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn touched_entries_live_on() {
        let t = Time::from_nanos;
        let mut age = Age::default();
        let mut real = HashMap::from([("a", t(10)), ("b", t(10)), ("c", t(5))]);
        for (k, v) in &real {
            age.insert(*v, *k);
        }
        real.insert("a", t(20));
        real.remove("c");
        assert_eq!(age.expired(t(12), |k| real.get(k).copied()), Some("b"));
        real.remove("b");
        assert_eq!(age.expired(t(12), |k| real.get(k).copied()), None);
        assert_eq!(age.next(), Some(t(20)));
        assert_eq!(age.expired(t(20), |k| real.get(k).copied()), Some("a"));
    }
}
