//! DNS, DHCP, RADIUS and HTTP, as far as a person wants to read them in a line.

use super::{Layer, rest};
use dhcproto::{Decodable, Decoder, v4};
use hickory_proto::op::{Message, MessageType};

/// Bytes of a line of HTTP that are shown.
const LINE: usize = 200;

/// DNS (RFC 1035).
pub(super) fn dns(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some(m) = b.get(at..).and_then(|p| Message::from_vec(p).ok()) else { return rest(b, at, out) };
    let len = b.len() - at;
    let mut l = Layer::new("DNS", at, len);
    let asked = m.queries.first().map_or(String::new(), |q| format!("{} {}", q.name().to_utf8().trim_end_matches('.'), q.query_type()));
    let answer = m.metadata.message_type == MessageType::Response;
    l.field("id", format!("0x{:04x}", m.metadata.id), 0, 2);
    l.brief("question", &asked, 12.min(len), len.saturating_sub(12));
    l.title = if answer {
        let found: Vec<String> = m.answers.iter().map(|r| r.data.to_string()).collect();
        let code = m.metadata.response_code;
        let what = match (&found[..], code) {
            ([], hickory_proto::op::ResponseCode::NoError) => "no such record".to_owned(),
            ([], c) => format!("{c}"),
            (v, _) => v.join(", "),
        };
        l.brief("rcode", code, 3, 1);
        l.brief("answer", &what, 12.min(len), len.saturating_sub(12));
        format!("answer {asked}: {what}")
    } else {
        format!("question {asked}")
    };
    out.push(l);
}

/// DHCP (RFC 2131).
pub(super) fn dhcp(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some(m) = b.get(at..).and_then(|p| v4::Message::decode(&mut Decoder::new(p)).ok()) else { return rest(b, at, out) };
    let mut l = Layer::new("DHCP", at, b.len() - at);
    let kind = m.opts().msg_type().map_or_else(|| "message".to_owned(), |k| format!("{k:?}"));
    l.brief("message", &kind, 0, 1);
    l.brief("your-address", m.yiaddr(), 16, 4);
    l.title = if m.yiaddr().is_unspecified() { kind } else { format!("{kind} {}", m.yiaddr()) };
    out.push(l);
}

/// RADIUS (RFC 2865, 2866, 5176).
pub(super) fn radius(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some(&code) = b.get(at) else { return rest(b, at, out) };
    let mut l = Layer::new("RADIUS", at, b.len() - at);
    l.title = match code {
        1 => "Access-Request",
        2 => "Access-Accept",
        3 => "Access-Reject",
        4 => "Accounting-Request",
        5 => "Accounting-Response",
        40 => "Disconnect-Request",
        41 => "Disconnect-ACK",
        42 => "Disconnect-NAK",
        43 => "CoA-Request",
        44 => "CoA-ACK",
        45 => "CoA-NAK",
        _ => "unknown",
    }
    .to_owned();
    l.brief("code", l.title.clone(), 0, 1);
    l.brief("id", b.get(at + 1).copied().unwrap_or(0), 1, 1);
    out.push(l);
}

/// Bytes begin an HTTP/1 message (RFC 9112).
pub(super) fn is_http(b: &[u8]) -> bool {
    [&b"GET "[..], b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"HTTP/1."].iter().any(|w| b.starts_with(w))
}

/// A segment's part of an HTTP message.
pub(super) fn http(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let p = &b[at..];
    if !is_http(p) {
        return rest(b, at, out);
    }
    let head = p.windows(4).position(|w| w == b"\r\n\r\n").map(|i| i + 4);
    let len = head.unwrap_or(p.len());
    let mut l = Layer::new("HTTP", at, len);
    let mut from = 0;
    for (i, line) in p[..len].split(|c| *c == b'\n').enumerate() {
        let text: String = String::from_utf8_lossy(line).trim_end().chars().filter(|c| !c.is_control()).take(LINE).collect();
        if i == 0 {
            l.title.clone_from(&text);
            l.brief("line", text, from, line.len());
        } else if !text.is_empty() {
            l.field("header", text, from, line.len());
        }
        from += line.len() + 1;
    }
    out.push(l);
    if p.len() > len {
        rest(b, at + len, out);
    }
}
