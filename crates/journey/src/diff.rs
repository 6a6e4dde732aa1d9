//! Two sights of one packet: which headers came and went, which fields changed.

use crate::dissect::Layer;
use serde::Serialize;

/// A layer in a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The protocol.
    pub name: &'static str,
    /// What it is, in a word.
    pub title: String,
    /// The other side has no such layer: it was taken off, or put on.
    pub alone: bool,
    /// Its one-line form: name, value, and whether the other side differs.
    pub brief: Vec<(&'static str, String, bool)>,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The protocol.
    pub layer: &'static str,
    /// The field.
    pub field: &'static str,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

/// A comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The layers before.
    pub before: Vec<Compared>,
    /// The layers after.
    pub after: Vec<Compared>,
    /// Fields that changed, from outside to inside.
    pub changes: Vec<Change>,
}

/// Which layers of `a` and `b` are the same ones: the longest common row of names,
/// matched from the inside, since headers are put on outside.
fn matched(a: &[Layer], b: &[Layer]) -> Vec<(usize, usize)> {
    let (n, m) = (a.len(), b.len());
    let mut best = vec![vec![0u16; m + 1]; n + 1];
    for i in 1..=n {
        for j in 1..=m {
            best[i][j] = if a[i - 1].name == b[j - 1].name { best[i - 1][j - 1] + 1 } else { best[i - 1][j].max(best[i][j - 1]) };
        }
    }
    let (mut i, mut j, mut pairs) = (n, m, Vec::new());
    while i > 0 && j > 0 {
        if a[i - 1].name == b[j - 1].name && best[i][j] == best[i - 1][j - 1] + 1 {
            pairs.push((i - 1, j - 1));
            (i, j) = (i - 1, j - 1);
        } else if best[i - 1][j] >= best[i][j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    pairs.reverse();
    pairs
}

/// Padding follows the link, and its bytes mean nothing.
fn told(layers: &[Layer]) -> Vec<Layer> {
    layers.iter().filter(|l| l.name != "padding").cloned().collect()
}

fn differs(l: &Layer, other: Option<&Layer>, field: &str) -> bool {
    other.is_some_and(|o| o.get(field) != l.get(field))
}

fn compared(l: &Layer, other: Option<&Layer>) -> Compared {
    let brief = l.fields.iter().filter(|f| f.brief).map(|f| (f.name, f.value.clone(), differs(l, other, f.name))).collect();
    Compared { name: l.name, title: l.title.clone(), alone: other.is_none(), brief }
}

/// Compares the layers of a packet at two places.
pub fn diff(before: &[Layer], after: &[Layer]) -> Diff {
    let (a, b) = (told(before), told(after));
    let pairs = matched(&a, &b);
    let partner = |i: usize| pairs.iter().find(|(x, _)| *x == i).map(|(_, y)| &b[*y]);
    let back = |j: usize| pairs.iter().find(|(_, y)| *y == j).map(|(x, _)| &a[*x]);
    let mut d = Diff {
        before: a.iter().enumerate().map(|(i, l)| compared(l, partner(i))).collect(),
        after: b.iter().enumerate().map(|(j, l)| compared(l, back(j))).collect(),
        changes: Vec::new(),
    };
    for (x, y) in &pairs {
        let (l, o) = (&a[*x], &b[*y]);
        for f in &l.fields {
            // Several headers of one name (HTTP's) are told by the line alone.
            if f.name == "header" {
                continue;
            }
            match o.get(f.name) {
                Some(v) if v != f.value => d.changes.push(Change { layer: l.name, field: f.name, from: f.value.clone(), to: v.to_owned() }),
                _ => {}
            }
        }
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::dissect;
    use wire::{Mac, craft, ipv4};

    #[test]
    fn encapsulation_is_told_as_layers_put_on() {
        let p = craft::packet(6, [192, 168, 0, 2].into(), [198, 51, 100, 80].into(), &craft::tcp(1, 80, wire::tcp::SYN));
        let lan = craft::ethernet(Mac::of_lab(2, 0), Mac::of_lab(1, 0), &p);
        let mut q = p.clone();
        ipv4::decrement_ttl(&mut q);
        ipv4::set_addr(&mut q, ipv4::Side::Source, [203, 0, 113, 1].into(), false);
        let mut wan = vec![0; 14];
        wire::ether::Header { dst: Mac::of_lab(3, 0), src: Mac::of_lab(2, 1), ethertype: wire::ether::ethertype::PPPOE_SESSION }
            .write(&mut wan);
        wan.extend([0; 6]);
        wire::pppoe::write_header(&mut wan[14..], 0, 7, q.len() + 2);
        wan.extend([0, 0x21]);
        wan.extend(&q);
        let d = diff(&dissect(&lan), &dissect(&wan));
        let alone: Vec<_> = d.after.iter().filter(|c| c.alone).map(|c| c.name).collect();
        assert_eq!((alone, d.before.iter().any(|c| c.alone)), (vec!["PPPoE", "PPP"], false));
        let fields: Vec<_> = d.changes.iter().map(|c| (c.layer, c.field)).collect();
        assert!(
            fields.contains(&("IPv4", "src")) && fields.contains(&("IPv4", "ttl")) && fields.contains(&("TCP", "checksum")),
            "{fields:?}"
        );
        assert!(!fields.contains(&("IPv4", "dst")));
    }
}
