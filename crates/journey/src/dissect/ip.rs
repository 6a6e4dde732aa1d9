//! IPv4, TCP, UDP, ICMP.

use super::{Layer, access, app, rest};
use wire::ipv4::{Header, protocol};
use wire::tcp::{ACK, FIN, PSH, RST, SYN, URG};
use wire::{be16, be32, icmp, l2tp, tcp};

/// IPv4 (RFC 791) at `at`, and what it carries.
pub(super) fn ipv4(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    packet(b, at, out, 0);
}

fn packet(b: &[u8], at: usize, out: &mut Vec<Layer>, depth: u8) {
    let Some(h) = b.get(at..).and_then(|p| Header::read_quoted(p).ok()) else { return rest(b, at, out) };
    let p = &b[at..];
    let mut l = Layer::new("IPv4", at, h.header_len.min(p.len()));
    l.brief("src", h.src, 12, 4);
    l.brief("dst", h.dst, 16, 4);
    l.brief("ttl", h.ttl, 8, 1);
    l.field("protocol", protocol_name(h.protocol), 9, 1);
    l.field("length", h.total_len, 2, 2);
    l.field("id", format!("0x{:04x}", h.ident), 4, 2);
    let mut flags = Vec::new();
    if h.df {
        flags.push("DF");
    }
    if h.mf {
        flags.push("MF");
    }
    l.field("flags", if flags.is_empty() { "-".to_owned() } else { flags.join(" ") }, 6, 1);
    if h.is_fragment() {
        l.brief("offset", h.offset, 6, 2);
        l.title = format!("fragment at {}", h.offset);
    }
    l.field("dscp", p.get(1).map_or(0, |t| t >> 2), 1, 1);
    l.field("checksum", format!("0x{:04x}", be16(p, 10).unwrap_or(0)), 10, 2);
    out.push(l);
    let end = (at + h.total_len).min(b.len());
    let body = at + h.header_len;
    let inside = &b[..end];
    if h.offset != 0 || body >= end {
        rest(inside, body.min(end), out);
    } else {
        match h.protocol {
            protocol::TCP => segment(inside, body, out),
            protocol::UDP => datagram(inside, body, out),
            protocol::ICMP => message(inside, body, out, depth),
            _ => rest(inside, body, out),
        }
    }
    // A quoted packet is cut and has no padding.
    if b.len() > end && depth == 0 {
        super::padding(b, end, out);
    }
}

fn protocol_name(p: u8) -> String {
    match p {
        protocol::ICMP => "ICMP".into(),
        protocol::TCP => "TCP".into(),
        protocol::UDP => "UDP".into(),
        n => n.to_string(),
    }
}

fn flag_names(f: u8) -> String {
    let all = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (URG, "URG"), (ACK, "ACK")];
    let v: Vec<_> = all.iter().filter(|(b, _)| f & b != 0).map(|(_, n)| *n).collect();
    if v.is_empty() { "-".into() } else { v.join(" ") }
}

fn segment(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let t = &b[at..];
    let (Some(hl), Some(flags)) = (tcp::header_len(t), tcp::flags(t)) else { return rest(b, at, out) };
    let hl = hl.min(t.len());
    let data = t.len() - hl;
    let mut l = Layer::new("TCP", at, hl);
    l.brief("src-port", be16(t, 0).unwrap_or(0), 0, 2);
    l.brief("dst-port", be16(t, 2).unwrap_or(0), 2, 2);
    l.brief("flags", flag_names(flags), 13, 1);
    l.brief("seq", be32(t, 4).unwrap_or(0), 4, 4);
    if flags & ACK != 0 {
        l.brief("ack", be32(t, 8).unwrap_or(0), 8, 4);
    }
    l.field("window", be16(t, 14).unwrap_or(0), 14, 2);
    l.field("checksum", format!("0x{:04x}", be16(t, 16).unwrap_or(0)), 16, 2);
    options(t, hl, &mut l);
    l.title = format!("[{}]", flag_names(flags));
    if data > 0 {
        l.title = format!("{} {data} bytes", l.title);
    }
    out.push(l);
    if data > 0 {
        let ports = [be16(t, 0), be16(t, 2)];
        if ports.contains(&Some(80)) || app::is_http(&t[hl..]) {
            app::http(b, at + hl, out);
        } else {
            rest(b, at + hl, out);
        }
    }
}

fn options(t: &[u8], hl: usize, l: &mut Layer) {
    let mut at = tcp::HEADER_LEN;
    while at < hl {
        let (kind, len) = match t[at] {
            0 => return,
            1 => {
                at += 1;
                continue;
            }
            k => (k, usize::from(t.get(at + 1).copied().unwrap_or(0))),
        };
        if len < 2 || at + len > hl {
            return;
        }
        match (kind, len) {
            (2, 4) => l.brief("mss", be16(t, at + 2).unwrap_or(0), at, len),
            (3, 3) => l.field("window-scale", t[at + 2], at, len),
            (4, 2) => l.field("sack-permitted", "yes", at, len),
            (5, _) => l.field("sack", (len - 2) / 8, at, len),
            (8, 10) => l.field("timestamp", be32(t, at + 2).unwrap_or(0), at, len),
            (k, _) => l.field("option", k, at, len),
        }
        at += len;
    }
}

fn datagram(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let u = &b[at..];
    let (Some(src), Some(dst), Some(len), Some(sum)) = (be16(u, 0), be16(u, 2), be16(u, 4), be16(u, 6)) else { return rest(b, at, out) };
    let mut l = Layer::new("UDP", at, 8);
    l.brief("src-port", src, 0, 2);
    l.brief("dst-port", dst, 2, 2);
    l.field("length", len, 4, 2);
    l.field("checksum", format!("0x{sum:04x}"), 6, 2);
    out.push(l);
    let body = at + 8;
    let end = (at + usize::from(len).max(8)).min(b.len());
    let inside = &b[..end];
    match (src, dst) {
        (53, _) | (_, 53) => app::dns(inside, body, out),
        (67 | 68, 67 | 68) => app::dhcp(inside, body, out),
        (l2tp::PORT, _) | (_, l2tp::PORT) => access::l2tp(inside, body, out),
        (1812 | 1813 | 3799, _) | (_, 1812 | 1813 | 3799) => app::radius(inside, body, out),
        _ => rest(inside, body, out),
    }
}

fn message(b: &[u8], at: usize, out: &mut Vec<Layer>, depth: u8) {
    let m = &b[at..];
    let (Some(&kind), Some(&code)) = (m.first(), m.get(1)) else { return rest(b, at, out) };
    let mut l = Layer::new("ICMP", at, icmp::HEADER_LEN.min(m.len()));
    l.title = match (kind, code) {
        (icmp::ECHO_REQUEST, _) => "echo request".into(),
        (icmp::ECHO_REPLY, _) => "echo reply".into(),
        (icmp::UNREACHABLE, 0) => "network unreachable".into(),
        (icmp::UNREACHABLE, 1) => "host unreachable".into(),
        (icmp::UNREACHABLE, 3) => "port unreachable".into(),
        (icmp::UNREACHABLE, 4) => format!("fragmentation needed, MTU {}", be16(m, 6).unwrap_or(0)),
        (icmp::UNREACHABLE, 13) => "administratively prohibited".into(),
        (icmp::TIME_EXCEEDED, 0) => "time to live exceeded".into(),
        (icmp::TIME_EXCEEDED, 1) => "reassembly time exceeded".into(),
        (k, c) => format!("type {k} code {c}"),
    };
    l.brief("message", l.title.clone(), 0, 2);
    l.field("checksum", format!("0x{:04x}", be16(m, 2).unwrap_or(0)), 2, 2);
    if icmp::is_echo(kind) {
        l.brief("id", be16(m, 4).unwrap_or(0), 4, 2);
        l.brief("sequence", be16(m, 6).unwrap_or(0), 6, 2);
    }
    if (kind, code) == (icmp::UNREACHABLE, 4) {
        l.field("mtu", be16(m, 6).unwrap_or(0), 6, 2);
    }
    out.push(l);
    if icmp::is_error(kind) && depth == 0 && m.len() > icmp::HEADER_LEN {
        // What the error is about stands inside it; its layers are not the frame's own.
        let mut quoted = Vec::new();
        packet(b, at + icmp::HEADER_LEN, &mut quoted, depth + 1);
        let about = super::title(&quoted).1;
        let mut q = Layer::new("quoted", at + icmp::HEADER_LEN, m.len() - icmp::HEADER_LEN);
        q.brief("packet", &about, 0, m.len() - icmp::HEADER_LEN);
        if let Some(l) = out.last_mut() {
            l.title = format!("{} about {about}", l.title);
        }
        out.push(q);
    } else {
        rest(b, at + icmp::HEADER_LEN.min(m.len()), out);
    }
}
