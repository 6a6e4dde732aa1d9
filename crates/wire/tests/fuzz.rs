//! Fuzz targets of the codecs: ten seconds each in `cargo test`, longer by hand with
//! `cargo bolero test -p wire TARGET` (libFuzzer, nightly).

use std::time::Duration;
use wire::line::{self, Medium, Transmitter};
use wire::{aal5, atm, l2tp, ppp, pppoe, rfc2684};

const TIME: Duration = Duration::from_secs(10);

#[test]
fn cells() {
    bolero::check!().with_test_time(TIME).for_each(|b: &[u8]| {
        let mut r = aal5::Reassembler::default();
        let Some((_, cells)) = atm::read_frame(b) else { return };
        for c in cells {
            let h = atm::Header::read([c[0], c[1], c[2], c[3]]);
            assert_eq!(h.to_bytes()[..], c[..4]);
            if let Some(Ok(sdu)) = r.push(h.is_end(), &c[4..], 1600) {
                let _ = rfc2684::decapsulate(sdu);
            }
        }
    });
}

#[test]
fn frames_cross_cells_whole() {
    bolero::check!().with_test_time(TIME).for_each(|b: &[u8]| {
        let (mut sdu, mut cells) = (Vec::new(), Vec::new());
        rfc2684::encapsulate(b, b.first().is_some_and(|x| x & 1 == 1), &mut sdu);
        aal5::segment(atm::Header { vci: 35, ..atm::Header::default() }, &sdu, &mut cells);
        let mut r = aal5::Reassembler::default();
        let mut whole = None;
        for c in cells.as_chunks::<{ atm::CARRIED }>().0 {
            let h = atm::Header::read([c[0], c[1], c[2], c[3]]);
            whole = r.push(h.is_end(), &c[4..], 65_535).map(|s| s.map(<[u8]>::to_vec));
        }
        let whole = whole.expect("an end").expect("a whole SDU");
        assert!(rfc2684::decapsulate(&whole).expect("a frame").starts_with(b));
    });
}

#[test]
fn tunnels_and_sessions() {
    bolero::check!().with_test_time(TIME).for_each(|b: &[u8]| {
        if let Ok((h, body)) = l2tp::Header::read(b) {
            let mut w = vec![0; h.len(true)];
            h.write(&mut w, body.len(), true);
            w.extend_from_slice(body);
            assert_eq!(l2tp::Header::read(&w).map(|(h, _)| h), Ok(h));
            let _ = l2tp::Avps(body).count();
        }
        if let Some(p) = pppoe::Packet::read(b) {
            let _ = pppoe::Tags::new(p.payload).count();
        }
        if let Some(c) = ppp::Control::read(b) {
            let _ = ppp::Options(c.data).count();
        }
    });
}

#[test]
fn signals() {
    bolero::check!().with_test_time(TIME).for_each(|b: &[u8]| {
        let (mut levels, mut bytes) = (Vec::new(), Vec::new());
        for medium in [Medium::TenBaseT, Medium::HundredBaseTx] {
            Transmitter::new(medium, b.len() as u16).send(b, &mut levels);
            assert!(line::receive(medium, &levels, &mut bytes).expect("a frame").starts_with(b));
            let noise: Vec<f32> = b.iter().map(|x| f32::from(*x) / 64.0 - 2.0).collect();
            let _ = line::receive(medium, &noise, &mut bytes);
        }
    });
}
