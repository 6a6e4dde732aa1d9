//! One subscriber's session.

use crate::aaa::{Account, TunnelTo};
use flow::icmp::Bucket;
use l2tp::{CallResult, Key};
use node::{PortId, Time};
use ppp::Ppp;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::Mac;
use wire::pppoe::{Tags, tag};

/// What carries a session's PPP.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A PPPoE session of an access port.
    Pppoe {
        port: PortId,
        mac: Mac,
        id: u16,
        /// The PADR's Host-Uniq: a repeated PADR gets the same PADS.
        host_uniq: Option<Vec<u8>>,
        line: Line,
    },
    /// An L2TP session, at an LNS.
    L2tp {
        key: Key,
        /// The LAC's name for the line.
        calling: String,
    },
}

/// The subscriber's line, as the access node told of it (TR-101, RFC 4679).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) circuit: String,
    pub(crate) remote: String,
    /// Bits a second, down and up; 0 is unknown.
    pub(crate) rates: (u32, u32),
}

impl Line {
    /// From the tags of a PADR.
    pub(crate) fn read(payload: &[u8]) -> Line {
        let mut line = Line::default();
        let vendor = Tags::new(payload).filter(|(k, _)| *k == tag::VENDOR).find_map(|(_, v)| v.strip_prefix(&[0, 0, 0x0d, 0xe9]));
        let mut rest = vendor.unwrap_or_default();
        while let [kind, len, tail @ ..] = rest {
            let Some((value, next)) = tail.split_at_checked(usize::from(*len)) else { break };
            let text = || String::from_utf8_lossy(value).chars().map(|c| if c.is_control() { '.' } else { c }).collect();
            let kbit = || wire::be32(value, 0).unwrap_or(0).saturating_mul(1000);
            match kind {
                1 => line.circuit = text(),
                2 => line.remote = text(),
                0x81 => line.rates.1 = kbit(),
                0x82 => line.rates.0 = kbit(),
                _ => {}
            }
            rest = next;
        }
        line
    }
}

/// A LAC's call for a session.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) key: Key,
    pub(crate) to: TunnelTo,
    /// The LNS that is tried, of those in `to`.
    pub(crate) tried: usize,
    pub(crate) connected: bool,
    /// Bytes of an IP packet that the tunnel's link carries whole.
    pub(crate) mtu: u16,
    pub(crate) call: l2tp::Call,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u32,
    pub(crate) carrier: Carrier,
    /// `None` once the session is relayed.
    pub(crate) ppp: Option<Box<Ppp>>,
    pub(crate) relay: Option<Box<Relay>>,
    pub(crate) user: String,
    pub(crate) since: Time,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) up: bool,
    pub(crate) rx: (u64, u64),
    pub(crate) tx: (u64, u64),
    /// Bytes of an IP packet that the carrier bears, besides what PPP agreed on.
    pub(crate) carrier_mtu: u16,
    /// TCP's MSS is lowered to fit.
    pub(crate) clamps: bool,
    /// Accounting has begun.
    pub(crate) accounted: bool,
    pub(crate) expires: Option<Time>,
    pub(crate) interim: Option<Duration>,
    pub(crate) interim_at: Option<Time>,
    /// What an LNS tells the LAC when the session ends.
    pub(crate) result: CallResult,
    /// Accounting's name of it.
    pub(crate) account_id: String,
}

impl Session {
    pub(crate) fn new(number: u32, carrier: Carrier, ppp: Ppp, now: Time, boot: u32) -> Session {
        Session {
            number,
            carrier,
            ppp: Some(Box::new(ppp)),
            relay: None,
            user: String::new(),
            since: now,
            address: None,
            up: false,
            rx: (0, 0),
            tx: (0, 0),
            carrier_mtu: u16::MAX,
            clamps: false,
            accounted: false,
            expires: None,
            interim: None,
            interim_at: None,
            result: CallResult::LostCarrier,
            account_id: format!("{boot:08x}{number:08x}{:08x}", now.nanos() >> 20 & 0xffff_ffff),
        }
    }

    /// Bytes of an IP packet that the session carries.
    pub(crate) fn mtu(&self) -> u16 {
        self.ppp.as_ref().map_or(1492, |p| p.mtu()).min(self.carrier_mtu)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.ppp.as_ref().and_then(|p| p.deadline()), self.expires, self.interim_at].into_iter().flatten().min()
    }

    /// The subscriber in a word: MAC address, or the LAC's name for its line.
    pub(crate) fn calling(&self) -> String {
        match &self.carrier {
            Carrier::Pppoe { mac, .. } => mac.to_string(),
            Carrier::L2tp { calling, .. } => calling.clone(),
        }
    }

    pub(crate) fn circuit(&self) -> &str {
        match &self.carrier {
            Carrier::Pppoe { line, .. } => &line.circuit,
            Carrier::L2tp { .. } => "",
        }
    }

    pub(crate) fn account(&self, now: Time) -> Account {
        Account {
            user: self.user.clone(),
            session: self.account_id.clone(),
            number: self.number,
            calling: self.calling(),
            circuit: self.circuit().to_owned(),
            address: self.address,
            input: self.rx,
            output: self.tx,
            time: now.since(self.since),
        }
    }

    /// In a word, for tables.
    pub(crate) fn phase(&self) -> &'static str {
        match (&self.ppp, &self.relay) {
            (_, Some(r)) if r.connected => "tunnelled",
            (_, Some(_)) => "calling",
            _ if self.up => "up",
            (Some(p), _) => p.phase().name(),
            (None, None) => "dead",
        }
    }
}

/// A past session's end, for `show log`.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Time,
    pub(crate) number: u32,
    pub(crate) calling: String,
    pub(crate) user: String,
    pub(crate) reason: String,
}

/// Rates at which strangers are answered.
#[derive(Debug)]
pub(crate) struct Rates {
    /// PADOs.
    pub(crate) offers: Bucket,
    /// PADTs for frames of unknown sessions.
    pub(crate) strangers: Bucket,
}

impl Rates {
    pub(crate) fn new() -> Rates {
        Rates { offers: Bucket::new(1000.0, 2000.0), strangers: Bucket::new(100.0, 100.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::pppoe::{Discovery, Packet, code};

    #[test]
    fn the_lines_name_is_read_and_a_cut_one_is_no_harm() {
        let v = [&[0, 0, 0x0d, 0xe9, 1, 3][..], b"c 1", &[2, 2], b"r2", &[0x81, 4, 0, 0, 3, 0x20], &[0x82, 4, 0, 0, 0x1f, 0x40]].concat();
        let read = |v: &[u8]| Line::read(Packet::read(&Discovery::new(code::PADR, 0).tag(tag::VENDOR, v).finish()).unwrap().payload);
        assert_eq!(read(&v), Line { circuit: "c 1".into(), remote: "r2".into(), rates: (8_000_000, 800_000) });
        for n in 0..v.len() {
            let _ = read(&v[..n]);
        }
    }
}
