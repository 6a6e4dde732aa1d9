//! Addresses for subscribers. A full pool refuses; an address that was given
//! back is used again last.

use node::Cidr;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::Ipv4Addr;

#[derive(Debug)]
struct Pool {
    prefix: Cidr,
    next: u32,
    last: u32,
    skip: HashSet<Ipv4Addr>,
    back: VecDeque<Ipv4Addr>,
}

impl Pool {
    /// All host addresses of `prefix` but those of `skip`.
    fn new(prefix: Cidr, skip: HashSet<Ipv4Addr>) -> Pool {
        let (first, last) = (u32::from(prefix.network()), u32::from(prefix.broadcast()));
        let (first, last) = if prefix.len < 31 { (first + 1, last - 1) } else { (first, last) };
        Pool { prefix, next: first, last, skip, back: VecDeque::new() }
    }

    fn take(&mut self, used: &HashSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        while self.next <= self.last {
            let a = Ipv4Addr::from(self.next);
            self.next += 1;
            if !self.skip.contains(&a) && !used.contains(&a) {
                return Some(a);
            }
        }
        // One that was given back may have been asked for by name since.
        std::iter::from_fn(|| self.back.pop_front()).find(|a| !used.contains(a))
    }
}

/// All pools of a server: one without a name, and those that RADIUS names.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pools: BTreeMap<String, Pool>,
    used: HashSet<Ipv4Addr>,
}

impl Pools {
    /// Adds a pool; the name of the usual one is empty. `skip` is not given.
    pub(crate) fn add(&mut self, name: &str, prefix: Cidr, skip: impl IntoIterator<Item = Ipv4Addr>) {
        self.pools.insert(name.to_owned(), Pool::new(prefix, skip.into_iter().collect()));
    }

    /// An address of a pool.
    pub(crate) fn take(&mut self, name: &str) -> Result<Ipv4Addr, String> {
        let Some(pool) = self.pools.get_mut(name) else {
            return Err(if name.is_empty() { "there is no pool here".into() } else { format!("there is no pool `{name}`") });
        };
        let a = pool.take(&self.used).ok_or("no address is free")?;
        self.used.insert(a);
        Ok(a)
    }

    /// A subscriber's fixed address, unless somebody has it.
    pub(crate) fn reserve(&mut self, a: Ipv4Addr) -> Result<Ipv4Addr, String> {
        if self.used.insert(a) { Ok(a) } else { Err("the subscriber's address is in use".into()) }
    }

    pub(crate) fn give(&mut self, a: Ipv4Addr) {
        if self.used.remove(&a)
            && let Some(p) = self.pools.values_mut().find(|p| p.prefix.contains(a))
            && !p.skip.contains(&a)
            && u32::from(a) < p.next
        {
            p.back.push_back(a);
        }
    }

    /// Only a subscriber may speak from this address.
    pub(crate) fn owns(&self, a: Ipv4Addr) -> bool {
        self.used.contains(&a) || self.pools.values().any(|p| p.prefix.contains(a))
    }

    pub(crate) fn used(&self) -> usize {
        self.used.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_once_and_again_when_returned() {
        let mut p = Pools::default();
        p.add("", "203.0.113.0/29".parse().unwrap(), [Ipv4Addr::new(203, 0, 113, 1)]);
        let all: Vec<_> = std::iter::from_fn(|| p.take("").ok()).map(|a| a.octets()[3]).collect();
        assert_eq!(all, [2, 3, 4, 5, 6]);
        p.give(Ipv4Addr::new(203, 0, 113, 4));
        assert!(p.reserve(Ipv4Addr::new(203, 0, 113, 5)).is_err());
        assert_eq!(p.take(""), Ok(Ipv4Addr::new(203, 0, 113, 4)));
        assert_eq!(p.take(""), Err("no address is free".into()));
        assert_eq!(p.take("gold"), Err("there is no pool `gold`".into()));
    }

    #[test]
    fn an_address_asked_for_by_name_is_not_given_again() {
        let mut p = Pools::default();
        p.add("", "10.0.0.0/30".parse().unwrap(), []);
        assert!(p.reserve([10, 0, 0, 2].into()).is_ok() && p.reserve([9, 9, 9, 9].into()).is_ok());
        assert_eq!(p.take(""), Ok([10, 0, 0, 1].into()));
        assert!(p.take("").is_err());
        p.give([10, 0, 0, 1].into());
        assert!(p.reserve([10, 0, 0, 1].into()).is_ok());
        assert!(p.take("").is_err());
        assert!(p.owns([9, 9, 9, 9].into()) && p.owns([10, 0, 0, 3].into()) && !p.owns([10, 0, 0, 4].into()));
    }
}
