//! Subscribers that speak PPPoE and PPP by themselves, for the tests of the server.

use node::sim::{NodeId, Sim};
use ppp::{Config, Event, Ppp, Side};
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::Mac;
use wire::ether::{HEADER_LEN, Header as Ethernet, ethertype};
use wire::pppoe::{self, Discovery, Packet, Tags, code, tag};

pub(crate) const BAS: Mac = Mac([2, 0, 0, 0, 5, 0]);

pub(crate) fn frame(dst: Mac, src: Mac, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut f = vec![0; HEADER_LEN];
    Ethernet { dst, src, ethertype: kind }.write(&mut f);
    f.extend_from_slice(body);
    f
}

pub(crate) fn tag_of(f: &[u8], kind: u16) -> Option<Vec<u8>> {
    Tags::find(Packet::read(&f[HEADER_LEN..])?.payload, kind).map(<[u8]>::to_vec)
}

pub(crate) fn ip(p: &[u8]) -> Vec<u8> {
    [&[0, 0x21], p].concat()
}

/// Sends a discovery packet and returns what came back.
pub(crate) fn discover(sim: &mut Sim, bas: NodeId, mac: Mac, kind: u8, tags: &[(u16, &[u8])]) -> Vec<Vec<u8>> {
    let d = tags.iter().fold(Discovery::new(kind, 0), |d, (k, v)| d.tag(*k, v)).finish();
    let to = if kind == code::PADI { Mac::BROADCAST } else { BAS };
    sim.inject((bas, 0), &frame(to, mac, ethertype::PPPOE_DISCOVERY, &d));
    sim.sent((bas, 0))
}

/// A subscriber behind port 0 of a server.
pub(crate) struct Subscriber {
    pub(crate) bas: NodeId,
    pub(crate) mac: Mac,
    pub(crate) id: u16,
    pub(crate) ppp: Ppp,
    pub(crate) down: Option<String>,
    pub(crate) padt: bool,
    /// IPv4 packets that arrived.
    pub(crate) got: Vec<Vec<u8>>,
}

impl Subscriber {
    /// Dials until it has a session, and speaks PPP until nothing moves any more.
    pub(crate) fn dial(sim: &mut Sim, bas: NodeId, n: u8, user: &str, password: &str) -> Subscriber {
        let mac = Mac([2, 0, 0, 1, 0, n]);
        let unique = [n, 0, 0xff];
        let pado = discover(sim, bas, mac, code::PADI, &[(tag::SERVICE_NAME, b""), (tag::HOST_UNIQ, &unique)]);
        assert_eq!(pado.len(), 1);
        assert_eq!(tag_of(&pado[0], tag::HOST_UNIQ), Some(unique.to_vec()), "byte for byte");
        assert_eq!(tag_of(&pado[0], tag::AC_NAME), Some(b"bas".to_vec()));
        let cookie = tag_of(&pado[0], tag::AC_COOKIE).expect("a cookie");
        let line = [&[0, 0, 0x0d, 0xe9, 1, 6][..], b"line 7"].concat();
        let sent = discover(
            sim,
            bas,
            mac,
            code::PADR,
            &[(tag::SERVICE_NAME, b""), (tag::HOST_UNIQ, &unique), (tag::AC_COOKIE, &cookie), (tag::VENDOR, &line)],
        );
        let pads = Packet::read(&sent[0][HEADER_LEN..]).expect("a PADS");
        assert_eq!(pads.code, code::PADS);
        assert!(sent.len() > 1, "LCP speaks right behind PADS");
        let side = Side::Client { user: user.into(), password: password.into() };
        let config = Config { side, mru: 1492, magic: 9, challenge: [0; 16], echo_interval: Duration::ZERO, echo_failures: 3 };
        let mut ppp = Ppp::new(config);
        ppp.open(sim.now);
        let mut s = Subscriber { bas, mac, id: pads.session, ppp, down: None, padt: false, got: Vec::new() };
        for f in &sent[1..] {
            s.take(sim, f);
        }
        s.settle(sim);
        s
    }

    fn take(&mut self, sim: &Sim, f: &[u8]) {
        let Some(p) = Packet::read(&f[HEADER_LEN..]) else { return };
        if Ethernet::read(f).is_none_or(|e| e.dst != self.mac) || p.session != self.id {
            return;
        }
        match (p.code, p.payload) {
            (code::PADT, _) => self.padt = true,
            (_, [0, 0x21, packet @ ..]) => self.got.push(packet.to_vec()),
            (_, payload) => {
                self.ppp.input(sim.now, payload);
            }
        }
    }

    pub(crate) fn say(&self, sim: &mut Sim, payload: &[u8]) {
        let mut body = vec![0; pppoe::HEADER_LEN];
        pppoe::write_header(&mut body, code::SESSION, self.id, payload.len());
        body.extend_from_slice(payload);
        sim.inject((self.bas, 0), &frame(BAS, self.mac, ethertype::PPPOE_SESSION, &body));
    }

    /// Speaks until both ends are silent for a moment.
    pub(crate) fn settle(&mut self, sim: &mut Sim) {
        let mut quiet = 0;
        while quiet < 3 {
            let out = self.ppp.take_output();
            for p in &out {
                self.say(sim, p);
            }
            sim.run(Duration::from_millis(5));
            let back = sim.sent((self.bas, 0));
            for f in &back {
                self.take(sim, f);
            }
            while let Some(e) = self.ppp.take_event() {
                if let Event::Down(r) = e {
                    self.down = Some(r);
                }
            }
            quiet = if out.is_empty() && back.is_empty() { quiet + 1 } else { 0 };
        }
    }

    /// As [`Subscriber::settle`], with its timers, for a while.
    pub(crate) fn live(&mut self, sim: &mut Sim, d: Duration) {
        let end = sim.now + d;
        while sim.now < end {
            self.settle(sim);
            sim.run(Duration::from_millis(100));
            self.ppp.poll(sim.now);
        }
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.ppp.addresses().local.expect("an address")
    }

    /// The packets that arrived since the last call.
    pub(crate) fn got(&mut self, sim: &mut Sim) -> Vec<Vec<u8>> {
        self.settle(sim);
        std::mem::take(&mut self.got)
    }
}
