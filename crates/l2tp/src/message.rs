//! Control messages as lists of AVPs (RFC 2661 §4), hidden values included.

use crate::result::Outcome;
use md5::{Digest, Md5};
use rand::RngExt;
use rand::rngs::StdRng;
use wire::l2tp::{Avp, Avps, put_avp};
use wire::{be16, be32};

/// Message types (§3.2).
pub(crate) mod kind {
    pub(crate) const SCCRQ: u16 = 1;
    pub(crate) const SCCRP: u16 = 2;
    pub(crate) const SCCCN: u16 = 3;
    pub(crate) const STOP_CCN: u16 = 4;
    pub(crate) const HELLO: u16 = 6;
    pub(crate) const OCRQ: u16 = 7;
    pub(crate) const ICRQ: u16 = 10;
    pub(crate) const ICRP: u16 = 11;
    pub(crate) const ICCN: u16 = 12;
    pub(crate) const CDN: u16 = 14;
    pub(crate) const WEN: u16 = 15;
    pub(crate) const SLI: u16 = 16;

    pub(crate) fn name(k: u16) -> &'static str {
        match k {
            SCCRQ => "SCCRQ",
            SCCRP => "SCCRP",
            SCCCN => "SCCCN",
            STOP_CCN => "StopCCN",
            HELLO => "HELLO",
            OCRQ => "OCRQ",
            ICRQ => "ICRQ",
            ICRP => "ICRP",
            ICCN => "ICCN",
            CDN => "CDN",
            WEN => "WEN",
            SLI => "SLI",
            _ => "?",
        }
    }
}

/// Attribute types (§4.4).
pub(crate) mod attribute {
    pub(crate) const MESSAGE_TYPE: u16 = 0;
    pub(crate) const RESULT: u16 = 1;
    pub(crate) const VERSION: u16 = 2;
    pub(crate) const FRAMING_CAPABILITIES: u16 = 3;
    pub(crate) const BEARER_CAPABILITIES: u16 = 4;
    pub(crate) const HOST_NAME: u16 = 7;
    pub(crate) const VENDOR_NAME: u16 = 8;
    pub(crate) const TUNNEL_ID: u16 = 9;
    pub(crate) const WINDOW: u16 = 10;
    pub(crate) const CHALLENGE: u16 = 11;
    pub(crate) const RESPONSE: u16 = 13;
    pub(crate) const SESSION_ID: u16 = 14;
    pub(crate) const SERIAL: u16 = 15;
    pub(crate) const BEARER: u16 = 18;
    pub(crate) const FRAMING: u16 = 19;
    pub(crate) const CALLED: u16 = 21;
    pub(crate) const CALLING: u16 = 22;
    pub(crate) const TX_SPEED: u16 = 24;
    pub(crate) const LCP_FIRST_RECEIVED: u16 = 26;
    pub(crate) const LCP_LAST_SENT: u16 = 27;
    pub(crate) const LCP_LAST_RECEIVED: u16 = 28;
    pub(crate) const AUTH_TYPE: u16 = 29;
    pub(crate) const AUTH_NAME: u16 = 30;
    pub(crate) const AUTH_CHALLENGE: u16 = 31;
    pub(crate) const AUTH_ID: u16 = 32;
    pub(crate) const AUTH_RESPONSE: u16 = 33;
    pub(crate) const RANDOM_VECTOR: u16 = 36;
    pub(crate) const RX_SPEED: u16 = 38;
    pub(crate) const SEQUENCING: u16 = 39;
    /// The last that RFC 2661 knows.
    pub(crate) const LAST: u16 = 39;

    /// Those whose M bit must not be set (§4.4).
    pub(super) fn is_optional(kind: u16) -> bool {
        matches!(kind, 5 | 6 | 8 | 25..=33 | 37 | 38)
    }
}

/// Whether values that tell of the subscriber are hidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Secrecy {
    /// They go in clear.
    Clear,
    /// They are hidden by the tunnel's secret.
    Hidden,
}

/// Hides a value (§4.3): its length, the value, XORed with a chain of MD5 sums.
pub fn hide(kind: u16, secret: &[u8], vector: &[u8], value: &[u8]) -> Vec<u8> {
    let mut v = (value.len() as u16).to_be_bytes().to_vec();
    v.extend_from_slice(value);
    let mut pad = Md5::new().chain_update(kind.to_be_bytes()).chain_update(secret).chain_update(vector).finalize();
    for block in v.chunks_mut(16) {
        block.iter_mut().zip(pad.iter()).for_each(|(b, p)| *b ^= p);
        pad = Md5::new().chain_update(secret).chain_update(&*block).finalize();
    }
    v
}

/// Shows a hidden value; `None` if the secret is another.
pub fn unhide(kind: u16, secret: &[u8], vector: &[u8], hidden: &[u8]) -> Option<Vec<u8>> {
    let mut v = hidden.to_vec();
    let mut pad = Md5::new().chain_update(kind.to_be_bytes()).chain_update(secret).chain_update(vector).finalize();
    for (plain, cipher) in v.chunks_mut(16).zip(hidden.chunks(16)) {
        plain.iter_mut().zip(pad.iter()).for_each(|(b, p)| *b ^= p);
        pad = Md5::new().chain_update(secret).chain_update(cipher).finalize();
    }
    let len = usize::from(be16(&v, 0)?);
    v.get(2..2 + len).map(<[u8]>::to_vec)
}

/// A tunnel's proof (§4.2): MD5 of the message type, the secret, the challenge.
pub(crate) fn response(message: u16, secret: &[u8], challenge: &[u8]) -> [u8; 16] {
    Md5::new().chain_update([message as u8]).chain_update(secret).chain_update(challenge).finalize().into()
}

/// A control message being written.
pub(crate) struct Message {
    pub(crate) body: Vec<u8>,
    vector: Option<[u8; 16]>,
}

impl Message {
    pub(crate) fn new(kind: u16) -> Message {
        let mut m = Message { body: Vec::new(), vector: None };
        m.put(attribute::MESSAGE_TYPE, &kind.to_be_bytes(), false);
        m
    }

    fn put(&mut self, kind: u16, value: &[u8], hidden: bool) {
        put_avp(&mut self.body, &Avp { mandatory: !attribute::is_optional(kind), hidden, vendor: 0, kind, value });
    }

    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Message {
        self.put(kind, value, false);
        self
    }

    pub(crate) fn u16(self, kind: u16, v: u16) -> Message {
        self.with(kind, &v.to_be_bytes())
    }

    pub(crate) fn u32(self, kind: u16, v: u32) -> Message {
        self.with(kind, &v.to_be_bytes())
    }

    pub(crate) fn outcome(self, o: &Outcome) -> Message {
        self.with(attribute::RESULT, &o.to_value())
    }

    /// A value that is hidden if there is a secret to hide it by.
    pub(crate) fn private(mut self, kind: u16, value: &[u8], secret: Option<&[u8]>, rng: &mut StdRng) -> Message {
        let Some(secret) = secret else { return self.with(kind, value) };
        let vector = match self.vector {
            Some(v) => v,
            None => {
                let v: [u8; 16] = rng.random();
                self.put(attribute::RANDOM_VECTOR, &v, false);
                *self.vector.insert(v)
            }
        };
        self.put(kind, &hide(kind, secret, &vector, value), true);
        self
    }
}

/// Why a control message cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unreadable {
    /// AVPs that are cut, or no message type in the first.
    Malformed,
    /// A mandatory AVP that is not known, in a message of this type.
    UnknownMandatory { message: u16, kind: u16 },
    /// A hidden AVP, and no secret or another.
    Hidden { message: u16 },
}

/// A control message that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) kind: u16,
    avps: Vec<(u16, Vec<u8>)>,
}

impl Read {
    pub(crate) fn parse(body: &[u8], secret: Option<&[u8]>) -> Result<Read, Unreadable> {
        let mut r = Read { kind: 0, avps: Vec::new() };
        let mut vector: &[u8] = &[];
        for (i, a) in Avps(body).enumerate() {
            let a = a.map_err(|_| Unreadable::Malformed)?;
            if i == 0 {
                // §4.4.1: the message type comes first and is never hidden.
                if (a.vendor, a.kind, a.hidden) != (0, attribute::MESSAGE_TYPE, false) || a.value.len() != 2 {
                    return Err(Unreadable::Malformed);
                }
                r.kind = be16(a.value, 0).unwrap_or(0);
                continue;
            }
            if a.vendor != 0 || a.kind > attribute::LAST {
                if a.mandatory {
                    return Err(Unreadable::UnknownMandatory { message: r.kind, kind: a.kind });
                }
                continue;
            }
            if a.kind == attribute::RANDOM_VECTOR {
                vector = a.value;
                continue;
            }
            if !a.hidden {
                r.avps.push((a.kind, a.value.to_vec()));
                continue;
            }
            match secret.filter(|_| !vector.is_empty()).and_then(|s| unhide(a.kind, s, vector, a.value)) {
                Some(v) => r.avps.push((a.kind, v)),
                None if a.mandatory => return Err(Unreadable::Hidden { message: r.kind }),
                None => {}
            }
        }
        if r.kind == 0 { Err(Unreadable::Malformed) } else { Ok(r) }
    }

    pub(crate) fn get(&self, kind: u16) -> Option<&[u8]> {
        self.avps.iter().find(|(k, _)| *k == kind).map(|(_, v)| v.as_slice())
    }

    pub(crate) fn u16(&self, kind: u16) -> Option<u16> {
        self.get(kind).and_then(|v| be16(v, 0))
    }

    fn u32(&self, kind: u16) -> Option<u32> {
        self.get(kind).and_then(|v| be32(v, 0))
    }

    pub(crate) fn text(&self, kind: u16) -> String {
        let t = String::from_utf8_lossy(self.get(kind).unwrap_or_default());
        t.chars().map(|c| if c.is_control() { '.' } else { c }).take(255).collect()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::read(self.get(attribute::RESULT).unwrap_or_default())
    }
}

/// LCP options as they stood when the LAC gave the call away (§4.4.5).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProxyLcp {
    /// Of the first Configure-Request received.
    pub first_received: Vec<u8>,
    /// Of the last one sent, which was acknowledged.
    pub last_sent: Vec<u8>,
    /// Of the last one received, which was acknowledged.
    pub last_received: Vec<u8>,
}

/// What the subscriber showed to the LAC (§4.4.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyAuth {
    /// Its name.
    pub name: String,
    /// The CHAP challenge; empty for PAP.
    pub challenge: Vec<u8>,
    /// The packet's identifier.
    pub id: u8,
    /// The CHAP response, or the PAP password.
    pub response: Vec<u8>,
    /// PAP, not CHAP.
    pub pap: bool,
}

/// An incoming call, as the LAC tells the LNS of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Call {
    /// The subscriber's line: TR-101 circuit-id.
    pub calling: String,
    /// The service that was called.
    pub called: String,
    /// Bits a second towards the subscriber and back; 0 is unknown.
    pub speeds: (u32, u32),
    /// LCP as it was negotiated.
    pub lcp: Option<ProxyLcp>,
    /// The subscriber's proof.
    pub auth: Option<ProxyAuth>,
}

const CHAP: u16 = 2;
const PAP: u16 = 3;

impl Call {
    pub(crate) fn icrq(&self, session: u16, serial: u32, secret: Option<&[u8]>, rng: &mut StdRng) -> Message {
        let m = Message::new(kind::ICRQ).u16(attribute::SESSION_ID, session).u32(attribute::SERIAL, serial).u32(attribute::BEARER, 1);
        let m = if self.called.is_empty() { m } else { m.with(attribute::CALLED, self.called.as_bytes()) };
        if self.calling.is_empty() { m } else { m.private(attribute::CALLING, self.calling.as_bytes(), secret, rng) }
    }

    pub(crate) fn iccn(&self, sequencing: bool, secret: Option<&[u8]>, rng: &mut StdRng) -> Message {
        // Framing type 1: synchronous, as a line without modem tones is.
        let mut m = Message::new(kind::ICCN).u32(attribute::TX_SPEED, self.speeds.0).u32(attribute::FRAMING, 1);
        if let Some(l) = &self.lcp {
            m = m
                .with(attribute::LCP_FIRST_RECEIVED, &l.first_received)
                .with(attribute::LCP_LAST_SENT, &l.last_sent)
                .with(attribute::LCP_LAST_RECEIVED, &l.last_received);
        }
        if let Some(a) = &self.auth {
            m = m.u16(attribute::AUTH_TYPE, if a.pap { PAP } else { CHAP });
            m = m.private(attribute::AUTH_NAME, a.name.as_bytes(), secret, rng);
            if !a.pap {
                m = m.private(attribute::AUTH_CHALLENGE, &a.challenge, secret, rng);
            }
            m = m.u16(attribute::AUTH_ID, u16::from(a.id));
            m = m.private(attribute::AUTH_RESPONSE, &a.response, secret, rng);
        }
        m = m.u32(attribute::RX_SPEED, self.speeds.1);
        if sequencing { m.with(attribute::SEQUENCING, &[]) } else { m }
    }

    pub(crate) fn take_icrq(&mut self, r: &Read) {
        self.calling = r.text(attribute::CALLING);
        self.called = r.text(attribute::CALLED);
    }

    pub(crate) fn take_iccn(&mut self, r: &Read) {
        let tx = r.u32(attribute::TX_SPEED).unwrap_or(0);
        self.speeds = (tx, r.u32(attribute::RX_SPEED).unwrap_or(tx));
        let bytes = |k| r.get(k).map(<[u8]>::to_vec);
        if let (Some(last_sent), Some(last_received)) = (bytes(attribute::LCP_LAST_SENT), bytes(attribute::LCP_LAST_RECEIVED)) {
            let first_received = bytes(attribute::LCP_FIRST_RECEIVED).unwrap_or_default();
            self.lcp = Some(ProxyLcp { first_received, last_sent, last_received });
        }
        let pap = match r.u16(attribute::AUTH_TYPE) {
            Some(CHAP) => false,
            Some(PAP) => true,
            _ => return,
        };
        if let Some(response) = bytes(attribute::AUTH_RESPONSE) {
            self.auth = Some(ProxyAuth {
                name: r.text(attribute::AUTH_NAME),
                challenge: bytes(attribute::AUTH_CHALLENGE).unwrap_or_default(),
                id: r.u16(attribute::AUTH_ID).unwrap_or(0) as u8,
                response,
                pap,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    #[test]
    fn a_call_crosses_hidden_and_in_clear() {
        let call = Call {
            calling: "dslam atm 1/1:0.35".into(),
            called: "internet".into(),
            speeds: (8_000_000, 800_000),
            lcp: Some(ProxyLcp {
                first_received: vec![1, 4, 5, 0xd4],
                last_sent: vec![3, 4, 0xc0, 0x23],
                last_received: vec![5, 6, 1, 2, 3, 4],
            }),
            auth: Some(ProxyAuth { name: "kim@isp.example".into(), challenge: vec![7; 16], id: 9, response: vec![8; 16], pap: false }),
        };
        let mut rng = StdRng::seed_from_u64(1);
        for secret in [None, Some(&b"tunnel"[..])] {
            let (a, b) = (call.icrq(5, 1, secret, &mut rng), call.iccn(true, secret, &mut rng));
            let clear = b.body.windows(15).any(|w| w == b"kim@isp.example");
            assert_eq!(clear, secret.is_none());
            let mut back = Call::default();
            back.take_icrq(&Read::parse(&a.body, secret).unwrap());
            let r = Read::parse(&b.body, secret).unwrap();
            back.take_iccn(&r);
            assert_eq!(back, call);
            assert!(r.get(attribute::SEQUENCING).is_some());
        }
    }

    #[test]
    fn an_unknown_mandatory_avp_is_told_and_an_optional_one_skipped() {
        for (mandatory, vendor, number) in [(true, 0, 77), (true, 9, 1), (false, 0, 77), (false, 9, 1)] {
            let mut m = Message::new(kind::HELLO).body;
            put_avp(&mut m, &Avp { mandatory, hidden: false, vendor, kind: number, value: b"x" });
            let r = Read::parse(&m, None).map(|r| r.kind);
            let expect = if mandatory { Err(Unreadable::UnknownMandatory { message: kind::HELLO, kind: number }) } else { Ok(kind::HELLO) };
            assert_eq!(r, expect);
        }
    }

    proptest! {
        #[test]
        fn hidden_values_come_back(k in any::<u16>(), secret in proptest::collection::vec(any::<u8>(), 1..20), vector in any::<[u8; 16]>(), value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let h = hide(k, &secret, &vector, &value);
            prop_assert_eq!(unhide(k, &secret, &vector, &h), Some(value));
        }

        #[test]
        fn no_panic(b in proptest::collection::vec(any::<u8>(), 0..120), secret in any::<Option<[u8; 4]>>()) {
            if let Ok(r) = Read::parse(&b, secret.as_ref().map(|s| &s[..])) { Call::default().take_iccn(&r); }
        }
    }
}
