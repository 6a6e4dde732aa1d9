//! 100BASE-TX: 4B5B (IEEE 802.3 §24.2.2.1, table 24-1), the scrambler of ANSI
//! X3.263 §7.1 (x^11 + x^9 + 1) and MLT-3 (§7.1.2): a code bit 1 moves the level on
//! in the cycle 0, +, 0, −; a 0 leaves it.
//!
//! Idle, code groups of ones, fills the gap; a receiver locks its descrambler on it.

use super::{GAP, LineError, PREAMBLE, SFD};

const DATA: [u8; 16] = [
    0b11110, 0b01001, 0b10100, 0b10101, 0b01010, 0b01011, 0b01110, 0b01111, 0b10010, 0b10011, 0b10110, 0b10111, 0b11010, 0b11011, 0b11100,
    0b11101,
];
const IDLE: u8 = 0b11111;
const J: u8 = 0b11000;
const K: u8 = 0b10001;
const T: u8 = 0b01101;
const R: u8 = 0b00111;

/// Nibbles by code group; 0xff where there is none.
const NIBBLES: [u8; 32] = {
    let mut t = [0xff; 32];
    let mut i = 0;
    while i < 16 {
        t[DATA[i] as usize] = i as u8;
        i += 1;
    }
    t
};

/// The scrambler's key stream and the level where the sender stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scrambler {
    state: u16,
    phase: u8,
}

impl Scrambler {
    pub(super) fn new(seed: u16) -> Scrambler {
        // A register of zeros would stay so.
        Scrambler { state: (seed & 0x7ff).max(1), phase: 0 }
    }

    fn next(&mut self) -> u8 {
        let bit = (self.state >> 8 ^ self.state >> 10) & 1;
        self.state = (self.state << 1 | bit) & 0x7ff;
        bit as u8
    }
}

fn put(group: u8, s: &mut Scrambler, levels: &mut Vec<f32>) {
    for i in (0..5).rev() {
        if (group >> i & 1) ^ s.next() == 1 {
            s.phase = (s.phase + 1) & 3;
        }
        levels.push([0.0, 1.0, 0.0, -1.0][usize::from(s.phase)]);
    }
}

/// Appends idle, the frame between its delimiters, and returns the idle's symbols.
pub(super) fn encode(bytes: &[u8], s: &mut Scrambler, levels: &mut Vec<f32>) -> usize {
    for _ in 0..2 * GAP {
        put(IDLE, s, levels);
    }
    let gap = levels.len();
    // The start-of-stream delimiter stands in the place of the first preamble byte.
    put(J, s, levels);
    put(K, s, levels);
    for b in &bytes[1..] {
        put(DATA[usize::from(b & 15)], s, levels);
        put(DATA[usize::from(b >> 4)], s, levels);
    }
    put(T, s, levels);
    put(R, s, levels);
    gap
}

/// The level that a receiver decides on.
pub(super) fn slice(level: f32) -> i8 {
    if level > 0.5 {
        1
    } else if level < -0.5 {
        -1
    } else {
        0
    }
}

/// Descrambles from the first place at which idle can be followed; returns the
/// plain bits from there on.
fn lock(bits: &[u8]) -> Option<Vec<u8>> {
    const PROOF: usize = 40;
    for at in 0..bits.len().saturating_sub(11 + PROOF).min(60) {
        // Idle is ones: what is seen is the key stream, inverted.
        let seed = bits[at..at + 11].iter().fold(0u16, |s, b| s << 1 | u16::from(b ^ 1));
        let mut k = Scrambler { state: seed, phase: 0 };
        let rest = &bits[at + 11..];
        if seed == 0 || rest[..PROOF].iter().any(|b| b ^ k.next() != 1) {
            continue;
        }
        return Some(rest[PROOF..].iter().map(|b| b ^ k.next()).collect());
    }
    None
}

/// Appends the bytes behind the SFD.
pub(super) fn decode(levels: &[f32], bytes: &mut Vec<u8>) -> Result<(), LineError> {
    let mut last = 0;
    let bits: Vec<u8> = levels.iter().map(|l| u8::from(std::mem::replace(&mut last, slice(*l)) != slice(*l))).collect();
    let plain = lock(&bits).ok_or(LineError::NoCarrier)?;
    let start = plain.windows(10).position(|w| w.iter().fold(0u16, |g, b| g << 1 | u16::from(*b)) == u16::from(J) << 5 | u16::from(K));
    let start = start.ok_or(LineError::NoStart)? + 10;
    let group = |g: &[u8]| g.iter().fold(0u8, |v, b| v << 1 | b);
    let groups: Vec<u8> = plain[start..].chunks_exact(5).map(group).collect();
    // An unknown code group is a symbol error: the FCS will tell.
    let end = groups.windows(2).position(|w| w == [T, R]).unwrap_or(groups.len());
    let nibble = |g: u8| NIBBLES[usize::from(g)] & 15;
    let all: Vec<u8> = groups[..end].chunks_exact(2).map(|p| nibble(p[0]) | nibble(p[1]) << 4).collect();
    let sfd = all.iter().take(PREAMBLE + 1).position(|b| *b == SFD).ok_or(LineError::NoStart)?;
    bytes.extend_from_slice(&all[sfd + 1..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_groups_of_table_24_1() {
        assert_eq!((DATA[0], DATA[5], DATA[0xd], DATA[0xf]), (0b11110, 0b01011, 0b11011, 0b11101));
        // Data groups have at most one leading and two trailing zeros, and differ.
        let mut all = DATA.to_vec();
        all.extend([IDLE, J, K, T, R]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 21);
        assert!(DATA.iter().all(|g| g.leading_zeros() - 3 <= 1 && g.trailing_zeros() <= 2));
    }

    #[test]
    fn the_scrambler_has_its_full_period() {
        let mut s = Scrambler::new(1);
        let first = s.state;
        let period = (1..=4096).find(|_| {
            s.next();
            s.state == first
        });
        assert_eq!(period, Some(2047));
    }

    #[test]
    fn mlt3_never_jumps_over_zero() {
        let mut v = Vec::new();
        encode(&[0x55, 0x55, SFD, 1, 2, 3], &mut Scrambler::new(99), &mut v);
        assert!(v.windows(2).all(|w| (w[0] - w[1]).abs() <= 1.0));
    }
}
