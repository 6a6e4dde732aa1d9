//! An element and its core, without IO: what the lab's loop, the simulator, a
//! fuzzer and a benchmark all drive.

use crate::{Burst, Command, CommandError, Core, Element, Event, PortId, Reply, Time};

/// An element with its core.
#[derive(Debug)]
pub struct Driver<E> {
    /// The device.
    pub element: E,
    /// Its pool, outbox and counters.
    pub core: Core,
}

impl<E: Element> Driver<E> {
    /// Puts them together.
    pub fn new(element: E, core: Core) -> Driver<E> {
        Driver { element, core }
    }

    /// Hands a burst to the element; [`Core::flush`] writes what it sends.
    pub fn input(&mut self, now: Time, port: PortId, burst: &mut Burst) {
        self.element.input(&mut self.core.cx(now), port, burst);
        debug_assert!(burst.is_empty(), "an element must take every frame");
    }

    /// Polls the element.
    pub fn poll(&mut self, now: Time, event: Event) {
        self.element.poll(&mut self.core.cx(now), event);
    }

    /// Passes a command on.
    ///
    /// # Errors
    /// The element's own.
    pub fn command(&mut self, now: Time, c: Command) -> Result<Reply, CommandError> {
        self.element.command(&mut self.core.cx(now), c)
    }
}
