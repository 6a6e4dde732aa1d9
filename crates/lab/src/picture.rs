//! A lab as a picture in words: its longest way, and what hangs on it.

use crate::file::LabFile;
use crate::validate::split_end;
use std::collections::{BTreeMap, BTreeSet};

/// Columns of the picture.
const WIDTH: usize = 100;
/// Ways tried while the longest is sought: a lab is a small graph, but a mesh is not.
const TRIES: usize = 20_000;

type Graph<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn longest<'a>(g: &Graph<'a>, way: &mut Vec<&'a str>, best: &mut Vec<&'a str>, left: &mut usize) {
    if way.len() > best.len() {
        best.clone_from(way);
    }
    let Some(last) = way.last() else { return };
    for next in g.get(last).into_iter().flatten() {
        if *left == 0 {
            return;
        }
        *left -= 1;
        if !way.contains(next) {
            way.push(next);
            longest(g, way, best, left);
            way.pop();
        }
    }
}

/// Whether a link joins a modem and a DSLAM.
fn is_phone_line(f: &LabFile, ends: [&str; 2]) -> bool {
    let plays = |node: &str, role: &str| f.nodes.get(node).and_then(|n| n.role.as_ref()).is_some_and(|r| r.get_ref() == role);
    let [a, b] = ends;
    [(a, b), (b, a)].into_iter().any(|(x, y)| plays(x, "adsl-modem") && plays(y, "dslam"))
}

/// Draws it.
pub(crate) fn draw(f: &LabFile) -> String {
    let mut g: Graph<'_> = BTreeMap::new();
    let mut edges = Vec::new();
    for l in &f.links {
        let ends = [0, 1].map(|i| split_end(l.ends[i].get_ref()).unwrap_or_default().0);
        g.entry(ends[0]).or_default().push(ends[1]);
        g.entry(ends[1]).or_default().push(ends[0]);
        edges.push((ends[0], ends[1], if l.is_clean() && !is_phone_line(f, ends) { "──" } else { "~~" }));
    }
    let (mut best, mut left) = (Vec::new(), TRIES);
    if let Some(first) = f.nodes.keys().next() {
        longest(&g, &mut vec![first], &mut best, &mut left);
    }
    let mut drawn: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut lines = Vec::new();
    let mut line = format!("  {}", best.first().unwrap_or(&""));
    for w in best.windows(2) {
        let edge = edges.iter().find(|(a, b, _)| (*a, *b) == (w[0], w[1]) || (*b, *a) == (w[0], w[1]));
        let dash = edge.map_or("──", |e| e.2);
        drawn.insert((w[0], w[1]));
        drawn.insert((w[1], w[0]));
        let more = format!(" {dash} {}", w[1]);
        if line.chars().count() + more.chars().count() > WIDTH {
            lines.push(line + &format!(" {dash}"));
            line = format!("     {dash} {}", w[1]);
        } else {
            line += &more;
        }
    }
    lines.push(line);
    for (a, b, dash) in &edges {
        if !drawn.contains(&(*a, *b)) {
            let (on, off) = if best.contains(a) { (a, b) } else { (b, a) };
            lines.push(format!("  {off} {dash} {on}"));
        }
    }
    if edges.iter().any(|e| e.2 == "~~") {
        lines.push("  (~~ is a phone line, or a link with delay, loss, a rate or a medium)".into());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use crate::file::parse;

    const LAB: &str = r#"
name = "t"
[nodes.pc]
kind = "host"
[nodes.phone]
kind = "host"
[nodes.sw]
role = "switch"
[nodes.r]
role = "router"
[nodes.far]
role = "router"
[[links]]
ends = ["r.wan", "far.a"]
[[links]]
ends = ["pc.eth0", "sw.a"]
[[links]]
ends = ["phone.eth0", "sw.b"]
[[links]]
ends = ["sw.c", "r.lan"]
delay = "1ms"
"#;

    #[test]
    fn the_longest_way_and_what_hangs_on_it() {
        let f = parse(LAB).expect("a lab");
        assert_eq!(
            super::draw(&f),
            "  pc ── sw ~~ r ── far\n  phone ── sw\n  (~~ is a phone line, or a link with delay, loss, a rate or a medium)\n"
        );
    }

    #[test]
    fn the_plan_names_every_device() {
        let p = crate::plan::plan(&parse(LAB).expect("a lab"));
        assert!(
            p.links.starts_with("netns add pc\nnetns add phone\nnetns add sw\nnetns add r\nnetns add far\nnetns add cable\nlink add"),
            "{}",
            p.links
        );
        let of = |list: &[(String, String)], n: &str| list.iter().find(|(x, _)| x == n).map(|(_, t)| t.clone()).unwrap_or_default();
        assert_eq!(of(&p.ip, "pc"), "link set dev eth0 addrgenmode none address 02:00:00:00:01:00 up\nlink set dev lo up\n");
        assert_eq!(of(&p.tc, "sw").lines().filter(|l| l.contains("redirect dev")).count(), 6);
        assert_eq!(p.plain, [("pc".to_owned(), "eth0".to_owned()), ("phone".to_owned(), "eth0".to_owned())]);
        let cable = p.cable.expect("an impaired link");
        assert!(cable.contains("ends = [\"sw.c\", \"r.lan\"]") && cable.contains("delay-ns = 1000000"), "{cable}");
    }
}
