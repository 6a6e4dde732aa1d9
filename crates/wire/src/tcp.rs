//! TCP header layout (RFC 9293 §3.1) and the MSS option edit.

use crate::{be16, checksum, put16};

/// Offset of the checksum.
pub const CHECKSUM: usize = 16;
/// Header bytes without options.
pub const HEADER_LEN: usize = 20;

/// FIN flag.
pub const FIN: u8 = 0x01;
/// SYN flag.
pub const SYN: u8 = 0x02;
/// RST flag.
pub const RST: u8 = 0x04;
/// PSH flag.
pub const PSH: u8 = 0x08;
/// ACK flag.
pub const ACK: u8 = 0x10;
/// URG flag.
pub const URG: u8 = 0x20;

/// The flags byte of a segment.
pub fn flags(t: &[u8]) -> Option<u8> {
    t.get(13).copied()
}

/// Header bytes with options, if the segment holds them all.
pub fn header_len(t: &[u8]) -> Option<usize> {
    let n = usize::from(*t.get(12)? >> 4) * 4;
    (n >= HEADER_LEN && n <= t.len()).then_some(n)
}

/// Where the MSS option's value lies (RFC 9293 §3.2), counted from the TCP
/// header; `None` if there is none or the options are broken.
pub fn mss_at(t: &[u8]) -> Option<usize> {
    let end = header_len(t)?;
    let mut at = HEADER_LEN;
    while at < end {
        match t[at] {
            0 => return None,
            1 => at += 1,
            kind => {
                let len = usize::from(*t.get(at + 1)?);
                if len < 2 || at + len > end {
                    return None;
                }
                if kind == 2 && len == 4 {
                    return Some(at + 2);
                }
                at += len;
            }
        }
    }
    None
}

/// Lowers the MSS option of a SYN to `mss` and mends the checksum; returns the
/// value that stood there if it was larger.
pub fn clamp_mss(t: &mut [u8], mss: u16) -> Option<u16> {
    if flags(t)? & SYN == 0 {
        return None;
    }
    let at = mss_at(t)?;
    let old = be16(t, at)?;
    if old <= mss {
        return None;
    }
    // The option may start at an odd offset: sum over the two aligned words.
    let from = at & !1;
    let to = (at + 3) & !1;
    let mut before = [0u8; 4];
    before[..to - from].copy_from_slice(&t[from..to]);
    put16(t, at, mss);
    let mut after = [0u8; 4];
    after[..to - from].copy_from_slice(&t[from..to]);
    let f = checksum::update(be16(t, CHECKSUM)?, &before, &after);
    put16(t, CHECKSUM, f);
    Some(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn clamp_keeps_the_sum(pad in 0usize..4, mss in 0u16..9000, to in 500u16..1500) {
            let mut t = vec![0u8; 32];
            t[12] = 8 << 4;
            t[13] = SYN;
            for b in &mut t[20..20 + pad] { *b = 1; }
            t[20 + pad] = 2;
            t[21 + pad] = 4;
            put16(&mut t, 22 + pad, mss);
            let f = !checksum::sum(&t);
            put16(&mut t, CHECKSUM, f);
            let was = clamp_mss(&mut t, to);
            prop_assert_eq!(was, (mss > to).then_some(mss));
            prop_assert_eq!(checksum::sum(&t), 0xffff);
            prop_assert_eq!(be16(&t, mss_at(&t).unwrap()), Some(mss.min(to)));
        }

        #[test]
        fn no_panic(mut t in proptest::collection::vec(any::<u8>(), 0..64), m in any::<u16>()) {
            let _ = clamp_mss(&mut t, m);
        }
    }
}
