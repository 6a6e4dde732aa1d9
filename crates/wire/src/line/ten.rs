//! Manchester code of 10BASE-T (IEEE 802.3 §7.3.1.1, §14.3.1.2.1): a bit is two
//! half bits; 1 rises in its middle, 0 falls. A frame ends in half bits that stay
//! high (TP_IDL), and between frames the line rests at zero.

use super::{GAP, LineError, PREAMBLE, SFD};

/// Half bits of start-of-idle: 300 ns.
const IDL: usize = 6;
/// Half bits among which a receiver looks for the preamble.
const SEARCH: usize = 2 * 8 * (GAP + 4);
/// Half bits of preamble and SFD by which it locks.
const LOCK: usize = 2 * 8 * 4;

fn put(byte: u8, levels: &mut Vec<f32>) {
    for i in 0..8 {
        // The least significant bit goes first (§3.3).
        let first = if byte >> i & 1 == 1 { -1.0 } else { 1.0 };
        levels.extend([first, -first]);
    }
}

/// Appends gap, bytes and start-of-idle; returns the symbols of the gap.
pub(super) fn encode(bytes: &[u8], levels: &mut Vec<f32>) -> usize {
    let gap = GAP * 16;
    levels.resize(gap, 0.0);
    for b in bytes {
        put(*b, levels);
    }
    levels.extend([1.0; IDL]);
    gap
}

/// Appends the bytes behind the SFD.
pub(super) fn decode(levels: &[f32], bytes: &mut Vec<u8>) -> Result<(), LineError> {
    // The end of the preamble with the SFD, as it looks undisturbed: 62 half
    // bits of the frame's start are like themselves two later, this is not.
    let mut pattern = Vec::with_capacity(LOCK);
    for b in [0x55, 0x55, 0x55, SFD] {
        put(b, &mut pattern);
    }
    let last = levels.len().saturating_sub(LOCK).min(SEARCH + PREAMBLE * 16);
    let score = |at: usize| levels[at..at + LOCK].iter().zip(&pattern).map(|(l, p)| l * p).sum::<f32>();
    if levels.len() < LOCK {
        return Err(LineError::NoCarrier);
    }
    let (at, best) = (0..=last).map(|i| (i, score(i))).max_by(|a, b| a.1.total_cmp(&b.1)).ok_or(LineError::NoCarrier)?;
    if best < 0.6 * LOCK as f32 {
        return Err(LineError::NoCarrier);
    }
    let (mut byte, mut bits, mut flat) = (0u8, 0, 0);
    for h in levels[at + LOCK..].chunks_exact(2) {
        let (rise, same) = (h[1] - h[0], h[0] + h[1]);
        // No transition in the middle of a bit, twice: the sender has ended.
        flat = if same.abs() > rise.abs() { flat + 1 } else { 0 };
        if flat == 2 {
            break;
        }
        byte = byte >> 1 | if rise > 0.0 { 0x80 } else { 0 };
        bits += 1;
        if bits == 8 {
            bytes.push(byte);
            bits = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rises_and_zero_falls_lowest_bit_first() {
        let mut v = Vec::new();
        put(0b0000_0101, &mut v);
        assert_eq!(&v[..6], [-1.0, 1.0, 1.0, -1.0, -1.0, 1.0]);
    }
}
