//! What a LAN adapter does to a frame: preamble, start delimiter, padding, FCS
//! and inter-frame gap (IEEE 802.3 §3, §4), then the line code of its medium, and
//! all of that back.
//!
//! A signal is one level a symbol, in units of the medium's own amplitude: two
//! half bits a bit for 10BASE-T, one symbol a code bit for 100BASE-TX.

mod fast;
mod ten;

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use serde::{Deserialize, Serialize};

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// Preamble bytes before the start frame delimiter (§3.2.1).
pub const PREAMBLE: usize = 7;
/// The start frame delimiter (§3.2.2).
pub const SFD: u8 = 0xd5;
/// Bytes of a frame without its FCS, at least (§3.2.8).
pub const LEAST: usize = 60;
/// Bytes of the frame check sequence.
pub const FCS: usize = 4;
/// The gap before a frame, in byte times (§4.4.2).
pub const GAP: usize = 12;

/// The FCS of a frame, in the order in which it is sent (§3.2.9).
pub fn fcs(frame: &[u8]) -> [u8; FCS] {
    CRC.checksum(frame).to_le_bytes()
}

/// A frame without its FCS, if that is right.
pub fn strip_fcs(b: &[u8]) -> Option<&[u8]> {
    let (frame, sum) = b.split_last_chunk::<FCS>()?;
    (fcs(frame) == *sum).then_some(frame)
}

/// How bits become levels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Medium {
    /// 10BASE-T (§14): Manchester code, 10 Mbit/s.
    #[serde(rename = "10base-t")]
    TenBaseT,
    /// 100BASE-TX (§24, §25): 4B5B, scrambler, MLT-3, 100 Mbit/s.
    #[serde(rename = "100base-tx")]
    HundredBaseTx,
}

impl Medium {
    /// Bits a second.
    pub const fn rate(self) -> u64 {
        match self {
            Medium::TenBaseT => 10_000_000,
            Medium::HundredBaseTx => 100_000_000,
        }
    }

    /// Symbols a second.
    pub const fn symbol_rate(self) -> u64 {
        match self {
            Medium::TenBaseT => 20_000_000,
            Medium::HundredBaseTx => 125_000_000,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Medium::TenBaseT => "10base-t",
            Medium::HundredBaseTx => "100base-tx",
        }
    }

    /// The mean square of its levels while it sends.
    pub const fn power(self) -> f64 {
        match self {
            Medium::TenBaseT => 1.0,
            Medium::HundredBaseTx => 0.5,
        }
    }
}

/// Where a byte of the frame stands in the signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Symbols before the preamble: the gap.
    pub gap: usize,
    /// Symbols that a byte takes.
    pub per_byte: usize,
    /// Bytes from preamble to FCS.
    pub bytes: usize,
}

/// One direction of a medium: the sender's scrambler goes on from frame to frame.
#[derive(Clone, Debug)]
pub struct Transmitter {
    medium: Medium,
    scrambler: fast::Scrambler,
    bytes: Vec<u8>,
}

impl Transmitter {
    /// A sender; `seed` starts its scrambler.
    pub fn new(medium: Medium, seed: u16) -> Transmitter {
        Transmitter { medium, scrambler: fast::Scrambler::new(seed), bytes: Vec::new() }
    }

    /// The levels of a frame with all that is put around it.
    pub fn send(&mut self, frame: &[u8], levels: &mut Vec<f32>) -> Layout {
        levels.clear();
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0x55; PREAMBLE]);
        self.bytes.push(SFD);
        self.bytes.extend_from_slice(frame);
        self.bytes.resize(self.bytes.len().max(PREAMBLE + 1 + LEAST), 0);
        let sum = fcs(&self.bytes[PREAMBLE + 1..]);
        self.bytes.extend_from_slice(&sum);
        let (gap, per_byte) = match self.medium {
            Medium::TenBaseT => (ten::encode(&self.bytes, levels), 16),
            Medium::HundredBaseTx => (fast::encode(&self.bytes, &mut self.scrambler, levels), 10),
        };
        Layout { gap, per_byte, bytes: self.bytes.len() }
    }
}

/// Why no frame was recovered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    /// No preamble, or no lock on the scrambler's idle stream.
    #[error("no carrier")]
    NoCarrier,
    /// No start delimiter.
    #[error("no start of frame")]
    NoStart,
    /// The FCS is wrong, or the frame is too short.
    #[error("FCS is wrong")]
    Fcs,
}

/// A frame that was received, without its FCS, padding and all.
///
/// # Errors
/// What the receiver could not do.
pub fn receive<'a>(medium: Medium, levels: &[f32], bytes: &'a mut Vec<u8>) -> Result<&'a [u8], LineError> {
    bytes.clear();
    match medium {
        Medium::TenBaseT => ten::decode(levels, bytes)?,
        Medium::HundredBaseTx => fast::decode(levels, bytes)?,
    }
    strip_fcs(bytes).filter(|f| f.len() >= LEAST).ok_or(LineError::Fcs)
}

/// Symbols that a receiver takes for others than were sent.
pub fn symbol_errors(medium: Medium, sent: &[f32], received: &[f32]) -> u64 {
    let wrong = match medium {
        Medium::TenBaseT => sent.iter().zip(received).filter(|(s, r)| **s * **r < 0.0).count(),
        Medium::HundredBaseTx => sent.iter().zip(received).filter(|(s, r)| fast::slice(**s) != fast::slice(**r)).count(),
    };
    wrong as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fcs_of_802_3() {
        // The CRC's check value, and its order on the wire.
        assert_eq!(fcs(b"123456789"), 0xcbf4_3926u32.to_le_bytes());
    }

    fn both() -> impl Strategy<Value = Medium> {
        prop_oneof![Just(Medium::TenBaseT), Just(Medium::HundredBaseTx)]
    }

    proptest! {
        #[test]
        fn a_clean_medium_gives_every_frame_back(medium in both(), seed in any::<u16>(), frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..300), 1..4)) {
            let mut t = Transmitter::new(medium, seed);
            let (mut levels, mut bytes) = (Vec::new(), Vec::new());
            for f in frames {
                let l = t.send(&f, &mut levels);
                prop_assert!(levels.len() >= l.gap + l.per_byte * l.bytes);
                let got = receive(medium, &levels, &mut bytes).unwrap();
                prop_assert_eq!(got.len(), f.len().max(LEAST));
                prop_assert_eq!(&got[..f.len()], &f[..]);
            }
        }

        #[test]
        fn damage_never_passes(medium in both(), frame in proptest::collection::vec(any::<u8>(), 60..200), at in any::<usize>(), n in 1usize..40) {
            let mut t = Transmitter::new(medium, 77);
            let (mut levels, mut bytes) = (Vec::new(), Vec::new());
            t.send(&frame, &mut levels);
            let at = at % levels.len();
            for l in levels.iter_mut().skip(at).take(n) { *l = -*l * 0.7 + 0.3; }
            if let Ok(got) = receive(medium, &levels, &mut bytes) { prop_assert_eq!(got, &frame[..]); }
        }

        #[test]
        fn no_panic(medium in both(), levels in proptest::collection::vec(-2.0f32..2.0, 0..600)) {
            let _ = receive(medium, &levels, &mut Vec::new());
        }
    }
}
