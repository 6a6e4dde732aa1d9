//! Stored responses, bounded by bytes (quick_cache, S3-FIFO): what is used least
//! goes first.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_cache_semantics::CachePolicy;
use node::{Cursor, Rows, Time};
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use std::rc::Rc;

/// A response and the rules of its use.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) policy: CachePolicy,
    pub(crate) status: StatusCode,
    /// The head as it came, hop-by-hop fields taken away.
    pub(crate) head: HeaderMap,
    pub(crate) body: Bytes,
}

/// Bytes that an entry costs besides its body.
const OVERHEAD: u64 = 1024;

#[derive(Clone)]
pub(crate) struct ByBytes;

impl Weighter<String, Rc<Stored>> for ByBytes {
    fn weight(&self, key: &String, v: &Rc<Stored>) -> u64 {
        (key.len() + v.body.len()) as u64 + OVERHEAD
    }
}

pub(crate) struct Store {
    cache: Cache<String, Rc<Stored>, ByBytes>,
    limit: u64,
    /// Responses that came, and that were taken away on purpose.
    came: u64,
    taken: u64,
}

impl Store {
    pub(crate) fn new(limit: u64) -> Store {
        let items = usize::try_from(limit / 16_384).unwrap_or(1024).clamp(64, 65_536);
        Store { cache: Cache::with_weighter(items, limit, ByBytes), limit, came: 0, taken: 0 }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Rc<Stored>> {
        self.cache.get(key).cloned()
    }

    pub(crate) fn put(&mut self, key: String, v: Stored) {
        self.came += u64::from(self.cache.peek(&key).is_none());
        self.cache.insert(key, Rc::new(v));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.taken += u64::from(self.cache.remove(key).is_some());
    }

    pub(crate) fn clear(&mut self) {
        self.taken += self.cache.len() as u64;
        self.cache.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Responses that had to make room for others.
    pub(crate) fn evicted(&self) -> u64 {
        self.came.saturating_sub(self.taken + self.cache.len() as u64)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn show(&self, from: Cursor, rows: &mut Rows) -> Option<Cursor> {
        rows.columns(&["url", "bytes", "age-s", "ttl-s", "state"]);
        let now = Time::monotonic().wall();
        rows.page(self.cache.iter(), from, |rows, (url, s)| {
            let ttl = s.policy.time_to_live(now).as_secs();
            let state = if s.policy.is_stale(now) { "stale" } else { "fresh" };
            rows.row([url.clone().into(), s.body.len().into(), s.policy.age(now).as_secs().into(), ttl.into(), state.into()]);
        })
    }
}
