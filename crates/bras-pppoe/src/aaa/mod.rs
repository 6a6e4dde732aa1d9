//! Who may come in, what they are given, and what they used: authentication,
//! authorisation and accounting behind one small trait.

pub(crate) mod local;
mod radius;

pub(crate) use radius::Radius;

use crate::settings::TooBig;
use node::Time;
use ppp::Proof;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A session's own number.
pub(crate) type Number = u32;

/// A subscriber who shows its proof.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) user: String,
    /// `None`: nobody is asked for proof here.
    pub(crate) proof: Option<Proof>,
    /// Accounting's name of the session.
    pub(crate) session: String,
    pub(crate) number: Number,
    /// MAC address, or the LAC's name for the line.
    pub(crate) calling: String,
    /// The line: TR-101 circuit-id.
    pub(crate) circuit: String,
}

/// What a subscriber is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Always this address.
    pub(crate) address: Option<Ipv4Addr>,
    /// An address of this pool.
    pub(crate) pool: Option<String>,
    /// The session ends after this.
    pub(crate) timeout: Option<Duration>,
    /// Between interim accounting messages.
    pub(crate) interim: Option<Duration>,
}

/// Where a session's PPP ends instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TunnelTo {
    /// In the order in which they are tried.
    pub(crate) lns: Vec<Ipv4Addr>,
    /// The name of the tunnel in tables.
    pub(crate) name: String,
    /// Host Name towards the LNS.
    pub(crate) host_name: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) hide: bool,
    pub(crate) sequencing: bool,
    pub(crate) too_big: TooBig,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Granted(Grant),
    Tunnel(TunnelTo),
    Refused(String),
}

/// What is told of a session's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Start,
    Interim,
    Stop(Terminate),
}

/// Acct-Terminate-Cause (RFC 2866 §5.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Terminate {
    User = 1,
    LostCarrier = 2,
    SessionTimeout = 5,
    AdminReset = 6,
    NasRequest = 10,
}

/// A session's account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) number: Number,
    pub(crate) calling: String,
    pub(crate) circuit: String,
    pub(crate) address: Option<Ipv4Addr>,
    /// Packets and bytes from the subscriber.
    pub(crate) input: (u64, u64),
    /// … and to it.
    pub(crate) output: (u64, u64),
    pub(crate) time: Duration,
}

/// What a server asks of a running session (RFC 5176), to be answered by
/// [`Aaa::done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Matches the answer to it.
    pub(crate) id: u64,
    pub(crate) which: Which,
    pub(crate) what: What,
}

/// How an order names its session; what is given must all fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) session: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) calling: Option<String>,
}

/// What an order wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Disconnect,
    Change { timeout: Option<Duration>, interim: Option<Duration> },
}

/// A datagram to be sent or that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) own_port: u16,
    pub(crate) peer: (Ipv4Addr, u16),
    pub(crate) payload: Vec<u8>,
}

/// Whoever judges.
pub(crate) trait Aaa: std::fmt::Debug {
    /// Begins to judge; the verdict comes from [`Aaa::verdict`], perhaps later.
    fn authenticate(&mut self, now: Time, who: Subscriber);

    /// The next verdict.
    fn verdict(&mut self) -> Option<(Number, Verdict)>;

    /// Forgets a question whose asker is gone.
    fn forget(&mut self, number: Number);

    /// Takes note of a session.
    fn account(&mut self, now: Time, moment: Moment, account: Account) {
        let _ = (now, moment, account);
    }

    /// Takes a datagram; false if it is none of ours.
    fn input(&mut self, d: &Datagram) -> bool {
        let _ = d;
        false
    }

    /// Whether a datagram to this port of ours is for it.
    fn listens(&self, port: u16) -> bool {
        let _ = port;
        false
    }

    /// The next datagram to send.
    fn output(&mut self) -> Option<Datagram> {
        None
    }

    /// The next order from a server.
    fn order(&mut self) -> Option<Order> {
        None
    }

    /// How many sessions an order met.
    fn done(&mut self, order: u64, met: usize) {
        let _ = (order, met);
    }

    /// When `poll` is wanted.
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// Lets time pass.
    fn poll(&mut self, now: Time) {
        let _ = now;
    }

    /// Counters, and servers with their state.
    fn counters(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// The realm of a user's name.
pub(crate) fn realm(user: &str) -> Option<&str> {
    user.rsplit_once('@').map(|(_, r)| r)
}
