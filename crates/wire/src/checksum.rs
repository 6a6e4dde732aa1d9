//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use std::net::Ipv4Addr;

/// Ones'-complement sum of `data` as 16-bit big-endian words, not complemented,
/// folded to 16 bits. An odd last byte counts as the high half of a word.
pub fn sum(data: &[u8]) -> u16 {
    let mut acc: u64 = 0;
    let mut chunks = data.chunks_exact(8);
    for c in &mut chunks {
        let v = u64::from_be_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]);
        let (s, carry) = acc.overflowing_add(v);
        acc = s + u64::from(carry);
    }
    let mut tail: u64 = 0;
    for (i, b) in chunks.remainder().iter().enumerate() {
        tail |= u64::from(*b) << (56 - 8 * i);
    }
    let (s, carry) = acc.overflowing_add(tail);
    acc = s + u64::from(carry);
    let mut folded = (acc >> 32) + (acc & 0xffff_ffff);
    while folded > 0xffff {
        folded = (folded >> 16) + (folded & 0xffff);
    }
    folded as u16
}

/// Ones'-complement addition.
pub fn add(a: u16, b: u16) -> u16 {
    let (s, carry) = a.overflowing_add(b);
    s + u16::from(carry)
}

/// Sum of the TCP/UDP pseudo-header (RFC 9293 §3.1), not complemented.
pub fn pseudo(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: u16) -> u16 {
    let a = add(sum(&src.octets()), sum(&dst.octets()));
    add(a, add(u16::from(protocol), len))
}

/// Checksum field after the covered bytes changed from `old` to `new` (equal,
/// even lengths): RFC 1624 eqn. 3, HC' = ~(~HC + ~m + m').
pub fn update(field: u16, old: &[u8], new: &[u8]) -> u16 {
    debug_assert!(old.len() == new.len() && old.len().is_multiple_of(2));
    !add(add(!field, !sum(old)), sum(new))
}

/// As [`update`] for a field that holds the *uncomplemented* partial sum
/// (checksum offload): the signs of eqn. 3 turn round.
pub fn update_partial(field: u16, old: &[u8], new: &[u8]) -> u16 {
    add(add(field, !sum(old)), sum(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc1071_example() {
        let d = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&d), 0xddf2);
    }

    #[test]
    fn rfc1624_example() {
        // RFC 1624 §4: HC 0xdd2f, m 0x5555 -> m' 0x3285 gives 0x0000.
        assert_eq!(update(0xdd2f, &[0x55, 0x55], &[0x32, 0x85]), 0x0000);
    }

    fn slow(data: &[u8]) -> u16 {
        let mut s = 0u32;
        for c in data.chunks(2) {
            s += u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0));
            s = (s & 0xffff) + (s >> 16);
        }
        s as u16
    }

    proptest! {
        #[test]
        fn same_as_word_by_word(d in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(sum(&d), slow(&d));
        }

        #[test]
        fn incremental_equals_full(mut d in proptest::collection::vec(any::<u8>(), 20..64), new in any::<[u8; 4]>(), at in 0usize..4) {
            d[0] = 0x45;
            d[10] = 0; d[11] = 0;
            let f = !sum(&d);
            let at = 12 + (at & 2);
            let old = [d[at], d[at + 1], d[at + 2], d[at + 3]];
            d[at..at + 4].copy_from_slice(&new);
            prop_assert_eq!(update(f, &old, &new), !sum(&d));
        }

        #[test]
        fn partial_stays_the_pseudo_sum(a in any::<u32>(), b in any::<u32>(), c in any::<u32>(), len in 20u16..1500) {
            let (a, b, c) = (Ipv4Addr::from(a), Ipv4Addr::from(b), Ipv4Addr::from(c));
            let f = update_partial(pseudo(a, b, 6, len), &a.octets(), &c.octets());
            prop_assert_eq!(f % 0xffff, pseudo(c, b, 6, len) % 0xffff);
        }
    }
}
