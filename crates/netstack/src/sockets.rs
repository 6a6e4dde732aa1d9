//! The transport layer: connections by 4-tuple, listeners, UDP ports.

use crate::connection::{Connection, Listener};
use crate::device::{Caps, OneSlot};
use crate::segment::{Ends, Sent, ack_at_zero_window, ends, note};
use crate::trail::{Due, Marks};
use crate::udp::{Datagram, UdpPort};
use flow::age::Age;
use flow::{Flow as FlowOf, Packet};
use node::{Act, Cause, Cursor, Cx, DropReason, Frame, FrameSeq, Rows, Time, Wake};
use slab::Slab;
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::socket::tcp::{self, CongestionControl, State};
use smoltcp::time::{Duration as SmolDuration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpListenEndpoint};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use wire::be32;
use wire::ipv4::{Header, protocol};
use wire::tcp::{ACK, FIN, RST, SYN};

/// How long an unfinished handshake may take.
const HANDSHAKE: SmolDuration = SmolDuration::from_secs(20);
/// Data that nobody acknowledges for so long ends a connection.
const UNACKNOWLEDGED: SmolDuration = SmolDuration::from_secs(120);
/// How long a connection that the application let go may take to close.
const ORPHAN: Duration = Duration::from_secs(30);
/// TIME-WAIT, held in a record of a few bytes (RFC 9293 §3.4.1 says 2 MSL; Linux
/// takes 60 s).
const TIME_WAIT: Duration = Duration::from_secs(60);
/// Segments that one connection sends before others have their turn.
const QUANTUM: usize = 32;

/// Bounds of a host's memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections, half-open ones included; beyond, SYNs are dropped.
    pub connections: usize,
    /// Connections of one listener that nobody accepted yet.
    pub backlog: usize,
    /// Receive buffer of a connection.
    pub receive: usize,
    /// Send buffer of a connection.
    pub send: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 1024, backlog: 256, receive: 64 * 1024, send: 128 * 1024 }
    }
}

struct TimeWait {
    until: Time,
    seq: u32,
    ack: u32,
}

/// The transport layer of a node.
pub struct Sockets {
    iface: Interface,
    mtu: usize,
    limits: Limits,
    pub(crate) connections: Slab<Connection>,
    pub(crate) by_ends: HashMap<Ends, usize>,
    generation: u64,
    pub(crate) listeners: HashMap<u16, Listener>,
    pub(crate) udp: HashMap<u16, UdpPort>,
    pub(crate) udp_out: VecDeque<Datagram>,
    /// What applications say for the trace, until the node's next turn.
    pub(crate) said: Vec<(Option<FrameSeq>, Option<Act>, Cause)>,
    /// Somebody collects the trace.
    pub(crate) traced: bool,
    time_wait: HashMap<Ends, TimeWait>,
    time_wait_age: Age<Ends>,
    age: Age<(usize, u64)>,
    dirty: VecDeque<usize>,
    pub(crate) out: Vec<Frame>,
    pub(crate) wake: Wake,
    pub(crate) ident: u16,
    ephemeral: u16,
}

fn instant(t: Time) -> Instant {
    Instant::from_micros(i64::try_from(t.nanos() / 1000).unwrap_or(i64::MAX))
}

fn time(i: Instant) -> Time {
    Time::from_nanos(u64::try_from(i.total_micros()).unwrap_or(0).saturating_mul(1000))
}

impl Sockets {
    /// A transport layer that sends packets of at most `mtu` bytes. `seed`
    /// (from the OS) makes sequence numbers and ports hard to guess.
    pub fn new(mtu: u16, seed: u64, limits: Limits, wake: Wake) -> Sockets {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut none = Caps(usize::from(mtu));
        let mut iface = Interface::new(config, &mut none, Instant::ZERO);
        // Who we are is decided before smoltcp sees a packet: it takes all.
        let own = smoltcp::wire::Ipv4Address::new(192, 0, 0, 8);
        iface.update_ip_addrs(|a| {
            let _ = a.push(IpCidr::new(IpAddress::Ipv4(own), 32));
        });
        iface.set_any_ip(true);
        let _ = iface.routes_mut().add_default_ipv4_route(own);
        Sockets {
            iface,
            mtu: usize::from(mtu),
            limits,
            connections: Slab::new(),
            by_ends: HashMap::new(),
            generation: 0,
            listeners: HashMap::new(),
            udp: HashMap::new(),
            udp_out: VecDeque::new(),
            said: Vec::new(),
            traced: false,
            time_wait: HashMap::new(),
            time_wait_age: Age::default(),
            age: Age::default(),
            dirty: VecDeque::new(),
            out: Vec::new(),
            wake,
            ident: seed as u16,
            ephemeral: (seed >> 16) as u16,
        }
    }

    /// Whether a packet belongs to a connection here.
    pub fn knows(&self, h: &Header, p: &[u8]) -> bool {
        h.protocol == protocol::TCP && ends(h, p).is_some_and(|e| self.by_ends.contains_key(&e) || self.time_wait.contains_key(&e))
    }

    /// Whether a packet is an ICMP error about a connection here.
    pub fn knows_error(&self, h: &Header, p: &[u8]) -> bool {
        let FlowOf::Error(t) = FlowOf::read(p, h) else { return false };
        let e = (SocketAddrV4::new(t.src.0, t.src.1), SocketAddrV4::new(t.dst.0, t.dst.1));
        t.protocol == protocol::TCP && self.by_ends.contains_key(&e)
    }

    /// Takes a whole, unfragmented packet for a local (or intercepted) address.
    /// Gives back what no socket wants: echo requests and UDP to closed ports.
    pub fn input(&mut self, cx: &mut Cx<'_>, p: Packet) -> Option<Packet> {
        self.traced = cx.traces();
        match p.header.protocol {
            protocol::TCP => {
                self.tcp_input(cx, p);
                None
            }
            protocol::UDP => self.udp_input(cx, p),
            protocol::ICMP => {
                if let FlowOf::Error(t) = FlowOf::read(p.frame.data(), &p.header) {
                    self.icmp_error(&t, &p);
                    cx.consume(p.frame);
                    return None;
                }
                Some(p)
            }
            _ => Some(p),
        }
    }

    /// Packets to send, from their IP header on.
    pub fn take_output(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.out)
    }

    fn tcp_input(&mut self, cx: &mut Cx<'_>, p: Packet) {
        let Some(e) = ends(&p.header, p.frame.data()) else {
            return cx.drop(p.frame, DropReason::BadLength);
        };
        let flags = wire::tcp::flags(p.header.payload(p.frame.data())).unwrap_or(0);
        let seq = be32(p.header.payload(p.frame.data()), 4).unwrap_or(0);
        if let Some(w) = self.time_wait.get(&e) {
            // RFC 9293 §3.10.7.4: a new SYN beyond the old window may reopen.
            let reopens = flags & (SYN | ACK | RST) == SYN && seq.wrapping_sub(w.ack) < 1 << 31;
            if !reopens {
                let (s, a) = (w.seq, w.ack);
                if flags & RST == 0 {
                    let (from, to) = ((*e.0.ip(), e.0.port()), (*e.1.ip(), e.1.port()));
                    self.out.extend(flow::reset::bare(cx, &p.frame, from, to, s, a, ACK));
                }
                return cx.consume(p.frame);
            }
            self.time_wait.remove(&e);
        }
        let index = match self.by_ends.get(&e) {
            Some(i) => *i,
            None if flags & (SYN | ACK | RST | FIN) == SYN && self.listeners.contains_key(&e.0.port()) => {
                let pending = self.listeners.get(&e.0.port()).map_or(0, |l| l.pending);
                if pending >= self.limits.backlog {
                    return cx.drop(p.frame, DropReason::BacklogFull);
                }
                let Some(i) = self.add(e) else {
                    return cx.drop(p.frame, DropReason::SocketFull);
                };
                let at = IpListenEndpoint { addr: Some(IpAddress::Ipv4(*e.0.ip())), port: e.0.port() };
                if self.connections[i].socket().listen(at).is_err() {
                    self.remove(i);
                    return cx.drop(p.frame, DropReason::NoSocket);
                }
                self.connections[i].pending = Some(e.0.port());
                if let Some(l) = self.listeners.get_mut(&e.0.port()) {
                    l.pending += 1;
                }
                i
            }
            None => {
                self.out.extend(flow::reset::refuse(cx, &p.frame, &p.header));
                return cx.drop(p.frame, DropReason::NoSocket);
            }
        };
        let answers = Some(p.frame.seq);
        let c = &mut self.connections[index];
        c.marks.receive(cx.traces(), &p.frame, &p.header);
        let edge = ack_at_zero_window(cx, &c.last, &p);
        let mut dev = OneSlot { cx, rx: Some(p.frame), out: &mut self.out, spent: Vec::new(), mtu: self.mtu };
        let before = dev.out.len();
        let was = c.socket().state();
        // Past the peer's FIN a reset takes nothing away that was still to come.
        let was_over = matches!(was, State::TimeWait | State::LastAck | State::Closing | State::CloseWait);
        let now = instant(dev.cx.now);
        if let Some(f) = edge {
            let whole = dev.rx.replace(f);
            self.iface.poll_ingress_single(now, &mut dev, &mut c.set);
            dev.rx = whole;
        }
        self.iface.poll_ingress_single(now, &mut dev, &mut c.set);
        for f in &mut dev.out[before..] {
            note(&mut c.last, f);
            c.marks.send(dev.cx, f, answers);
        }
        dev.finish();
        if was == State::SynSent && c.socket().state() == State::Closed {
            c.error = Some(std::io::ErrorKind::ConnectionRefused);
        } else if flags & RST != 0 && !was_over && c.socket().state() == State::Closed {
            c.error = Some(std::io::ErrorKind::ConnectionReset);
        }
        self.service(cx, index);
    }

    /// Whether a listener of a transparent proxy takes this port.
    pub fn intercepts(&self, port: u16) -> bool {
        self.listeners.get(&port).is_some_and(|l| l.any)
    }

    fn add(&mut self, ends: Ends) -> Option<usize> {
        if self.connections.len() >= self.limits.connections {
            return None;
        }
        let rx = tcp::SocketBuffer::new(vec![0; self.limits.receive]);
        let tx = tcp::SocketBuffer::new(vec![0; self.limits.send]);
        let mut s = tcp::Socket::new(rx, tx);
        s.set_congestion_control(CongestionControl::Cubic);
        s.set_nagle_enabled(false);
        s.set_timeout(Some(HANDSHAKE));
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(s);
        self.generation += 1;
        let i = self.connections.insert(Connection {
            set,
            handle,
            ends,
            generation: self.generation,
            deadline: None,
            noted: None,
            read_waker: None,
            write_waker: None,
            pending: None,
            orphan_until: None,
            error: None,
            queued: false,
            over: false,
            last: Sent::default(),
            marks: Marks::default(),
        });
        self.by_ends.insert(ends, i);
        Some(i)
    }

    /// Begins a connection. `None`: no room, or no free port.
    pub(crate) fn connect(&mut self, local: Ipv4Addr, remote: SocketAddrV4, due: Due) -> Option<(usize, u64)> {
        let port = (0..16_384u16).find_map(|_| {
            // RFC 6335's dynamic range, from a secret start.
            self.ephemeral = self.ephemeral.wrapping_add(1);
            let p = 49_152 + self.ephemeral % 16_384;
            let e = (SocketAddrV4::new(local, p), remote);
            (!self.by_ends.contains_key(&e) && !self.time_wait.contains_key(&e)).then_some(p)
        })?;
        let i = self.add((SocketAddrV4::new(local, port), remote))?;
        let c = &mut self.connections[i];
        c.marks.begun = due;
        let s = c.set.get_mut::<tcp::Socket<'_>>(c.handle);
        let (to, from) = ((*remote.ip(), remote.port()), (IpAddress::Ipv4(local), port));
        if s.connect(self.iface.context(), (IpAddress::Ipv4(to.0), to.1), from).is_err() {
            self.remove(i);
            return None;
        }
        let generation = self.connections[i].generation;
        self.touch(i);
        Some((i, generation))
    }

    /// A task wrote to, read from or closed a connection.
    pub(crate) fn touch(&mut self, i: usize) {
        if let Some(c) = self.connections.get_mut(i)
            && !std::mem::replace(&mut c.queued, true)
        {
            self.dirty.push_back(i);
            self.wake.notify();
        }
    }

    /// The connection, unless its place has been given to another.
    pub(crate) fn get(&mut self, (i, generation): (usize, u64)) -> Option<&mut Connection> {
        self.connections.get_mut(i).filter(|c| c.generation == generation)
    }

    /// The application lets go: what is written is still sent. What comes in is
    /// thrown away for a while rather than answered by a reset, which could
    /// overtake our last words (RFC 9112 §9.6).
    pub(crate) fn orphan(&mut self, id: (usize, u64), now: Time) {
        let Some(c) = self.get(id) else { return };
        c.socket().close();
        c.orphan_until = Some(now + ORPHAN);
        self.touch(id.0);
    }

    fn remove(&mut self, i: usize) {
        let c = self.connections.remove(i);
        self.by_ends.remove(&c.ends);
        if let Some(l) = c.pending.and_then(|p| self.listeners.get_mut(&p)) {
            l.pending = l.pending.saturating_sub(1);
        }
    }

    /// Sends what a connection has, wakes who waits for it, and notes when it
    /// wants to be looked at again.
    fn service(&mut self, cx: &mut Cx<'_>, i: usize) {
        let Some(c) = self.connections.get_mut(i) else { return };
        let now = cx.now;
        if c.orphan_until.is_some() {
            // Errors only say that there is nothing more to throw away.
            while c.socket().can_recv() && c.socket().recv(|b| (b.len(), ())).is_ok() {}
        }
        let before = self.out.len();
        let mut dev = OneSlot { cx, rx: None, out: &mut self.out, spent: Vec::new(), mtu: self.mtu };
        let mut turns = 0;
        while self.iface.poll_egress(instant(now), &mut dev, &mut c.set) == PollResult::SocketStateChanged {
            turns += 1;
            if turns >= QUANTUM {
                break;
            }
        }
        for f in &mut self.out[before..] {
            note(&mut c.last, f);
            c.marks.send(cx, f, None);
        }
        let more = turns >= QUANTUM;
        let due = self.iface.poll_at(instant(now), &c.set).map(time);
        let s = c.set.get_mut::<tcp::Socket<'_>>(c.handle);
        let state = s.state();
        if matches!(state, State::Established | State::CloseWait) && s.timeout() == Some(HANDSHAKE) {
            s.set_timeout(Some(UNACKNOWLEDGED));
        }
        let (readable, writable) = (s.can_recv() || !s.may_recv(), s.can_send() || !s.may_send());
        let open =
            matches!(state, State::Established | State::CloseWait | State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck);
        if readable
            && state != State::SynSent
            && let Some(w) = c.read_waker.take()
        {
            w.wake();
        }
        if writable
            && state != State::SynSent
            && let Some(w) = c.write_waker.take()
        {
            w.wake();
        }
        if open && let Some(port) = c.pending.take() {
            let id = (i, c.generation);
            if let Some(l) = self.listeners.get_mut(&port) {
                l.ready.push_back(id);
                if let Some(w) = l.waker.take() {
                    w.wake();
                }
            }
        }
        match state {
            // A failed handshake that nobody was told of goes without a trace.
            State::Closed if c.orphan_until.is_some() || c.pending.is_some() => return self.remove(i),
            State::Listen if c.pending.is_some() => return self.remove(i), // reset while half-open
            State::Closed => {
                if !c.over {
                    c.error.get_or_insert(std::io::ErrorKind::TimedOut);
                }
                for w in c.read_waker.take().into_iter().chain(c.write_waker.take()) {
                    w.wake();
                }
            }
            State::TimeWait if c.orphan_until.is_some() => {
                let (ends, Sent { seq, ack, .. }) = (c.ends, c.last);
                if self.time_wait.len() < self.limits.connections * 16 {
                    let until = now + TIME_WAIT;
                    self.time_wait.insert(ends, TimeWait { until, seq, ack });
                    self.time_wait_age.insert(until, ends);
                }
                return self.remove(i);
            }
            _ => {}
        }
        c.deadline = [due, c.orphan_until].into_iter().flatten().min();
        if let Some(t) = c.deadline
            && c.noted.is_none_or(|n| t < n || n <= now)
        {
            c.noted = Some(t);
            self.age.insert(t, (i, c.generation));
        }
        if more {
            self.touch(i);
        }
    }

    /// When `poll` is wanted.
    pub fn deadline(&self) -> Option<Time> {
        let soon = (!self.dirty.is_empty()).then_some(Time::ZERO);
        [soon, self.age.next(), self.time_wait_age.next()].into_iter().flatten().min()
    }

    /// Does what tasks asked for and what time brought.
    pub fn poll(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        self.traced = cx.traces();
        for (seq, act, cause) in self.said.drain(..) {
            cx.tell(seq, act, || cause);
        }
        for _ in 0..self.dirty.len() {
            let Some(i) = self.dirty.pop_front() else { break };
            if let Some(c) = self.connections.get_mut(i) {
                c.queued = false;
                self.service(cx, i);
            }
        }
        let connections = &self.connections;
        let mut due = HashSet::new();
        while let Some(key) = self.age.expired(now, |(i, g)| connections.get(*i).filter(|c| c.generation == *g).and_then(|c| c.deadline)) {
            due.insert(key);
        }
        for (i, g) in due {
            if let Some(c) = self.get((i, g)) {
                c.noted = None;
                if c.orphan_until.is_some_and(|t| t <= now) {
                    c.socket().abort();
                }
                self.service(cx, i);
            }
        }
        loop {
            let waits = &self.time_wait;
            let over = self.time_wait_age.expired(now, |e| waits.get(e).map(|w| w.until));
            let Some(e) = over else { break };
            self.time_wait.remove(&e);
        }
        while let Some(d) = self.udp_out.pop_front() {
            self.send_udp(cx, &d);
        }
    }

    /// Rows for `show`: connections.
    pub fn show(&self, from: Cursor, rows: &mut Rows) -> Option<Cursor> {
        rows.columns(&["local", "remote", "state", "receive-queue", "send-queue"]);
        rows.page(self.connections.iter(), from, |rows, (_, c)| {
            let s = c.set.get::<tcp::Socket<'_>>(c.handle);
            let state = s.state().to_string().to_lowercase();
            rows.row([
                c.ends.0.to_string().into(),
                c.ends.1.to_string().into(),
                state.into(),
                s.recv_queue().into(),
                s.send_queue().into(),
            ]);
        })
    }

    /// Connections now.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}
