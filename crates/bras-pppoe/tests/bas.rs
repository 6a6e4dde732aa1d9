//! The BAS against subscribers that speak PPP by themselves.

mod common;

use bras_pppoe::Bas;
use common::{BAS, Subscriber, discover, frame, ip, tag_of};
use node::sim::{NodeId, Sim, config, settings};
use node::{DropReason, Origin, Record};
use ppp::Phase;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::ether::{HEADER_LEN, ethertype};
use wire::ipv4::{Header, protocol};
use wire::pppoe::{self, Discovery, Packet, code, tag};
use wire::{Mac, craft};

const CORE: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 6, 0]), Ipv4Addr::new(10, 0, 1, 2));

fn bas(more: &str) -> (Sim, NodeId) {
    let mut sim = Sim::new(1);
    let c = config("bas", 5, &[("access", None), ("core", Some("10.0.1.1/30"))]);
    let text = format!(
        "access = [\"access\"]\npool = \"203.0.113.0/29\"\nservices = [\"internet\"]\nroutes = [{{ to = \"0.0.0.0/0\", via = \"10.0.1.2\" }}]\nusers = [{{ name = \"kim\", password = \"pw\" }}, {{ name = \"lee\", password = \"pw\", address = \"203.0.113.5\" }}]\n{more}"
    );
    let b = sim.add(Bas::new(&c, settings(&text), 42).expect("a BAS"), 2);
    sim.inject((b, 1), &craft::arp(1, CORE, (Mac::default(), [10, 0, 1, 1].into()), Mac::BROADCAST));
    sim.sent((b, 1));
    (sim, b)
}

#[test]
fn a_subscriber_gets_an_address_and_speaks_from_it_alone() {
    let (mut sim, b) = bas("");
    let mut s = Subscriber::dial(&mut sim, b, 1, "kim", "pw");
    assert!(s.ppp.is_up());
    let own = s.address();
    assert_eq!(s.ppp.addresses().peer, Some([203, 0, 113, 1].into()));
    let web: Ipv4Addr = [198, 51, 100, 80].into();
    s.say(&mut sim, &ip(&craft::packet(protocol::UDP, own, web, &craft::udp(1, 2, b"out"))));
    let out = sim.sent((b, 1));
    let h = Header::read(&out[0][HEADER_LEN..]).expect("a header");
    assert_eq!((h.src, h.dst, h.ttl), (own, web, 59));
    s.say(&mut sim, &ip(&craft::packet(protocol::UDP, [203, 0, 113, 6].into(), web, &craft::udp(1, 2, b"no"))));
    assert!(sim.sent((b, 1)).is_empty());
    assert_eq!(sim.core(b).dropped(DropReason::SpoofedSource), 1);
    // And back, into the session.
    sim.inject((b, 1), &craft::ethernet(Mac::of_lab(5, 1), CORE.0, &craft::packet(protocol::UDP, web, own, &craft::udp(2, 1, b"in"))));
    assert_eq!(s.got(&mut sim).len(), 1, "one IPv4 packet in its own session");
    // A pool address that nobody has, and a pool source from the core.
    sim.inject(
        (b, 1),
        &craft::ethernet(Mac::of_lab(5, 1), CORE.0, &craft::packet(protocol::UDP, web, [203, 0, 113, 6].into(), &craft::udp(2, 1, b"in"))),
    );
    sim.inject((b, 1), &craft::ethernet(Mac::of_lab(5, 1), CORE.0, &craft::packet(protocol::UDP, own, web, &craft::udp(2, 1, b"in"))));
    assert!(sim.sent((b, 0)).is_empty() && sim.sent((b, 1)).is_empty());
}

#[test]
fn what_ppp_answers_is_due_to_what_it_answers() {
    let (mut sim, b) = bas("");
    let mut s = Subscriber::dial(&mut sim, b, 1, "kim", "pw");
    sim.core(b).trace.start();
    let echo = [0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 9];
    s.say(&mut sim, &echo);
    let (bytes, _) = sim.core(b).trace.take();
    let all: Vec<Record<'_>> = node::trace::record::records(&bytes).collect();
    let [Record::In { seq: asked, .. }, .., Record::Out { seq: answered, .. }] = &all[..] else { panic!("{all:?}") };
    let origin = all.iter().find_map(|r| if let Record::Made { seq, origin, .. } = r { (seq == answered).then_some(origin) } else { None });
    assert_eq!(origin, Some(&Origin::Of(*asked)));
    // What its own timer says is due to nothing.
    s.live(&mut sim, Duration::from_secs(40));
    let (bytes, _) = sim.core(b).trace.take();
    let timer = |r: Record<'_>| matches!(r, Record::Made { origin: Origin::Timer, .. });
    assert!(node::trace::record::records(&bytes).any(timer), "the BAS asks for an echo by itself");
}

#[test]
fn wrong_passwords_unknown_users_and_a_full_pool_are_refused_with_the_reason() {
    let (mut sim, b) = bas("");
    for (user, password, why) in [("kim", "no", "wrong password"), ("who", "pw", "unknown user")] {
        let s = Subscriber::dial(&mut sim, b, 1, user, password);
        assert_eq!(s.down, Some(format!("authentication failed: {why}")));
    }
    sim.run(Duration::from_secs(10));
    assert!(sim.show(b, "sessions").is_empty());
    assert!(sim.show(b, "log").iter().any(|e| e["reason"].as_str().is_some_and(|r| r.contains("unknown user"))));
    // .1 is the BAS's, .5 is lee's: four are left for kim.
    let up: Vec<Subscriber> = (1..=4).map(|n| Subscriber::dial(&mut sim, b, n, "kim", "pw")).collect();
    assert!(up.iter().all(|s| s.ppp.is_up()));
    assert_eq!(Subscriber::dial(&mut sim, b, 9, "kim", "pw").down, Some("authentication failed: no address is free".into()));
    assert_eq!(Subscriber::dial(&mut sim, b, 10, "lee", "pw").ppp.addresses().local, Some([203, 0, 113, 5].into()));
    assert_eq!(
        Subscriber::dial(&mut sim, b, 11, "lee", "pw").down,
        Some("authentication failed: the subscriber's address is in use".into())
    );
}

#[test]
fn discovery_keeps_to_its_rules() {
    let (mut sim, b) = bas("max-sessions = 2\nmax-per-mac = 1\n");
    let mac = Mac([2, 0, 0, 1, 0, 1]);
    assert!(discover(&mut sim, b, mac, code::PADI, &[(tag::SERVICE_NAME, b"tv")]).is_empty(), "not offered: no answer");
    assert!(discover(&mut sim, b, mac, code::PADI, &[]).is_empty(), "no Service-Name tag");
    assert_eq!(discover(&mut sim, b, mac, code::PADI, &[(tag::SERVICE_NAME, b"internet")]).len(), 1);
    let forged = discover(&mut sim, b, mac, code::PADR, &[(tag::SERVICE_NAME, b""), (tag::AC_COOKIE, &[0; 16])]);
    assert_eq!(Packet::read(&forged[0][HEADER_LEN..]).expect("a PADS").session, 0);
    assert!(tag_of(&forged[0], tag::GENERIC_ERROR).is_some());
    let cookie =
        |sim: &mut Sim, mac| tag_of(&discover(sim, b, mac, code::PADI, &[(tag::SERVICE_NAME, b"")])[0], tag::AC_COOKIE).expect("a cookie");
    let padr = |sim: &mut Sim, mac, service: &[u8], unique: &[u8]| {
        let c = cookie(sim, mac);
        discover(
            sim,
            b,
            mac,
            code::PADR,
            &[(tag::SERVICE_NAME, service), (tag::AC_COOKIE, &c), (tag::HOST_UNIQ, unique), (tag::PPP_MAX_PAYLOAD, &[5, 0xdc])],
        )
    };
    assert!(tag_of(&padr(&mut sim, mac, b"tv", b"u")[0], tag::SERVICE_NAME_ERROR).is_some());
    let first = padr(&mut sim, mac, b"", b"u");
    let id = Packet::read(&first[0][HEADER_LEN..]).expect("a PADS").session;
    assert!(id != 0 && tag_of(&first[0], tag::PPP_MAX_PAYLOAD) == Some(vec![5, 0xdc]));
    let again = padr(&mut sim, mac, b"", b"u");
    assert_eq!(Packet::read(&again[0][HEADER_LEN..]).expect("a PADS").session, id, "a repeated PADR gets its session");
    assert!(tag_of(&padr(&mut sim, mac, b"", b"v")[0], tag::AC_SYSTEM_ERROR).is_some(), "one session a MAC");
    // PADT counts only from the session's own MAC.
    let padt = Discovery::new(code::PADT, id).finish();
    sim.inject((b, 0), &frame(BAS, Mac([2, 0, 0, 1, 0, 9]), ethertype::PPPOE_DISCOVERY, &padt));
    assert_eq!(sim.show(b, "sessions").len(), 1);
    sim.inject((b, 0), &frame(BAS, mac, ethertype::PPPOE_DISCOVERY, &padt));
    assert!(sim.show(b, "sessions").is_empty());
    // Frames of an unknown session are answered by PADT, at a bounded rate.
    sim.sent((b, 0));
    let mut body = vec![0; pppoe::HEADER_LEN];
    pppoe::write_header(&mut body, code::SESSION, 77, 4);
    body.extend([0, 0x21, 0, 0]);
    for _ in 0..500 {
        sim.inject((b, 0), &frame(BAS, mac, ethertype::PPPOE_SESSION, &body));
    }
    let told = sim.sent((b, 0));
    assert!(told.len() == 100 && told.iter().all(|f| f[HEADER_LEN + 1] == code::PADT));
}

#[test]
fn an_operator_can_end_a_session() {
    let (mut sim, b) = bas("");
    let mut s = Subscriber::dial(&mut sim, b, 1, "kim", "pw");
    let words = vec!["disconnect".to_owned(), s.id.to_string()];
    let r = sim.with::<Bas, _>(b, |bas, cx| node::Element::command(bas, cx, node::Command { words }));
    assert!(r.is_ok(), "{r:?}");
    s.settle(&mut sim);
    // Our end waits in Stopping for its timer, as RFC 1661 has it.
    s.live(&mut sim, Duration::from_secs(10));
    assert_eq!(s.down, Some("the peer ended the link: disconnected by the operator".into()));
    assert_eq!(s.ppp.phase(), Phase::Dead);
}

#[test]
fn a_hundred_thousand_mutated_frames() {
    let (mut sim, b) = bas("");
    let s = Subscriber::dial(&mut sim, b, 1, "kim", "pw");
    let own = s.address();
    let web: Ipv4Addr = [198, 51, 100, 80].into();
    let session = |payload: &[u8]| {
        let mut body = vec![0; pppoe::HEADER_LEN];
        pppoe::write_header(&mut body, code::SESSION, s.id, payload.len());
        body.extend_from_slice(payload);
        frame(BAS, s.mac, ethertype::PPPOE_SESSION, &body)
    };
    let bases = vec![
        frame(
            Mac::BROADCAST,
            s.mac,
            ethertype::PPPOE_DISCOVERY,
            &Discovery::new(code::PADI, 0).tag(tag::SERVICE_NAME, b"").tag(tag::HOST_UNIQ, b"abc").finish(),
        ),
        frame(
            BAS,
            s.mac,
            ethertype::PPPOE_DISCOVERY,
            &Discovery::new(code::PADR, 0).tag(tag::SERVICE_NAME, b"").tag(tag::AC_COOKIE, &[1; 16]).finish(),
        ),
        session(&ip(&craft::packet(protocol::UDP, own, web, &craft::udp(1, 2, b"data")))),
        session(&[0xc0, 0x21, 1, 1, 0, 14, 1, 4, 5, 0xd4, 5, 6, 1, 2, 3, 4]),
        session(&[0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 9]),
        session(&[0x80, 0x21, 1, 1, 0, 10, 3, 6, 0, 0, 0, 0]),
        session(&[0x80, 0x57, 1, 1, 0, 4]),
        craft::ethernet(Mac::of_lab(5, 1), CORE.0, &craft::packet(protocol::UDP, web, own, &craft::udp(2, 1, b"in"))),
        craft::arp(1, CORE, (Mac::default(), [10, 0, 1, 1].into()), Mac::BROADCAST),
    ];
    sim.mutate(b, 2, &bases, 100_000);
}
