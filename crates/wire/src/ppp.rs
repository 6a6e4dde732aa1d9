//! PPP protocol numbers and control packets (RFC 1661 §5, §6).

use crate::{be16, put16};

/// Protocol field values.
pub mod protocol {
    /// IPv4 datagrams (RFC 1332).
    pub const IPV4: u16 = 0x0021;
    /// IPv6 datagrams (RFC 5072).
    pub const IPV6: u16 = 0x0057;
    /// IP Control Protocol (RFC 1332).
    pub const IPCP: u16 = 0x8021;
    /// IPv6 Control Protocol (RFC 5072).
    pub const IPV6CP: u16 = 0x8057;
    /// Link Control Protocol.
    pub const LCP: u16 = 0xc021;
    /// Password Authentication Protocol (RFC 1334).
    pub const PAP: u16 = 0xc023;
    /// Challenge Handshake Authentication Protocol (RFC 1994).
    pub const CHAP: u16 = 0xc223;
}

/// A control packet: code, identifier and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// What it is: Configure-Request is 1, …
    pub code: u8,
    /// Matches answers to requests.
    pub id: u8,
    /// The bytes behind the 4-byte header, padding left out.
    pub data: &'a [u8],
}

impl<'a> Control<'a> {
    /// Reads a control packet behind the protocol field. `None` when the
    /// length field is below 4 or beyond what is there (RFC 1661 §5: such a
    /// packet is silently discarded).
    pub fn read(b: &'a [u8]) -> Option<Control<'a>> {
        let len = usize::from(be16(b, 2)?);
        Some(Control { code: b[0], id: b[1], data: b.get(4..len)? })
    }

    /// Protocol field and packet, ready for a PPPoE or L2TP payload.
    pub fn to_vec(&self, protocol: u16) -> Vec<u8> {
        let mut v = vec![0; 6 + self.data.len()];
        put16(&mut v, 0, protocol);
        v[2] = self.code;
        v[3] = self.id;
        put16(&mut v, 4, (4 + self.data.len()) as u16);
        v[6..].copy_from_slice(self.data);
        v
    }
}

/// Walks configuration options (RFC 1661 §5: type, length, data).
/// Yields `Err(())` once and stops if a length is impossible.
pub struct Options<'a>(pub &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), BadOption>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = (|| {
            let len = usize::from(*self.0.get(1)?);
            let value = self.0.get(2..len)?;
            Some((self.0[0], value, &self.0[len..]))
        })();
        match whole {
            Some((kind, value, rest)) => {
                self.0 = rest;
                Some(Ok((kind, value)))
            }
            None => {
                self.0 = &[];
                Some(Err(BadOption))
            }
        }
    }
}

/// An option whose length field is below 2 or runs past the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option length is impossible")]
pub struct BadOption;

/// Appends one option.
pub fn put_option(v: &mut Vec<u8>, kind: u8, value: &[u8]) {
    v.push(kind);
    v.push((2 + value.len()) as u8);
    v.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn control_round_trip(code in any::<u8>(), id in any::<u8>(), data in proptest::collection::vec(any::<u8>(), 0..64), pad in 0usize..8) {
            let c = Control { code, id, data: &data };
            let mut v = c.to_vec(protocol::LCP);
            v.extend(std::iter::repeat_n(0, pad));
            prop_assert_eq!(Control::read(&v[2..]), Some(c));
        }

        #[test]
        fn options_end(b in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(Options(&b).count() <= 41);
            let _ = Control::read(&b);
        }
    }
}
