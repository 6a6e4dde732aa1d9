//! What the two modems say to each other besides cells: tones, training and the
//! reports of showtime, as the line's overhead channel carries them (G.992.1 §10,
//! simplified; the format is the lab's own).
//!
//! ```text
//! "ADSL" │ 1 │ kind │ label │ 0 │ down │ up │ snr down │ snr up │ interleave µs │ training ms │ 4 × far-end count
//! ```
//! Numbers have four bytes, dB are hundredths.

use wire::be32;
use wire::ether::{HEADER_LEN, Header};
use wire::{Mac, be16};

/// Local experimental ethertype 1 (IEEE 802).
pub(crate) const ETHERTYPE: u16 = 0x88b5;
const MAGIC: &[u8; 4] = b"ADSL";
const LEN: usize = 8 + 10 * 4;

/// What a signal says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The subscriber's modem asks for a line (R-TONES).
    Tones,
    /// The line is being measured.
    Training,
    /// Data may flow; said again as long as it may.
    Showtime,
}

/// What a receiver has counted, told to the far end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Report {
    pub(crate) cells: u32,
    pub(crate) corrected: u32,
    pub(crate) discarded: u32,
    pub(crate) crc: u32,
}

/// One signal.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Signal {
    pub(crate) kind: Kind,
    /// From the provider's end; else from the subscriber's.
    pub(crate) central: bool,
    pub(crate) down: u32,
    pub(crate) up: u32,
    pub(crate) snr_down: f64,
    pub(crate) snr_up: f64,
    pub(crate) interleave_us: u32,
    pub(crate) training_ms: u32,
    pub(crate) report: Report,
}

impl Signal {
    /// The whole frame.
    pub(crate) fn to_frame(self, src: Mac, dst: Mac) -> Vec<u8> {
        let mut v = vec![0; HEADER_LEN];
        Header { dst, src, ethertype: ETHERTYPE }.write(&mut v);
        v.extend(MAGIC);
        v.extend([1, self.kind as u8, u8::from(self.central), 0]);
        let db = |x: f64| ((x * 100.0).round() as i32).cast_unsigned();
        let r = self.report;
        let numbers = [
            self.down,
            self.up,
            db(self.snr_down),
            db(self.snr_up),
            self.interleave_us,
            self.training_ms,
            r.cells,
            r.corrected,
            r.discarded,
            r.crc,
        ];
        for n in numbers {
            v.extend(n.to_be_bytes());
        }
        v.resize(v.len().max(60), 0);
        v
    }

    /// Reads a frame behind its Ethernet header.
    pub(crate) fn read(b: &[u8]) -> Option<Signal> {
        if b.len() < LEN || !b.starts_with(MAGIC) || be16(b, 4)? >> 8 != 1 {
            return None;
        }
        let kind = match b[5] {
            0 => Kind::Tones,
            1 => Kind::Training,
            2 => Kind::Showtime,
            _ => return None,
        };
        let n = |i: usize| be32(b, 8 + 4 * i).unwrap_or(0);
        let db = |i: usize| f64::from(n(i).cast_signed()) / 100.0;
        Some(Signal {
            kind,
            central: b[6] == 1,
            down: n(0),
            up: n(1),
            snr_down: db(2),
            snr_up: db(3),
            interleave_us: n(4),
            training_ms: n(5),
            report: Report { cells: n(6), corrected: n(7), discarded: n(8), crc: n(9) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_no_panic_on_cuts() {
        let s = Signal {
            kind: Kind::Training,
            central: true,
            down: 8_000_000,
            up: 800_000,
            snr_down: 44.5,
            snr_up: -3.25,
            interleave_us: 4000,
            training_ms: 120,
            report: Report { cells: 1, corrected: 2, discarded: 3, crc: 4 },
        };
        let f = s.to_frame(Mac::of_lab(1, 0), Mac::of_lab(2, 0));
        assert_eq!(f.len(), 14 + 48);
        assert_eq!(Signal::read(&f[HEADER_LEN..]), Some(s));
        for n in 0..LEN {
            assert_eq!(Signal::read(&f[HEADER_LEN..HEADER_LEN + n]), None);
        }
    }
}
