//! Bridged Ethernet over AAL5 with LLC/SNAP (RFC 2684 §5.2).
//!
//! ```text
//! AA-AA-03 │ 00-80-C2 │ 00-07 │ pad 00-00 │ Ethernet frame          without FCS
//! AA-AA-03 │ 00-80-C2 │ 00-01 │ pad 00-00 │ Ethernet frame │ FCS    with FCS
//! ```

use crate::line;

/// LLC, organisation, type and padding.
pub const HEADER_LEN: usize = 10;

const WITHOUT_FCS: [u8; HEADER_LEN] = [0xaa, 0xaa, 0x03, 0x00, 0x80, 0xc2, 0x00, 0x07, 0, 0];
const WITH_FCS: [u8; HEADER_LEN] = [0xaa, 0xaa, 0x03, 0x00, 0x80, 0xc2, 0x00, 0x01, 0, 0];
/// Bytes of a frame below which a sender that keeps the FCS must pad (§5.2).
const LEAST: usize = 60;

/// Why an SDU is no Ethernet frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Another LLC/SNAP header, or none.
    #[error("not LLC/SNAP bridged Ethernet")]
    Encapsulation,
    /// The frame's own FCS is wrong.
    #[error("FCS is wrong")]
    Fcs,
}

/// Appends the SDU of a frame.
pub fn encapsulate(frame: &[u8], fcs: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if fcs { &WITH_FCS } else { &WITHOUT_FCS });
    let at = out.len();
    out.extend_from_slice(frame);
    if fcs {
        out.resize(out.len().max(at + LEAST), 0);
        let sum = line::fcs(&out[at..]);
        out.extend_from_slice(&sum);
    }
}

/// The frame of an SDU, without its FCS. The padding before it is ignored.
///
/// # Errors
/// If it is none, or its FCS is wrong.
pub fn decapsulate(sdu: &[u8]) -> Result<&[u8], Error> {
    let (head, rest) = sdu.split_at_checked(HEADER_LEN).ok_or(Error::Encapsulation)?;
    if head[..8] == WITHOUT_FCS[..8] {
        Ok(rest)
    } else if head[..8] == WITH_FCS[..8] {
        line::strip_fcs(rest).ok_or(Error::Fcs)
    } else {
        Err(Error::Encapsulation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(frame in proptest::collection::vec(any::<u8>(), 14..1600), fcs in any::<bool>()) {
            let mut v = Vec::new();
            encapsulate(&frame, fcs, &mut v);
            let back = decapsulate(&v).unwrap();
            prop_assert_eq!(&back[..frame.len()], &frame[..]);
            prop_assert!(back[frame.len()..].iter().all(|b| *b == 0));
            if fcs {
                v[HEADER_LEN + 3] ^= 4;
                prop_assert_eq!(decapsulate(&v), Err(Error::Fcs));
            }
            v[5] ^= 1;
            prop_assert_eq!(decapsulate(&v), Err(Error::Encapsulation));
        }

        #[test]
        fn no_panic(b in proptest::collection::vec(any::<u8>(), 0..100)) { let _ = decapsulate(&b); }
    }
}
