//! The PPPoE intermediate agent (Broadband Forum TR-101 §3.9.2): it writes into a
//! subscriber's discovery packets on which line they came (RFC 4679).

use wire::pppoe::{self, Discovery, Packet, Tags, code, tag};

/// The Broadband Forum's enterprise number.
pub(crate) const VENDOR: [u8; 4] = [0, 0, 0x0d, 0xe9];

/// What is told of a line.
#[derive(Clone, Debug)]
pub(crate) struct LineId {
    pub(crate) circuit: String,
    pub(crate) remote: Option<String>,
}

/// What is done with a subscriber's discovery packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It goes on with the line's tag.
    Tagged(Vec<u8>),
    /// It goes on as it is.
    Kept,
    /// A packet that only a concentrator sends.
    NotOfSubscriber,
    /// It is broken.
    Broken,
    /// With the tag it would not fit.
    TooLong,
}

/// The line's tag: circuit-id, remote-id and actual rates in kbit/s, up and down.
fn line_tag(id: &LineId, rates: (u64, u64)) -> Vec<u8> {
    let mut v = VENDOR.to_vec();
    let mut sub = |kind: u8, value: &[u8]| {
        v.push(kind);
        v.push(value.len().min(63) as u8);
        v.extend_from_slice(&value[..value.len().min(63)]);
    };
    sub(0x01, id.circuit.as_bytes());
    if let Some(r) = &id.remote {
        sub(0x02, r.as_bytes());
    }
    sub(0x81, &((rates.1 / 1000) as u32).to_be_bytes());
    sub(0x82, &((rates.0 / 1000) as u32).to_be_bytes());
    v
}

/// Looks at a discovery packet (behind its Ethernet header) from a subscriber.
pub(crate) fn upstream(payload: &[u8], id: &LineId, rates: (u64, u64), mtu: usize) -> Done {
    let Some(p) = Packet::read(payload) else { return Done::Broken };
    match p.code {
        code::PADI | code::PADR => {}
        code::PADT => return Done::Kept,
        _ => return Done::NotOfSubscriber,
    }
    let mut d = Discovery::new(p.code, p.session);
    let mut tags = Tags::new(p.payload);
    // A subscriber may not tell us its line itself.
    for (kind, value) in tags.by_ref().filter(|(k, v)| !(*k == tag::VENDOR && v.starts_with(&VENDOR))) {
        d = d.tag(kind, value);
    }
    if tags.broken() {
        return Done::Broken;
    }
    let out = d.tag(tag::VENDOR, &line_tag(id, rates)).finish();
    if out.len() > mtu.max(pppoe::HEADER_LEN) { Done::TooLong } else { Done::Tagged(out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> LineId {
        LineId { circuit: "dslam atm 1/1:0.35".into(), remote: Some("kim".into()) }
    }

    #[test]
    fn the_tag_is_put_in_and_a_forged_one_taken_out() {
        let forged = [&VENDOR[..], &[1, 3], b"lie"].concat();
        let padi = Discovery::new(code::PADI, 0).tag(tag::SERVICE_NAME, b"").tag(tag::VENDOR, &forged).finish();
        let Done::Tagged(out) = upstream(&padi, &id(), (8_000_000, 800_000), 1500) else { panic!("tagged") };
        let p = Packet::read(&out).unwrap();
        let tags: Vec<_> = Tags::new(p.payload).filter(|(k, _)| *k == tag::VENDOR).collect();
        assert_eq!(tags.len(), 1);
        let v = tags[0].1;
        assert_eq!((&v[..4], v[4], v[5], &v[6..24]), (&VENDOR[..], 1, 18, &b"dslam atm 1/1:0.35"[..]));
        assert!(v.ends_with(&[0x82, 4, 0, 0, 0x1f, 0x40]));
        assert_eq!(upstream(&padi, &id(), (0, 0), 40), Done::TooLong);
    }

    #[test]
    fn a_subscriber_is_no_concentrator() {
        for c in [code::PADO, code::PADS, 0x42] {
            assert_eq!(upstream(&Discovery::new(c, 0).finish(), &id(), (0, 0), 1500), Done::NotOfSubscriber);
        }
        assert_eq!(upstream(&Discovery::new(code::PADT, 7).finish(), &id(), (0, 0), 1500), Done::Kept);
    }

    proptest! {
        #[test]
        fn no_panic(b in proptest::collection::vec(any::<u8>(), 0..200)) { let _ = upstream(&b, &id(), (1, 1), 1500); }
    }
}
