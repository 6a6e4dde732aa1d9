//! One subscriber's session.

use flow::icmp::Bucket;
use node::{PortId, Time};
use ppp::Ppp;
use std::net::Ipv4Addr;
use wire::Mac;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) port: PortId,
    pub(crate) mac: Mac,
    pub(crate) id: u16,
    pub(crate) ppp: Ppp,
    pub(crate) since: Time,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) up: bool,
    pub(crate) rx: (u64, u64),
    pub(crate) tx: (u64, u64),
    /// The PADR's Host-Uniq: a repeated PADR gets the same PADS.
    pub(crate) host_uniq: Option<Vec<u8>>,
    pub(crate) noted: Option<Time>,
}

/// A past session's end, for `show log`.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Time,
    pub(crate) mac: Mac,
    pub(crate) id: u16,
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
