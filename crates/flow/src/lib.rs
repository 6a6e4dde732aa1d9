//! What forwarders share: forwarding table, neighbours, ICMP errors, fragments,
//! address translation, connection tracking, and [`IpHop`], which puts them
//! together into an IPv4 hop.

#![forbid(unsafe_code)]

pub mod age;
pub mod bridge;
pub mod conntrack;
pub mod fib;
pub mod frag;
pub mod hop;
pub mod icmp;
pub mod nat;
mod nat_icmp;
pub mod neighbour;
pub mod reset;
pub mod tcp_state;
pub mod timers;
pub mod tuple;

pub use fib::{Fib, Route};
pub use hop::{Interface, IpHop, Links, NoLinks, Packet};
pub use neighbour::Neighbours;
pub use tuple::{Flow, Tuple};
