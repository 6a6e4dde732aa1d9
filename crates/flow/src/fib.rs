//! The forwarding table: longest-prefix match (RFC 1812 §5.2.4.3).

use node::Cidr;
use prefix_trie::PrefixMap;
use serde::Deserialize;
use std::net::Ipv4Addr;

/// Where packets of a prefix go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Out of an interface; to `gateway`, or to the destination itself when the
    /// prefix is on the link.
    Interface {
        /// Index of the interface.
        index: usize,
        /// The next router, if the destination is not on the link.
        gateway: Option<Ipv4Addr>,
    },
    /// Into a link that needs no neighbour (a PPP session).
    Link(u32),
    /// Nowhere, on purpose.
    Blackhole,
}

/// A static route as the lab file writes it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct StaticRoute {
    /// The prefix.
    pub to: Cidr,
    /// The next router; it must be on a link of this node.
    #[serde(default)]
    pub via: Option<Ipv4Addr>,
    /// Drop instead.
    #[serde(default)]
    pub blackhole: bool,
}

/// A forwarding table.
#[derive(Debug)]
pub struct Fib {
    map: PrefixMap<(u32, u8), Route>,
}

impl Default for Fib {
    fn default() -> Self {
        Fib { map: PrefixMap::new() }
    }
}

impl Fib {
    /// Adds or replaces the route of a prefix; host bits are ignored.
    pub fn insert(&mut self, prefix: Cidr, route: Route) -> Option<Route> {
        self.map.insert((prefix.network().into(), prefix.len), route)
    }

    /// Takes the route of exactly this prefix away.
    pub fn remove(&mut self, prefix: Cidr) -> Option<Route> {
        self.map.remove(&(prefix.network().into(), prefix.len))
    }

    /// The route of the longest prefix that holds `dst`.
    #[inline]
    pub fn lookup(&self, dst: Ipv4Addr) -> Option<Route> {
        self.entry(dst).map(|(_, r)| r)
    }

    /// As [`Fib::lookup`], with the prefix that was chosen.
    #[inline]
    pub fn entry(&self, dst: Ipv4Addr) -> Option<(Cidr, Route)> {
        self.map.get_lpm(&(u32::from(dst), 32)).map(|((a, l), r)| (Cidr { addr: a.into(), len: l }, *r))
    }

    /// All routes in the order of their prefixes.
    pub fn iter(&self) -> impl Iterator<Item = (Cidr, Route)> + '_ {
        self.map.iter().map(|((a, l), r)| (Cidr { addr: a.into(), len: l }, *r))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_a_linear_search(routes in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..40), dsts in proptest::collection::vec(any::<u32>(), 1..40), take in any::<proptest::sample::Index>()) {
            let mut fib = Fib::default();
            let mut list: Vec<(Cidr, u32)> = Vec::new();
            for (i, (a, l)) in routes.iter().enumerate() {
                let c = Cidr { addr: (*a).into(), len: *l };
                fib.insert(c, Route::Link(i as u32));
                list.retain(|(d, _)| (d.network(), d.len) != (c.network(), c.len));
                list.push((c, i as u32));
            }
            if !list.is_empty() {
                let (c, _) = list.remove(take.index(list.len()));
                prop_assert!(fib.remove(c).is_some());
            }
            let near = routes.iter().map(|(a, _)| a ^ 1);
            for d in dsts.into_iter().chain(near) {
                let want = list.iter().filter(|(c, _)| c.contains(d.into())).max_by_key(|(c, _)| c.len).map(|(_, i)| Route::Link(*i));
                prop_assert_eq!(fib.lookup(d.into()), want);
            }
        }
    }
}
