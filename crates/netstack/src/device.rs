//! smoltcp's view of the node: one packet in, any number out, of one connection.

use node::{Cx, Frame};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

pub(crate) struct OneSlot<'a, 'c> {
    pub(crate) cx: &'a mut Cx<'c>,
    pub(crate) rx: Option<Frame>,
    /// What it sends; where it comes from is not yet said ([`Cx::made`]).
    pub(crate) out: &'a mut Vec<Frame>,
    pub(crate) spent: Vec<Frame>,
    pub(crate) mtu: usize,
}

impl OneSlot<'_, '_> {
    /// Ends the frame that was read.
    pub(crate) fn finish(self) {
        for f in self.rx.into_iter().chain(self.spent) {
            self.cx.consume(f);
        }
    }
}

pub(crate) struct Rx<'a> {
    frame: Frame,
    spent: &'a mut Vec<Frame>,
}

pub(crate) struct Tx<'a, 'c> {
    cx: &'a mut Cx<'c>,
    out: &'a mut Vec<Frame>,
}

impl phy::RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let r = f(self.frame.data());
        self.spent.push(self.frame);
        r
    }
}

impl phy::TxToken for Tx<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self.cx.take(len) {
            Some(mut frame) => {
                let r = f(frame.grow(len));
                self.out.push(frame);
                r
            }
            // No buffer: the segment is lost, as on a wire, and counted by `take`.
            None => f(&mut vec![0; len]),
        }
    }
}

impl<'c> phy::Device for OneSlot<'_, 'c> {
    type RxToken<'b>
        = Rx<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Tx<'b, 'c>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Rx<'_>, Tx<'_, 'c>)> {
        let frame = self.rx.take()?;
        let rx = Rx { frame, spent: &mut self.spent };
        Some((rx, Tx { cx: self.cx, out: self.out }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_, 'c>> {
        Some(Tx { cx: self.cx, out: self.out })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ip;
        c.max_transmission_unit = self.mtu;
        c
    }
}

/// A device that only tells what it could do.
pub(crate) struct Caps(pub(crate) usize);

impl phy::Device for Caps {
    type RxToken<'a> = Never;
    type TxToken<'a> = Never;
    fn receive(&mut self, _: Instant) -> Option<(Never, Never)> {
        None
    }
    fn transmit(&mut self, _: Instant) -> Option<Never> {
        None
    }
    fn capabilities(&self) -> phy::DeviceCapabilities {
        let mut c = phy::DeviceCapabilities::default();
        c.medium = phy::Medium::Ip;
        c.max_transmission_unit = self.0;
        c
    }
}

pub(crate) enum Never {}

impl phy::RxToken for Never {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, _: F) -> R {
        match self {}
    }
}

impl phy::TxToken for Never {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, _: F) -> R {
        match self {}
    }
}
