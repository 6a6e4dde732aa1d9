//! What a packet is, in a line: protocol messages under their own names, what is
//! said around them in the language asked for.

use super::Lang;
use crate::dissect::{self, Layer};

/// The innermost protocol, and what the packet is.
pub fn title(lang: Lang, layers: &[Layer]) -> (&'static str, String) {
    let (protocol, text) = dissect::title(layers);
    let ko = || korean(protocol, &text);
    match lang {
        Lang::En => (protocol, text),
        Lang::Ko => (protocol, super::particle::choose(ko().unwrap_or(text))),
    }
}

/// `None`: it stays as it is, since it is made of names alone.
fn korean(protocol: &str, text: &str) -> Option<String> {
    match protocol {
        "DNS" => {
            let asked = text.strip_prefix("question ").map(|q| format!("질의 {q}"));
            asked.or_else(|| Some(format!("응답 {}", super::failure(Lang::Ko, text.strip_prefix("answer ")?))))
        }
        "ARP" => {
            if let Some((target, sender)) = text.strip_prefix("who has ").and_then(|t| t.split_once("? tell ")) {
                return Some(format!("{target}의 MAC 주소는? {sender}에게 알려 줄 것"));
            }
            let (address, mac) = text.split_once(" is at ")?;
            Some(format!("{address}의 MAC 주소는 {mac}"))
        }
        "ICMP" => {
            let (what, about) = text.split_once(" about ").map_or((text, None), |(w, a)| (w, Some(a)));
            let what = match what.split_once(", MTU ") {
                Some((_, mtu)) => format!("단편화가 필요하나 금지됨, MTU {mtu}"),
                None => match what {
                    "echo request" => "에코 요청",
                    "echo reply" => "에코 응답",
                    "network unreachable" => "네트워크에 닿을 수 없음",
                    "host unreachable" => "호스트에 닿을 수 없음",
                    "port unreachable" => "포트에 닿을 수 없음",
                    "administratively prohibited" => "관리자가 금지함",
                    "time to live exceeded" => "TTL이 다함",
                    "reassembly time exceeded" => "재조립 시간이 다함",
                    _ => return None,
                }
                .to_owned(),
            };
            Some(about.map_or_else(|| what.clone(), |a| format!("{what}, 원인: {a}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ipv4::protocol;
    use wire::{Mac, craft, icmp};

    #[test]
    fn every_icmp_message_of_ours_has_its_words() {
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let about = craft::packet(protocol::UDP, a, b, &craft::udp(1000, 2000, b"x"));
        let mut out = String::new();
        for (kind, code) in [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1)] {
            let f = craft::ethernet(Mac::BROADCAST, Mac::of_lab(1, 0), &craft::icmp_error(kind, code, b, a, &about));
            let layers = dissect::dissect(&f);
            let (p, en) = title(Lang::En, &layers);
            let ko = title(Lang::Ko, &layers).1;
            assert!(p == "ICMP" && ko != en && en.ends_with("about 10.0.0.1:1000 → 10.0.0.2:2000"), "{en}");
            out += &format!("{en}\n  {ko}\n");
        }
        assert_eq!(icmp::UNREACHABLE, 3);
        let ask = craft::arp(1, (Mac::of_lab(1, 0), a), (Mac::default(), b), Mac::BROADCAST);
        let tell = craft::arp(2, (Mac::of_lab(2, 0), b), (Mac::of_lab(1, 0), a), Mac::of_lab(1, 0));
        for f in [ask, tell] {
            let layers = dissect::dissect(&f);
            out += &format!("{}\n  {}\n", title(Lang::En, &layers).1, title(Lang::Ko, &layers).1);
        }
        insta::assert_snapshot!(out);
    }
}
