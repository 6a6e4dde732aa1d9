//! The burst loop: one thread, an element, its TAPs, its tasks.

use crate::hold::{Hold, release};
use crate::{Burst, Cause, Clock, Driver, DropReason, Element, Event, PortId, PortStats, Record, Status, Time};
use anyhow::{Context as _, Result};
use port::time::ClockState;
use port::{BURST, Tap};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Before a notice that found the holder's queue full is sent again.
const TELL_AGAIN: Duration = Duration::from_millis(5);

/// A task of a host role; it runs on the loop's thread.
pub type Task = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Tells the loop that the element has work that no frame announced.
#[derive(Clone, Debug, Default)]
pub struct Wake(Rc<WakeInner>);

#[derive(Debug, Default)]
struct WakeInner {
    set: Cell<bool>,
    traced: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Wake {
    /// Asks for a `poll(Event::Woken)`.
    pub fn notify(&self) {
        if !self.0.set.replace(true)
            && let Some(w) = self.0.waker.borrow().as_ref()
        {
            w.wake_by_ref();
        }
    }

    /// Somebody collects the trace: tasks may have things to say for it.
    pub fn traced(&self) -> bool {
        self.0.traced.get()
    }

    pub(crate) fn set_traced(&self, is: bool) {
        self.0.traced.set(is);
    }

    /// Whether it was asked for since the last take.
    pub fn take(&self) -> bool {
        self.0.set.replace(false)
    }

    fn poll(&self, cx: &mut Context<'_>) -> bool {
        if !self.0.set.get() {
            *self.0.waker.borrow_mut() = Some(cx.waker().clone());
        }
        self.0.set.get()
    }
}

/// Tells the lab's holder how the role is doing.
pub(crate) struct Notify {
    node: String,
    socket: Option<UnixDatagram>,
    last: Option<Status>,
}

impl Notify {
    /// Reports to the datagram socket that `LAB_NOTIFY` names, if any.
    pub(crate) fn from_env(node: &str) -> Notify {
        let socket = std::env::var_os("LAB_NOTIFY").and_then(|path| {
            let s = UnixDatagram::unbound().ok()?;
            s.connect(path).ok()?;
            s.set_nonblocking(true).ok()?;
            Some(s)
        });
        Notify { node: node.to_owned(), socket, last: None }
    }

    /// Tells a change; false: the holder's queue is full, and it is to be said again.
    #[must_use]
    fn tell(&mut self, status: Status) -> bool {
        if self.last.as_ref() == Some(&status) {
            return true;
        }
        let (word, text) = match &status {
            Status::Ready => ("ready", ""),
            Status::Waiting(t) => ("waiting", t.as_str()),
            Status::Failed(t) => ("failed", t.as_str()),
        };
        tracing::debug!("{word} {text}");
        if let Some(s) = &self.socket
            && s.send(format!("{}\t{word}\t{text}", self.node).as_bytes()).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
        {
            return false;
        }
        self.last = Some(status);
        true
    }
}

struct Timer {
    fd: AsyncFd<OwnedFd>,
    /// On the kernel's clock.
    armed: Option<u64>,
}

impl Timer {
    fn new() -> Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).context("timerfd")?;
        Ok(Timer { fd: port::watch(fd)?, armed: None })
    }

    /// Arms for `at`; an earlier alarm that is already set is left to fire.
    fn arm(&mut self, at: Option<Time>) -> io::Result<()> {
        let Some(ns) = at.and_then(|t| ClockState::get().alarm(t)) else { return Ok(()) };
        if self.armed.is_some_and(|a| a <= ns) {
            return Ok(());
        }
        let ns = ns.max(1);
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 },
        };
        rustix::time::timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        self.armed = Some(ns);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut fired = false;
        while let Poll::Ready(guard) = self.fd.poll_read_ready(cx) {
            let mut buf = [0u8; 8];
            match guard?.try_io(|fd| rustix::io::read(fd.get_ref(), &mut buf).map_err(Into::into)) {
                Ok(Ok(_)) => {
                    fired = true;
                    self.armed = None;
                }
                Ok(Err(e)) => return Err(e),
                Err(_would_block) => break,
            }
        }
        Ok(fired)
    }
}

struct LoopPort {
    tap: AsyncFd<Tap>,
    room: usize,
    readable: bool,
}

/// Attaches to the TAPs, in port order.
pub(crate) fn attach(config: &crate::config::NodeConfig) -> Result<Vec<(Tap, usize)>> {
    let one = |p: &crate::config::PortConfig| {
        let tap = Tap::attach(&p.name).with_context(|| format!("attaching to the TAP of port {}.{}", config.node, p.name))?;
        Ok((tap, usize::from(p.mtu) + 18))
    };
    config.ports.iter().map(one).collect()
}

/// What the loop shares with the control socket.
pub(crate) struct Shared<E> {
    pub(crate) driver: Rc<RefCell<Driver<E>>>,
    pub(crate) clock: Clock,
    pub(crate) wake: Wake,
    pub(crate) hold: Rc<Hold>,
}

/// Drives an element over its TAPs until an error of the loop itself.
pub(crate) async fn drive<E: Element>(
    shared: Shared<E>,
    taps: Vec<(Tap, usize)>,
    names: Vec<String>,
    mut notify: Notify,
    has_tasks: bool,
) -> Result<()> {
    let Shared { driver, clock, wake, hold } = shared;
    let mut ports = taps
        .into_iter()
        .map(|(tap, room)| Ok(LoopPort { tap: port::watch(tap)?, room, readable: true }))
        .collect::<io::Result<Vec<_>>>()?;
    let mut timer = Timer::new()?;
    let mut burst = Burst::new();
    let mut turns = 0u32;
    {
        let now = Time::monotonic();
        clock.advance(now);
        let mut d = driver.borrow_mut();
        d.core.ports = vec![PortStats::default(); ports.len()];
        d.core.names = names;
        d.poll(now, Event::Start);
        flush(&mut d, &ports, now);
    }
    loop {
        let (busy, told) = {
            let mut d = driver.borrow_mut();
            let mut busy = false;
            let stands = ClockState::get().stands();
            if !stands && !hold.is_empty() {
                release(&hold, &mut d, Time::monotonic());
            }
            for i in 0..ports.len() {
                let p = &mut ports[i];
                if !p.readable || (stands && hold.is_full()) {
                    continue;
                }
                let now = Time::monotonic();
                clock.advance(now);
                let id = PortId(i as u8);
                read_burst(&mut d, p, id, now, &mut burst);
                busy |= p.readable && !(stands && hold.is_full());
                if stands {
                    keep(&mut d, &hold, id, &mut burst);
                } else if !burst.is_empty() {
                    d.input(now, id, &mut burst);
                    flush(&mut d, &ports, now);
                }
            }
            let now = Time::monotonic();
            clock.advance(now);
            if wake.take() {
                if stands {
                    hold.woken();
                } else {
                    d.poll(now, Event::Woken);
                }
            }
            if !stands && d.element.deadline().is_some_and(|t| t <= now) {
                d.poll(now, Event::Deadline);
            }
            attach_more(&mut d, &mut ports)?;
            flush(&mut d, &ports, now);
            if d.core.trace.on() {
                d.core.tell();
            }
            (busy, notify.tell(d.element.status()))
        };
        turns = turns.wrapping_add(1);
        if has_tasks || turns.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
        let again = (!told).then(|| Time::monotonic() + TELL_AGAIN);
        let stands = ClockState::get().stands();
        let deadline = if stands { None } else { driver.borrow().element.deadline() };
        let next = [deadline, clock.deadline(), again].into_iter().flatten().min();
        timer.arm(next)?;
        poll_fn(|cx| {
            let mut ready = busy;
            for p in ports.iter_mut().filter(|p| !p.readable) {
                if let Poll::Ready(guard) = p.tap.poll_read_ready(cx) {
                    drop(guard?);
                    p.readable = true;
                    ready = true;
                }
            }
            ready |= timer.poll(cx)?;
            ready |= wake.poll(cx);
            ready |= clock.poll_changed(cx);
            ready |= hold.poll(cx);
            if ready { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
        })
        .await?;
    }
}

/// Attaches to the TAPs that the element asked for since it ran last.
fn attach_more<E: Element>(d: &mut Driver<E>, ports: &mut Vec<LoopPort>) -> Result<()> {
    for (name, mtu) in std::mem::take(&mut d.core.attach) {
        let tap = Tap::attach(&name).with_context(|| format!("attaching to the TAP {name}"))?;
        ports.push(LoopPort { tap: port::watch(tap)?, room: usize::from(mtu) + 18, readable: true });
        d.core.ports.push(PortStats::default());
        let port = PortId(d.core.names.len() as u8);
        d.core.trace.add(Time::ZERO, |_| Record::Port { port, name: &name });
        d.core.names.push(name);
    }
    Ok(())
}

fn read_burst<E: Element>(d: &mut Driver<E>, p: &mut LoopPort, id: PortId, now: Time, burst: &mut Burst) {
    while burst.len() < BURST {
        match d.core.pool.read_with(p.room, now, |buf| p.tap.get_ref().recv(buf)) {
            Ok(f) => {
                d.core.arrived(&f, id);
                burst.push(f);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                p.readable = false;
                // The reactor runs on this thread: nothing was noted since the read,
                // and a frame that came meanwhile is reported by its next wait.
                let waker = Waker::noop();
                if let Poll::Ready(Ok(mut guard)) = p.tap.poll_read_ready(&mut Context::from_waker(waker)) {
                    guard.clear_ready();
                }
                return;
            }
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory => {
                // Frames stay in the TAP's queue until buffers come back.
                d.core.cx(now).count_drop(DropReason::NoBuffer);
                return;
            }
            Err(e) => {
                tracing::debug!("read: {e}");
                d.core.cx(now).count("port-read-errors");
                p.readable = false;
                return;
            }
        }
    }
}

/// What came while the clock stands waits for a step.
fn keep<E: Element>(d: &mut Driver<E>, hold: &Hold, port: PortId, burst: &mut Burst) {
    while let Some(f) = burst.take() {
        d.core.cx(f.rx).hold(&f, || Cause::Paused);
        hold.frame(port, f);
    }
}

fn flush<E: Element>(d: &mut Driver<E>, ports: &[LoopPort], now: Time) {
    d.core.flush(now, |id, f| match ports.get(usize::from(id.0)) {
        Some(p) => p.tap.get_ref().send(f.data()),
        None => Err(io::ErrorKind::NotFound.into()),
    });
}
