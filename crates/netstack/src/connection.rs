//! One connection, and what waits to be accepted.

use crate::segment::{Ends, Sent};
use crate::trail::Marks;
use node::Time;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use std::collections::VecDeque;
use std::task::Waker;

pub(crate) struct Connection {
    pub(crate) set: SocketSet<'static>,
    pub(crate) handle: SocketHandle,
    pub(crate) ends: Ends,
    pub(crate) generation: u64,
    pub(crate) deadline: Option<Time>,
    pub(crate) noted: Option<Time>,
    pub(crate) read_waker: Option<Waker>,
    pub(crate) write_waker: Option<Waker>,
    /// The port of the listener that waits for it.
    pub(crate) pending: Option<u16>,
    pub(crate) orphan_until: Option<Time>,
    /// Why it ended, if not in order.
    pub(crate) error: Option<std::io::ErrorKind>,
    pub(crate) queued: bool,
    /// The peer's FIN has come.
    pub(crate) over: bool,
    /// What was last sent.
    pub(crate) last: Sent,
    /// Whose its bytes are.
    pub(crate) marks: Marks,
}

#[derive(Default)]
pub(crate) struct Listener {
    /// Accepts for any local address: a transparent proxy's.
    pub(crate) any: bool,
    pub(crate) ready: VecDeque<(usize, u64)>,
    /// Half-open ones and those in `ready`: what the backlog bounds.
    pub(crate) pending: usize,
    pub(crate) waker: Option<Waker>,
}

impl Listener {
    pub(crate) fn new(any: bool) -> Listener {
        Listener { any, ..Listener::default() }
    }
}

impl Connection {
    pub(crate) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }
}
