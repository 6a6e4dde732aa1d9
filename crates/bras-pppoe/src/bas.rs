//! The server as an element: subscribers and tunnels on one side, the core on the
//! other.

use crate::aaa::{Aaa, Radius, local::Local};
use crate::cookie::Cookies;
use crate::pool::Pools;
use crate::session::{Ended, Rates, Session};
use crate::settings::Settings;
use flow::frag::Reassembler;
use flow::timers::Timers;
use flow::{IpHop, Route, hop};
use l2tp::{Endpoint, Key, PeerConfig, Secrecy};
use node::config::NodeConfig;
use node::{Burst, Command, CommandError, Cursor, Cx, DropReason, Element, Event, PortId, Query, QueryError, Reply, Rows, Time};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;
use wire::Mac;

/// An access port: its address and its link's MTU.
pub(crate) type Access = (PortId, Mac, u16);

/// The access server.
#[derive(Debug)]
pub struct Bas {
    pub(crate) settings: Settings,
    pub(crate) ac_name: String,
    pub(crate) access: Vec<Access>,
    pub(crate) hop: IpHop,
    pub(crate) local: Ipv4Addr,
    pub(crate) pools: Pools,
    pub(crate) cookies: Cookies,
    pub(crate) rates: Rates,
    /// By number: a PPPoE session's id, or an L2TP session's two.
    pub(crate) sessions: BTreeMap<u32, Session>,
    /// PPPoE sessions of a station.
    pub(crate) of_station: HashMap<(PortId, Mac), Vec<u16>>,
    /// L2TP sessions, a LAC's and an LNS's.
    pub(crate) of_call: HashMap<Key, u32>,
    pub(crate) next_id: u16,
    pub(crate) timers: Timers<u32>,
    pub(crate) log: VecDeque<Ended>,
    pub(crate) aaa: Box<dyn Aaa>,
    pub(crate) l2tp: Endpoint,
    pub(crate) pieces: Reassembler,
    pub(crate) ident: u16,
    /// Tells this run's sessions from an earlier one's in accounting.
    pub(crate) boot: u32,
    /// By which address of ours a tunnel's peer knows us.
    pub(crate) known_as: HashMap<Ipv4Addr, Ipv4Addr>,
}

fn secret(s: &Option<String>, hide: bool) -> anyhow::Result<(Option<Vec<u8>>, Secrecy)> {
    anyhow::ensure!(s.is_some() || !hide, "`hide` needs a `secret`");
    anyhow::ensure!(s.as_ref().is_none_or(|s| !s.is_empty()), "an empty `secret` protects nothing: leave it out");
    Ok((s.as_ref().map(|s| s.as_bytes().to_vec()), if hide { Secrecy::Hidden } else { Secrecy::Clear }))
}

impl Bas {
    /// An access server. `key` makes its cookies and seeds its tunnels.
    ///
    /// # Errors
    /// If the settings name a port that is not there, or contradict each other.
    pub fn new(config: &NodeConfig, settings: Settings, key: u64) -> anyhow::Result<Bas> {
        anyhow::ensure!(
            !settings.access.is_empty() || !settings.lacs.is_empty(),
            "there are no subscribers: `access` names no port, and `lacs` nobody"
        );
        let mut access = Vec::new();
        for name in &settings.access {
            let (port, c) = config.need_port(name)?;
            anyhow::ensure!(c.address.is_none(), "access port `{name}` must have no address of its own");
            access.push((port, c.mac, c.mtu));
        }
        let hop = IpHop::new(config, &settings.routes)?;
        let core = hop.interfaces.first().map_or(Ipv4Addr::UNSPECIFIED, |i| i.addr.addr);
        let first = settings.pool.map(|p| Ipv4Addr::from(u32::from(p.network()) + u32::from(p.len < 31)));
        let local = settings.local.or(first).unwrap_or(core);
        for u in &settings.users {
            if let (Some(a), Some(pool)) = (u.address, settings.pool) {
                anyhow::ensure!(pool.contains(a) && a != local, "user `{}`: {a} is not free in the pool {pool}", u.name);
            }
        }
        for t in &settings.tunnels {
            anyhow::ensure!(!t.lns.is_empty(), "the tunnel for `{}` names no LNS", t.realm);
            secret(&t.secret, t.hide).map_err(|e| e.context(format!("the tunnel for `{}`", t.realm)))?;
        }
        if let Some(r) = &settings.radius {
            anyhow::ensure!(!r.servers.is_empty(), "`radius` names no server");
            anyhow::ensure!(r.servers.iter().all(|s| !s.secret.is_empty()), "a RADIUS server needs a `secret` that is not empty");
            anyhow::ensure!(r.tries > 0 && !r.timeout.is_zero(), "`radius` needs a `timeout` and at least one of `tries`");
        }
        let mut peers = Vec::new();
        for l in &settings.lacs {
            let (secret, secrecy) = secret(&l.secret, l.hide).map_err(|e| e.context(format!("LAC `{}`", l.host_name)))?;
            peers.push(PeerConfig { name: l.host_name.clone(), secret, secrecy, sequencing: false });
        }
        let l2tp = l2tp::Config {
            host_name: settings.l2tp.host_name.clone().unwrap_or_else(|| config.node.clone()),
            hello: settings.l2tp.hello,
            idle: settings.l2tp.idle,
            peers,
            max_tunnels: settings.l2tp.max_tunnels,
            max_sessions: settings.max_sessions,
        };
        let mut bas = Bas {
            ac_name: settings.ac_name.clone().unwrap_or_else(|| config.node.clone()),
            aaa: match &settings.radius {
                Some(r) => Box::new(Radius::new(r.clone(), &config.node, core)),
                None => Box::new(Local::new(&settings.users)),
            },
            settings,
            access,
            hop,
            local,
            pools: Pools::default(),
            cookies: Cookies::new(key),
            rates: Rates::new(),
            sessions: BTreeMap::new(),
            of_station: HashMap::new(),
            of_call: HashMap::new(),
            next_id: 1,
            timers: Timers::default(),
            log: VecDeque::new(),
            l2tp: Endpoint::new(l2tp, StdRng::seed_from_u64(key.rotate_left(32))),
            pieces: Reassembler::default(),
            ident: key as u16,
            boot: (key >> 16) as u32,
            known_as: HashMap::new(),
        };
        bas.pools();
        Ok(bas)
    }

    /// Fills the pools; addresses that nobody has go nowhere.
    fn pools(&mut self) {
        let fixed: Vec<Ipv4Addr> = self.settings.users.iter().filter_map(|u| u.address).chain([self.local]).collect();
        let usual = self.settings.pool.map(|p| (String::new(), p));
        for (name, prefix) in usual.into_iter().chain(self.settings.pools.clone()) {
            self.pools.add(&name, prefix, fixed.iter().copied());
            self.hop.fib.insert(prefix, Route::Blackhole);
        }
    }

    /// Notes when a session wants to be looked after next.
    pub(crate) fn arm(&mut self, number: u32) {
        self.timers.set(number, self.sessions.get(&number).and_then(Session::deadline));
    }
}

impl Element for Bas {
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
        let access = self.access.iter().find(|(p, _, _)| *p == port).map(|(_, m, _)| *m);
        let index = self.hop.interface_of(port);
        while let Some(f) = burst.take() {
            cx.during(Some(&f));
            match (access, index) {
                (Some(own), _) => self.access_frame(cx, port, own, f),
                (None, Some(i)) => self.core_frame(cx, i, f),
                (None, None) => cx.drop(f, DropReason::NotForUs),
            }
            self.work(cx);
        }
    }

    fn poll(&mut self, cx: &mut Cx<'_>, _: Event) {
        self.poll_hop(cx);
        for f in self.pieces.poll(cx) {
            cx.drop(f, DropReason::ReassemblyTimeout);
        }
        while let Some(number) = self.timers.due(cx.now) {
            self.poll_session(cx, number);
        }
        self.l2tp.poll(cx.now);
        self.aaa.poll(cx.now);
        self.work(cx);
    }

    fn deadline(&self) -> Option<Time> {
        let own = [self.hop.deadline(), self.timers.next(), self.pieces.deadline()];
        own.into_iter().chain([self.l2tp.deadline(), self.aaa.deadline()]).flatten().min()
    }

    fn views(&self) -> &'static [(&'static str, &'static str)] {
        const VIEWS: &[(&str, &str)] = &[
            ("sessions", "PPP sessions: over PPPoE, relayed into tunnels, and out of tunnels"),
            ("tunnels", "L2TP tunnels"),
            ("calls", "L2TP sessions"),
            ("log", "sessions and tunnels that ended, and why"),
            hop::VIEWS[0],
            hop::VIEWS[1],
        ];
        VIEWS
    }

    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        match self.show_own(q, from, rows) {
            Some(next) => Ok(next),
            None => self.hop.show(q, from, rows).ok_or_else(|| QueryError::Unknown(q.what.clone())),
        }
    }

    fn counters(&self, rows: &mut Rows) {
        let tables =
            [("sessions", self.sessions.len()), ("addresses-in-use", self.pools.used()), ("l2tp-sessions", self.l2tp.session_count())];
        for (name, n) in tables {
            rows.row(["table".into(), name.into(), n.into()]);
        }
        for (name, n) in self.aaa.counters() {
            rows.row(["radius".into(), name.into(), n.into()]);
        }
    }

    fn command(&mut self, cx: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        let done = self.act(cx, &c);
        self.work(cx);
        done
    }
}
