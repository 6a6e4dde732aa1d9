//! PPP over Ethernet (RFC 2516, RFC 4638).

use crate::{be16, put16};

/// Bytes of the PPPoE header behind the Ethernet header.
pub const HEADER_LEN: usize = 6;
/// PPPoE header and the PPP protocol field: what a session adds to an IP packet.
pub const SESSION_OVERHEAD: usize = 8;

/// Discovery codes (RFC 2516 §5).
pub mod code {
    /// Session data.
    pub const SESSION: u8 = 0x00;
    /// Active Discovery Offer.
    pub const PADO: u8 = 0x07;
    /// Active Discovery Initiation.
    pub const PADI: u8 = 0x09;
    /// Active Discovery Request.
    pub const PADR: u8 = 0x19;
    /// Active Discovery Session-confirmation.
    pub const PADS: u8 = 0x65;
    /// Active Discovery Terminate.
    pub const PADT: u8 = 0xa7;
}

/// Tag types (RFC 2516 appendix A, RFC 4638 §3).
pub mod tag {
    /// End of the list.
    pub const END: u16 = 0x0000;
    /// The service that the client asks for; empty is "any".
    pub const SERVICE_NAME: u16 = 0x0101;
    /// The access concentrator's name.
    pub const AC_NAME: u16 = 0x0102;
    /// The client's own mark, echoed byte for byte.
    pub const HOST_UNIQ: u16 = 0x0103;
    /// The concentrator's proof against floods.
    pub const AC_COOKIE: u16 = 0x0104;
    /// Vendor-specific (TR-101 circuit-id rides here).
    pub const VENDOR: u16 = 0x0105;
    /// A relay's mark, echoed byte for byte.
    pub const RELAY_SESSION_ID: u16 = 0x0110;
    /// MRU above 1492, RFC 4638.
    pub const PPP_MAX_PAYLOAD: u16 = 0x0120;
    /// The service is not offered.
    pub const SERVICE_NAME_ERROR: u16 = 0x0201;
    /// The concentrator cannot serve now.
    pub const AC_SYSTEM_ERROR: u16 = 0x0202;
    /// Anything else, in words.
    pub const GENERIC_ERROR: u16 = 0x0203;
}

/// A PPPoE packet behind its Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// One of [`code`].
    pub code: u8,
    /// Session id; 0 in discovery until PADS.
    pub session: u16,
    /// Payload by the LENGTH field; Ethernet padding is left out.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` when version/type is not 0x11 or LENGTH runs
    /// past the frame.
    pub fn read(b: &'a [u8]) -> Option<Packet<'a>> {
        let h: &[u8; HEADER_LEN] = b.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([h[4], h[5]]));
        if h[0] != 0x11 {
            return None;
        }
        Some(Packet { code: h[1], session: u16::from_be_bytes([h[2], h[3]]), payload: b.get(HEADER_LEN..HEADER_LEN + len)? })
    }
}

/// Writes the 6-byte header for a payload of `len` bytes.
pub fn write_header(b: &mut [u8], code: u8, session: u16, len: usize) {
    b[0] = 0x11;
    b[1] = code;
    put16(b, 2, session);
    put16(b, 4, len as u16);
}

/// Walks discovery tags. Ends at End-Of-List or at a tag that runs past the
/// payload; [`Tags::broken`] tells which.
pub struct Tags<'a> {
    rest: &'a [u8],
    broken: bool,
}

impl<'a> Tags<'a> {
    /// Tags of a discovery payload.
    pub fn new(payload: &'a [u8]) -> Tags<'a> {
        Tags { rest: payload, broken: false }
    }

    /// The list ended in a tag that runs past the payload.
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// First tag of `kind`.
    pub fn find(payload: &'a [u8], kind: u16) -> Option<&'a [u8]> {
        Tags::new(payload).find(|(k, _)| *k == kind).map(|(_, v)| v)
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = (u16, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let tag = (|| {
            let kind = be16(self.rest, 0)?;
            let len = usize::from(be16(self.rest, 2)?);
            let value = self.rest.get(4..4 + len)?;
            Some((kind, value))
        })();
        match tag {
            Some((tag::END, _)) => {
                self.rest = &[];
                None
            }
            Some((kind, value)) => {
                self.rest = &self.rest[4 + value.len()..];
                Some((kind, value))
            }
            None => {
                self.rest = &[];
                self.broken = true;
                None
            }
        }
    }
}

/// Builds a discovery packet (header and tags).
pub struct Discovery(Vec<u8>);

impl Discovery {
    /// A packet without tags.
    pub fn new(code: u8, session: u16) -> Discovery {
        let mut v = vec![0; HEADER_LEN];
        write_header(&mut v, code, session, 0);
        Discovery(v)
    }

    /// Appends a tag; values beyond 1400 bytes are cut so that a PADO fits.
    #[must_use]
    pub fn tag(mut self, kind: u16, value: &[u8]) -> Discovery {
        let value = &value[..value.len().min(1400)];
        self.0.extend_from_slice(&kind.to_be_bytes());
        self.0.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Appends a tag if there is a value.
    #[must_use]
    pub fn maybe(self, kind: u16, value: Option<&[u8]>) -> Discovery {
        match value {
            Some(v) => self.tag(kind, v),
            None => self,
        }
    }

    /// The packet, with its LENGTH.
    pub fn finish(mut self) -> Vec<u8> {
        let len = self.0.len() - HEADER_LEN;
        put16(&mut self.0, 4, len as u16);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc2516_padi() {
        // RFC 2516 appendix B: a PADI asking for any service.
        let p = Discovery::new(code::PADI, 0).tag(tag::SERVICE_NAME, b"").finish();
        assert_eq!(p, [0x11, 0x09, 0, 0, 0, 4, 1, 1, 0, 0]);
    }

    #[test]
    fn broken_tags_are_said() {
        let mut t = Tags::new(&[1, 1, 0, 9, 1]);
        assert_eq!(t.next(), None);
        assert!(t.broken());
    }

    proptest! {
        #[test]
        fn tags_round_trip(tags in proptest::collection::vec((1u16.., proptest::collection::vec(any::<u8>(), 0..40)), 0..8), pad in 0usize..20) {
            let mut d = Discovery::new(code::PADR, 0);
            for (k, v) in &tags { d = d.tag(*k, v); }
            let mut b = d.finish();
            b.extend(std::iter::repeat_n(0xaa, pad));
            let p = Packet::read(&b).unwrap();
            let got: Vec<_> = Tags::new(p.payload).map(|(k, v)| (k, v.to_vec())).collect();
            prop_assert_eq!(got, tags);
        }

        #[test]
        fn no_panic(b in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(p) = Packet::read(&b) { let _ = Tags::new(p.payload).count(); }
        }
    }
}
