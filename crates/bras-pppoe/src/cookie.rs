//! AC-Cookie (RFC 2516 §5.5 and appendix A): the concentrator keeps nothing of a
//! PADI; the PADR must bring back what only it could have made.

use std::hash::{BuildHasher, RandomState};
use wire::Mac;

/// Makes and checks cookies with a key of this process's life.
#[derive(Debug)]
pub(crate) struct Cookies {
    key: u64,
    hasher: RandomState,
}

impl Cookies {
    pub(crate) fn new(key: u64) -> Cookies {
        Cookies { key, hasher: RandomState::new() }
    }

    /// The cookie for a subscriber's address on a port.
    pub(crate) fn make(&self, mac: Mac, port: u8) -> [u8; 16] {
        // SipHash is a keyed MAC; two of them make 128 bits.
        let one = self.hasher.hash_one((self.key, mac, port, 1u8));
        let two = self.hasher.hash_one((self.key, mac, port, 2u8));
        let mut c = [0; 16];
        c[..8].copy_from_slice(&one.to_be_bytes());
        c[8..].copy_from_slice(&two.to_be_bytes());
        c
    }

    pub(crate) fn is_good(&self, mac: Mac, port: u8, cookie: Option<&[u8]>) -> bool {
        cookie == Some(&self.make(mac, port)[..])
    }
}
