//! The access network: PPPoE, PPP, ATM cells, L2TP. Passwords and proofs are never
//! told.

use super::{Layer, ethernet, ip, rest};
use wire::aal5::Reassembler;
use wire::atm::{self, Header as Cell};
use wire::l2tp::{Avps, Header as L2tp};
use wire::ppp::{Control, protocol};
use wire::pppoe::{self, Packet, Tags, code, tag};
use wire::{be16, rfc2684};

/// The ethertype of what the two ends of a phone line say to each other.
pub(super) const ADSL: u16 = 0x88b5;
/// The longest SDU that is put together.
const LONGEST: usize = 65_535;

/// PPPoE (RFC 2516).
pub(super) fn pppoe(b: &[u8], at: usize, session: bool, out: &mut Vec<Layer>) {
    let Some(p) = b.get(at..).and_then(Packet::read) else { return rest(b, at, out) };
    let mut l = Layer::new("PPPoE", at, pppoe::HEADER_LEN);
    let name = match p.code {
        code::SESSION => "session",
        code::PADI => "PADI",
        code::PADO => "PADO",
        code::PADR => "PADR",
        code::PADS => "PADS",
        code::PADT => "PADT",
        _ => "unknown code",
    };
    l.brief("code", name, 1, 1);
    l.brief("session", p.session, 2, 2);
    l.field("length", p.payload.len(), 4, 2);
    name.clone_into(&mut l.title);
    let body = at + pppoe::HEADER_LEN;
    let end = (body + p.payload.len()).min(b.len());
    if !session {
        for (kind, name) in [(tag::SERVICE_NAME, "service"), (tag::AC_NAME, "ac-name")] {
            if let Some(v) = Tags::find(p.payload, kind) {
                l.field(name, String::from_utf8_lossy(v), pppoe::HEADER_LEN, p.payload.len());
            }
        }
        for (kind, name) in [
            (tag::SERVICE_NAME_ERROR, "Service-Name-Error"),
            (tag::AC_SYSTEM_ERROR, "AC-System-Error"),
            (tag::GENERIC_ERROR, "Generic-Error"),
        ] {
            if let Some(v) = Tags::find(p.payload, kind) {
                l.title = format!("{name}: {name_of}", name = l.title.clone(), name_of = error(name, v));
                l.brief("error", error(name, v), pppoe::HEADER_LEN, p.payload.len());
            }
        }
        if p.code == code::PADT {
            l.title = format!("PADT session {}", p.session);
        }
        l.len = end - at;
        out.push(l);
    } else {
        out.push(l);
        ppp(&b[..end], body, out);
    }
    if b.len() > end {
        super::padding(b, end, out);
    }
}

fn error(name: &str, v: &[u8]) -> String {
    if v.is_empty() { name.to_owned() } else { format!("{name} ({})", String::from_utf8_lossy(v)) }
}

/// PPP from its protocol field on.
pub(super) fn ppp(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some(kind) = be16(b, at) else { return rest(b, at, out) };
    let mut l = Layer::new("PPP", at, 2);
    let name = match kind {
        protocol::IPV4 => "IPv4",
        protocol::IPV6 => "IPv6",
        protocol::LCP => "LCP",
        protocol::IPCP => "IPCP",
        protocol::IPV6CP => "IPV6CP",
        protocol::PAP => "PAP",
        protocol::CHAP => "CHAP",
        0x80fd => "CCP",
        _ => "unknown",
    };
    l.brief("protocol", name, 0, 2);
    let body = at + 2;
    if kind == protocol::IPV4 {
        out.push(l);
        return ip::ipv4(b, body, out);
    }
    let control = b.get(body..).and_then(Control::read);
    let Some(c) = control else {
        out.push(l);
        return rest(b, body, out);
    };
    let message = match kind {
        protocol::PAP => ["Authenticate-Request", "Authenticate-Ack", "Authenticate-Nak"].get(usize::from(c.code).wrapping_sub(1)).copied(),
        protocol::CHAP => ["Challenge", "Response", "Success", "Failure"].get(usize::from(c.code).wrapping_sub(1)).copied(),
        _ => [
            "Configure-Request",
            "Configure-Ack",
            "Configure-Nak",
            "Configure-Reject",
            "Terminate-Request",
            "Terminate-Ack",
            "Code-Reject",
            "Protocol-Reject",
            "Echo-Request",
            "Echo-Reply",
            "Discard-Request",
        ]
        .get(usize::from(c.code).wrapping_sub(1))
        .copied(),
    };
    l.title = format!("{name} {} id {}", message.unwrap_or("unknown"), c.id);
    out.push(l);
    let mut m = Layer::new(name, body, b.len() - body);
    m.title = format!("{} id {}", message.unwrap_or("unknown"), c.id);
    m.brief("message", message.unwrap_or("unknown"), 0, 1);
    m.brief("id", c.id, 1, 1);
    m.field("length", be16(b, body + 2).unwrap_or(0), 2, 2);
    // What a Failure or a Nak says is for people; it says nothing secret.
    if matches!((kind, c.code), (protocol::CHAP, 4) | (protocol::PAP, 3)) {
        let text = c.data.get(usize::from(kind == protocol::PAP)..).unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        m.title = format!("{} ({text})", m.title);
        m.brief("says", text, 4, c.data.len());
    }
    out.push(m);
}

/// Frames of cells (RFC 4717): the label, and the cells' channel.
pub(super) fn cells(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some((label, list)) = b.get(at..).and_then(atm::read_frame) else { return rest(b, at, out) };
    let mut l = Layer::new("MPLS", at, atm::LABEL_LEN);
    l.brief("label", label, 0, 3);
    out.push(l);
    let start = at + atm::LABEL_LEN;
    let mut c = Layer::new("ATM", start, list.len() * atm::CARRIED);
    let head = list.first().map(|c| Cell::read([c[0], c[1], c[2], c[3]]));
    c.brief("cells", list.len(), 0, list.len() * atm::CARRIED);
    if let Some(h) = head {
        c.brief("vpi", h.vpi, 0, 2);
        c.brief("vci", h.vci, 1, 3);
    }
    let last = list.last().map(|c| Cell::read([c[0], c[1], c[2], c[3]]));
    if last.is_some_and(|h| h.is_end()) {
        c.field("end", "the last cell ends a PDU", (list.len() - 1) * atm::CARRIED + 3, 1);
    }
    c.title = format!("{} cells", list.len());
    out.push(c);
}

/// Adds to the layers of the first of some frames of cells what all of them carry.
pub(super) fn carried_by_cells(frames: &[&[u8]], out: &mut Vec<Layer>) {
    if out.last().is_none_or(|l| l.name != "ATM") {
        return;
    }
    let mut r = Reassembler::default();
    let mut n = 0;
    for f in frames {
        let Some((_, list)) = f.get(wire::ether::HEADER_LEN..).and_then(atm::read_frame) else { continue };
        for c in list {
            n += 1;
            let h = Cell::read([c[0], c[1], c[2], c[3]]);
            let Some(Ok(sdu)) = h.is_user().then(|| r.push(h.is_end(), &c[4..], LONGEST)).flatten() else { continue };
            if let Some(f) = out.last_mut().and_then(|l| l.fields.first_mut()) {
                f.value = n.to_string();
            }
            let mut a = Layer::new("AAL5", 0, 0);
            a.brief("bytes", sdu.len(), 0, 0);
            out.push(a);
            out.push(Layer::new("LLC/SNAP", 0, 0));
            if let Ok(frame) = rfc2684::decapsulate(sdu) {
                let from = out.len();
                ethernet(frame, 0, out);
                // They are inside cells: no place in the frame is theirs.
                for l in &mut out[from..] {
                    (l.start, l.len) = (0, 0);
                    l.fields.iter_mut().for_each(|f| (f.start, f.len) = (0, 0));
                }
            }
            return;
        }
    }
}

/// L2TP (RFC 2661).
pub(super) fn l2tp(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let Some(Ok((h, payload))) = b.get(at..).map(L2tp::read) else { return rest(b, at, out) };
    let body = payload.as_ptr() as usize - b.as_ptr() as usize;
    let mut l = Layer::new("L2TP", at, body - at);
    let control = b[at] & 0x80 != 0;
    l.brief("kind", if control { "control" } else { "data" }, 0, 2);
    l.brief("tunnel", h.tunnel, 2, 4);
    l.brief("session", h.session, 4, 6);
    if control {
        let kind = Avps(payload).next().and_then(Result::ok).and_then(|a| be16(a.value, 0));
        l.title = match kind {
            None => "ZLB".into(),
            Some(k) => format!("{} tunnel {} session {}", message(k), h.tunnel, h.session),
        };
        l.len = b.len() - at;
        out.push(l);
        return;
    }
    out.push(l);
    let framed = payload.starts_with(&[0xff, 0x03]);
    ppp(b, body + if framed { 2 } else { 0 }, out);
}

fn message(k: u16) -> String {
    let name = match k {
        1 => "SCCRQ",
        2 => "SCCRP",
        3 => "SCCCN",
        4 => "StopCCN",
        6 => "HELLO",
        7 => "OCRQ",
        8 => "OCRP",
        9 => "OCCN",
        10 => "ICRQ",
        11 => "ICRP",
        12 => "ICCN",
        14 => "CDN",
        15 => "WEN",
        16 => "SLI",
        n => return format!("message {n}"),
    };
    name.to_owned()
}

/// What the two ends of a phone line say (the lab's own protocol, docs/roles/dslam.md).
pub(super) fn adsl(b: &[u8], at: usize, out: &mut Vec<Layer>) {
    let mut l = Layer::new("ADSL", at, b.len() - at);
    l.title = "line signal".into();
    l.brief("bytes", b.len() - at, 0, b.len() - at);
    out.push(l);
}
