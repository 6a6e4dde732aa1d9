//! Links with impairment or a medium: what goes in at one port comes out at its
//! partner's, later, fewer, or damaged.
//!
//! Ports come in pairs (0 and 1, 2 and 3, …), a pair a link; each direction has
//! its own settings, queue and seeded randomness. A full queue drops the newest
//! frame (`queue-full`). On a link with a medium each frame crosses as a signal:
//! encoded, disturbed, decoded, its FCS checked (`fcs-error`, `no-carrier`).

#![forbid(unsafe_code)]

mod act;
mod lane;
mod settings;
mod signal;

pub use settings::{Direction, Link, Settings};

use lane::Lane;
use node::{Burst, Command, CommandError, Cursor, Cx, DropReason, Element, Event, PortId, Query, QueryError, Reply, Rows, Time};

/// All impaired links of a lab.
pub struct Cable {
    names: Vec<[String; 2]>,
    /// By the port at which a direction begins.
    lanes: Vec<Lane>,
}

impl Cable {
    /// Links in the order of the port pairs.
    pub fn new(settings: &Settings) -> Cable {
        let mut lanes = Vec::new();
        for l in &settings.links {
            lanes.extend(both(l));
        }
        Cable { names: settings.links.iter().map(|l| l.ends.clone()).collect(), lanes }
    }
}

/// Both directions of a link.
fn both(l: &Link) -> [Lane; 2] {
    [0, 1].map(|i| Lane::new(l.directions[i], l.medium, l.seed.wrapping_mul(2).wrapping_add(i as u64)))
}

impl Cable {
    /// The direction that begins at `end`, a `node.port`.
    fn from(&self, end: &str) -> Option<usize> {
        self.names.iter().position(|n| n[0] == end).map(|i| 2 * i).or_else(|| {
            let i = self.names.iter().position(|n| n[1] == end)?;
            Some(2 * i + 1)
        })
    }

    fn ends(&self, lane: usize) -> (&str, &str) {
        let [a, b] = &self.names[lane / 2];
        if lane.is_multiple_of(2) { (a, b) } else { (b, a) }
    }
}

impl Element for Cable {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        while let Some(f) = burst.take() {
            match self.lanes.get_mut(usize::from(port.0)) {
                Some(l) => l.take(cx, f),
                None => cx.drop(f, DropReason::LinkDown),
            }
        }
        if let Some(l) = self.lanes.get_mut(usize::from(port.0)) {
            l.release(cx, PortId(port.0 ^ 1));
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        for (i, l) in self.lanes.iter_mut().enumerate() {
            l.release(cx, PortId(i as u8 ^ 1));
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.lanes.iter().filter_map(Lane::deadline).min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("links", "each direction of each link that the cable carries"),
            ("media", "bits, symbol errors and FCS drops of each direction that is a signal"),
            ("signal NODE.PORT", "levels of a frame that this port sent last (see `lab signal`)"),
        ]
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        let words: Vec<&str> = q.what.split(' ').collect();
        match words[..] {
            ["links"] => {
                rows.columns(&[
                    "from",
                    "to",
                    "state",
                    "delay-ms",
                    "jitter-ms",
                    "rate-kbit",
                    "loss",
                    "reorder",
                    "duplicate",
                    "corrupt",
                    "snr-db",
                    "waiting",
                    "passed",
                    "lost",
                ]);
                Ok(rows.page(self.lanes.iter().enumerate(), from, |rows, (i, l)| {
                    let (a, b) = self.ends(i);
                    rows.row([
                        a.into(),
                        b.into(),
                        l.state().into(),
                        (l.is.delay_ns as f64 / 1e6).into(),
                        (l.is.jitter_ns as f64 / 1e6).into(),
                        (l.is.rate_bps / 1000).into(),
                        l.is.loss.into(),
                        l.is.reorder.into(),
                        l.is.duplicate.into(),
                        l.is.corrupt.into(),
                        l.is.snr_db.into(),
                        l.waiting.len().into(),
                        l.passed.into(),
                        l.lost.into(),
                    ]);
                }))
            }
            ["media"] => {
                rows.columns(&["from", "to", "medium", "snr-db", "frames", "bits", "symbol-errors", "fcs-drops"]);
                let media = self.lanes.iter().enumerate().filter_map(|(i, l)| l.signal.as_ref().map(|s| (i, l, s)));
                Ok(rows.page(media, from, |rows, (i, l, s)| {
                    let (a, b) = self.ends(i);
                    rows.row([
                        a.into(),
                        b.into(),
                        s.medium.name().into(),
                        l.is.snr_db.into(),
                        s.frames.into(),
                        s.bits.into(),
                        s.symbol_errors.into(),
                        s.dropped.into(),
                    ]);
                }))
            }
            ["signal", end, ref rest @ ..] => {
                rows.columns(&["field", "bytes", "hex", "at-ns", "symbol-ns", "sent", "received", "frame"]);
                let signal = self.from(end).and_then(|i| self.lanes[i].signal.as_ref());
                let Some(signal) = signal else { return Err(QueryError::Unknown(q.what.clone())) };
                for r in signal.rows(*rest != ["last"], q.now) {
                    rows.row(r);
                }
                Ok(None)
            }
            _ => Err(QueryError::Unknown(q.what.clone())),
        }
    }

    fn command(&mut self, cx: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        self.act(cx, &c.words)
    }
}

/// Builds the role.
///
/// # Errors
/// Never.
pub fn build(s: node::role::Setup<Settings>) -> anyhow::Result<node::role::Role<Cable>> {
    let mut role = node::role::Role::forwarder(Cable::new(&s.settings));
    // A link that is spliced later is a TAP to attach to then.
    role.allow.write.push("/dev/net/tun".into());
    Ok(role)
}
