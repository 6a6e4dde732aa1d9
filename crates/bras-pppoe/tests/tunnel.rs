//! LAC and LNS, joined by a link, with a subscriber on one side and the core on
//! the other.

mod common;

use bras_pppoe::Bas;
use common::{Subscriber, frame, ip};
use node::DropReason;
use node::sim::{Fault, NodeId, Sim, config, settings};
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ether::{HEADER_LEN, ethertype};
use wire::ipv4::{self, Header, protocol};
use wire::{Mac, craft, tcp};

const CORE: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 9, 0]), Ipv4Addr::new(10, 0, 1, 2));
const WEB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);

struct Net {
    sim: Sim,
    bas: NodeId,
    lns: NodeId,
}

fn net(tunnel: &str, lac: &str, lns: &str, mtu: u16) -> Net {
    let mut sim = Sim::new(1);
    let mut c = config("bas", 5, &[("access", None), ("lns", Some("10.0.0.1/30"))]);
    c.ports[1].mtu = mtu;
    let text = format!(
        "access = [\"access\"]\npool = \"203.0.113.224/29\"\nroutes = [{{ to = \"0.0.0.0/0\", via = \"10.0.0.2\" }}]\nusers = [{{ name = \"lee@home.example\", password = \"pw\" }}]\ntunnels = [{{ realm = \"isp.example\", lns = [\"10.0.0.2\"], {tunnel} }}]"
    );
    let bas = sim.add(Bas::new(&c, settings(&text), 42).expect("a BAS"), 2);
    let mut c = config("lns", 6, &[("bas", Some("10.0.0.2/30")), ("core", Some("10.0.1.1/30"))]);
    c.ports[0].mtu = mtu;
    let text = format!(
        "lacs = [{{ host-name = \"bas\", {lac} }}]\npool = \"203.0.113.0/29\"\ndns = [\"192.0.2.53\"]\nroutes = [{{ to = \"0.0.0.0/0\", via = \"10.0.1.2\" }}]\nusers = [{{ name = \"kim@isp.example\", password = \"pw\" }}]\n{lns}"
    );
    let l = sim.add(Bas::new(&c, settings(&text), 43).expect("an LNS"), 2);
    sim.link((bas, 1), (l, 0), Fault::default());
    sim.inject((l, 1), &craft::arp(1, CORE, (Mac::default(), [10, 0, 1, 1].into()), Mac::BROADCAST));
    sim.sent((l, 1));
    Net { sim, bas, lns: l }
}

impl Net {
    fn dial(&mut self, n: u8, user: &str, password: &str) -> Subscriber {
        Subscriber::dial(&mut self.sim, self.bas, n, user, password)
    }

    fn log(&self, node: NodeId) -> String {
        self.sim.show(node, "log").iter().filter_map(|e| e["reason"].as_str()).collect::<Vec<_>>().join("; ")
    }

    /// A packet from the core to a subscriber.
    fn core_sends(&mut self, p: &[u8]) {
        self.sim.inject((self.lns, 1), &craft::ethernet(Mac::of_lab(6, 1), CORE.0, p));
    }
}

const CLEAR: &str = "secret = \"s\"";

#[test]
fn a_session_ends_at_the_lns_and_a_local_one_here() {
    let mut n = net("secret = \"s\", hide = true", "secret = \"s\", hide = true", "", 1600);
    n.sim.record();
    let mut s = n.dial(1, "kim@isp.example", "pw");
    assert!(s.ppp.is_up(), "{:?} {}", s.down, n.log(n.lns));
    let seen = n.sim.recorded();
    let in_tunnel = |f: &[u8]| f[12..14] == [8, 0] && f[HEADER_LEN + 9] == 17;
    let tunnel: Vec<&Vec<u8>> = seen.iter().filter(|(_, f)| f.len() > 40 && in_tunnel(f)).map(|(_, f)| f).collect();
    assert!(!tunnel.is_empty() && !tunnel.iter().any(|f| f.windows(15).any(|w| w == b"kim@isp.example")), "the name is hidden");
    assert_eq!(s.address(), Ipv4Addr::new(203, 0, 113, 2));
    assert_eq!(s.ppp.addresses().dns[0], Some([192, 0, 2, 53].into()));
    let bas = &n.sim.show(n.bas, "sessions")[0];
    assert_eq!((bas["phase"].as_str(), bas["circuit-id"].as_str()), (Some("tunnelled"), Some("line 7")));
    let lns = &n.sim.show(n.lns, "sessions")[0];
    assert_eq!((lns["phase"].as_str(), lns["user"].as_str()), (Some("up"), Some("kim@isp.example")));
    assert_eq!(lns["circuit-id"].as_str(), Some("line 7"), "the LNS knows the line");
    // Out, with its own source alone; and back.
    s.say(&mut n.sim, &ip(&craft::packet(protocol::UDP, s.address(), WEB, &craft::udp(1, 2, b"out"))));
    s.say(&mut n.sim, &ip(&craft::packet(protocol::UDP, [203, 0, 113, 5].into(), WEB, &craft::udp(1, 2, b"no"))));
    n.sim.run(Duration::from_millis(1));
    let out = n.sim.sent((n.lns, 1));
    let h = Header::read(&out[0][HEADER_LEN..]).expect("a header");
    assert_eq!((out.len(), h.src, h.ttl), (1, s.address(), 59));
    assert_eq!(n.sim.core(n.lns).dropped(DropReason::SpoofedSource), 1);
    n.core_sends(&craft::packet(protocol::UDP, WEB, s.address(), &craft::udp(2, 1, b"back")));
    assert_eq!(s.got(&mut n.sim).len(), 1);
    // The other realm.
    let local = n.dial(2, "lee@home.example", "pw");
    assert!(local.ppp.is_up());
    assert_eq!(local.address(), Ipv4Addr::new(203, 0, 113, 226));
    assert_eq!(n.sim.show(n.bas, "tunnels").len(), 1);
}

#[test]
fn what_goes_wrong_is_said_at_both_ends() {
    // A wrong password: the LNS refuses over PPP and by CDN.
    let mut n = net(CLEAR, CLEAR, "", 1600);
    let mut s = n.dial(1, "kim@isp.example", "no");
    s.live(&mut n.sim, Duration::from_secs(8));
    assert_eq!(s.down.as_deref(), Some("authentication failed: wrong password"));
    assert!(n.log(n.lns).contains("authentication of `kim@isp.example` failed: wrong password"));
    assert!(n.log(n.bas).contains("CDN received, result 3") && n.log(n.bas).contains("wrong password"), "{}", n.log(n.bas));
    assert!(s.padt);
    // A full pool: .1 is the LNS's own, five are left.
    let up: Vec<_> = (2..=6).map(|i| n.dial(i, "kim@isp.example", "pw")).collect();
    assert!(up.iter().all(|s| s.ppp.is_up()));
    let mut s = n.dial(7, "kim@isp.example", "pw");
    s.live(&mut n.sim, Duration::from_secs(8));
    assert_eq!(s.down.as_deref(), Some("authentication failed: no address is free"));
    assert!(n.log(n.bas).contains("CDN received, result 4"), "{}", n.log(n.bas));
    // A realm that nobody knows.
    let s = n.dial(8, "who@nowhere.example", "pw");
    assert_eq!(s.down.as_deref(), Some("authentication failed: unknown realm `nowhere.example`"));
    // Another secret: StopCCN, and the subscriber hears of it.
    let mut n = net("secret = \"a\"", "secret = \"b\"", "", 1600);
    let s = n.dial(1, "kim@isp.example", "pw");
    assert!(s.down.as_ref().is_some_and(|d| d.contains("secret is not the same")), "{:?}", s.down);
    for node in [n.bas, n.lns] {
        assert!(n.log(node).contains("result 4") && n.log(node).contains("secret is not the same"), "{}", n.log(node));
    }
}

#[test]
fn the_end_of_one_is_the_end_of_all() {
    let mut n = net(CLEAR, CLEAR, "", 1600);
    // The subscriber goes: CDN to the LNS, whose address comes back.
    let s = n.dial(1, "kim@isp.example", "pw");
    let padt = wire::pppoe::Discovery::new(wire::pppoe::code::PADT, s.id).finish();
    n.sim.inject((n.bas, 0), &frame(common::BAS, s.mac, ethertype::PPPOE_DISCOVERY, &padt));
    n.sim.run(Duration::from_millis(10));
    assert!(n.sim.show(n.bas, "sessions").is_empty() && n.sim.show(n.lns, "sessions").is_empty());
    assert!(n.log(n.lns).contains("CDN received, result 1: PADT from the subscriber"), "{}", n.log(n.lns));
    // The operator of the LNS ends it: PPP's own goodbye, CDN, PADT.
    let mut s = n.dial(2, "kim@isp.example", "pw");
    let number = n.sim.show(n.lns, "sessions")[0]["session"].to_string();
    let words = vec!["disconnect".to_owned(), number];
    n.sim.with::<Bas, _>(n.lns, |b, cx| node::Element::command(b, cx, node::Command { words })).expect("done");
    s.live(&mut n.sim, Duration::from_secs(8));
    assert_eq!(s.down.as_deref(), Some("the peer ended the link: disconnected by the operator"));
    assert!(s.padt && n.log(n.bas).contains("result 3"), "{}", n.log(n.bas));
    // The tunnel goes: all its sessions do.
    let mut s = n.dial(3, "kim@isp.example", "pw");
    assert!(s.ppp.is_up());
    let tunnel = n.sim.show(n.lns, "tunnels")[0]["tunnel"].to_string();
    let words = vec!["stop-tunnel".to_owned(), tunnel];
    n.sim.with::<Bas, _>(n.lns, |b, cx| node::Element::command(b, cx, node::Command { words })).expect("done");
    s.settle(&mut n.sim);
    assert!(s.padt && n.sim.show(n.bas, "sessions").is_empty() && n.sim.show(n.lns, "sessions").is_empty());
    // An LNS that is gone is noticed, and its sessions end.
    let mut s = n.dial(4, "kim@isp.example", "pw");
    assert!(s.ppp.is_up());
    n.sim.unlink((n.bas, 1));
    s.live(&mut n.sim, Duration::from_secs(90));
    assert!(s.padt && n.log(n.bas).contains("the peer does not answer"), "{}", n.log(n.bas));
}

#[test]
fn the_next_lns_is_tried() {
    let mut sim = Sim::new(1);
    let c = config("bas", 5, &[("access", None), ("lns", Some("10.0.0.1/29"))]);
    let text = "access = [\"access\"]\ntunnels = [{ realm = \"isp.example\", lns = [\"10.0.0.3\", \"10.0.0.2\"] }]";
    let bas = sim.add(Bas::new(&c, settings(text), 42).expect("a BAS"), 2);
    let c = config("lns", 6, &[("bas", Some("10.0.0.2/29"))]);
    let text = "lacs = [{ host-name = \"*\" }]\npool = \"203.0.113.0/29\"\nusers = [{ name = \"kim@isp.example\", password = \"pw\" }]";
    let lns = sim.add(Bas::new(&c, settings(text), 43).expect("an LNS"), 1);
    sim.link((bas, 1), (lns, 0), Fault::default());
    let mut s = Subscriber::dial(&mut sim, bas, 1, "kim@isp.example", "pw");
    // The first is silent: given up after all its retransmissions.
    for _ in 0..60 {
        sim.run(Duration::from_secs(1));
        s.settle(&mut sim);
    }
    assert!(s.ppp.is_up(), "{:?}", s.down);
    assert_eq!(sim.core(bas).event("calls-failed"), 1);
}

/// A TCP SYN with an MSS option.
fn syn(src: Ipv4Addr, dst: Ipv4Addr, mss: u16) -> Vec<u8> {
    let mut t = vec![0; 24];
    t[12] = 6 << 4;
    t[13] = tcp::SYN;
    t[20..22].copy_from_slice(&[2, 4]);
    t[22..24].copy_from_slice(&mss.to_be_bytes());
    let mut p = craft::packet(protocol::TCP, src, dst, &t);
    ipv4::fill_l4_checksum(&mut p);
    p
}

fn mss_of(p: &[u8]) -> u16 {
    u16::from_be_bytes([p[20 + 22], p[20 + 23]])
}

fn with_df(mut p: Vec<u8>) -> Vec<u8> {
    p[6] |= 0x40;
    ipv4::fill_checksum(&mut p);
    p
}

#[test]
fn a_narrow_tunnel_lowers_mru_and_mss() {
    let mut n = net(CLEAR, CLEAR, "", 1500);
    let mut s = n.dial(1, "kim@isp.example", "pw");
    // 1500 less IPv4, UDP, L2TP, framing and protocol.
    assert_eq!((s.ppp.is_up(), s.ppp.mtu()), (true, 1500 - 20 - 8 - 6 - 2 - 2));
    n.core_sends(&syn(WEB, s.address(), 1460));
    assert_eq!(mss_of(&s.got(&mut n.sim)[0]), 1462 - 40);
    s.say(&mut n.sim, &ip(&syn(s.address(), WEB, 1460)));
    n.sim.run(Duration::from_millis(1));
    assert_eq!(mss_of(&n.sim.sent((n.lns, 1))[0][HEADER_LEN..]), 1462 - 40);
    let link_frames = |n: &mut Net| n.sim.recorded().into_iter().filter(|((node, _), _)| *node == n.bas).count();
    n.sim.record();
    n.core_sends(&craft::packet(protocol::UDP, WEB, s.address(), &craft::udp(2, 1, &[0; 1400])));
    n.sim.run(Duration::from_millis(1));
    assert_eq!(link_frames(&mut n), 1);
}

#[test]
fn a_narrow_tunnel_fragments_the_outer_packet() {
    let more = "secret = \"s\", too-big = \"fragment\"";
    let mut n = net(more, more, "", 1500);
    let mut s = n.dial(1, "kim@isp.example", "pw");
    assert_eq!((s.ppp.is_up(), s.ppp.mtu()), (true, 1492));
    n.sim.record();
    let big = with_df(craft::packet(protocol::UDP, WEB, s.address(), &craft::udp(2, 1, &[7; 1464])));
    n.core_sends(&big);
    let got = s.got(&mut n.sim);
    assert_eq!((got.len(), got[0].len()), (1, 1492));
    let up = with_df(craft::packet(protocol::UDP, s.address(), WEB, &craft::udp(1, 2, &[8; 1464])));
    s.say(&mut n.sim, &ip(&up));
    n.sim.run(Duration::from_millis(1));
    assert_eq!(n.sim.sent((n.lns, 1))[0].len(), HEADER_LEN + 1492);
    let pieces = n
        .sim
        .recorded()
        .into_iter()
        .filter(|((node, port), f)| (*node == n.bas && port.0 == 1 || *node == n.lns && port.0 == 0) && f[HEADER_LEN + 6] & 0x20 != 0);
    assert_eq!(pieces.count(), 2, "each way one first fragment");
}

#[test]
fn a_narrow_tunnel_tells_what_fits() {
    let more = "secret = \"s\", too-big = \"packet-too-big\"";
    let mut n = net(more, more, "", 1500);
    let mut s = n.dial(1, "kim@isp.example", "pw");
    assert_eq!((s.ppp.is_up(), s.ppp.mtu()), (true, 1492));
    let icmp_mtu = |p: &[u8]| (p[20], p[21], u16::from_be_bytes([p[26], p[27]]));
    n.core_sends(&with_df(craft::packet(protocol::UDP, WEB, s.address(), &craft::udp(2, 1, &[7; 1464]))));
    let told = n.sim.sent((n.lns, 1));
    assert_eq!(icmp_mtu(&told[0][HEADER_LEN..]), (3, 4, 1462));
    s.say(&mut n.sim, &ip(&with_df(craft::packet(protocol::UDP, s.address(), WEB, &craft::udp(1, 2, &[8; 1464])))));
    let got = s.got(&mut n.sim);
    assert_eq!((icmp_mtu(&got[0]), got[0][12..16] == [10, 0, 0, 1]), ((3, 4, 1462), true), "the LAC tells the subscriber");
    // Without DF it goes, in pieces.
    s.say(&mut n.sim, &ip(&craft::packet(protocol::UDP, s.address(), WEB, &craft::udp(1, 2, &[8; 1464]))));
    n.sim.run(Duration::from_millis(1));
    assert_eq!(n.sim.sent((n.lns, 1)).len(), 1);
}

#[test]
fn numbered_data_and_lengths_are_understood() {
    let mut n = net("secret = \"s\", sequencing = true", CLEAR, "l2tp = { data-length = true, data-offset = 5 }", 1600);
    let mut s = n.dial(1, "kim@isp.example", "pw");
    assert!(s.ppp.is_up());
    n.core_sends(&craft::packet(protocol::UDP, WEB, s.address(), &craft::udp(2, 1, b"back")));
    assert_eq!(s.got(&mut n.sim).len(), 1);
    assert_eq!(n.sim.show(n.lns, "calls")[0]["out-of-order"].as_u64(), Some(0));
}

#[test]
fn wrong_settings_are_told() {
    let c = config("bas", 5, &[("access", None), ("core", Some("10.0.0.1/30"))]);
    for (text, says) in [
        ("", "there are no subscribers"),
        ("access = [\"access\"]\ntunnels = [{ realm = \"x\", lns = [] }]", "names no LNS"),
        ("access = [\"access\"]\ntunnels = [{ realm = \"x\", lns = [\"10.0.0.2\"], hide = true }]", "needs a `secret`"),
        ("lacs = [{ host-name = \"x\", secret = \"\" }]", "protects nothing"),
        ("access = [\"access\"]\nradius = { servers = [] }", "names no server"),
    ] {
        let e = Bas::new(&c, settings(text), 1).expect_err(text);
        assert!(format!("{e:#}").contains(says), "{e:#}");
    }
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let mut n = net(CLEAR, CLEAR, "", 1600);
    n.sim.record();
    let s = n.dial(1, "kim@isp.example", "pw");
    s.say(&mut n.sim, &ip(&craft::packet(protocol::UDP, s.address(), WEB, &craft::udp(1, 2, b"data"))));
    n.sim.run(Duration::from_millis(1));
    let seen = n.sim.recorded();
    for (node, ports) in [(n.lns, 2), (n.bas, 2)] {
        let bases: Vec<Vec<u8>> = seen.iter().filter(|((at, _), _)| *at == node).map(|(_, f)| f.clone()).collect();
        n.sim.mutate(node, ports, &bases, 100_000);
    }
}
