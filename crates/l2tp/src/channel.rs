//! The control channel's reliable delivery (RFC 2661 §5.8, appendix A): sequence
//! numbers, acknowledgement, window with slow start, retransmission with back-off.

use node::Time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// First retransmission (§5.8 recommends one second).
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Where doubling ends (§5.8: no less than 8 seconds).
const RETRY_MOST: Duration = Duration::from_secs(8);
/// Retransmissions before the tunnel is given up (§5.8 recommends 5).
const RETRIES: u32 = 6;
/// Messages that this end takes unacknowledged, and out of order.
pub(crate) const WINDOW: u16 = 16;
/// Messages that wait for the window at most.
const WAITING: usize = 65_536;

/// What became of a received message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// It is the next.
    Next,
    /// It was seen already, or is too far ahead.
    Old,
    /// It came early and is kept.
    Early,
}

/// A message, as it is retransmitted: session and body.
pub(crate) type Sent = (u16, Vec<u8>);

#[derive(Debug)]
pub(crate) struct Channel {
    /// The number of the next message sent, and of the next expected.
    pub(crate) ns: u16,
    pub(crate) nr: u16,
    unacked: VecDeque<Sent>,
    waiting: VecDeque<Sent>,
    early: BTreeMap<u16, Sent>,
    peer_window: u16,
    congestion: u16,
    threshold: u16,
    grown: u16,
    retries: u32,
    retry_at: Option<Time>,
    /// After a loss: all before this number is sent again, one an acknowledgement.
    recover: Option<u16>,
    pub(crate) retransmissions: u64,
}

impl Channel {
    pub(crate) fn new() -> Channel {
        Channel {
            ns: 0,
            nr: 0,
            unacked: VecDeque::new(),
            waiting: VecDeque::new(),
            early: BTreeMap::new(),
            // §4.4.3: a peer that says nothing takes four.
            peer_window: 4,
            congestion: 1,
            threshold: u16::MAX,
            grown: 0,
            retries: 0,
            retry_at: None,
            recover: None,
            retransmissions: 0,
        }
    }

    pub(crate) fn set_window(&mut self, w: u16) {
        self.peer_window = w.max(1);
    }

    /// Takes a message to be sent; false: too many wait.
    pub(crate) fn push(&mut self, session: u16, body: Vec<u8>) -> bool {
        if self.waiting.len() >= WAITING {
            return false;
        }
        self.waiting.push_back((session, body));
        true
    }

    /// The next message that the window lets go, with its number.
    pub(crate) fn next(&mut self, now: Time) -> Option<(u16, Sent)> {
        let window = self.peer_window.min(self.congestion);
        if self.unacked.len() >= usize::from(window) {
            return None;
        }
        let m = self.waiting.pop_front()?;
        let ns = self.ns;
        self.ns = ns.wrapping_add(1);
        self.unacked.push_back(m.clone());
        if self.retry_at.is_none() {
            self.retry_at = Some(now + RETRY_FIRST);
        }
        Some((ns, m))
    }

    /// Everything was acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.unacked.is_empty() && self.waiting.is_empty()
    }

    /// The peer's Nr: what lies before it has arrived.
    pub(crate) fn acknowledged(&mut self, now: Time, nr: u16) {
        let oldest = self.ns.wrapping_sub(self.unacked.len() as u16);
        let n = nr.wrapping_sub(oldest);
        if n == 0 || usize::from(n) > self.unacked.len() {
            return;
        }
        self.unacked.drain(..usize::from(n));
        for _ in 0..n {
            // Appendix A: slow start, then one more a window.
            if self.congestion < self.threshold {
                self.congestion = self.congestion.saturating_add(1);
            } else {
                self.grown += 1;
                if self.grown >= self.congestion {
                    self.congestion = self.congestion.saturating_add(1);
                    self.grown = 0;
                }
            }
        }
        self.congestion = self.congestion.min(self.peer_window);
        self.retries = 0;
        let oldest = self.ns.wrapping_sub(self.unacked.len() as u16);
        self.recover = self.recover.filter(|r| r.wrapping_sub(oldest) as i16 > 0);
        let wait = if self.recover.is_some() { Duration::ZERO } else { RETRY_FIRST };
        self.retry_at = (!self.unacked.is_empty()).then_some(now + wait);
    }

    /// Judges a received message's number; one that is early is kept.
    pub(crate) fn order(&mut self, ns: u16, message: impl FnOnce() -> Sent) -> Order {
        match ns.wrapping_sub(self.nr) {
            0 => {
                self.nr = self.nr.wrapping_add(1);
                Order::Next
            }
            ahead if ahead < WINDOW => {
                self.early.entry(ns).or_insert_with(message);
                Order::Early
            }
            _ => Order::Old,
        }
    }

    /// A kept message whose turn has come.
    pub(crate) fn kept(&mut self) -> Option<Sent> {
        let m = self.early.remove(&self.nr)?;
        self.nr = self.nr.wrapping_add(1);
        Some(m)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.retry_at
    }

    /// Lets time pass: the oldest unacknowledged message to be sent again with its
    /// number; `Err` when the peer is given up.
    pub(crate) fn poll(&mut self, now: Time) -> Result<Option<(u16, Sent)>, ()> {
        if self.retry_at.is_none_or(|t| t > now) {
            return Ok(None);
        }
        if self.retries >= RETRIES {
            return Err(());
        }
        self.retries += 1;
        self.retransmissions += 1;
        if self.recover.is_none() {
            self.threshold = (self.unacked.len() as u16 / 2).max(1);
            self.congestion = 1;
            self.grown = 0;
            self.recover = Some(self.ns);
        }
        self.retry_at = Some(now + (RETRY_FIRST * 2u32.pow(self.retries)).min(RETRY_MOST));
        let oldest = self.ns.wrapping_sub(self.unacked.len() as u16);
        Ok(self.unacked.front().map(|m| (oldest, m.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_and_a_loss_shrinks_it() {
        let mut c = Channel::new();
        c.set_window(8);
        let mut now = Time::from_nanos(1);
        for i in 0..40 {
            assert!(c.push(0, vec![i]));
        }
        let burst = |c: &mut Channel, now| std::iter::from_fn(|| c.next(now)).count();
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(burst(&mut c, now));
            c.acknowledged(now, c.ns);
        }
        assert_eq!(sizes, [1, 2, 4, 8]);
        assert_eq!(burst(&mut c, now), 8);
        now = now + RETRY_FIRST;
        assert_eq!(c.poll(now).unwrap().map(|(ns, _)| ns), Some(15));
        c.acknowledged(now, c.ns);
        assert!(burst(&mut c, now) <= 5);
    }

    #[test]
    fn a_silent_peer_is_given_up_after_all_tries() {
        let mut c = Channel::new();
        let mut now = Time::from_nanos(1);
        c.push(0, vec![]);
        c.next(now);
        let mut waits = Vec::new();
        loop {
            let at = c.deadline().unwrap();
            waits.push(at.since(now).as_secs());
            now = at;
            match c.poll(now) {
                Ok(m) => assert!(m.is_some()),
                Err(()) => break,
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 8, 8, 8]);
    }

    #[test]
    fn early_messages_wait_for_their_turn() {
        let mut c = Channel::new();
        assert_eq!(c.order(1, || (0, vec![1])), Order::Early);
        assert_eq!(c.order(100, || (0, vec![])), Order::Old);
        assert_eq!(c.order(0, || (0, vec![])), Order::Next);
        assert_eq!(c.kept(), Some((0, vec![1])));
        assert_eq!((c.kept(), c.nr), (None, 2));
        assert_eq!(c.order(0, || (0, vec![])), Order::Old);
    }
}
