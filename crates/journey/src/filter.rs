//! Filters that see through: a subset of pcap-filter(7), matched against every IP
//! packet inside a frame (in PPPoE, L2TP, or bare) and on both sides of NAT.
//!
//! ```text
//! expression = term { "or" term }          term = factor { "and" factor }
//! factor     = [ "not" ] ( primitive | "(" expression ")" )
//! primitive  = [ "src" | "dst" ] ( "host" ADDRESS|NAME | "net" PREFIX | "port" N )
//!            | ( "tcp" | "udp" ) [ "src" | "dst" ] "port" N
//!            | "arp" | "ip" | "icmp" | "tcp" | "udp" | "pppoe" | "l2tp" | "dns" | "http"
//!            | "proto" ( "icmp" | "tcp" | "udp" | N )
//! ```
//! `&&`, `||` and `!` are other spellings.

use crate::dissect::Layer;
use crate::topology::Topology;
use node::Cidr;
use node::trace::Cause;
use std::collections::HashMap;
use std::net::Ipv4Addr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Any,
    Src,
    Dst,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Expr {
    Net(Side, Vec<Cidr>),
    Port(Option<&'static str>, Side, u16),
    Layer(&'static str),
    Proto(u8),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
}

/// A filter.
#[derive(Clone, Debug)]
pub struct Filter {
    expr: Expr,
}

/// What NAT made of what: an end outside, and the same end inside.
#[derive(Clone, Debug, Default)]
pub struct Aliases(HashMap<(Ipv4Addr, u16), (Ipv4Addr, u16)>);

/// Translations that are remembered.
const ALIASES: usize = 65_536;

impl Aliases {
    /// Learns from what a translator said.
    pub fn learn(&mut self, c: &Cause) {
        if let Cause::Nat { from, to } = c {
            if self.0.len() >= ALIASES {
                self.0.clear();
            }
            self.0.insert(*from, *to);
            self.0.insert(*to, *from);
        }
    }
}

/// One IP packet's ends, as a filter compares them.
#[derive(Clone, Copy, Debug)]
struct Ends {
    protocol: u8,
    src: (Ipv4Addr, u16),
    dst: (Ipv4Addr, u16),
}

fn number(layer: Option<&Layer>, field: &str) -> u16 {
    layer.and_then(|l| l.get(field)).and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn packets(layers: &[Layer], aliases: &Aliases) -> Vec<Ends> {
    let mut out = Vec::new();
    for (i, l) in layers.iter().enumerate().filter(|(_, l)| l.name == "IPv4") {
        let t = layers.get(i + 1).filter(|t| matches!(t.name, "TCP" | "UDP"));
        let addr = |f| l.get(f).and_then(|a| a.parse().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let protocol = match l.get("protocol") {
            Some("ICMP") => 1,
            Some("TCP") => 6,
            Some("UDP") => 17,
            Some(n) => n.parse().unwrap_or(0),
            None => 0,
        };
        let e = Ends { protocol, src: (addr("src"), number(t, "src-port")), dst: (addr("dst"), number(t, "dst-port")) };
        let (s, d) = (aliases.0.get(&e.src).copied(), aliases.0.get(&e.dst).copied());
        out.push(e);
        out.extend(s.map(|src| Ends { src, ..e }));
        out.extend(d.map(|dst| Ends { dst, ..e }));
    }
    out
}

impl Filter {
    /// Reads a filter; names of hosts are the lab's.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub fn parse(text: &str, t: &Topology) -> Result<Filter, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('!', " ! ").replace("&&", " && ").replace("||", " || ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut p = Parser { words: &words, at: 0, t };
        if words.is_empty() {
            return Err("an empty filter; e.g. `host 198.51.100.80 and tcp port 80`".into());
        }
        let expr = p.or()?;
        match p.words.get(p.at) {
            None => Ok(Filter { expr }),
            Some(w) => Err(format!("`{w}` was not expected; `and`, `or` or the end was")),
        }
    }

    /// Whether a frame's layers match.
    pub fn matches(&self, layers: &[Layer], aliases: &Aliases) -> bool {
        let packets = packets(layers, aliases);
        any(&self.expr, layers, &packets)
    }
}

/// All that is asked must hold of one packet of those in a frame.
fn any(e: &Expr, layers: &[Layer], packets: &[Ends]) -> bool {
    if packets.is_empty() {
        return eval(e, layers, None, packets);
    }
    packets.iter().any(|p| eval(e, layers, Some(p), packets))
}

fn eval(e: &Expr, layers: &[Layer], p: Option<&Ends>, all: &[Ends]) -> bool {
    match e {
        // What is not wanted must hold of none, neither of the tunnel nor of what is inside.
        Expr::Not(a) => !any(a, layers, all),
        Expr::And(a, b) => eval(a, layers, p, all) && eval(b, layers, p, all),
        Expr::Or(a, b) => eval(a, layers, p, all) || eval(b, layers, p, all),
        Expr::Layer(name) => layers.iter().any(|l| l.name == *name),
        Expr::Proto(n) => p.is_some_and(|p| p.protocol == *n),
        Expr::Net(side, list) => {
            let arp = |f: &str| layers.iter().find(|l| l.name == "ARP").and_then(|l| l.get(f)).and_then(|a| a.parse().ok());
            let (src, dst) = match p {
                Some(p) => (Some(p.src.0), Some(p.dst.0)),
                None => (arp("sender"), arp("target")),
            };
            let is = |a: Option<Ipv4Addr>| a.is_some_and(|a| list.iter().any(|c| c.contains(a)));
            pick(*side, is(src), is(dst))
        }
        Expr::Port(protocol, side, n) => p.is_some_and(|p| {
            let right = match protocol {
                Some("TCP") => p.protocol == 6,
                Some("UDP") => p.protocol == 17,
                _ => p.protocol == 6 || p.protocol == 17,
            };
            right && pick(*side, p.src.1 == *n, p.dst.1 == *n)
        }),
    }
}

fn pick(side: Side, src: bool, dst: bool) -> bool {
    match side {
        Side::Any => src || dst,
        Side::Src => src,
        Side::Dst => dst,
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    t: &'a Topology,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self) -> Option<&'a str> {
        self.at += 1;
        self.words.get(self.at - 1).copied()
    }

    fn or(&mut self) -> Result<Expr, String> {
        let mut e = self.and()?;
        while matches!(self.peek(), Some("or" | "||")) {
            self.at += 1;
            e = Expr::Or(Box::new(e), Box::new(self.and()?));
        }
        Ok(e)
    }

    fn and(&mut self) -> Result<Expr, String> {
        let mut e = self.factor()?;
        while matches!(self.peek(), Some("and" | "&&")) {
            self.at += 1;
            e = Expr::And(Box::new(e), Box::new(self.factor()?));
        }
        Ok(e)
    }

    fn factor(&mut self) -> Result<Expr, String> {
        // Brackets nest no deeper than there are words, and words are few.
        if self.words.len() > 512 {
            return Err("the filter is too long".into());
        }
        match self.peek() {
            Some("not" | "!") => {
                self.at += 1;
                Ok(Expr::Not(Box::new(self.factor()?)))
            }
            Some("(") => {
                self.at += 1;
                let e = self.or()?;
                match self.take() {
                    Some(")") => Ok(e),
                    _ => Err("a `)` is missing".into()),
                }
            }
            _ => self.primitive(),
        }
    }

    fn primitive(&mut self) -> Result<Expr, String> {
        let word = self.take().ok_or("the filter ends where `host`, `net`, `port` or a protocol was expected")?;
        let side = |w: &str| match w {
            "src" => Side::Src,
            "dst" => Side::Dst,
            _ => Side::Any,
        };
        match word {
            "src" | "dst" => match self.peek() {
                Some("host" | "net" | "port") => {
                    let kind = self.take().unwrap_or_default();
                    self.value(kind, None, side(word))
                }
                other => Err(format!("`{word}` is followed by `host`, `net` or `port`, not by `{}`", other.unwrap_or("nothing"))),
            },
            "host" | "net" | "port" => self.value(word, None, Side::Any),
            "tcp" | "udp" => {
                let name = if word == "tcp" { "TCP" } else { "UDP" };
                match (self.peek(), self.words.get(self.at + 1)) {
                    (Some("port"), _) => {
                        self.at += 1;
                        self.value("port", Some(name), Side::Any)
                    }
                    (Some(s @ ("src" | "dst")), Some(&"port")) => {
                        self.at += 2;
                        self.value("port", Some(name), side(s))
                    }
                    _ => Ok(Expr::Layer(name)),
                }
            }
            "arp" => Ok(Expr::Layer("ARP")),
            "ip" => Ok(Expr::Layer("IPv4")),
            "icmp" => Ok(Expr::Layer("ICMP")),
            "pppoe" | "pppoes" => Ok(Expr::Layer("PPPoE")),
            "l2tp" => Ok(Expr::Layer("L2TP")),
            "dns" => Ok(Expr::Layer("DNS")),
            "http" => Ok(Expr::Layer("HTTP")),
            "proto" => match self.take() {
                Some("icmp") => Ok(Expr::Proto(1)),
                Some("tcp") => Ok(Expr::Proto(6)),
                Some("udp") => Ok(Expr::Proto(17)),
                w => w
                    .and_then(|w| w.parse().ok())
                    .map(Expr::Proto)
                    .ok_or_else(|| format!("`proto` is followed by icmp, tcp, udp or a number, not by `{}`", w.unwrap_or("nothing"))),
            },
            other => {
                const WORDS: [&str; 16] = [
                    "host", "net", "port", "src", "dst", "tcp", "udp", "arp", "ip", "icmp", "pppoe", "l2tp", "dns", "http", "proto", "not",
                ];
                let near = node::nearest(other, WORDS).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                Err(format!("`{other}` is not known here, expected one of: {}{near}", WORDS.join(", ")))
            }
        }
    }

    fn value(&mut self, kind: &str, protocol: Option<&'static str>, side: Side) -> Result<Expr, String> {
        let v = self.take().ok_or_else(|| format!("`{kind}` is followed by nothing"))?;
        match kind {
            "port" => v.parse().map(|n| Expr::Port(protocol, side, n)).map_err(|_| format!("`{v}` is not a port (0 to 65535)")),
            "net" => v.parse().map(|c| Expr::Net(side, vec![c])),
            _ => {
                let one = |addr| Cidr { addr, len: 32 };
                if let Ok(a) = v.parse() {
                    return Ok(Expr::Net(side, vec![one(a)]));
                }
                let of_name: Vec<Cidr> = self.t.names.iter().filter(|(_, n)| n.iter().any(|n| n == v)).map(|(a, _)| one(*a)).collect();
                let of_node = self.t.nodes.iter().filter(|n| n.name == v).flat_map(|n| &n.ports).filter_map(|p| p.address.as_ref());
                let of_node: Vec<Cidr> = of_node.filter_map(|a| a.parse::<Cidr>().ok()).map(|c| one(c.addr)).collect();
                let all: Vec<Cidr> = of_name.into_iter().chain(of_node).collect();
                if all.is_empty() {
                    Err(format!("`{v}` is neither an IPv4 address nor a host of this lab with an address"))
                } else {
                    Ok(Expr::Net(side, all))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::dissect;
    use proptest::prelude::*;
    use wire::{Mac, craft, pppoe};

    fn frame(pppoe_too: bool) -> Vec<Layer> {
        let p = craft::packet(6, [203, 0, 113, 2].into(), [198, 51, 100, 80].into(), &craft::tcp(4000, 80, wire::tcp::SYN));
        if !pppoe_too {
            return dissect(&craft::ethernet(Mac::BROADCAST, Mac::of_lab(1, 0), &p));
        }
        let mut f = vec![0; 14];
        wire::ether::Header { dst: Mac::BROADCAST, src: Mac::of_lab(1, 0), ethertype: wire::ether::ethertype::PPPOE_SESSION }.write(&mut f);
        f.extend([0; 6]);
        pppoe::write_header(&mut f[14..], 0, 1, p.len() + 2);
        f.extend([0, 0x21]);
        f.extend(&p);
        dissect(&f)
    }

    #[test]
    fn it_sees_through_encapsulation_and_translation() {
        let t = Topology::default();
        let mut a = Aliases::default();
        let is = |text: &str, l: &[Layer], a: &Aliases| Filter::parse(text, &t).unwrap().matches(l, a);
        for l in [frame(false), frame(true)] {
            assert!(is("host 198.51.100.80 and tcp port 80", &l, &a));
            assert!(is("dst net 198.51.100.0/24 && !udp", &l, &a));
            assert!(is("(src port 4000 or arp) and proto tcp", &l, &a));
            assert!(!is("src host 198.51.100.80", &l, &a));
            assert!(!is("not tcp", &l, &a));
            assert!(!is("host 192.168.0.2", &l, &a));
        }
        // In a tunnel there are two packets, and none of them may be what is not wanted.
        let inner = craft::packet(6, [203, 0, 113, 2].into(), [198, 51, 100, 80].into(), &craft::tcp(4000, 80, wire::tcp::SYN));
        let data = [&[0, 2, 0, 7, 0, 9, 0, 0x21][..], &inner].concat();
        let outer = craft::packet(17, [10, 0, 0, 1].into(), [10, 0, 0, 2].into(), &craft::udp(1701, 1701, &data));
        let tunnelled = dissect(&craft::ethernet(Mac::BROADCAST, Mac::of_lab(1, 0), &outer));
        assert!(is("l2tp and tcp", &tunnelled, &a) || is("tcp", &tunnelled, &a), "{tunnelled:?}");
        for no in ["not tcp", "not udp", "udp and not tcp", "not host 203.0.113.2", "not (tcp port 80 or arp)"] {
            assert!(!is(no, &tunnelled, &a), "{no}");
        }
        assert!(is("not icmp", &tunnelled, &a) && is("tcp and not port 81", &tunnelled, &a));
        a.learn(&Cause::Nat { from: ([192, 168, 0, 2].into(), 4000), to: ([203, 0, 113, 2].into(), 4000) });
        assert!(is("src host 192.168.0.2 and port 80", &frame(true), &a));
        assert!(is("pppoe", &frame(true), &a) && !is("pppoe", &frame(false), &a));
    }

    #[test]
    fn mistakes_are_told() {
        let t = Topology::default();
        for (text, word) in [
            ("", "empty"),
            ("hots 1.2.3.4", "did you mean `host`"),
            ("host", "nothing"),
            ("host x.example", "neither"),
            ("port 99999", "not a port"),
            ("(tcp", "`)` is missing"),
            ("tcp udp", "was not expected"),
            ("net 1.2.3.4/40", "prefix"),
        ] {
            let e = Filter::parse(text, &t).unwrap_err();
            assert!(e.contains(word), "{text}: {e}");
        }
    }

    proptest! {
        #[test]
        fn no_text_can_harm_it(words in proptest::collection::vec(prop_oneof!["host", "net", "port", "src", "dst", "tcp", "and", "or", "not", "\\(", "\\)", "1.2.3.4", "80", "é"], 0..30)) {
            let _ = Filter::parse(&words.join(" "), &Topology::default());
        }
    }
}
