//! What tasks hold to open sockets.

use crate::connection::Listener;
use crate::sockets::Sockets;
use crate::stream::{TcpListener, TcpStream};
use crate::trail::Due;
use crate::udp::{UdpPort, UdpSocket};
use node::{Act, Cause, Clock, FrameSeq};
use smoltcp::socket::tcp::State;
use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Why a connection could not be made, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// A reset came back.
    #[error("connection refused")]
    Refused,
    /// An ICMP unreachable came back.
    #[error("no route to host")]
    Unreachable,
    /// Nothing came back.
    #[error("connection timed out")]
    TimedOut,
    /// This node has no room or no address.
    #[error("no room for another connection")]
    NoRoom,
}

/// A handle on a node's transport layer.
#[derive(Clone)]
pub struct Net {
    sockets: Rc<RefCell<Sockets>>,
    clock: Clock,
}

impl Net {
    /// A handle on `sockets`, whose element shares them.
    pub fn new(sockets: Rc<RefCell<Sockets>>, clock: Clock) -> Net {
        Net { sockets, clock }
    }

    pub(crate) fn sockets(&self) -> RefMut<'_, Sockets> {
        self.sockets.borrow_mut()
    }

    /// The node's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Listens at `port`. `any`: also for addresses that are not the node's
    /// own, as a transparent proxy does.
    ///
    /// # Errors
    /// `AddrInUse`.
    pub fn listen(&self, port: u16, any: bool) -> io::Result<TcpListener> {
        let mut s = self.sockets();
        if s.listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        s.listeners.insert(port, Listener::new(any));
        drop(s);
        Ok(TcpListener::new(self.clone(), port))
    }

    /// Binds a UDP socket; port 0 takes a free one.
    ///
    /// # Errors
    /// `AddrInUse`.
    pub fn bind_udp(&self, port: u16) -> io::Result<UdpSocket> {
        let mut s = self.sockets();
        let start = (self.clock.now().nanos() >> 10) as u16;
        let port = match port {
            0 => (0..16_384).map(|i| 49_152 + start.wrapping_add(i) % 16_384).find(|p| !s.udp.contains_key(p)),
            p => Some(p).filter(|p| !s.udp.contains_key(p)),
        };
        let port = port.ok_or(io::ErrorKind::AddrInUse)?;
        s.udp.insert(port, UdpPort::default());
        drop(s);
        Ok(UdpSocket::new(self.clone(), port))
    }

    /// Somebody collects the trace.
    pub fn traces(&self) -> bool {
        let s = self.sockets();
        s.traced || s.wake.traced()
    }

    /// Says what an application did, with the frame or the act that brought it about.
    pub fn tell(&self, seq: Option<FrameSeq>, act: Option<Act>, what: Cause) {
        let mut s = self.sockets();
        if s.traced || s.wake.traced() {
            s.said.push((seq, act, what));
            s.wake.notify();
        }
    }

    /// Connects from `local` to `remote`, waiting at most `limit`; `due` is why.
    ///
    /// # Errors
    /// Why not.
    pub async fn connect(&self, local: Ipv4Addr, remote: SocketAddrV4, due: Due, limit: Duration) -> Result<TcpStream, ConnectError> {
        let id = self.sockets().connect(local, remote, due).ok_or(ConnectError::NoRoom)?;
        // From here on dropping the stream frees the connection.
        let stream = TcpStream::new(self.clone(), id).ok_or(ConnectError::NoRoom)?;
        let opened = self
            .clock
            .timeout(
                limit,
                poll_fn(|cx| {
                    let mut s = self.sockets();
                    let Some(c) = s.get(id) else { return Poll::Ready(Err(ConnectError::Refused)) };
                    match (c.socket().state(), c.error) {
                        (State::SynSent | State::SynReceived, None) => {
                            c.write_waker = Some(cx.waker().clone());
                            Poll::Pending
                        }
                        (State::Closed, Some(io::ErrorKind::HostUnreachable)) => Poll::Ready(Err(ConnectError::Unreachable)),
                        (State::Closed, Some(io::ErrorKind::TimedOut)) => Poll::Ready(Err(ConnectError::TimedOut)),
                        (State::Closed, _) => Poll::Ready(Err(ConnectError::Refused)),
                        _ => Poll::Ready(Ok(())),
                    }
                }),
            )
            .await;
        match opened {
            Some(Ok(())) => Ok(stream),
            Some(Err(e)) => Err(e),
            None => Err(ConnectError::TimedOut),
        }
    }
}
