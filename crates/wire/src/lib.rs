//! Codecs that `etherparse` does not have, and the checksum arithmetic that
//! in-place edits need. Nothing here keeps a protocol's state or panics on any
//! input: a decoder returns `Option` or `Result`.

#![forbid(unsafe_code)]

pub mod aal5;
pub mod atm;
pub mod checksum;
pub mod craft;
pub mod ether;
pub mod icmp;
pub mod ipv4;
pub mod l2tp;
pub mod line;
pub mod ppp;
pub mod pppoe;
pub mod rfc2684;
pub mod tcp;
pub mod udp;

pub use ether::Mac;

/// Big-endian `u16` at `at`, or `None` past the end.
pub fn be16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

/// Big-endian `u32` at `at`, or `None` past the end.
pub fn be32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_be_bytes());
}
