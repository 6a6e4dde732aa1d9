//! The automaton with its timer, counters and packets, over any set of options:
//! what LCP and IPCP share.

use crate::automaton::{Action, AutomatonEvent as E, State, transition};
use node::Time;
use std::time::Duration;
use wire::ppp::{Control, Options};

/// First restart timer. RFC 1661 §4.6 suggests 3 s; a peer that opens its socket
/// only after PADS loses our first request, so the first retries come soon.
const RESTART_FIRST: Duration = Duration::from_millis(60);
/// Where doubling ends: the RFC's own value.
const RESTART_MOST: Duration = Duration::from_secs(3);
/// Max-Terminate (RFC 1661 §4.6).
const MAX_TERMINATE: u32 = 2;
/// Max-Configure.
const MAX_CONFIGURE: u32 = 10;
/// Max-Failure: Naks without coming together before options are rejected.
const MAX_FAILURE: u32 = 5;

pub(crate) mod code {
    pub(crate) const CONF_REQ: u8 = 1;
    pub(crate) const CONF_ACK: u8 = 2;
    pub(crate) const CONF_NAK: u8 = 3;
    pub(crate) const CONF_REJ: u8 = 4;
    pub(crate) const TERM_REQ: u8 = 5;
    pub(crate) const TERM_ACK: u8 = 6;
    pub(crate) const CODE_REJ: u8 = 7;
}

/// What is thought of the peer's options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// All are good.
    Good,
    /// These values, please.
    Nak(Vec<u8>),
    /// These are not known here.
    Reject(Vec<u8>),
}

/// A protocol's options.
pub(crate) trait Negotiator {
    const PROTOCOL: u16;
    /// Options of our Configure-Request.
    fn request(&self) -> Vec<u8>;
    /// Judges the peer's options. `stubborn`: do not Nak any more, reject.
    fn judge(&mut self, options: &[u8], stubborn: bool) -> Judgement;
    /// The peer wants another value.
    fn naked(&mut self, kind: u8, value: &[u8]);
    /// The peer does not know the option.
    fn rejected(&mut self, kind: u8);
}

/// What a machine tells its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    Up,
    Down,
    Finished,
}

#[derive(Debug)]
pub(crate) struct Machine<N> {
    pub(crate) options: N,
    state: State,
    restart: u32,
    timer: Option<Time>,
    wait: Duration,
    id: u8,
    /// Options as they stood in the outstanding request.
    sent: Vec<u8>,
    failures: u32,
    reason: String,
    /// Options of the first and the last good request received.
    received: (Option<Vec<u8>>, Vec<u8>),
}

/// A received request whose answer an action sends.
struct Incoming<'a> {
    id: u8,
    data: &'a [u8],
    judgement: Judgement,
    whole: &'a [u8],
}

impl<N: Negotiator> Machine<N> {
    pub(crate) fn new(options: N) -> Self {
        Machine {
            options,
            state: State::Initial,
            restart: 0,
            timer: None,
            wait: RESTART_FIRST,
            id: 0,
            sent: Vec::new(),
            failures: 0,
            reason: String::new(),
            received: (None, Vec::new()),
        }
    }

    /// Options of the requests: first received, last sent, last received.
    pub(crate) fn requests(&self) -> (&[u8], &[u8], &[u8]) {
        (self.received.0.as_deref().unwrap_or_default(), &self.sent, &self.received.1)
    }

    /// Goes on where another end has negotiated to: both requests acknowledged.
    pub(crate) fn resume(&mut self, sent: &[u8], received: &[u8], signals: &mut Vec<Signal>) {
        self.state = State::Opened;
        // An identifier that the other end has hardly used.
        self.id = 0x80;
        self.sent = sent.to_vec();
        self.received = (Some(received.to_vec()), received.to_vec());
        signals.push(Signal::Up);
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Opened
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.timer
    }

    pub(crate) fn event(&mut self, now: Time, e: E, out: &mut Vec<Vec<u8>>, signals: &mut Vec<Signal>) {
        self.apply(now, e, None, out, signals);
    }

    pub(crate) fn close(&mut self, now: Time, reason: &str, out: &mut Vec<Vec<u8>>, signals: &mut Vec<Signal>) {
        reason.clone_into(&mut self.reason);
        self.apply(now, E::Close, None, out, signals);
    }

    pub(crate) fn poll(&mut self, now: Time, out: &mut Vec<Vec<u8>>, signals: &mut Vec<Signal>) {
        if self.timer.is_some_and(|t| t <= now) {
            self.timer = None;
            self.wait = (self.wait * 2).min(RESTART_MOST);
            let e = if self.restart > 0 { E::TimeoutRetry } else { E::TimeoutGiveUp };
            self.apply(now, e, None, out, signals);
        }
    }

    /// Takes a control packet with one of the codes 1 to 7. Returns false for
    /// other codes: they are the protocol's own or unknown.
    pub(crate) fn input(&mut self, now: Time, c: &Control<'_>, whole: &[u8], out: &mut Vec<Vec<u8>>, signals: &mut Vec<Signal>) -> bool {
        let mut incoming = Incoming { id: c.id, data: c.data, judgement: Judgement::Good, whole };
        let e = match c.code {
            code::CONF_REQ => {
                if Options(c.data).any(|o| o.is_err()) {
                    return true; // RFC 1661 §5: silently discarded
                }
                incoming.judgement = self.options.judge(c.data, self.failures >= MAX_FAILURE);
                self.received.0.get_or_insert_with(|| c.data.to_vec());
                if incoming.judgement == Judgement::Good {
                    self.received.1 = c.data.to_vec();
                }
                if incoming.judgement == Judgement::Good { E::RequestGood } else { E::RequestBad }
            }
            code::CONF_ACK => {
                // §5.2: identifier and options must match what we sent.
                if c.id != self.id || c.data != self.sent {
                    return true;
                }
                E::Ack
            }
            code::CONF_NAK | code::CONF_REJ => {
                if c.id != self.id || Options(c.data).any(|o| o.is_err()) {
                    return true;
                }
                for (kind, value) in Options(c.data).flatten() {
                    if c.code == code::CONF_NAK {
                        self.options.naked(kind, value);
                    } else {
                        self.options.rejected(kind);
                    }
                }
                E::Nak
            }
            code::TERM_REQ => E::TerminateRequest,
            code::TERM_ACK => E::TerminateAck,
            code::CODE_REJ => match c.data.first() {
                // Without the codes 1 to 7 nothing can be negotiated.
                Some(code::CONF_REQ..=code::CODE_REJ) => E::RejectCatastrophic,
                _ => E::RejectPermitted,
            },
            _ => return false,
        };
        self.apply(now, e, Some(&incoming), out, signals);
        true
    }

    pub(crate) fn unknown_code(&mut self, now: Time, c: &Control<'_>, whole: &[u8], out: &mut Vec<Vec<u8>>, signals: &mut Vec<Signal>) {
        let incoming = Incoming { id: c.id, data: c.data, judgement: Judgement::Good, whole };
        self.apply(now, E::UnknownCode, Some(&incoming), out, signals);
    }

    fn apply(&mut self, now: Time, e: E, incoming: Option<&Incoming<'_>>, out: &mut Vec<Vec<u8>>, signals: &mut Vec<Signal>) {
        let Some((actions, next)) = transition(self.state, e) else { return };
        self.state = next;
        for a in actions {
            self.act(now, *a, incoming, out, signals);
        }
        // §4.6: the timer runs only while an answer is awaited.
        if !matches!(self.state, State::Closing | State::Stopping | State::ReqSent | State::AckRcvd | State::AckSent) {
            self.timer = None;
        } else if self.timer.is_none() {
            self.timer = Some(now + self.wait);
        }
    }

    fn act(&mut self, now: Time, a: Action, incoming: Option<&Incoming<'_>>, out: &mut Vec<Vec<u8>>, signals: &mut Vec<Signal>) {
        let send = |code, id, data: &[u8]| Control { code, id, data }.to_vec(N::PROTOCOL);
        let arm = |wait: Duration| Some(now + wait);
        match (a, incoming) {
            (Action::ThisLayerUp, _) => {
                self.failures = 0;
                signals.push(Signal::Up);
            }
            (Action::ThisLayerDown, _) => signals.push(Signal::Down),
            (Action::ThisLayerStarted, _) => {}
            (Action::ThisLayerFinished, _) => signals.push(Signal::Finished),
            (Action::InitRestartConfigure, _) => {
                self.restart = MAX_CONFIGURE;
                self.wait = RESTART_FIRST;
            }
            (Action::InitRestartTerminate, _) => {
                self.restart = MAX_TERMINATE;
                self.wait = RESTART_FIRST;
            }
            (Action::ZeroRestart, _) => {
                self.restart = 0;
                self.wait = RESTART_MOST;
                self.timer = arm(self.wait);
            }
            (Action::SendRequest, _) => {
                self.restart = self.restart.saturating_sub(1);
                // §5.1: the identifier changes with the options; a mere
                // retransmission may keep it.
                let options = self.options.request();
                if options != self.sent || self.id == 0 {
                    self.id = self.id.wrapping_add(1).max(1);
                    self.sent = options;
                }
                self.timer = arm(self.wait);
                out.push(send(code::CONF_REQ, self.id, &self.sent));
            }
            (Action::SendAck, Some(i)) => out.push(send(code::CONF_ACK, i.id, i.data)),
            (Action::SendNak, Some(i)) => match &i.judgement {
                Judgement::Nak(v) => {
                    self.failures += 1;
                    out.push(send(code::CONF_NAK, i.id, v));
                }
                Judgement::Reject(v) => out.push(send(code::CONF_REJ, i.id, v)),
                Judgement::Good => {}
            },
            (Action::SendTerminateRequest, _) => {
                self.restart = self.restart.saturating_sub(1);
                self.id = self.id.wrapping_add(1).max(1);
                self.timer = arm(self.wait);
                out.push(send(code::TERM_REQ, self.id, self.reason.as_bytes()));
            }
            (Action::SendTerminateAck, i) => out.push(send(code::TERM_ACK, i.map_or(self.id, |i| i.id), &[])),
            (Action::SendCodeReject, Some(i)) => {
                self.id = self.id.wrapping_add(1).max(1);
                out.push(send(code::CODE_REJ, self.id, &i.whole[..i.whole.len().min(1400)]));
            }
            (Action::SendAck | Action::SendNak | Action::SendCodeReject | Action::SendEchoReply, _) => {}
        }
    }
}
