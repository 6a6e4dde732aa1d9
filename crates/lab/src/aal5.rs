//! The derived interface of a phone line: its cells put together, one packet a
//! CPCS-SDU, as tools read them without a decoder of ours.

use std::collections::HashMap;
use wire::aal5::Reassembler;
use wire::atm::{self, Header};
use wire::ether::{HEADER_LEN, Header as Ethernet, ethertype};

/// The longest SDU that is put together.
const LONGEST: usize = 65_535;
/// Channels that are followed at once.
const CHANNELS: usize = 64;
/// RFC 2684 LLC in LINKTYPE_SUNATM's first byte, and its bit for "transmitted".
const LLC: u8 = 2;
const TRANSMITTED: u8 = 0x80;

/// What is under way at one port.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    channels: HashMap<(u32, u8, u16), Reassembler>,
}

impl Derived {
    /// Takes a captured frame; every SDU that ends in it goes to `out`, behind its
    /// four bytes of LINKTYPE_SUNATM.
    pub(crate) fn frame(&mut self, data: &[u8], outgoing: bool, mut out: impl FnMut(Vec<u8>)) {
        if Ethernet::read(data).is_none_or(|e| e.ethertype != ethertype::MPLS) {
            return;
        }
        let Some((label, cells)) = data.get(HEADER_LEN..).and_then(atm::read_frame) else { return };
        for c in cells {
            let h = Header::read([c[0], c[1], c[2], c[3]]);
            let key = (label, h.vpi, h.vci);
            if !h.is_user() || (self.channels.len() >= CHANNELS && !self.channels.contains_key(&key)) {
                continue;
            }
            let r = self.channels.entry(key).or_default();
            if let Some(Ok(sdu)) = r.push(h.is_end(), &c[4..], LONGEST) {
                let [hi, lo] = h.vci.to_be_bytes();
                let mut v = vec![LLC | if outgoing { TRANSMITTED } else { 0 }, h.vpi, hi, lo];
                v.extend_from_slice(sdu);
                out(v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Mac;

    #[test]
    fn an_sdu_over_two_frames_comes_out_once() {
        let mut cells = Vec::new();
        wire::aal5::segment(Header { vci: 35, ..Header::default() }, &[7; 1500], &mut cells);
        let frame = |part: &[u8]| {
            let mut f = vec![0; HEADER_LEN + atm::LABEL_LEN];
            Ethernet { dst: Mac::BROADCAST, src: Mac::of_lab(1, 0), ethertype: ethertype::MPLS }.write(&mut f);
            atm::write_label(&mut f[HEADER_LEN..], 16);
            f.extend_from_slice(part);
            f
        };
        let mut d = Derived::default();
        let mut got = Vec::new();
        let (a, b) = cells.split_at(28 * 52);
        d.frame(&frame(a), true, |v| got.push(v));
        assert!(got.is_empty());
        d.frame(&frame(b), true, |v| got.push(v));
        assert_eq!((got.len(), &got[0][..5], got[0].len()), (1, &[0x82, 0, 0, 35, 7][..], 1504));
        d.frame(&[0; 60], true, |_| panic!("no cells"));
    }
}
