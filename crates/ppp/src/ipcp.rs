//! IPCP's options (RFC 1332, RFC 1877).

use crate::machine::{Judgement, Negotiator};
use std::net::Ipv4Addr;
use wire::ppp::{Options, protocol, put_option};

const ADDRESS: u8 = 3;
const DNS1: u8 = 129;
const DNS2: u8 = 131;

/// What both ends agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// This end.
    pub local: Option<Ipv4Addr>,
    /// The other end.
    pub peer: Option<Ipv4Addr>,
    /// Name servers: a server's gift, a client's take.
    pub dns: [Option<Ipv4Addr>; 2],
}

#[derive(Debug)]
pub(crate) struct IpcpOptions {
    pub(crate) agreed: Addresses,
    /// A client asks for its own address and for name servers.
    client: bool,
    ask_dns: [bool; 2],
    ask_address: bool,
}

impl IpcpOptions {
    pub(crate) fn client() -> Self {
        IpcpOptions { agreed: Addresses::default(), client: true, ask_dns: [true; 2], ask_address: true }
    }

    pub(crate) fn server(gift: Addresses) -> Self {
        IpcpOptions { agreed: gift, client: false, ask_dns: [false; 2], ask_address: gift.local.is_some() }
    }
}

fn or_zero(a: Option<Ipv4Addr>) -> [u8; 4] {
    a.unwrap_or(Ipv4Addr::UNSPECIFIED).octets()
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

impl Negotiator for IpcpOptions {
    const PROTOCOL: u16 = protocol::IPCP;

    fn request(&self) -> Vec<u8> {
        let mut v = Vec::new();
        if self.ask_address {
            put_option(&mut v, ADDRESS, &or_zero(self.agreed.local));
        }
        for (i, kind) in [DNS1, DNS2].into_iter().enumerate() {
            if self.ask_dns[i] {
                put_option(&mut v, kind, &or_zero(self.agreed.dns[i]));
            }
        }
        v
    }

    fn judge(&mut self, options: &[u8], stubborn: bool) -> Judgement {
        let (mut nak, mut reject) = (Vec::new(), Vec::new());
        let mut seen_address = false;
        for (kind, value) in Options(options).flatten() {
            let given = address(value);
            match (kind, given) {
                (ADDRESS, Some(a)) if self.client => {
                    seen_address = true;
                    if a.is_unspecified() {
                        // We have no address to give to a server.
                        put_option(&mut reject, kind, value);
                    } else {
                        self.agreed.peer = Some(a);
                    }
                }
                (ADDRESS, Some(a)) => {
                    seen_address = true;
                    match self.agreed.peer {
                        Some(p) if p == a => {}
                        Some(p) => put_option(&mut nak, ADDRESS, &p.octets()),
                        None => put_option(&mut reject, kind, value),
                    }
                }
                (DNS1 | DNS2, Some(a)) if !self.client => {
                    let gift = self.agreed.dns[usize::from(kind == DNS2)];
                    match gift {
                        Some(d) if d == a => {}
                        Some(d) => put_option(&mut nak, kind, &d.octets()),
                        None => put_option(&mut reject, kind, value),
                    }
                }
                _ => put_option(&mut reject, kind, value),
            }
        }
        if !self.client
            && !seen_address
            && let Some(p) = self.agreed.peer
        {
            // RFC 1332 §3.3: a Nak may name an option that the peer left out.
            put_option(&mut nak, ADDRESS, &p.octets());
        }
        if !reject.is_empty() {
            Judgement::Reject(reject)
        } else if nak.is_empty() {
            Judgement::Good
        } else if stubborn {
            Judgement::Reject(options.to_vec())
        } else {
            Judgement::Nak(nak)
        }
    }

    fn naked(&mut self, kind: u8, value: &[u8]) {
        let Some(a) = address(value).filter(|a| !a.is_unspecified()) else { return };
        match kind {
            ADDRESS if self.client => self.agreed.local = Some(a),
            DNS1 if self.client => self.agreed.dns[0] = Some(a),
            DNS2 if self.client => self.agreed.dns[1] = Some(a),
            _ => {}
        }
    }

    fn rejected(&mut self, kind: u8) {
        match kind {
            ADDRESS => self.ask_address = false,
            DNS1 => self.ask_dns[0] = false,
            DNS2 => self.ask_dns[1] = false,
            _ => {}
        }
    }
}
