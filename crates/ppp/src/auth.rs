//! PAP (RFC 1334) and CHAP with MD5 (RFC 1994).

use md5::{Digest, Md5};

/// How a peer proves who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthProtocol {
    /// The password in clear.
    Pap,
    /// A hash of the password and a challenge.
    Chap,
}

impl AuthProtocol {
    pub(crate) fn option(self) -> &'static [u8] {
        match self {
            AuthProtocol::Pap => &[0xc0, 0x23],
            AuthProtocol::Chap => &[0xc2, 0x23, 5],
        }
    }

    pub(crate) fn read(value: &[u8]) -> Option<AuthProtocol> {
        [AuthProtocol::Pap, AuthProtocol::Chap].into_iter().find(|a| a.option() == value)
    }

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            AuthProtocol::Pap => "pap",
            AuthProtocol::Chap => "chap-md5",
        }
    }
}

/// What a peer showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Its password.
    Pap(Vec<u8>),
    /// Its response to a challenge.
    Chap {
        /// The challenge's identifier.
        id: u8,
        /// The challenge.
        challenge: Vec<u8>,
        /// The response.
        response: Vec<u8>,
    },
}

impl Proof {
    /// Whether it proves `password`.
    pub fn shows(&self, password: &str) -> bool {
        match self {
            Proof::Pap(p) => constant_time_eq(p, password.as_bytes()),
            Proof::Chap { id, challenge, response } => constant_time_eq(response, &chap_md5(*id, password.as_bytes(), challenge)),
        }
    }

    /// By which protocol.
    pub fn protocol(&self) -> AuthProtocol {
        match self {
            Proof::Pap(_) => AuthProtocol::Pap,
            Proof::Chap { .. } => AuthProtocol::Chap,
        }
    }
}

/// RFC 1994 §4.1: MD5 of identifier, secret and challenge.
pub(crate) fn chap_md5(id: u8, secret: &[u8], challenge: &[u8]) -> [u8; 16] {
    Md5::new().chain_update([id]).chain_update(secret).chain_update(challenge).finalize().into()
}

fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

/// Length-prefixed pieces of PAP and CHAP packets.
pub(crate) fn sized(b: &[u8]) -> Option<(&[u8], &[u8])> {
    let (n, rest) = b.split_first()?;
    rest.split_at_checked(usize::from(*n))
}

pub(crate) fn put_sized(v: &mut Vec<u8>, b: &[u8]) {
    let b = &b[..b.len().min(255)];
    v.push(b.len() as u8);
    v.extend_from_slice(b);
}

pub(crate) mod pap {
    pub(crate) const REQUEST: u8 = 1;
    pub(crate) const ACK: u8 = 2;
    pub(crate) const NAK: u8 = 3;
}

pub(crate) mod chap {
    pub(crate) const CHALLENGE: u8 = 1;
    pub(crate) const RESPONSE: u8 = 2;
    pub(crate) const SUCCESS: u8 = 3;
    pub(crate) const FAILURE: u8 = 4;
}
