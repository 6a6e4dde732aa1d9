//! The provider's end of many lines: a bridge that keeps subscribers apart.
//!
//! Ports: `uplink`, and a line on each other. Frames from a line go to the uplink
//! alone; frames from the uplink go to the line behind which their destination was
//! learned, and to all lines if they are for all. A station cannot be learned at
//! two lines. Discovery packets of PPPoE get the line's name (TR-101).

use crate::agent::{self, Done, LineId};
use crate::line::Line;
use crate::settings::{DslamSettings, LineSettings};
use flow::age::Age;
use flow::bridge;
use flow::timers::Timers;
use node::config::NodeConfig;
use node::role::{Role, Setup};
use node::{
    Burst, Cause, Command, CommandError, Cursor, Cx, DropReason, Element, Event, Frame, Parent, PortId, Query, QueryError, Reply, Rows,
    Time,
};
use std::collections::HashMap;
use std::time::Duration;
use wire::Mac;
use wire::ether::{HEADER_LEN, ethertype};

#[derive(Debug)]
struct Subscriber {
    name: String,
    id: LineId,
    line: Line,
    stations: usize,
}

/// A station and where it is: a line's number, or the uplink.
#[derive(Clone, Copy, Debug)]
struct Station {
    line: Option<usize>,
    seen: Time,
}

/// The DSLAM.
#[derive(Debug)]
pub struct Dslam {
    uplink: PortId,
    uplink_mtu: u16,
    lines: Vec<Subscriber>,
    /// Lines by port.
    by_port: Vec<Option<usize>>,
    fdb: HashMap<Mac, Station>,
    age: Age<Mac>,
    ageing: Duration,
    limit: usize,
    whole: Vec<(Frame, u16)>,
    due: Timers<usize>,
}

impl Dslam {
    /// A DSLAM with all its lines.
    ///
    /// # Errors
    /// If a port is not there, or the settings contradict each other.
    pub fn new(config: &NodeConfig, s: &DslamSettings) -> anyhow::Result<Dslam> {
        let (uplink, up) = config.need_port(&s.uplink)?;
        for l in &s.lines {
            let (p, _) = config.need_port(&l.port)?;
            anyhow::ensure!(p != uplink, "line `{}` is the uplink", l.port);
        }
        let name = s.name.as_deref().unwrap_or(&config.node);
        let mut lines: Vec<Subscriber> = Vec::new();
        let mut by_port = vec![None; config.ports.len()];
        for (i, p) in config.ports.iter().enumerate().filter(|(i, _)| *i != usize::from(uplink.0)) {
            let number = lines.len() + 1;
            let own = s
                .lines
                .iter()
                .find(|l| l.port == p.name)
                .cloned()
                .unwrap_or_else(|| LineSettings { port: p.name.clone(), ..Default::default() });
            let profile = own.over(s.profile);
            profile.check().map_err(|e| e.context(format!("line `{}`", p.name)))?;
            let circuit = own.circuit_id.unwrap_or_else(|| format!("{name} atm 1/{number}:{}.{}", profile.vpi, profile.vci));
            anyhow::ensure!(circuit.len() <= 63, "circuit-id `{circuit}` is longer than 63 bytes");
            anyhow::ensure!(own.remote_id.as_ref().is_none_or(|r| r.len() <= 63), "the remote-id of `{}` is longer than 63 bytes", p.name);
            by_port[i] = Some(lines.len());
            lines.push(Subscriber {
                name: p.name.clone(),
                id: LineId { circuit, remote: own.remote_id },
                line: Line::new(PortId(i as u8), p.mac, true, profile),
                stations: 0,
            });
        }
        anyhow::ensure!(!lines.is_empty(), "there is no line: every link ends at the uplink");
        Ok(Dslam {
            uplink,
            uplink_mtu: up.mtu,
            lines,
            by_port,
            fdb: HashMap::new(),
            age: Age::default(),
            ageing: s.ageing,
            limit: s.stations,
            whole: Vec::new(),
            due: Timers::default(),
        })
    }

    /// Learns a source; `Err` if it may not be there.
    fn learn(&mut self, cx: &mut Cx<'_>, mac: Mac, at: Option<usize>) -> Result<(), DropReason> {
        if let Some(s) = self.fdb.get_mut(&mac) {
            if s.line != at && at.is_some() {
                return Err(DropReason::MacSpoofed);
            }
            if s.line == at {
                s.seen = cx.now;
                return Ok(());
            }
            // It moved from a line to the uplink: the provider's side is believed.
            self.forget(mac);
        }
        if let Some(i) = at {
            if self.lines[i].stations >= self.limit {
                return Err(DropReason::MacLimit);
            }
            self.lines[i].stations += 1;
        }
        self.fdb.insert(mac, Station { line: at, seen: cx.now });
        self.age.insert(cx.now + self.ageing, mac);
        Ok(())
    }

    fn forget(&mut self, mac: Mac) {
        if let Some(Station { line: Some(i), .. }) = self.fdb.remove(&mac) {
            self.lines[i].stations -= 1;
        }
    }

    fn subscriber_frame(&mut self, cx: &mut Cx<'_>, i: usize, f: Frame, cells: u16) {
        let Some((h, f)) = bridge::check(cx, f) else { return };
        if let Err(why) = self.learn(cx, h.src, Some(i)) {
            return cx.drop(f, why);
        }
        if self.fdb.get(&h.dst).is_some_and(|s| s.line.is_some()) {
            return cx.drop(f, DropReason::SubscriberIsolation);
        }
        if h.ethertype != ethertype::PPPOE_DISCOVERY {
            return cx.send(self.uplink, f, || Cause::Reassembled { cells });
        }
        let s = &self.lines[i];
        match agent::upstream(&f.data()[HEADER_LEN..], &s.id, s.line.rates(), usize::from(self.uplink_mtu)) {
            Done::Kept => cx.send(self.uplink, f, || Cause::Reassembled { cells }),
            Done::Tagged(p) => {
                if let Some(mut out) = cx.make(Parent::Part(f.seq)) {
                    out.extend(&f.data()[..HEADER_LEN]);
                    out.extend(&p);
                    cx.count("discovery-tagged");
                    cx.say(&out, || Cause::LineTagged);
                    cx.send(self.uplink, out, || Cause::Reassembled { cells });
                }
                cx.consume(f);
            }
            Done::NotOfSubscriber => cx.drop(f, DropReason::SubscriberIsolation),
            Done::Broken => cx.drop(f, DropReason::BadPppoe),
            Done::TooLong => cx.drop(f, DropReason::PppoeTooLong),
        }
    }

    fn uplink_frame(&mut self, cx: &mut Cx<'_>, f: Frame) {
        let Some((h, f)) = bridge::check(cx, f) else { return };
        if let Err(why) = self.learn(cx, h.src, None) {
            return cx.drop(f, why);
        }
        if !h.dst.is_multicast() {
            return match self.fdb.get(&h.dst).and_then(|s| s.line) {
                Some(i) => {
                    self.lines[i].line.send(cx, f);
                    self.arm(i);
                }
                None => cx.drop(f, DropReason::UnknownUnicast),
            };
        }
        for i in 0..self.lines.len() {
            if self.lines[i].line.is_up()
                && let Some(c) = cx.copy(&f)
            {
                self.lines[i].line.send(cx, c);
                self.arm(i);
            }
        }
        cx.consume(f);
    }

    fn arm(&mut self, i: usize) {
        self.due.set(i, self.lines[i].line.deadline());
    }

    fn line(&mut self, name: &str) -> Result<usize, CommandError> {
        self.lines.iter().position(|l| l.name == name).ok_or_else(|| {
            let names: Vec<_> = self.lines.iter().map(|l| l.name.as_str()).collect();
            CommandError::Refused(format!("there is no line `{name}` (lines: {})", names.join(", ")))
        })
    }
}

impl Element for Dslam {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let line = self.by_port.get(usize::from(port.0)).copied().flatten();
        while let Some(f) = burst.take() {
            let Some(i) = line else {
                if port == self.uplink {
                    self.uplink_frame(cx, f);
                } else {
                    cx.drop(f, DropReason::NotForUs);
                }
                continue;
            };
            let mut whole = std::mem::take(&mut self.whole);
            self.lines[i].line.input(cx, f, &mut whole);
            for (f, cells) in whole.drain(..) {
                self.subscriber_frame(cx, i, f, cells);
            }
            self.whole = whole;
        }
        if let Some(i) = line {
            self.arm(i);
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        while let Some(i) = self.due.due(cx.now) {
            self.lines[i].line.poll(cx);
            self.arm(i);
        }
        let ageing = self.ageing;
        while let Some(m) = self.age.expired(cx.now, |m| self.fdb.get(m).map(|s| s.seen + ageing)) {
            self.forget(m);
        }
    }

    fn deadline(&self) -> Option<Time> {
        [self.due.next(), self.age.next()].into_iter().flatten().min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("lines", "every line: state, rates, margin, errors, cell tax"),
            ("cells", "what every line has carried, each way"),
            ("fdb", "which station is behind which line"),
        ]
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match q.what.as_str() {
            "lines" => {
                rows.columns(&[
                    "line",
                    "state",
                    "down-kbit",
                    "up-kbit",
                    "margin-down-db",
                    "margin-up-db",
                    "hec-corrected",
                    "hec-discarded",
                    "crc-errors",
                    "tax-down-percent",
                    "tax-up-percent",
                    "trainings",
                    "losses",
                    "last-loss",
                    "circuit-id",
                    "remote-id",
                ]);
                Ok(rows.page(self.lines.iter(), from, |rows, s| {
                    let [d, u] = s.line.directions(q.now);
                    let (trainings, losses, why) = s.line.history();
                    rows.row([
                        s.name.as_str().into(),
                        s.line.state(q.now).into(),
                        (d.rate / 1000).into(),
                        (u.rate / 1000).into(),
                        d.margin.into(),
                        u.margin.into(),
                        (d.corrected + u.corrected).into(),
                        (d.discarded + u.discarded).into(),
                        (d.crc + u.crc).into(),
                        d.tax.into(),
                        u.tax.into(),
                        trainings.into(),
                        losses.into(),
                        why.into(),
                        s.id.circuit.as_str().into(),
                        s.id.remote.as_deref().into(),
                    ]);
                }))
            }
            "cells" => {
                rows.columns(&[
                    "line",
                    "way",
                    "cells",
                    "idle-cells",
                    "frames",
                    "frame-bytes",
                    "hec-corrected",
                    "hec-discarded",
                    "crc-errors",
                ]);
                let both = self.lines.iter().flat_map(|s| s.line.directions(q.now).into_iter().zip(["down", "up"]).map(move |d| (s, d)));
                Ok(rows.page(both, from, |rows, (s, (d, way))| {
                    rows.row([
                        s.name.as_str().into(),
                        way.into(),
                        d.count.cells.into(),
                        d.idle.into(),
                        d.count.frames.into(),
                        d.count.bytes.into(),
                        d.corrected.into(),
                        d.discarded.into(),
                        d.crc.into(),
                    ]);
                }))
            }
            "fdb" => {
                rows.columns(&["mac", "at", "age-s"]);
                Ok(rows.page(self.fdb.iter(), from, |rows, (mac, s)| {
                    let at = s.line.map_or("uplink", |i| &self.lines[i].name);
                    rows.row([mac.to_string().into(), at.into(), q.now.since(s.seen).as_secs().into()]);
                }))
            }
            _ => Err(QueryError::Unknown(q.what.clone())),
        }
    }

    fn counters(&self, rows: &mut Rows) {
        let up = self.lines.iter().filter(|l| l.line.is_up()).count();
        rows.row(["table".into(), "lines-in-showtime".into(), up.into()]);
        rows.row(["table".into(), "stations".into(), self.fdb.len().into()]);
    }

    fn command(&mut self, cx: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        let words: Vec<&str> = c.words.iter().map(String::as_str).collect();
        let done = match words[..] {
            ["line", name, what @ ("snr" | "snr-up"), db] => {
                let i = self.line(name)?;
                let db: f64 = db
                    .parse()
                    .ok()
                    .filter(|d| (-20.0..=100.0).contains(d))
                    .ok_or_else(|| CommandError::Refused(format!("`{db}` is no signal to noise ratio in dB (-20 to 100)")))?;
                let l = &mut self.lines[i].line;
                if what == "snr" {
                    l.profile.snr_db = db
                } else {
                    l.profile.snr_up_db = db
                }
                l.noise(cx);
                (i, format!("line {name}: {what} is {db} dB now"))
            }
            ["line", name, "retrain"] => {
                let i = self.line(name)?;
                self.lines[i].line.retrain(cx);
                (i, format!("line {name} is being trained anew"))
            }
            ["line", name, word @ ("off" | "on")] => {
                let i = self.line(name)?;
                self.lines[i].line.switch(cx, word == "on");
                (i, format!("line {name} is {word}"))
            }
            _ => return Err(CommandError::Unknown(c.words.join(" "))),
        };
        self.arm(done.0);
        Ok(done.1)
    }
}

/// Builds the role.
///
/// # Errors
/// As [`Dslam::new`].
pub fn build(s: Setup<DslamSettings>) -> anyhow::Result<Role<Dslam>> {
    Ok(Role::forwarder(Dslam::new(&s.config, &s.settings)?))
}
