//! L2TPv2 headers and attribute value pairs (RFC 2661 §3.1, §4.1).

use crate::{be16, put16};

/// The UDP port (§8.1).
pub const PORT: u16 = 1701;
/// Bytes of a control message's header.
pub const CONTROL_HEADER: usize = 12;
/// Bytes of an AVP's header.
pub const AVP_HEADER: usize = 6;

const T: u16 = 0x8000;
const L: u16 = 0x4000;
const S: u16 = 0x0800;
const O: u16 = 0x0200;
const P: u16 = 0x0100;

/// A message's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Control, not data.
    pub control: bool,
    /// The receiver's number of the tunnel.
    pub tunnel: u16,
    /// The receiver's number of the session; 0 in control messages of the tunnel.
    pub session: u16,
    /// Ns and Nr; control messages always have them.
    pub sequence: Option<(u16, u16)>,
    /// The data is urgent.
    pub priority: bool,
}

/// Why a message is discarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the header or its length field says.
    #[error("cut")]
    Truncated,
    /// Another version than 2: L2F is 1, L2TPv3 is 3.
    #[error("version {0}")]
    Version(u8),
    /// A control message without length or sequence, or with an offset (§3.1).
    #[error("control message with wrong flags")]
    Flags,
}

impl Header {
    /// Reads a message; its payload ends where the length field says.
    ///
    /// # Errors
    /// If it must be discarded.
    pub fn read(b: &[u8]) -> Result<(Header, &[u8]), Error> {
        let flags = be16(b, 0).ok_or(Error::Truncated)?;
        let version = (flags & 15) as u8;
        if version != 2 {
            return Err(Error::Version(version));
        }
        let control = flags & T != 0;
        // §3.1: for control messages L and S must be set, O must not.
        if control && flags & (L | S | O | P) != L | S {
            return Err(Error::Flags);
        }
        let mut at = 2;
        let mut take = || {
            at += 2;
            be16(b, at - 2).ok_or(Error::Truncated)
        };
        let length = if flags & L != 0 { Some(usize::from(take()?)) } else { None };
        let (tunnel, session) = (take()?, take()?);
        let sequence = if flags & S != 0 { Some((take()?, take()?)) } else { None };
        let offset = if flags & O != 0 { usize::from(take()?) } else { 0 };
        let end = length.unwrap_or(b.len());
        let payload = b.get(at + offset..end).ok_or(Error::Truncated)?;
        Ok((Header { control, tunnel, session, sequence, priority: flags & P != 0 }, payload))
    }

    /// Writes the header of a data message with `pad` bytes of offset before its
    /// payload (§3.1), and returns its bytes; `b` has room for 14 and the padding.
    pub fn write_with_offset(&self, b: &mut [u8], payload: usize, length: bool, pad: usize) -> usize {
        let n = self.len(length);
        self.write(b, payload + 2 + pad, length);
        let flags = be16(b, 0).unwrap_or(2) | O;
        put16(b, 0, flags);
        put16(b, n, pad as u16);
        b[n + 2..n + 2 + pad].fill(0);
        n + 2 + pad
    }

    /// Bytes of this header as [`Header::write`] makes it.
    pub fn len(&self, length: bool) -> usize {
        6 + 2 * usize::from(length || self.control) + 4 * usize::from(self.sequence.is_some() || self.control)
    }

    /// Writes the header before a payload of `payload` bytes; `length`: with the
    /// length field. `b` has [`Header::len`] bytes.
    pub fn write(&self, b: &mut [u8], payload: usize, length: bool) {
        let length = length || self.control;
        let sequence = self.sequence.or(self.control.then_some((0, 0)));
        let total = self.len(length) + payload;
        let mut flags = 2;
        for (set, bit) in [(self.control, T), (length, L), (sequence.is_some(), S), (self.priority, P)] {
            flags |= if set { bit } else { 0 };
        }
        let (ns, nr) = sequence.unwrap_or_default();
        let fields = [
            (true, flags),
            (length, total as u16),
            (true, self.tunnel),
            (true, self.session),
            (sequence.is_some(), ns),
            (sequence.is_some(), nr),
        ];
        for (i, (_, v)) in fields.iter().filter(|(there, _)| *there).enumerate() {
            put16(b, 2 * i, *v);
        }
    }
}

/// One attribute value pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Avp<'a> {
    /// Whoever does not know it must end the session or tunnel.
    pub mandatory: bool,
    /// The value is hidden by the tunnel's secret (§4.3).
    pub hidden: bool,
    /// 0 is the IETF.
    pub vendor: u16,
    /// Attribute type.
    pub kind: u16,
    /// Value, hidden or not.
    pub value: &'a [u8],
}

/// Walks the AVPs of a control message; `Err` once for a length that cannot be,
/// and the walk ends.
pub struct Avps<'a>(pub &'a [u8]);

/// An AVP whose length is below 6 or runs past the message (§4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("AVP length is impossible")]
pub struct BadAvp;

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, BadAvp>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let b = std::mem::take(&mut self.0);
        let one = (|| {
            let head = be16(b, 0)?;
            let len = usize::from(head & 0x3ff);
            let avp = Avp {
                mandatory: head & 0x8000 != 0,
                hidden: head & 0x4000 != 0,
                vendor: be16(b, 2)?,
                kind: be16(b, 4)?,
                value: b.get(AVP_HEADER..len)?,
            };
            Some((avp, &b[len..]))
        })();
        let Some((avp, rest)) = one else { return Some(Err(BadAvp)) };
        self.0 = rest;
        Some(Ok(avp))
    }
}

/// Appends an AVP; a value beyond what the length field can say is cut.
pub fn put_avp(v: &mut Vec<u8>, a: &Avp<'_>) {
    let value = &a.value[..a.value.len().min(0x3ff - AVP_HEADER)];
    let flags = if a.mandatory { 0x8000 } else { 0 } | if a.hidden { 0x4000 } else { 0 };
    v.extend((flags | (AVP_HEADER + value.len()) as u16).to_be_bytes());
    v.extend(a.vendor.to_be_bytes());
    v.extend(a.kind.to_be_bytes());
    v.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_zlb_as_rfc_2661_draws_it() {
        let h = Header { control: true, tunnel: 5, session: 0, sequence: Some((1, 2)), priority: false };
        let mut b = [0; CONTROL_HEADER];
        h.write(&mut b, 0, true);
        assert_eq!(b, [0xc8, 0x02, 0, 12, 0, 5, 0, 0, 0, 1, 0, 2]);
        assert_eq!(Header::read(&b), Ok((h, &[][..])));
    }

    #[test]
    fn data_with_offset_and_length_is_understood() {
        let b = [0x42, 0x02, 0, 14, 0, 1, 0, 2, 0, 2, 9, 9, 7, 8, 0xee];
        let (h, p) = Header::read(&b).unwrap();
        assert_eq!((h.tunnel, h.session, p), (1, 2, &[7, 8][..]));
    }

    #[test]
    fn what_must_be_discarded() {
        assert_eq!(Header::read(&[0xc8, 0x03, 0, 12]), Err(Error::Version(3)));
        assert_eq!(Header::read(&[0x80, 0x02, 0, 1, 0, 2]), Err(Error::Flags));
        assert_eq!(Header::read(&[0xc8, 0x02, 0, 99, 0, 5, 0, 0, 0, 1, 0, 2]), Err(Error::Truncated));
        assert_eq!(Avps(&[0, 3, 0, 0, 0, 0]).next(), Some(Err(BadAvp)));
    }

    proptest! {
        #[test]
        fn headers_round_trip(control in any::<bool>(), tunnel in any::<u16>(), session in any::<u16>(), seq in any::<Option<(u16, u16)>>(), length in any::<bool>(), n in 0usize..50) {
            let sequence = if control { Some(seq.unwrap_or((3, 4))) } else { seq };
            let h = Header { control, tunnel, session, sequence, priority: false };
            let mut b = vec![0; h.len(length)];
            h.write(&mut b, n, length);
            b.extend(vec![7; n]);
            let (back, p) = Header::read(&b).unwrap();
            prop_assert_eq!((back, p.len()), (h, n));
        }

        #[test]
        fn offsets_round_trip(tunnel in any::<u16>(), seq in any::<Option<(u16, u16)>>(), length in any::<bool>(), pad in 0usize..16, n in 0usize..50) {
            let h = Header { control: false, tunnel, session: 7, sequence: seq, priority: false };
            let mut b = vec![9; 14 + pad];
            let head = h.write_with_offset(&mut b, n, length, pad);
            b.truncate(head);
            b.extend(vec![7; n]);
            prop_assert_eq!(Header::read(&b), Ok((h, &vec![7; n][..])));
        }

        #[test]
        fn avps_round_trip(list in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<u16>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..8)) {
            let mut v = Vec::new();
            let avps: Vec<Avp<'_>> = list.iter().map(|(m, h, vendor, kind, value)| Avp { mandatory: *m, hidden: *h, vendor: *vendor, kind: *kind, value }).collect();
            for a in &avps { put_avp(&mut v, a); }
            prop_assert_eq!(Avps(&v).collect::<Result<Vec<_>, _>>().unwrap(), avps);
        }

        #[test]
        fn no_panic(b in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok((_, p)) = Header::read(&b) { prop_assert!(Avps(p).count() <= 21); }
        }
    }
}
