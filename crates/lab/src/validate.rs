//! What must hold of a lab file beyond its syntax. Every complaint names the
//! place and the nearest right word.

use crate::file::{LabFile, ROLES};
use node::{LabError, Span, nearest};
use std::collections::HashMap;
use std::ops::Range;

/// The lab's own process for impaired links.
pub(crate) const CABLE: &str = "cable";
/// Ports of a node at most.
const PORTS: usize = 256;
/// Bytes of a port's name: its veth's has two more, and 15 is the kernel's limit.
const PORT_NAME: usize = 13;

fn hint<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, words).map(|w| format!("; did you mean `{w}`?")).unwrap_or_default()
}

fn is_name(s: &str, most: usize) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !s.is_empty() && s.len() <= most && s.chars().all(ok) && !s.starts_with('-') && !s.ends_with('-')
}

/// `node.port` of one end of a link.
pub(crate) fn split_end(end: &str) -> Option<(&str, &str)> {
    end.split_once('.')
}

pub(crate) fn validate(text: &str, f: &LabFile) -> Result<(), LabError> {
    let bad = |span: Range<usize>, m: String| Err(LabError::at(text, span, m));
    if !is_name(f.name.get_ref(), 32) {
        return bad(f.name.span(), format!("`{}` is not a lab's name: up to 32 of a-z, 0-9 and -", f.name.get_ref()));
    }
    for (key, n) in &f.nodes.0 {
        let name = key.get_ref();
        if !is_name(name, 32) {
            return bad(key.span(), format!("`{name}` is not a node's name: up to 32 of a-z, 0-9 and -"));
        }
        if name == CABLE {
            return bad(key.span(), format!("`{CABLE}` is the lab's own: give the node another name"));
        }
        match (&n.role, &n.kind) {
            (Some(r), None) => {
                let role = r.get_ref().as_str();
                if !ROLES.contains(&role) {
                    let all = ROLES.join(", ");
                    return bad(
                        r.span(),
                        format!("there is no role `{role}`, expected one of: {all}{}", hint(role, ROLES.iter().copied())),
                    );
                }
                if !n.start.is_empty() || !n.dns.is_empty() || n.gateway.is_some() {
                    return bad(key.span(), format!("`{name}` is a role: `start`, `dns` and `gateway` are for kind = \"host\""));
                }
            }
            (None, Some(k)) if k.get_ref() == "host" => {}
            (None, Some(k)) => {
                return bad(k.span(), format!("there is no kind `{}`, expected `host`{}", k.get_ref(), hint(k.get_ref(), ["host"])));
            }
            (None, None) => return bad(key.span(), format!("node `{name}` needs a `role`, or kind = \"host\"")),
            (Some(_), Some(k)) => return bad(k.span(), format!("node `{name}` has a role; a kind is for nodes without one")),
        }
    }
    links(text, f)?;
    addresses(text, f)
}

fn links(text: &str, f: &LabFile) -> Result<(), LabError> {
    let mut used: HashMap<&str, ()> = HashMap::new();
    for l in &f.links {
        for e in &l.ends {
            end(text, f, e)?;
            if used.insert(e.get_ref(), ()).is_some() {
                return Err(LabError::at(text, e.span(), format!("port `{}` has a link already", e.get_ref())));
            }
        }
        for db in [&l.snr_db, &l.forward.snr_db, &l.backward.snr_db].into_iter().flatten() {
            if l.medium.is_none() {
                return Err(LabError::at(text, db.span(), "`snr-db` needs a `medium` on this link: 10base-t or 100base-tx"));
            }
            if !(-20.0..=100.0).contains(db.get_ref()) {
                return Err(LabError::at(text, db.span(), format!("{} dB is not possible, expected -20 to 100", db.get_ref())));
            }
        }
        if !(68..=9000).contains(l.mtu.get_ref()) {
            return Err(LabError::at(text, l.mtu.span(), format!("an mtu of {} is not possible, expected 68 to 9000", l.mtu.get_ref())));
        }
    }
    for (key, _) in &f.nodes.0 {
        let name = key.get_ref();
        let count = f.links.iter().flat_map(|l| &l.ends).filter(|e| split_end(e.get_ref()).is_some_and(|(n, _)| n == name)).count();
        if count > PORTS {
            return Err(LabError::at(text, key.span(), format!("`{name}` has {count} ports; a node has {PORTS} at most")));
        }
    }
    if let Some(l) = f.links.iter().filter(|l| !l.is_clean()).nth(PORTS / 2) {
        let text_of = format!("the cable carries {} links with impairment or a medium at most", PORTS / 2);
        return Err(LabError::at(text, l.ends[0].span(), text_of));
    }
    for (name, n) in f.nodes.iter() {
        for (port, _) in &n.ports.0 {
            let full = format!("{name}.{}", port.get_ref());
            if !used.contains_key(full.as_str()) {
                let own = used.keys().filter(|k| k.starts_with(&format!("{name}."))).copied();
                return Err(LabError::at(text, port.span(), format!("no link ends at `{full}`{}", hint(&full, own))));
            }
        }
    }
    Ok(())
}

fn end(text: &str, f: &LabFile, e: &Span<String>) -> Result<(), LabError> {
    let bad = |m: String| Err(LabError::at(text, e.span(), m));
    let Some((node, port)) = split_end(e.get_ref()) else {
        return bad(format!("`{}` is not a port, expected `node.port`", e.get_ref()));
    };
    if f.nodes.get(node).is_none() {
        return bad(format!("there is no node `{node}`{}", hint(node, f.nodes.keys())));
    }
    if !is_name(port, PORT_NAME) || port == "lo" {
        return bad(format!("`{port}` is not a port's name: up to {PORT_NAME} of a-z, 0-9 and -, not lo"));
    }
    Ok(())
}

fn addresses(text: &str, f: &LabFile) -> Result<(), LabError> {
    let mut seen = HashMap::new();
    for (name, n) in f.nodes.iter() {
        if let Some(g) = &n.gateway {
            let on_link = |p: &crate::file::Port| p.address.as_ref().is_some_and(|a| a.get_ref().contains(*g.get_ref()));
            if !n.ports.iter().any(|(_, p)| on_link(p)) {
                return Err(LabError::at(text, g.span(), format!("gateway {} is on no link of `{name}`", g.get_ref())));
            }
        }
        for (port, p) in n.ports.iter() {
            let Some(a) = &p.address else { continue };
            if let Some(other) = seen.insert(a.get_ref().addr, format!("{name}.{port}")) {
                return Err(LabError::at(text, a.span(), format!("{} belongs to `{other}` already", a.get_ref().addr)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::file::parse;

    const GOOD: &str = "name = \"t\"\n[nodes.pc]\nkind = \"host\"\n[nodes.pc.ports.eth0]\naddress = \"10.0.0.1/24\"\n[nodes.sw]\nrole = \"switch\"\n[[links]]\nends = [\"pc.eth0\", \"sw.p1\"]\ndelay = \"20ms\"\n";

    #[test]
    fn a_good_file() {
        let f = parse(GOOD).unwrap();
        assert!(!f.links[0].is_clean());
        assert_eq!(f.nodes.keys().collect::<Vec<_>>(), ["pc", "sw"]);
    }

    #[test]
    fn mistakes_are_told_with_place_and_nearest_word() {
        for (from, to, line, column, says) in [
            ("role = \"switch\"", "role = \"swich\"", 7, 8, "did you mean `switch`?"),
            ("kind = \"host\"", "kind = \"hst\"", 3, 8, "did you mean `host`?"),
            ("\"sw.p1\"", "\"ws.p1\"", 9, 20, "there is no node `ws`"),
            ("delay", "dealy", 10, 1, "did you mean `delay`?"),
            ("\"20ms\"", "\"20 parsecs\"", 10, 9, "is not a time"),
            ("10.0.0.1/24", "10.0.0.1/99", 5, 11, "is not an IPv4 prefix"),
            ("ports.eth0", "ports.eth1", 4, 17, "did you mean `pc.eth0`?"),
            ("name = \"t\"", "name = \"T T\"", 1, 8, "not a lab's name"),
            ("[[links]]", "[[lnks]]", 8, 3, "did you mean `links`?"),
            ("\"sw.p1\"", "\"pc.eth0\"", 9, 20, "has a link already"),
            ("\"20ms\"", "20ms", 10, 9, ""),
            ("delay = \"20ms\"", "snr-db = 20", 10, 10, "needs a `medium`"),
            ("delay = \"20ms\"", "medium = \"10bse-t\"", 10, 10, "did you mean `10base-t`?"),
            ("kind = \"host\"\n", "kind = \"host\"\ngateway = \"10.9.9.9\"\n", 4, 11, "is on no link of `pc`"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let e = parse(&text).expect_err(to);
            assert!(e.message.contains(says), "{to}: {e}");
            assert_eq!((e.line, e.column), (line, column), "{to}: {e}");
        }
    }
}
