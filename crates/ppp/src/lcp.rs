//! LCP's options (RFC 1661 §6).

use crate::auth::AuthProtocol;
use crate::machine::{Judgement, Negotiator};
use wire::ppp::{Options, protocol, put_option};

const MRU: u8 = 1;
const AUTH: u8 = 3;
const MAGIC: u8 = 5;

/// The smallest MRU that is accepted: IPv4's own minimum and room for options.
const LEAST_MRU: u16 = 128;

#[derive(Debug)]
pub(crate) struct LcpOptions {
    /// What we can receive.
    pub(crate) mru: u16,
    ask_mru: bool,
    /// Ours; 0 when the peer rejected it.
    pub(crate) magic: u32,
    /// What we ask the peer to prove itself by, best first.
    pub(crate) require: Vec<AuthProtocol>,
    /// The peer rejected authentication altogether.
    pub(crate) auth_refused: bool,
    /// What we can prove ourselves by, best first; empty for a server.
    pub(crate) can: Vec<AuthProtocol>,
    /// What the peer can receive.
    pub(crate) peer_mru: u16,
    pub(crate) peer_magic: u32,
    /// What the peer asks of us.
    pub(crate) peer_auth: Option<AuthProtocol>,
}

impl LcpOptions {
    pub(crate) fn new(mru: u16, magic: u32, require: Vec<AuthProtocol>, can: Vec<AuthProtocol>) -> Self {
        LcpOptions { mru, ask_mru: mru != 1500, magic, require, auth_refused: false, can, peer_mru: 1500, peer_magic: 0, peer_auth: None }
    }

    /// What the peer is to prove itself by.
    pub(crate) fn demanded(&self) -> Option<AuthProtocol> {
        self.require.first().copied()
    }
}

impl Negotiator for LcpOptions {
    const PROTOCOL: u16 = protocol::LCP;

    fn request(&self) -> Vec<u8> {
        let mut v = Vec::new();
        if self.ask_mru {
            put_option(&mut v, MRU, &self.mru.to_be_bytes());
        }
        if let Some(a) = self.demanded() {
            put_option(&mut v, AUTH, a.option());
        }
        if self.magic != 0 {
            put_option(&mut v, MAGIC, &self.magic.to_be_bytes());
        }
        v
    }

    fn judge(&mut self, options: &[u8], stubborn: bool) -> Judgement {
        let (mut nak, mut reject) = (Vec::new(), Vec::new());
        let (mut mru, mut magic, mut auth) = (1500, 0, None);
        for (kind, value) in Options(options).flatten() {
            match (kind, value) {
                (MRU, [h, l]) => {
                    mru = u16::from_be_bytes([*h, *l]);
                    if mru < LEAST_MRU {
                        put_option(&mut nak, MRU, &1492u16.to_be_bytes());
                    }
                }
                (MAGIC, [a, b, c, d]) => {
                    magic = u32::from_be_bytes([*a, *b, *c, *d]);
                    // §6.4: the same number as ours is our own packet, or chance.
                    if magic == self.magic && magic != 0 {
                        put_option(&mut nak, MAGIC, &magic.rotate_left(7).wrapping_add(1).to_be_bytes());
                    }
                }
                (AUTH, value) if !self.can.is_empty() => match AuthProtocol::read(value) {
                    Some(a) if self.can.contains(&a) => auth = Some(a),
                    _ => put_option(&mut nak, AUTH, self.can[0].option()),
                },
                _ => put_option(&mut reject, kind, value),
            }
        }
        if !reject.is_empty() {
            return Judgement::Reject(reject);
        }
        if !nak.is_empty() {
            return if stubborn { Judgement::Reject(options.to_vec()) } else { Judgement::Nak(nak) };
        }
        (self.peer_mru, self.peer_magic, self.peer_auth) = (mru, magic, auth);
        Judgement::Good
    }

    fn naked(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (MRU, [h, l]) => {
                let wanted = u16::from_be_bytes([*h, *l]);
                if (LEAST_MRU..=self.mru).contains(&wanted) {
                    self.mru = wanted;
                }
                self.ask_mru = true;
            }
            (MAGIC, _) => self.magic = self.magic.rotate_left(13).wrapping_mul(0x9e37_79b1) | 1,
            (AUTH, value) => {
                // §6.2: the peer names what it can; take it if we may.
                let wish = AuthProtocol::read(value).filter(|w| self.require.contains(w));
                match wish {
                    Some(w) => self.require.retain(|a| *a == w),
                    None if self.require.len() > 1 => {
                        self.require.remove(0);
                    }
                    None => {}
                }
            }
            _ => {}
        }
    }

    fn rejected(&mut self, kind: u8) {
        match kind {
            MRU => self.ask_mru = false,
            MAGIC => self.magic = 0,
            AUTH => self.auth_refused = true,
            _ => {}
        }
    }
}
