//! ATM cells (ITU-T I.361), their header's checksum (I.432.1 §4.3), and cells in
//! frames (RFC 4717 §8: N:1 mode without control word).
//!
//! ```text
//! Ethernet 0x8847 │ MPLS label │ cell │ cell │ …      a cell: 4 bytes of header, 48 of payload
//! ```
//! The header's fifth byte, the HEC, is not carried in frames: whoever receives
//! them makes it again.

use crate::{be32, put16};
use crc::{CRC_8_I_432_1, Crc};

/// Bytes of a cell on a line.
pub const CELL: usize = 53;
/// Bytes of a cell in a frame: without the HEC.
pub const CARRIED: usize = 52;
/// Payload bytes of a cell.
pub const PAYLOAD: usize = 48;
/// Bytes of an MPLS label stack entry (RFC 3032 §2.1).
pub const LABEL_LEN: usize = 4;
/// Cells that a frame of an Ethernet link carries at most.
pub const MOST_CELLS: usize = 28;

// CRC-8, x^8 + x^2 + x + 1, with the coset leader 0x55.
const HEC: Crc<u8> = Crc::<u8>::new(&CRC_8_I_432_1);

/// A cell's header at the user-network interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Generic flow control, 4 bits.
    pub gfc: u8,
    /// Virtual path.
    pub vpi: u8,
    /// Virtual channel.
    pub vci: u16,
    /// Payload type, 3 bits; bit 0 of a user cell marks the end of an AAL5 PDU.
    pub pti: u8,
    /// Cell loss priority.
    pub clp: bool,
}

impl Header {
    /// From the first four bytes of a cell.
    pub fn read(b: [u8; 4]) -> Header {
        Header {
            gfc: b[0] >> 4,
            vpi: b[0] << 4 | b[1] >> 4,
            vci: u16::from(b[1] & 0x0f) << 12 | u16::from(b[2]) << 4 | u16::from(b[3] >> 4),
            pti: b[3] >> 1 & 7,
            clp: b[3] & 1 == 1,
        }
    }

    /// The first four bytes of a cell.
    pub fn to_bytes(self) -> [u8; 4] {
        [
            self.gfc << 4 | self.vpi >> 4,
            self.vpi << 4 | (self.vci >> 12) as u8,
            (self.vci >> 4) as u8,
            (self.vci << 4) as u8 | (self.pti & 7) << 1 | u8::from(self.clp),
        ]
    }

    /// A user cell, not one of management (I.361 §2.2.4).
    pub fn is_user(self) -> bool {
        self.pti & 4 == 0
    }

    /// The last cell of an AAL5 PDU.
    pub fn is_end(self) -> bool {
        self.pti & 5 == 1
    }
}

/// The header checksum of four header bytes.
pub fn hec(header: [u8; 4]) -> u8 {
    HEC.checksum(&header)
}

/// What became of a received header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// It was right.
    Good,
    /// One bit was wrong, and is mended.
    Corrected,
    /// More were wrong, or one while only detecting: the cell is discarded.
    Discarded,
}

/// The receiver of I.432.1 §4.3.2: it corrects a single bit while all is well, and
/// only detects behind an error, until a header is right again.
#[derive(Clone, Copy, Debug, Default)]
pub struct HecReceiver {
    detecting: bool,
}

impl HecReceiver {
    /// Checks, and perhaps mends, the five header bytes of a cell.
    pub fn check(&mut self, h: &mut [u8; 5]) -> Checked {
        let [a, b, c, d, sum] = *h;
        let syndrome = hec([a, b, c, d]) ^ sum;
        if syndrome == 0 {
            self.detecting = false;
            return Checked::Good;
        }
        if std::mem::replace(&mut self.detecting, true) {
            return Checked::Discarded;
        }
        for bit in 0..40 {
            let mut t = *h;
            t[bit / 8] ^= 0x80 >> (bit % 8);
            if hec([t[0], t[1], t[2], t[3]]) == t[4] {
                *h = t;
                return Checked::Corrected;
            }
        }
        Checked::Discarded
    }
}

/// Writes an MPLS label stack entry: the last one, of TTL 2 (RFC 4717 §4.4).
pub fn write_label(b: &mut [u8], label: u32) {
    put16(b, 0, (label >> 4) as u16);
    b[2] = (label << 4) as u8 | 1;
    b[3] = 2;
}

/// The label and the cells of a frame, read behind its Ethernet header. `None`:
/// more labels than one, no cell, or a cut cell.
pub fn read_frame(b: &[u8]) -> Option<(u32, &[[u8; CARRIED]])> {
    let entry = be32(b, 0)?;
    let (cells, rest) = b[LABEL_LEN..].as_chunks::<CARRIED>();
    let whole = entry & 0x100 != 0 && !cells.is_empty() && rest.is_empty();
    whole.then_some((entry >> 12, cells))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn idle_and_unassigned_cells_of_i_432_1() {
        // I.432.1 table 5 and I.361: the idle cell's header is 00 00 00 01 52.
        assert_eq!(hec([0, 0, 0, 1]), 0x52);
        assert_eq!(hec([0, 0, 0, 0]), 0x55);
    }

    #[test]
    fn a_header_of_0_35() {
        let h = Header { vpi: 0, vci: 35, pti: 1, ..Header::default() };
        assert_eq!(h.to_bytes(), [0x00, 0x00, 0x02, 0x32]);
        assert!(h.is_end() && h.is_user());
    }

    #[test]
    fn behind_an_error_it_only_detects() {
        let good = [0, 0, 2, 0x30, hec([0, 0, 2, 0x30])];
        let mut r = HecReceiver::default();
        for (flip, expect) in [(1, Checked::Corrected), (1, Checked::Discarded), (0, Checked::Good), (1, Checked::Corrected)] {
            let mut h = good;
            h[2] ^= flip;
            assert_eq!(r.check(&mut h), expect);
        }
        let mut two = good;
        two[0] ^= 0x11;
        assert_eq!(HecReceiver::default().check(&mut two), Checked::Discarded);
    }

    proptest! {
        #[test]
        fn headers_round_trip(b in any::<[u8; 4]>()) {
            prop_assert_eq!(Header::read(b).to_bytes(), b);
        }

        #[test]
        fn any_single_bit_is_corrected(b in any::<[u8; 4]>(), bit in 0usize..40) {
            let good = [b[0], b[1], b[2], b[3], hec(b)];
            let mut h = good;
            h[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(HecReceiver::default().check(&mut h), Checked::Corrected);
            prop_assert_eq!(h, good);
        }

        #[test]
        fn frames_round_trip(label in 16u32..1 << 20, n in 1usize..=MOST_CELLS, cut in 1usize..52) {
            let mut v = vec![0; LABEL_LEN];
            write_label(&mut v, label);
            for i in 0..n { v.extend([i as u8; CARRIED]); }
            let (l, cells) = read_frame(&v).unwrap();
            prop_assert_eq!((l, cells.len(), cells[n - 1][0]), (label, n, n as u8 - 1));
            v.truncate(v.len() - cut);
            prop_assert!(read_frame(&v).is_none());
        }

        #[test]
        fn no_panic(b in proptest::collection::vec(any::<u8>(), 0..200)) { let _ = read_frame(&b); }
    }
}
