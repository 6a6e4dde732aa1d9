//! The node's clock for tasks: hyper's timers and resolver time-outs run on it,
//! so that a paused or faked clock holds for them too.

use crate::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[derive(Debug, Default)]
struct Inner {
    now: Time,
    timers: BinaryHeap<Reverse<(Time, u64)>>,
    wakers: std::collections::HashMap<u64, Waker>,
    next: u64,
    /// Time is read when it is asked for; else it stands between two advances.
    runs: bool,
    /// A sleeper came since the loop last looked.
    changed: bool,
    loop_waker: Option<Waker>,
}

impl Inner {
    fn time(&self) -> Time {
        if self.runs { Time::monotonic().max(self.now) } else { self.now }
    }
}

/// A handle on the node's time. hyper asks for `Send`, hence the lock; it is
/// never contended, since a role has one thread.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Mutex<Inner>>);

impl Clock {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A clock that runs by itself, as a lab's does. The default one stands still
    /// between two advances.
    pub fn running() -> Clock {
        let c = Clock::default();
        c.lock().runs = true;
        c
    }

    /// The time. A task may ask long after the loop's last turn.
    pub fn now(&self) -> Time {
        self.lock().time()
    }

    /// Whether a sleeper came since the last call; if not, `cx` is woken by the
    /// next one.
    pub(crate) fn poll_changed(&self, cx: &mut Context<'_>) -> bool {
        let mut i = self.lock();
        i.loop_waker = Some(cx.waker().clone());
        std::mem::take(&mut i.changed)
    }

    /// Sets the time and wakes whoever waited for it.
    pub fn advance(&self, now: Time) {
        let mut due = Vec::new();
        {
            let mut i = self.lock();
            i.now = i.now.max(now);
            while let Some(Reverse((t, id))) = i.timers.peek().copied() {
                if t > now {
                    break;
                }
                i.timers.pop();
                due.extend(i.wakers.remove(&id));
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// When the next sleeper is due.
    pub fn deadline(&self) -> Option<Time> {
        let mut i = self.lock();
        while let Some(Reverse((t, id))) = i.timers.peek().copied() {
            if i.wakers.contains_key(&id) {
                return Some(t);
            }
            i.timers.pop(); // its sleeper was dropped
        }
        None
    }

    /// Completes at `at`.
    pub fn sleep_until(&self, at: Time) -> Sleep {
        Sleep { clock: self.clone(), at, id: None }
    }

    /// Completes after `d`.
    pub fn sleep(&self, d: Duration) -> Sleep {
        self.sleep_until(self.now() + d)
    }

    /// `f`'s output, or `None` if `d` passes first.
    pub async fn timeout<F: Future>(&self, d: Duration, f: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            out = f => Some(out),
            () = self.sleep(d) => None,
        }
    }
}

/// A future that completes at a time of the node's clock.
#[derive(Debug)]
pub struct Sleep {
    clock: Clock,
    at: Time,
    id: Option<u64>,
}

impl Sleep {
    /// When it completes.
    pub fn deadline(&self) -> Time {
        self.at
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let clock = self.clock.clone();
        let mut i = clock.lock();
        if i.time() >= at {
            if let Some(id) = self.id.take() {
                i.wakers.remove(&id);
            }
            return Poll::Ready(());
        }
        let id = match self.id {
            Some(id) => id,
            None => {
                i.next += 1;
                let id = i.next;
                i.timers.push(Reverse((at, id)));
                i.changed = true;
                if let Some(w) = i.loop_waker.take() {
                    w.wake();
                }
                self.id = Some(id);
                id
            }
        };
        i.wakers.insert(id, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.lock().wakers.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_clock_does_not_wait_for_the_loop() {
        let c = Clock::running();
        c.advance(Time::monotonic());
        let before = c.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(c.now() > before, "a limit counts from now, not from the loop's last turn");
        let standing = Clock::default();
        standing.advance(Time::from_nanos(5));
        assert_eq!(standing.now(), Time::from_nanos(5));
    }

    #[test]
    fn a_new_sleeper_wakes_the_loop() {
        let c = Clock::running();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!c.poll_changed(&mut cx));
        let mut s = c.sleep(Duration::from_secs(9));
        assert!(Pin::new(&mut s).poll(&mut cx).is_pending());
        assert!(c.poll_changed(&mut cx) && !c.poll_changed(&mut cx));
    }
}
