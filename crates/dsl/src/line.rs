//! One end of a phone line: its states, what it says to the far end, its cells.
//!
//! ```text
//! Silent ─ tones ─▶ Training ─ time over ─▶ Showtime ─ loss of signal, loss of margin, retrain ─▶ Silent
//! ```
//! The provider's end sets rates by the copper's noise and leads; the subscriber's
//! end calls by tones and follows.

use crate::cells::{Cells, Count, cell_tax, slots};
use crate::copper::Way;
use crate::settings::Profile;
use crate::signal::{ETHERTYPE, Kind, Report, Signal};
use node::{Cause, Cx, DropReason, Frame, Parent, PortId, Protocol, Status, Time};
use std::time::Duration;
use wire::Mac;
use wire::ether::{HEADER_LEN, Header, ethertype};

/// Nothing heard for this long is a loss of signal.
const LOSS: Duration = Duration::from_secs(1);
/// Between tones of a modem that has no line.
const TONES: Duration = Duration::from_millis(100);
/// Between signals of training.
const TRAINING: Duration = Duration::from_millis(25);
/// Between reports of showtime.
const SHOWTIME: Duration = Duration::from_millis(250);
/// A margin below this, for as long as the next, is given up.
const LOST_MARGIN_DB: f64 = -4.0;
const LOST_MARGIN: Duration = Duration::from_secs(2);
/// Labels towards the provider and towards the subscriber.
const LABELS: (u32, u32) = (16, 17);

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Silent,
    Training { until: Time },
    Showtime { since: Time },
}

/// One end.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) port: PortId,
    mac: Mac,
    peer: Mac,
    central: bool,
    /// The provider's wish; at the subscriber's, what it was told.
    pub(crate) profile: Profile,
    state: State,
    /// Rates in use, down and up.
    rates: (u64, u64),
    pub(crate) cells: Cells,
    heard: Time,
    next: Option<Time>,
    low_margin: Option<Time>,
    far: Report,
    off: bool,
    trainings: u64,
    losses: u64,
    last_loss: &'static str,
}

impl Line {
    /// An end on `port`; `central` is the provider's.
    pub(crate) fn new(port: PortId, mac: Mac, central: bool, profile: Profile) -> Line {
        let labels = if central { (LABELS.1, LABELS.0) } else { LABELS };
        let seed = profile.seed.wrapping_mul(1000) + u64::from(port.0) * 2 + u64::from(central);
        Line {
            port,
            mac,
            peer: Mac::BROADCAST,
            central,
            profile,
            state: State::Silent,
            rates: (0, 0),
            cells: Cells::new(labels, (profile.vpi, profile.vci), profile.fcs, profile.queue, seed),
            heard: Time::ZERO,
            next: (!central).then_some(Time::ZERO),
            low_margin: None,
            far: Report::default(),
            off: false,
            trainings: 0,
            losses: 0,
            last_loss: "",
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Showtime { .. })
    }

    pub(crate) fn rates(&self) -> (u64, u64) {
        self.rates
    }

    fn margins(&self) -> (f64, f64) {
        let p = &self.profile;
        (Way::Down.margin_db(p.snr_db, self.rates.0.max(1)), Way::Up.margin_db(p.snr_up_db, self.rates.1.max(1)))
    }

    /// The margin of what this end receives.
    fn own_margin(&self) -> f64 {
        if self.central { self.margins().1 } else { self.margins().0 }
    }

    fn say(&mut self, cx: &mut Cx<'_>, kind: Kind) {
        let r = self.cells.received;
        let training = match self.state {
            State::Training { until } => until.since(cx.now),
            _ => Duration::ZERO,
        };
        let s = Signal {
            kind,
            central: self.central,
            down: self.rates.0 as u32,
            up: self.rates.1 as u32,
            snr_down: self.profile.snr_db,
            snr_up: self.profile.snr_up_db,
            interleave_us: self.profile.interleave.as_micros() as u32,
            training_ms: training.as_millis() as u32,
            report: Report { cells: r.cells as u32, corrected: r.corrected as u32, discarded: r.discarded as u32, crc: r.crc as u32 },
        };
        let Some(mut f) = cx.make(Parent::Timer) else { return };
        f.extend(&s.to_frame(self.mac, self.peer));
        cx.send(self.port, f, || Cause::Control { protocol: Protocol::Adsl });
    }

    /// The central end begins to measure the line.
    fn train(&mut self, cx: &mut Cx<'_>) {
        let p = self.profile;
        self.rates =
            (Way::Down.attainable(p.snr_db, p.target_margin_db, p.down), Way::Up.attainable(p.snr_up_db, p.target_margin_db, p.up));
        self.state = State::Training { until: cx.now + p.training };
        self.trainings += 1;
        cx.count("trainings");
        self.next = Some(cx.now + TRAINING);
        self.say(cx, Kind::Training);
    }

    fn showtime(&mut self, cx: &mut Cx<'_>) {
        self.state = State::Showtime { since: cx.now };
        self.low_margin = None;
        let own = if self.central { self.rates.0 } else { self.rates.1 };
        self.cells.start(cx.now, own, self.profile.interleave);
        self.cells.set_margin(self.own_margin());
        self.next = Some(cx.now + SHOWTIME);
        cx.count("showtimes");
        tracing::info!("port {}: showtime, {} kbit/s down, {} kbit/s up", self.port.0, self.rates.0 / 1000, self.rates.1 / 1000);
        self.say(cx, Kind::Showtime);
    }

    /// Gives the line up; the subscriber's end begins to call again.
    pub(crate) fn lose(&mut self, cx: &mut Cx<'_>, why: &'static str) {
        if self.state != State::Silent {
            self.losses += 1;
            self.last_loss = why;
            cx.count("line-losses");
            tracing::warn!("port {}: line lost: {why}", self.port.0);
        }
        self.cells.stop(cx);
        self.state = State::Silent;
        self.rates = (0, 0);
        self.next = (!self.central && !self.off).then_some(cx.now + TONES);
    }

    /// Begins anew, by the operator's wish.
    pub(crate) fn retrain(&mut self, cx: &mut Cx<'_>) {
        self.lose(cx, "retrain");
        if self.central && !self.off {
            self.heard = cx.now;
            self.train(cx);
        }
    }

    /// Switches the end off, or on again.
    pub(crate) fn switch(&mut self, cx: &mut Cx<'_>, on: bool) {
        self.off = !on;
        if on {
            self.next = (!self.central).then_some(cx.now);
        } else {
            self.lose(cx, "switched off");
        }
    }

    /// The noise has changed: both ends hear of it at once.
    pub(crate) fn noise(&mut self, cx: &mut Cx<'_>) {
        self.cells.set_margin(self.own_margin());
        if self.is_up() {
            self.say(cx, Kind::Showtime);
        }
    }

    fn heard(&mut self, cx: &mut Cx<'_>, from: Mac, s: Signal) {
        self.peer = from;
        self.heard = cx.now;
        if self.off {
            return;
        }
        self.far = s.report;
        if self.central {
            match (self.state, s.kind) {
                (State::Silent, _) => self.train(cx),
                (State::Showtime { .. }, Kind::Tones) => {
                    let margin = self.margins().0 < LOST_MARGIN_DB;
                    self.lose(cx, if margin { "loss of margin at the modem" } else { "the modem began anew" });
                    self.train(cx);
                }
                _ => {}
            }
            return;
        }
        self.profile.snr_db = s.snr_down;
        self.profile.snr_up_db = s.snr_up;
        self.profile.interleave = Duration::from_micros(u64::from(s.interleave_us.min(1_000_000)));
        match (self.state, s.kind) {
            (_, Kind::Training) => {
                if self.is_up() {
                    self.lose(cx, "the exchange retrains");
                }
                if self.state == State::Silent {
                    self.trainings += 1;
                    cx.count("trainings");
                    self.next = Some(cx.now + TRAINING);
                }
                self.rates = (u64::from(s.down), u64::from(s.up));
                self.state = State::Training { until: cx.now + Duration::from_millis(u64::from(s.training_ms)) };
            }
            (State::Training { .. }, Kind::Showtime) if s.down > 0 && s.up > 0 => {
                self.rates = (u64::from(s.down), u64::from(s.up));
                self.showtime(cx);
            }
            (State::Showtime { .. }, Kind::Showtime) => self.cells.set_margin(self.own_margin()),
            _ => {}
        }
    }

    /// Takes a frame of the line; Ethernet frames that became whole go to `whole`.
    pub(crate) fn input(&mut self, cx: &mut Cx<'_>, mut f: Frame, whole: &mut Vec<(Frame, u16)>) {
        let Some(h) = Header::read(f.data()) else {
            return cx.drop(f, DropReason::Truncated);
        };
        match h.ethertype {
            ETHERTYPE => match Signal::read(&f.data()[HEADER_LEN..]) {
                Some(s) if s.central != self.central && !h.src.is_multicast() => {
                    self.heard(cx, h.src, s);
                    cx.consume(f);
                }
                _ => cx.drop(f, DropReason::BadCells),
            },
            ethertype::MPLS => {
                self.heard = cx.now;
                if f.pull(HEADER_LEN) {
                    self.cells.receive(cx, f, whole);
                } else {
                    cx.drop(f, DropReason::Truncated);
                }
            }
            _ => cx.drop(f, DropReason::UnknownEthertype),
        }
    }

    /// Sends an Ethernet frame into the line.
    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, f: Frame) {
        self.cells.send(cx, f);
        self.release(cx);
    }

    fn release(&mut self, cx: &mut Cx<'_>) {
        while let Some((mut f, cells)) = self.cells.leaving(cx.now) {
            Header { dst: self.peer, src: self.mac, ethertype: ethertype::MPLS }.write(f.push(HEADER_LEN));
            cx.send(self.port, f, || Cause::Segmented { cells });
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let loss = (self.state != State::Silent).then(|| self.heard + LOSS);
        let until = match self.state {
            State::Training { until } if self.central && self.rates.0 > 0 && self.rates.1 > 0 => Some(until),
            _ => None,
        };
        [self.next, loss, until, self.cells.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn poll(&mut self, cx: &mut Cx<'_>) {
        self.release(cx);
        if self.state != State::Silent && self.heard + LOSS <= cx.now {
            return self.lose(cx, "loss of signal");
        }
        if let State::Training { until } = self.state
            && self.central
            && until <= cx.now
            && self.rates.0 > 0
            && self.rates.1 > 0
        {
            return self.showtime(cx);
        }
        if self.next.is_none_or(|t| t > cx.now) {
            return;
        }
        let (kind, wait) = match self.state {
            State::Silent if self.central || self.off => {
                self.next = None;
                return;
            }
            State::Silent => (Kind::Tones, TONES),
            State::Training { .. } => (Kind::Training, TRAINING),
            State::Showtime { .. } => (Kind::Showtime, SHOWTIME),
        };
        self.next = Some(cx.now + wait);
        if self.is_up() && self.own_margin() < LOST_MARGIN_DB {
            let since = *self.low_margin.get_or_insert(cx.now);
            if cx.now.since(since) >= LOST_MARGIN {
                self.lose(cx, "loss of margin");
                if self.central {
                    self.train(cx);
                }
                return;
            }
        } else {
            self.low_margin = None;
        }
        self.say(cx, kind);
    }

    /// In words, for tables and `lab status`.
    pub(crate) fn state(&self, now: Time) -> String {
        match self.state {
            _ if self.off => "off".into(),
            State::Silent => "no signal".into(),
            State::Training { .. } if self.central && (self.rates.0 == 0 || self.rates.1 == 0) => {
                "training: the noise allows no rate".into()
            }
            State::Training { until } => format!("training, {} ms left", until.since(now).as_millis()),
            State::Showtime { .. } => "showtime".into(),
        }
    }

    pub(crate) fn status(&self, now: Time) -> Status {
        if self.is_up() { Status::Ready } else { Status::Waiting(format!("phone line: {}", self.state(now))) }
    }

    /// Both directions' numbers, as far as this end knows them.
    pub(crate) fn directions(&self, now: Time) -> [Direction; 2] {
        let since = if let State::Showtime { since } = self.state { now.since(since) } else { Duration::ZERO };
        let (m, r, p) = (self.margins(), self.rates, &self.profile);
        let make = |rate: u64, snr: f64, margin: f64, sent: bool| {
            let c = if sent { self.cells.sent } else { self.cells.received };
            let far = self.far;
            Direction {
                rate,
                snr,
                margin: (rate > 0).then_some((margin * 10.0).round() / 10.0),
                count: c,
                idle: slots(rate, since).saturating_sub(c.cells),
                corrected: if sent { u64::from(far.corrected) } else { c.corrected },
                discarded: if sent { u64::from(far.discarded) } else { c.discarded },
                crc: if sent { u64::from(far.crc) } else { c.crc },
                tax: cell_tax(&c),
            }
        };
        [make(r.0, p.snr_db, m.0, self.central), make(r.1, p.snr_up_db, m.1, !self.central)]
    }

    /// Trainings, losses and why the last was.
    pub(crate) fn history(&self) -> (u64, u64, &'static str) {
        (self.trainings, self.losses, self.last_loss)
    }
}

/// One direction of a line, for tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    pub(crate) rate: u64,
    pub(crate) snr: f64,
    pub(crate) margin: Option<f64>,
    pub(crate) count: Count,
    /// Cells of the line that carried nothing.
    pub(crate) idle: u64,
    pub(crate) corrected: u64,
    pub(crate) discarded: u64,
    pub(crate) crc: u64,
    pub(crate) tax: Option<f64>,
}
