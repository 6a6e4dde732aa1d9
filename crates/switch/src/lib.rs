//! A learning switch (IEEE 802.1D §7): learns source addresses, forwards by
//! them, floods what it does not know.
//!
//! Ports: all of the node's. A full table learns nobody new (counted
//! `fdb-full`); stations that are known stay, and frames for the unknown are
//! flooded.

#![forbid(unsafe_code)]

use flow::age::Age;
use flow::bridge;
use node::{
    Burst, Cause, Command, CommandError, Cursor, Cx, DropReason, Element, Event, Frame, PortId, Query, QueryError, Reply, Rows, Time,
};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;
use wire::Mac;

/// The switch's settings.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// How long a silent station is remembered (802.1D table 7-5: 300 s).
    #[serde(with = "node::config::duration")]
    pub ageing: Duration,
    /// Stations at most.
    pub stations: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { ageing: Duration::from_secs(300), stations: 8192 }
    }
}

#[derive(Debug)]
struct Station {
    port: PortId,
    seen: Time,
}

/// The switch.
#[derive(Debug)]
pub struct Switch {
    settings: Settings,
    ports: Vec<String>,
    fdb: HashMap<Mac, Station>,
    age: Age<Mac>,
}

impl Switch {
    /// A switch with these ports.
    pub fn new(settings: Settings, ports: Vec<String>) -> Switch {
        Switch { settings, ports, fdb: HashMap::new(), age: Age::default() }
    }

    fn learn(&mut self, cx: &mut Cx<'_>, mac: Mac, port: PortId) -> bool {
        if let Some(s) = self.fdb.get_mut(&mac) {
            s.seen = cx.now;
            if s.port != port {
                s.port = port;
                cx.count("stations-moved");
                return true;
            }
            return false;
        }
        if self.fdb.len() >= self.settings.stations {
            cx.count("fdb-full");
            return false;
        }
        self.fdb.insert(mac, Station { port, seen: cx.now });
        self.age.insert(cx.now + self.settings.ageing, mac);
        cx.count("stations-learned");
        true
    }

    fn frame(&mut self, cx: &mut Cx<'_>, port: PortId, f: Frame) {
        let Some((h, f)) = bridge::check(cx, f) else { return };
        let learned = self.learn(cx, h.src, port);
        match self.fdb.get(&h.dst).filter(|_| !h.dst.is_multicast()) {
            Some(s) if s.port == port => cx.drop(f, DropReason::SamePort),
            Some(s) => cx.send(s.port, f, || if learned { Cause::Learned { station: h.src } } else { Cause::Forwarded }),
            None => self.flood(cx, port, f, !h.dst.is_multicast()),
        }
    }

    fn flood(&mut self, cx: &mut Cx<'_>, from: PortId, f: Frame, unknown: bool) {
        let mut others = (0..self.ports.len() as u8).map(PortId).filter(|p| *p != from).peekable();
        while let Some(p) = others.next() {
            if others.peek().is_none() {
                return cx.send(p, f, || Cause::Flooded { unknown });
            }
            if let Some(c) = cx.copy(&f) {
                cx.send(p, c, || Cause::Flooded { unknown });
            }
        }
        cx.drop(f, DropReason::SamePort);
    }
}

impl Element for Switch {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        while let Some(f) = burst.take() {
            self.frame(cx, port, f);
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        let ageing = self.settings.ageing;
        while let Some(m) = self.age.expired(cx.now, |m| self.fdb.get(m).map(|s| s.seen + ageing)) {
            self.fdb.remove(&m);
            cx.count("stations-aged-out");
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.age.next()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        &[("fdb", "forwarding database: which station is behind which port")]
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        if q.what != "fdb" {
            return Err(QueryError::Unknown(q.what.clone()));
        }
        rows.columns(&["mac", "port", "age-s"]);
        Ok(rows.page(self.fdb.iter(), from, |rows, (mac, s)| {
            let port = self.ports[usize::from(s.port.0)].clone();
            rows.row([mac.to_string().into(), port.into(), q.now.since(s.seen).as_secs().into()]);
        }))
    }

    fn counters(&self, rows: &mut Rows) {
        rows.row(["table".into(), "stations".into(), self.fdb.len().into()]);
    }

    fn command(&mut self, _: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        match c.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["flush"] => {
                let n = self.fdb.len();
                self.fdb.clear();
                Ok(format!("{n} stations forgotten"))
            }
            _ => Err(CommandError::Unknown(c.words.join(" "))),
        }
    }
}

/// Builds the role.
///
/// # Errors
/// Never.
pub fn build(s: node::role::Setup<Settings>) -> anyhow::Result<node::role::Role<Switch>> {
    let ports = s.config.ports.into_iter().map(|p| p.name).collect();
    Ok(node::role::Role::forwarder(Switch::new(s.settings, ports)))
}
