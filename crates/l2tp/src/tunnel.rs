//! One tunnel and its sessions: what is known of them.

use crate::channel::Channel;
use crate::endpoint::{Key, Peer};
use crate::message::{Call, Secrecy};
use crate::result::Outcome;
use node::Time;
use std::collections::BTreeMap;

/// States of a tunnel (RFC 2661 §7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// SCCRQ sent.
    WaitReply,
    /// SCCRP sent.
    WaitConnect,
    Established,
    /// StopCCN sent or received; kept to acknowledge what comes late.
    Closing {
        until: Time,
    },
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::WaitReply => "wait-ctl-reply",
            State::WaitConnect => "wait-ctl-conn",
            State::Established => "established",
            State::Closing { .. } => "closing",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) id: u16,
    /// The peer's number; 0 while it is not known.
    pub(crate) peer_id: u16,
    pub(crate) peer: Peer,
    pub(crate) state: State,
    pub(crate) channel: Channel,
    /// By which entry of the settings it is: its name.
    pub(crate) name: String,
    pub(crate) host_name: String,
    pub(crate) peer_name: String,
    pub(crate) secret: Option<Vec<u8>>,
    pub(crate) secrecy: Secrecy,
    pub(crate) sequencing: bool,
    /// This end's challenge.
    pub(crate) challenge: [u8; 16],
    pub(crate) initiator: bool,
    pub(crate) sessions: BTreeMap<u16, Session>,
    pub(crate) heard: Time,
    /// Without a session since.
    pub(crate) empty: Option<Time>,
    pub(crate) owes_ack: bool,
}

impl Tunnel {
    /// The secret by which values are hidden, if they are.
    pub(crate) fn hiding(&self) -> Option<Vec<u8>> {
        self.secret.clone().filter(|_| self.secrecy == Secrecy::Hidden)
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// A session's number that is free; `None` when all are taken.
    pub(crate) fn free_session(&self, from: u16) -> Option<u16> {
        (0..=u16::MAX).map(|i| from.wrapping_add(i)).find(|id| *id != 0 && !self.sessions.contains_key(id))
    }
}

/// States of an incoming call (§7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The LAC waits for the tunnel.
    WaitTunnel,
    /// ICRQ sent.
    WaitReply,
    /// ICRP sent.
    WaitConnect,
    Established,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::WaitTunnel => "wait-tunnel",
            Stage::WaitReply => "wait-reply",
            Stage::WaitConnect => "wait-connect",
            Stage::Established => "established",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer_id: u16,
    pub(crate) cookie: u32,
    pub(crate) stage: Stage,
    pub(crate) call: Call,
    /// Data is numbered, and its order kept.
    pub(crate) sequencing: bool,
    pub(crate) ns: u16,
    pub(crate) nr: u16,
    pub(crate) rx: (u64, u64),
    pub(crate) tx: (u64, u64),
    pub(crate) out_of_order: u64,
}

impl Session {
    pub(crate) fn new(stage: Stage, cookie: u32, call: Call, sequencing: bool) -> Session {
        Session { peer_id: 0, cookie, stage, call, sequencing, ns: 0, nr: 0, rx: (0, 0), tx: (0, 0), out_of_order: 0 }
    }
}

/// How a call ended, before its owner is told.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) key: Key,
    pub(crate) cookie: u32,
    pub(crate) outcome: Outcome,
    pub(crate) by_peer: bool,
}
