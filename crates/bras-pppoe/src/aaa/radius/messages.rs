//! Requests written and answers read. The `radius` crate packs and signs; what it
//! does not do (Message-Authenticator, tagged attributes of answers) is here.

use super::super::{Account, Grant, Moment, Subscriber, TunnelTo, Verdict};
use crate::settings::TooBig;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use ppp::Proof;
use radius::core::code::Code;
use radius::core::packet::Packet;
use radius::core::{rfc2865, rfc2866, rfc2869};
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::be32;

/// How this server calls itself.
#[derive(Clone, Debug)]
pub(super) struct Nas {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
}

mod attribute {
    pub(super) const FRAMED_IP: u8 = 8;
    pub(super) const REPLY_MESSAGE: u8 = 18;
    pub(super) const SESSION_TIMEOUT: u8 = 27;
    pub(super) const TUNNEL_TYPE: u8 = 64;
    pub(super) const TUNNEL_SERVER: u8 = 67;
    pub(super) const TUNNEL_PASSWORD: u8 = 69;
    pub(super) const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub(super) const TUNNEL_PREFERENCE: u8 = 83;
    pub(super) const INTERIM: u8 = 85;
    pub(super) const FRAMED_POOL: u8 = 88;
    pub(super) const TUNNEL_CLIENT_AUTH: u8 = 90;
}

/// Tunnel-Type L2TP (RFC 2868 §3.1).
const L2TP: u32 = 3;
/// NAS-Port-Type xDSL (IANA).
const XDSL: u32 = 16;

fn named(p: &mut Packet, nas: &Nas, user: &str, number: u32, session: &str, calling: &str, circuit: &str) {
    rfc2865::add_user_name(p, user);
    rfc2865::add_nas_ip_address(p, &nas.address);
    rfc2865::add_nas_identifier(p, &nas.name);
    rfc2865::add_nas_port(p, number);
    rfc2865::add_nas_port_type(p, XDSL);
    rfc2865::add_service_type(p, rfc2865::SERVICE_TYPE_FRAMED_USER);
    rfc2865::add_framed_protocol(p, rfc2865::FRAMED_PROTOCOL_PPP);
    rfc2866::add_acct_session_id(p, session);
    if !calling.is_empty() {
        rfc2865::add_calling_station_id(p, calling);
    }
    if !circuit.is_empty() {
        rfc2869::add_nas_port_id(p, circuit);
    }
}

/// An Access-Request, signed by Message-Authenticator (RFC 3579 §3.2).
pub(super) fn access(nas: &Nas, secret: &str, id: u8, who: &Subscriber) -> Option<Vec<u8>> {
    let mut p = Packet::new_with_identifier(Code::AccessRequest, secret.as_bytes(), id);
    named(&mut p, nas, &who.user, who.number, &who.session, &who.calling, &who.circuit);
    match &who.proof {
        Some(Proof::Pap(password)) => rfc2865::add_user_password(&mut p, password).ok()?,
        Some(Proof::Chap { id, challenge, response }) => {
            rfc2865::add_chap_password(&mut p, &[&[*id], &response[..]].concat());
            rfc2865::add_chap_challenge(&mut p, challenge);
        }
        None => {}
    }
    rfc2869::add_message_authenticator(&mut p, &[0; 16]);
    let mut b = p.encode().ok()?;
    sign(&mut b, secret.as_bytes());
    Some(b)
}

/// Fills in the Message-Authenticator, which is zero so far.
fn sign(b: &mut [u8], secret: &[u8]) {
    let Some(at) = Attributes::new(b).find(|a| a.kind == attribute::MESSAGE_AUTHENTICATOR).map(|a| a.at) else { return };
    let mac = authenticator(b, secret);
    b[at..at + 16].copy_from_slice(&mac);
}

fn authenticator(b: &[u8], secret: &[u8]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(b);
    mac.finalize().into_bytes().into()
}

/// An Accounting-Request; `late` is how old its news are.
pub(super) fn accounting(nas: &Nas, secret: &str, id: u8, moment: Moment, a: &Account, late: Duration) -> Option<Vec<u8>> {
    let mut p = Packet::new_with_identifier(Code::AccountingRequest, secret.as_bytes(), id);
    named(&mut p, nas, &a.user, a.number, &a.session, &a.calling, &a.circuit);
    rfc2866::add_acct_status_type(
        &mut p,
        match moment {
            Moment::Start => rfc2866::ACCT_STATUS_TYPE_START,
            Moment::Interim => rfc2866::ACCT_STATUS_TYPE_INTERIM_UPDATE,
            Moment::Stop(_) => rfc2866::ACCT_STATUS_TYPE_STOP,
        },
    );
    rfc2866::add_acct_authentic(&mut p, rfc2866::ACCT_AUTHENTIC_RADIUS);
    rfc2866::add_acct_delay_time(&mut p, late.as_secs() as u32);
    if let Some(ip) = &a.address {
        rfc2865::add_framed_ip_address(&mut p, ip);
    }
    if moment != Moment::Start {
        rfc2866::add_acct_session_time(&mut p, a.time.as_secs() as u32);
        rfc2866::add_acct_input_packets(&mut p, a.input.0 as u32);
        rfc2866::add_acct_output_packets(&mut p, a.output.0 as u32);
        rfc2866::add_acct_input_octets(&mut p, a.input.1 as u32);
        rfc2866::add_acct_output_octets(&mut p, a.output.1 as u32);
        rfc2869::add_acct_input_gigawords(&mut p, (a.input.1 >> 32) as u32);
        rfc2869::add_acct_output_gigawords(&mut p, (a.output.1 >> 32) as u32);
    }
    if let Moment::Stop(why) = moment {
        rfc2866::add_acct_terminate_cause(&mut p, why as u32);
    }
    p.encode().ok()
}

/// An attribute of a packet.
pub(super) struct Attribute<'a> {
    pub(super) kind: u8,
    /// Where its value begins in the packet.
    pub(super) at: usize,
    pub(super) value: &'a [u8],
}

/// Walks the attributes of a packet, as far as they are whole.
pub(super) struct Attributes<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(packet: &'a [u8]) -> Attributes<'a> {
        Attributes { packet, at: 20 }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;
    fn next(&mut self) -> Option<Attribute<'a>> {
        let kind = *self.packet.get(self.at)?;
        let len = usize::from(*self.packet.get(self.at + 1)?);
        let value = self.packet.get(self.at + 2..self.at + len)?;
        let a = Attribute { kind, at: self.at + 2, value };
        self.at += len;
        Some(a)
    }
}

/// What a server answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Accept(Verdict),
    Reject(String),
    Accounted,
}

/// Reads an answer to `request`; `None` if it is broken or not signed by the secret.
pub(super) fn answer(payload: &[u8], request: &[u8], secret: &str) -> Option<Answer> {
    let len = usize::from(wire::be16(payload, 2)?);
    let b = payload.get(..len)?;
    let p = Packet::decode(b, secret.as_bytes()).ok()?;
    if !Packet::is_authentic_response(b, request, secret.as_bytes()) || !message_authentic(b, request, secret.as_bytes()) {
        return None;
    }
    let text = |kind| Attributes::new(b).find(|a| a.kind == kind).map(|a| shown(a.value));
    match p.get_code() {
        Code::AccessAccept => Some(Answer::Accept(verdict(b, request.get(4..20)?, secret.as_bytes()))),
        Code::AccessReject => Some(Answer::Reject(text(attribute::REPLY_MESSAGE).unwrap_or_else(|| "refused by RADIUS".into()))),
        Code::AccessChallenge => Some(Answer::Reject("RADIUS asks for a challenge that PPP cannot pass on".into())),
        Code::AccountingResponse => Some(Answer::Accounted),
        _ => None,
    }
}

/// A Message-Authenticator, where there is one, must be right; it is made over the
/// request's authenticator.
fn message_authentic(b: &[u8], request: &[u8], secret: &[u8]) -> bool {
    let Some(a) = Attributes::new(b).find(|a| a.kind == attribute::MESSAGE_AUTHENTICATOR) else { return true };
    let (Some(own), true) = (request.get(4..20), a.value.len() == 16) else { return false };
    let mut copy = b.to_vec();
    copy[4..20].copy_from_slice(own);
    copy[a.at..a.at + 16].fill(0);
    authenticator(&copy, secret) == a.value
}

pub(super) fn shown(v: &[u8]) -> String {
    String::from_utf8_lossy(v).chars().map(|c| if c.is_control() { '.' } else { c }).take(253).collect()
}

/// A tagged value: the tag, if the first byte is one (RFC 2868 §3), and the rest.
fn tagged(v: &[u8]) -> (u8, &[u8]) {
    match v.split_first() {
        Some((tag @ 0..=0x1f, rest)) => (*tag, rest),
        _ => (0, v),
    }
}

fn verdict(b: &[u8], request_authenticator: &[u8], secret: &[u8]) -> Verdict {
    let all = || Attributes::new(b);
    let get = |kind| all().find(|a| a.kind == kind).map(|a| a.value);
    let number = |kind| get(kind).and_then(|v| be32(v, 0));
    let seconds = |kind| number(kind).filter(|s| *s > 0).map(|s| Duration::from_secs(u64::from(s)));
    // A tag's attributes belong together; the lowest preference goes first.
    let value_of = |tag: u8, kind: u8| all().filter(|a| a.kind == kind).map(|a| tagged(a.value)).find(|(t, _)| *t == tag || *t == 0);
    let mut tunnels: Vec<(u32, u8, Vec<Ipv4Addr>)> = all()
        .filter(|a| a.kind == attribute::TUNNEL_TYPE)
        .filter(|a| be32(a.value, 0).is_some_and(|v| v & 0x00ff_ffff == L2TP))
        .filter_map(|a| {
            let tag = a.value[0];
            let (_, at) = value_of(tag, attribute::TUNNEL_SERVER)?;
            let lns: Vec<Ipv4Addr> = shown(at).split([' ', ',']).filter_map(|s| s.parse().ok()).collect();
            let preference = all().filter(|p| p.kind == attribute::TUNNEL_PREFERENCE && p.value.first() == Some(&tag));
            let preference = preference.filter_map(|p| be32(p.value, 0)).map(|v| v & 0x00ff_ffff).next();
            (!lns.is_empty()).then_some((preference.unwrap_or(u32::MAX), tag, lns))
        })
        .collect();
    tunnels.sort_by_key(|t| t.0);
    if let Some((_, tag, _)) = tunnels.first() {
        let tag = *tag;
        let password =
            all().filter(|a| a.kind == attribute::TUNNEL_PASSWORD).find(|a| a.value.first().is_some_and(|t| *t == tag || *t == 0));
        let lns: Vec<Ipv4Addr> = tunnels.iter().flat_map(|(_, _, lns)| lns.iter().copied()).collect();
        return Verdict::Tunnel(TunnelTo {
            name: format!("radius:{}", lns[0]),
            lns,
            host_name: value_of(tag, attribute::TUNNEL_CLIENT_AUTH).map(|(_, v)| shown(v)),
            secret: password.and_then(|a| tunnel_password(a.value, request_authenticator, secret)),
            hide: false,
            sequencing: false,
            too_big: TooBig::default(),
        });
    }
    // 255.255.255.254: the NAS chooses; …255: the subscriber would (RFC 2865 §5.8).
    let address = number(attribute::FRAMED_IP).filter(|a| *a < 0xffff_fffe).map(Ipv4Addr::from);
    Verdict::Granted(Grant {
        address,
        pool: get(attribute::FRAMED_POOL).map(shown),
        timeout: seconds(attribute::SESSION_TIMEOUT),
        interim: seconds(attribute::INTERIM),
    })
}

/// Tunnel-Password (RFC 2868 §3.5): tag, salt, and a length with the password under
/// a chain of MD5 sums.
fn tunnel_password(v: &[u8], request_authenticator: &[u8], secret: &[u8]) -> Option<String> {
    let (salt, cipher) = v.get(1..)?.split_at_checked(2)?;
    let mut before = [request_authenticator, salt].concat();
    let mut plain = Vec::new();
    for block in cipher.chunks(16) {
        let pad = Md5::new().chain_update(secret).chain_update(&before).finalize();
        plain.extend(block.iter().zip(pad.iter()).map(|(c, p)| c ^ p));
        before = block.to_vec();
    }
    let len = usize::from(*plain.first()?);
    plain.get(1..1 + len).map(|p| String::from_utf8_lossy(p).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_password_hidden_as_the_rfc_says_comes_back() {
        let (secret, own, salt) = (b"xyzzy5461", [7u8; 16], [0x80, 1]);
        let mut plain = vec![6];
        plain.extend(b"tunnel");
        plain.resize(16, 0);
        let pad = Md5::new().chain_update(secret).chain_update(own).chain_update(salt).finalize();
        let mut v = vec![1];
        v.extend(salt);
        v.extend(plain.iter().zip(pad.iter()).map(|(a, b)| a ^ b));
        assert_eq!(tunnel_password(&v, &own, secret), Some("tunnel".into()));
    }

    #[test]
    fn rfc_2865_section_7_2_chap_is_written_so() {
        // RFC 2865 §7.2: flopsy's CHAP-Password is id 22 and its 16-byte response.
        let who = Subscriber {
            user: "flopsy".into(),
            proof: Some(Proof::Chap { id: 22, challenge: vec![3; 16], response: vec![9; 16] }),
            session: "1".into(),
            number: 20,
            calling: String::new(),
            circuit: String::new(),
        };
        let nas = Nas { name: "bas".into(), address: Ipv4Addr::new(192, 168, 1, 16) };
        let b = access(&nas, "xyzzy5461", 1, &who).expect("a request");
        let chap = Attributes::new(&b).find(|a| a.kind == 3).expect("CHAP-Password");
        assert_eq!((chap.value[0], chap.value.len()), (22, 17));
        let signed = Attributes::new(&b).find(|a| a.kind == 80).expect("Message-Authenticator");
        let mut copy = b.clone();
        copy[signed.at..signed.at + 16].fill(0);
        assert_eq!(authenticator(&copy, b"xyzzy5461"), signed.value);
    }
}
