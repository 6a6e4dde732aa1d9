//! TCP as a middlebox sees it: enough of RFC 9293 §3.3.2 to tell what may come
//! next, and how long to remember.

use serde::Serialize;
use std::time::Duration;
use wire::tcp::{ACK, FIN, RST, SYN};

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcpState {
    /// The opener's SYN passed.
    SynSent,
    /// The answer's SYN passed.
    SynReceived,
    /// Data may flow.
    Established,
    /// One side closed; true: the opener.
    FinWait(bool),
    /// Both closed, the last ACK is out.
    LastAck,
    /// Closed; late segments may come.
    TimeWait,
    /// Reset.
    Closed,
}

impl TcpState {
    /// The state after a segment with `flags`; `original`: it comes from the
    /// opener's side. `None`: no such segment can come now.
    #[must_use]
    pub fn next(self, original: bool, flags: u8) -> Option<TcpState> {
        use TcpState::{Closed, Established, FinWait, LastAck, SynReceived, SynSent, TimeWait};
        let has = |f| flags & f != 0;
        if has(RST) {
            return match self {
                SynSent if original => None,
                _ => Some(Closed),
            };
        }
        Some(match self {
            SynSent if has(SYN) => match (original, has(ACK)) {
                (true, _) => SynSent,
                (false, _) => SynReceived, // also a simultaneous open
            },
            SynSent if original => return None, // nothing but a SYN before the answer
            SynSent => SynSent,                 // a challenge ACK
            SynReceived if has(SYN) => SynReceived,
            SynReceived if has(FIN) => FinWait(original),
            SynReceived if original && has(ACK) => Established,
            SynReceived => SynReceived,
            Established if has(FIN) => FinWait(original),
            Established => Established,
            FinWait(opener) if has(FIN) && opener != original => LastAck,
            FinWait(opener) => FinWait(opener),
            LastAck if has(ACK) && !has(FIN) => TimeWait,
            LastAck => LastAck,
            // A new incarnation of the same tuple (RFC 9293 §3.10.7.4).
            TimeWait | Closed if has(SYN) && !has(ACK) && original => SynSent,
            TimeWait => TimeWait,
            Closed => Closed,
        })
    }

    /// How long it is remembered without a segment. RFC 5382 REQ-5: two hours
    /// and four minutes once open, four minutes while opening or closing.
    pub fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            TcpState::SynSent => 30,
            TcpState::SynReceived => 60,
            TcpState::Established => 7440,
            TcpState::FinWait(_) | TcpState::LastAck => 240,
            TcpState::TimeWait => 120,
            TcpState::Closed => 10,
        })
    }

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            TcpState::SynSent => "syn-sent",
            TcpState::SynReceived => "syn-received",
            TcpState::Established => "established",
            TcpState::FinWait(_) => "fin-wait",
            TcpState::LastAck => "last-ack",
            TcpState::TimeWait => "time-wait",
            TcpState::Closed => "closed",
        }
    }
}

/// Flag combinations that no stack sends: what scanners and attacks use.
pub fn impossible_flags(flags: u8) -> bool {
    let has = |f| flags & f != 0;
    let none = flags & (SYN | ACK | FIN | RST) == 0;
    none || (has(SYN) && (has(FIN) || has(RST))) || (has(FIN) && !has(ACK)) || (has(FIN) && has(RST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_connection_from_syn_to_time_wait() {
        let mut s = TcpState::SynSent;
        for (original, flags, want) in [
            (false, SYN | ACK, TcpState::SynReceived),
            (true, ACK, TcpState::Established),
            (true, ACK, TcpState::Established),
            (false, FIN | ACK, TcpState::FinWait(false)),
            (true, ACK, TcpState::FinWait(false)),
            (true, FIN | ACK, TcpState::LastAck),
            (false, ACK, TcpState::TimeWait),
            (true, SYN, TcpState::SynSent),
        ] {
            s = s.next(original, flags).unwrap();
            assert_eq!(s, want);
        }
        assert_eq!(s.next(true, ACK), None);
    }

    proptest! {
        #[test]
        fn established_needs_both_syns(steps in proptest::collection::vec((any::<bool>(), any::<u8>()), 0..30)) {
            let (mut s, mut answered) = (TcpState::SynSent, false);
            for (o, f) in steps {
                if let Some(n) = s.next(o, f) {
                    if n == TcpState::SynReceived { answered = true; }
                    if n == TcpState::SynSent { answered = false; }
                    s = n;
                }
                prop_assert!(s != TcpState::Established || answered);
            }
        }
    }
}
