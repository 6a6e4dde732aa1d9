//! Addresses for subscribers. A full pool refuses; an address that was given
//! back is used again last.

use node::Cidr;
use std::collections::{HashSet, VecDeque};
use std::net::Ipv4Addr;

#[derive(Debug)]
pub(crate) struct Pool {
    next: u32,
    last: u32,
    skip: HashSet<Ipv4Addr>,
    back: VecDeque<Ipv4Addr>,
    used: HashSet<Ipv4Addr>,
}

impl Pool {
    /// All host addresses of `prefix` but those of `skip`.
    pub(crate) fn new(prefix: Cidr, skip: impl IntoIterator<Item = Ipv4Addr>) -> Pool {
        let (first, last) = (u32::from(prefix.network()), u32::from(prefix.broadcast()));
        let (first, last) = if prefix.len < 31 { (first + 1, last - 1) } else { (first, last) };
        Pool { next: first, last, skip: skip.into_iter().collect(), back: VecDeque::new(), used: HashSet::new() }
    }

    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        while self.next <= self.last {
            let a = Ipv4Addr::from(self.next);
            self.next += 1;
            if !self.skip.contains(&a) && self.used.insert(a) {
                return Some(a);
            }
        }
        let a = self.back.pop_front()?;
        self.used.insert(a);
        Some(a)
    }

    /// A subscriber's fixed address, unless somebody has it.
    pub(crate) fn reserve(&mut self, a: Ipv4Addr) -> bool {
        self.used.insert(a)
    }

    pub(crate) fn give(&mut self, a: Ipv4Addr) {
        if self.used.remove(&a) && !self.skip.contains(&a) {
            self.back.push_back(a);
        }
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
        let prefix: Cidr = "203.0.113.0/29".parse().unwrap();
        let mut p = Pool::new(prefix, [Ipv4Addr::new(203, 0, 113, 1)]);
        let all: Vec<_> = std::iter::from_fn(|| p.take()).map(|a| a.octets()[3]).collect();
        assert_eq!(all, [2, 3, 4, 5, 6]);
        p.give(Ipv4Addr::new(203, 0, 113, 4));
        assert!(!p.reserve(Ipv4Addr::new(203, 0, 113, 5)));
        assert_eq!(p.take(), Some(Ipv4Addr::new(203, 0, 113, 4)));
        assert_eq!(p.take(), None);
    }
}
