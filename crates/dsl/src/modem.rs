//! The subscriber's modem: a bridge between its LAN port and the phone line.
//!
//! Ports: `lan`, `line`. It forwards every frame that a bridge may forward, both
//! ways, and knows nothing of what is inside.

use crate::line::Line;
use crate::settings::{ModemSettings, Profile};
use node::config::NodeConfig;
use node::role::{Role, Setup};
use node::{
    Burst, Cause, Command, CommandError, Cursor, Cx, DropReason, Element, Event, Frame, PortId, Query, QueryError, Reply, Rows, Status,
    Time,
};
use serde_json::Value;
use wire::ether::Header;

/// The modem.
#[derive(Debug)]
pub struct Modem {
    lan: PortId,
    line: Line,
    whole: Vec<(Frame, u16)>,
    now: Time,
}

impl Modem {
    /// A modem.
    ///
    /// # Errors
    /// If a port is not there, or the settings contradict each other.
    pub fn new(config: &NodeConfig, s: &ModemSettings) -> anyhow::Result<Modem> {
        let (lan, _) = config.need_port(&s.lan)?;
        let (port, p) = config.need_port(&s.line)?;
        anyhow::ensure!(lan != port, "`lan` and `line` are the same port");
        let profile = Profile { vpi: s.vpi, vci: s.vci, fcs: s.fcs, queue: s.queue, seed: s.seed, ..Profile::default() };
        profile.check()?;
        Ok(Modem { lan, line: Line::new(port, p.mac, false, profile), whole: Vec::new(), now: Time::ZERO })
    }
}

impl Element for Modem {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        self.now = cx.now;
        while let Some(f) = burst.take() {
            if port == self.line.port {
                self.line.input(cx, f, &mut self.whole);
                for (f, cells) in self.whole.drain(..) {
                    cx.send(self.lan, f, || Cause::Reassembled { cells });
                }
                continue;
            }
            match Header::read(f.data()) {
                _ if port != self.lan => cx.drop(f, DropReason::NotForUs),
                None => cx.drop(f, DropReason::Truncated),
                Some(h) if h.dst.is_bridge_reserved() => cx.drop(f, DropReason::BridgeReserved),
                Some(_) => self.line.send(cx, f),
            }
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        self.now = cx.now;
        self.line.poll(cx);
    }

    fn deadline(&self) -> Option<Time> {
        self.line.deadline()
    }

    fn status(&self) -> Status {
        self.line.status(self.now)
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        &[("line", "the phone line: state, rates, margin, cells, errors, cell tax")]
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        if q.what != "line" {
            return Err(QueryError::Unknown(q.what.clone()));
        }
        rows.columns(&["what", "down", "up"]);
        let [d, u] = self.line.directions(q.now);
        let (trainings, losses, why) = self.line.history();
        let mut row = |what: &str, d: Value, u: Value| rows.row([what.into(), d, u]);
        row("state", self.line.state(q.now).into(), Value::Null);
        row("rate-kbit", (d.rate / 1000).into(), (u.rate / 1000).into());
        row("snr-db", d.snr.into(), u.snr.into());
        row("margin-db", d.margin.into(), u.margin.into());
        row("interleave-ms", (self.line.profile.interleave.as_secs_f64() * 1e3).into(), Value::Null);
        row("channel", format!("{}/{}", self.line.profile.vpi, self.line.profile.vci).into(), Value::Null);
        row("cells", d.count.cells.into(), u.count.cells.into());
        row("idle-cells", d.idle.into(), u.idle.into());
        row("frames", d.count.frames.into(), u.count.frames.into());
        row("frame-bytes", d.count.bytes.into(), u.count.bytes.into());
        row("cell-tax-percent", d.tax.into(), u.tax.into());
        row("hec-corrected", d.corrected.into(), u.corrected.into());
        row("hec-discarded", d.discarded.into(), u.discarded.into());
        row("crc-errors", d.crc.into(), u.crc.into());
        row("waiting-bytes", Value::Null, self.line.cells.waiting(q.now).into());
        row("trainings", trainings.into(), Value::Null);
        row("losses", losses.into(), Value::Null);
        row("last-loss", why.into(), Value::Null);
        let _ = from;
        Ok(None)
    }

    fn command(&mut self, cx: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        match c.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["retrain"] => {
                self.line.retrain(cx);
                Ok("the line is being trained anew".into())
            }
            ["off"] => {
                self.line.switch(cx, false);
                Ok("the modem is silent".into())
            }
            ["on"] => {
                self.line.switch(cx, true);
                Ok("the modem calls".into())
            }
            _ => Err(CommandError::Unknown(c.words.join(" "))),
        }
    }
}

/// Builds the role.
///
/// # Errors
/// As [`Modem::new`].
pub fn build(s: Setup<ModemSettings>) -> anyhow::Result<Role<Modem>> {
    Ok(Role::forwarder(Modem::new(&s.config, &s.settings)?))
}
