//! AAL5 (ITU-T I.363.5): an SDU with padding and trailer in cells of 48 bytes.
//!
//! ```text
//! SDU │ pad 0–47 │ UU │ CPI │ length, 2 bytes │ CRC-32
//! ```

use crate::atm::{CARRIED, Header, PAYLOAD};
use crate::{be16, be32};
use crc::{CRC_32_BZIP2, Crc, Table};

/// Bytes of the trailer.
pub const TRAILER: usize = 8;

// I.363.5 §9.2.1.2 f: generator 0x04c11db7, first bit first, all ones before, complemented after.
const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_BZIP2);

/// Cells that an SDU of `len` bytes takes.
pub const fn cells(len: usize) -> usize {
    (len + TRAILER).div_ceil(PAYLOAD)
}

/// Appends the cells of an SDU, each as a frame carries it. `header`'s payload
/// type is set for the last one. An SDU has at most 65 535 bytes.
pub fn segment(header: Header, sdu: &[u8], out: &mut Vec<u8>) {
    let n = cells(sdu.len());
    let mut pdu = vec![0; n * PAYLOAD];
    pdu[..sdu.len()].copy_from_slice(sdu);
    let at = pdu.len() - 6;
    crate::put16(&mut pdu, at, sdu.len() as u16);
    let end = pdu.len() - 4;
    let crc = CRC.checksum(&pdu[..end]);
    pdu[end..].copy_from_slice(&crc.to_be_bytes());
    let more = Header { pti: header.pti & 6, ..header }.to_bytes();
    let last = Header { pti: header.pti & 6 | 1, ..header }.to_bytes();
    out.reserve(n * CARRIED);
    for (i, payload) in pdu.chunks_exact(PAYLOAD).enumerate() {
        out.extend_from_slice(if i + 1 == n { &last } else { &more });
        out.extend_from_slice(payload);
    }
}

/// Why a PDU is not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The CRC-32 is wrong: a cell was lost or damaged.
    #[error("CRC-32 is wrong")]
    Crc,
    /// The length field does not fit the cells.
    #[error("length does not fit the cells")]
    Length,
    /// Length 0: the sender gave the PDU up (I.363.5 §9.2.1.2 e).
    #[error("aborted by its sender")]
    Abort,
    /// No end came within the longest SDU that is accepted.
    #[error("longer than what is accepted")]
    TooLong,
}

/// The SDU of a PDU that came whole.
///
/// # Errors
/// What is wrong with it.
pub fn check(pdu: &[u8]) -> Result<&[u8], Error> {
    let end = pdu.len().checked_sub(TRAILER).ok_or(Error::Length)?;
    if be32(pdu, end + 4) != Some(CRC.checksum(&pdu[..end + 4])) {
        return Err(Error::Crc);
    }
    let len = usize::from(be16(pdu, end + 2).unwrap_or(0));
    match len {
        0 => Err(Error::Abort),
        _ if len <= end && cells(len) * PAYLOAD == pdu.len() => Ok(&pdu[..len]),
        _ => Err(Error::Length),
    }
}

/// One channel's reassembly: its cells in order, one PDU at a time.
#[derive(Clone, Debug, Default)]
pub struct Reassembler {
    pdu: Vec<u8>,
    cells: usize,
    whole: bool,
    overlong: bool,
}

impl Reassembler {
    /// Takes a user cell's payload. At the end of a PDU: its SDU and cells, or
    /// what is wrong with it. `longest` SDU bytes are accepted.
    pub fn push(&mut self, end: bool, payload: &[u8], longest: usize) -> Option<Result<&[u8], Error>> {
        if std::mem::take(&mut self.whole) {
            self.pdu.clear();
            self.cells = 0;
        }
        self.cells += 1;
        if self.pdu.len() + payload.len() > cells(longest) * PAYLOAD {
            self.pdu.clear();
            self.overlong = true;
        }
        self.pdu.extend_from_slice(payload);
        if !end {
            return None;
        }
        self.whole = true;
        if std::mem::take(&mut self.overlong) {
            return Some(Err(Error::TooLong));
        }
        Some(check(&self.pdu))
    }

    /// Cells of the PDU that ended last, or is under way.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Forgets what is under way: the line broke off.
    pub fn reset(&mut self) {
        *self = Reassembler::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crc_of(sdu: &[u8]) -> u32 {
        let mut v = Vec::new();
        segment(Header::default(), sdu, &mut v);
        be32(&v, v.len() - 4).unwrap()
    }

    #[test]
    fn crc_of_i_363_5() {
        // I.363.5 appendix III: SDUs of 40 octets.
        assert_eq!(crc_of(&[0; 40]), 0x864d_7f99);
        assert_eq!(crc_of(&[0xff; 40]), 0xc55e_457a);
        let counting: Vec<u8> = (1..=40).collect();
        assert_eq!(crc_of(&counting), 0xbf67_1ed0);
    }

    #[test]
    fn forty_bytes_fill_one_cell() {
        assert_eq!([cells(0), cells(40), cells(41), cells(88), cells(1524), cells(1532)], [1, 1, 2, 2, 32, 33]);
    }

    fn run(cells: &[u8], r: &mut Reassembler) -> Vec<Result<Vec<u8>, Error>> {
        let mut got = Vec::new();
        for c in cells.as_chunks::<CARRIED>().0 {
            let h = Header::read([c[0], c[1], c[2], c[3]]);
            got.extend(r.push(h.is_end(), &c[4..], 2000).map(|r| r.map(<[u8]>::to_vec)));
        }
        got
    }

    #[test]
    fn a_lost_end_costs_both_and_an_endless_one_is_cut() {
        let mut v = Vec::new();
        segment(Header::default(), &[1; 100], &mut v);
        let lost = v.len() - CARRIED;
        v.truncate(lost);
        segment(Header::default(), &[2; 100], &mut v);
        segment(Header::default(), &[3; 100], &mut v);
        let mut r = Reassembler::default();
        assert_eq!(run(&v, &mut r), [Err(Error::Crc), Ok(vec![3; 100])]);
        let mut long = Vec::new();
        segment(Header::default(), &[1; 9000], &mut long);
        segment(Header::default(), &[3; 100], &mut long);
        assert_eq!(run(&long, &mut r), [Err(Error::TooLong), Ok(vec![3; 100])]);
    }

    proptest! {
        #[test]
        fn round_trip(sdu in proptest::collection::vec(any::<u8>(), 1..2000), pti in 0u8..4) {
            let mut v = Vec::new();
            segment(Header { vpi: 1, vci: 35, pti, ..Header::default() }, &sdu, &mut v);
            prop_assert_eq!(v.len(), cells(sdu.len()) * CARRIED);
            prop_assert_eq!(run(&v, &mut Reassembler::default()), [Ok(sdu)]);
        }

        #[test]
        fn damage_is_found(sdu in proptest::collection::vec(any::<u8>(), 1..400), bit in any::<usize>()) {
            let mut v = Vec::new();
            segment(Header::default(), &sdu, &mut v);
            // In a payload, not in a header: the end marker stays.
            let cell = (bit / 384) % (v.len() / CARRIED);
            v[cell * CARRIED + 4 + bit / 8 % 48] ^= 1 << (bit % 8);
            prop_assert_eq!(run(&v, &mut Reassembler::default()), [Err(Error::Crc)]);
        }

        #[test]
        fn no_panic(b in proptest::collection::vec(any::<u8>(), 0..300)) { let _ = check(&b); }
    }
}
