//! A node while the lab is paused: its clock stands, and what came waits until a
//! step lets it pass, one at a time.

use crate::{Burst, Driver, Element, Event, Frame, PortId, Time};
use port::time::{ClockState, raw};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Waker};

/// Frames that a paused node takes in; further ones stay in its TAPs' queues.
const MOST: usize = 1000;

#[derive(Debug)]
enum What {
    Frame(PortId, Frame),
    /// A task wrote to a socket.
    Woken,
}

/// What waits, each with the time on the kernel's clock at which it came.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    waiting: RefCell<VecDeque<(u64, What)>>,
    changed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Hold {
    /// Makes the loop look again: the clock was changed, or something passed.
    pub(crate) fn look(&self) {
        self.changed.set(true);
        if let Some(w) = self.waker.borrow_mut().take() {
            w.wake();
        }
    }

    /// Whether it is to look again.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> bool {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        self.changed.take()
    }

    /// The node takes no more in.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.borrow().len() >= MOST
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    pub(crate) fn frame(&self, port: PortId, f: Frame) {
        self.waiting.borrow_mut().push_back((raw(), What::Frame(port, f)));
    }

    pub(crate) fn woken(&self) {
        let mut w = self.waiting.borrow_mut();
        if !w.iter().any(|(_, what)| matches!(what, What::Woken)) {
            w.push_back((raw(), What::Woken));
        }
    }

    /// Lets the oldest pass; if nothing waits, the deadline that has come. `None`:
    /// there is neither.
    pub(crate) fn pass<E: Element>(&self, d: &mut Driver<E>, now: Time) -> Option<Value> {
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some((_, What::Frame(port, f))) => {
                let name = d.core.names.get(usize::from(port.0)).cloned().unwrap_or_default();
                let what = json!({ "port": name, "frame": crate::hex(f.data()) });
                let mut burst = Burst::new();
                burst.push(f);
                d.input(now, port, &mut burst);
                Some(what)
            }
            Some((_, What::Woken)) => {
                d.poll(now, Event::Woken);
                Some(json!({ "woken": true }))
            }
            None if d.element.deadline().is_some_and(|t| t <= now) => {
                d.poll(now, Event::Deadline);
                Some(json!({ "deadline": true }))
            }
            None => None,
        }
    }

    /// How many wait, since when the oldest, and what the clock has to come to.
    pub(crate) fn tell<E: Element>(&self, d: &Driver<E>, sleeper: Option<Time>) -> Value {
        let w = self.waiting.borrow();
        let c = ClockState::get();
        json!({
            "waiting": w.len(),
            "oldest": w.front().map(|(t, _)| *t),
            "deadline": d.element.deadline().map(|t| t.max(c.now())),
            "sleeper": sleeper,
            "clock": c,
            "stands": c.stands(),
        })
    }
}

/// Takes what came in during a pause, before the node reads anything else.
pub(crate) fn release<E: Element>(hold: &Hold, d: &mut Driver<E>, now: Time) {
    while !hold.is_empty() {
        let _ = hold.pass(d, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Core, Cx};
    use rand::SeedableRng;

    /// Sends what comes out of the other port; is due at a time.
    struct Wire(Option<Time>);

    impl Element for Wire {
        fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst) {
            while let Some(f) = burst.take() {
                cx.send(PortId(1 - port.0), f, || crate::Cause::Forwarded);
            }
        }
        fn poll(&mut self, _: &mut Cx<'_>, event: Event) {
            if event == Event::Deadline {
                self.0 = None;
            }
        }
        fn deadline(&self) -> Option<Time> {
            self.0
        }
    }

    #[test]
    fn what_waits_passes_one_by_one_and_then_what_is_due() {
        let now = Time::from_nanos(5);
        let mut d = Driver::new(Wire(Some(now)), Core::new(8, rand::rngs::StdRng::seed_from_u64(1)));
        d.core.names = vec!["l".into(), "r".into()];
        let hold = Hold::default();
        for n in 1..=2u8 {
            let mut f = d.core.pool.take(64, now).unwrap();
            f.extend(&[n; 3]);
            hold.frame(PortId(0), f);
        }
        hold.woken();
        hold.woken();
        assert_eq!(hold.tell(&d, None)["waiting"], 3, "woken twice is woken once");
        let first = hold.pass(&mut d, now).unwrap();
        assert_eq!((first["port"].as_str(), first["frame"].as_str(), d.core.outbox()), (Some("l"), Some("010101"), 1));
        assert_eq!(hold.pass(&mut d, now).unwrap()["frame"], "020202");
        assert_eq!(hold.pass(&mut d, now).unwrap()["woken"], true);
        assert_eq!(hold.pass(&mut d, now).unwrap()["deadline"], true);
        assert!(hold.pass(&mut d, now).is_none());
        let mut f = d.core.pool.take(64, now).unwrap();
        f.extend(&[3]);
        hold.frame(PortId(1), f);
        release(&hold, &mut d, now);
        assert!(hold.is_empty());
        let mut sent = Vec::new();
        d.core.flush(now, |p, f| {
            sent.push((p.0, f.data()[0]));
            Ok(())
        });
        assert_eq!(sent, [(1, 1), (1, 2), (0, 3)]);
    }
}
