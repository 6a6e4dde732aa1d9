//! TCP sockets with tokio's traits.

use crate::net::Net;
use crate::trail::{Due, Trail};
use smoltcp::socket::tcp::State;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An open connection. Dropping it sends what is written and closes.
pub struct TcpStream {
    net: Net,
    id: (usize, u64),
    local: SocketAddrV4,
    peer: SocketAddrV4,
}

impl TcpStream {
    pub(crate) fn new(net: Net, id: (usize, u64)) -> Option<TcpStream> {
        let ends = {
            let mut s = net.sockets();
            let c = s.get(id)?.socket();
            let end = |e: Option<smoltcp::wire::IpEndpoint>| {
                e.map(|e| {
                    let smoltcp::wire::IpAddress::Ipv4(a) = e.addr;
                    SocketAddrV4::new(a, e.port)
                })
            };
            (end(c.local_endpoint()), end(c.remote_endpoint()))
        };
        Some(TcpStream { net, id, local: ends.0?, peer: ends.1? })
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddrV4 {
        self.local
    }

    /// What its bytes are due to.
    pub fn trail(&self) -> Trail {
        Trail::new(self.net.clone(), self.id)
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddrV4 {
        self.peer
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut s = self.net.sockets();
        let Some(c) = s.get(self.id) else { return Poll::Ready(Err(gone())) };
        if c.socket().can_recv() {
            let n = c.socket().recv_slice(buf.initialize_unfilled()).map_err(|_| gone())?;
            buf.advance(n);
            c.marks.read(n);
            s.touch(self.id.0); // the window grew
            return Poll::Ready(Ok(()));
        }
        if !c.socket().may_recv() {
            // In order after a FIN; an error after a reset or a time-out.
            let clean = !matches!(c.socket().state(), State::Closed) || c.error.is_none();
            return Poll::Ready(if clean { Ok(()) } else { Err(c.error.map_or_else(gone, io::Error::from)) });
        }
        c.read_waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut s = self.net.sockets();
        let Some(c) = s.get(self.id) else { return Poll::Ready(Err(gone())) };
        if !c.socket().may_send() {
            return Poll::Ready(Err(c.error.unwrap_or(io::ErrorKind::BrokenPipe).into()));
        }
        let n = c.socket().send_slice(buf).map_err(|_| gone())?;
        if n == 0 && !buf.is_empty() {
            c.write_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let traced = s.traced || s.wake.traced();
        let due = if traced { s.due(self.id) } else { Due::Nothing };
        if let Some(c) = s.get(self.id) {
            c.marks.write(traced, n, due);
        }
        s.touch(self.id.0);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut s = self.net.sockets();
        if let Some(c) = s.get(self.id) {
            c.socket().close();
            s.touch(self.id.0);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let now = self.net.clock().now();
        self.net.sockets().orphan(self.id, now);
    }
}

/// Accepts connections at a port.
pub struct TcpListener {
    net: Net,
    port: u16,
}

impl TcpListener {
    pub(crate) fn new(net: Net, port: u16) -> TcpListener {
        TcpListener { net, port }
    }

    /// The next connection.
    pub async fn accept(&self) -> TcpStream {
        poll_fn(|cx| {
            loop {
                let next = {
                    let mut s = self.net.sockets();
                    let Some(l) = s.listeners.get_mut(&self.port) else { return Poll::Pending };
                    match l.ready.pop_front() {
                        Some(id) => {
                            l.pending = l.pending.saturating_sub(1);
                            id
                        }
                        None => {
                            l.waker = Some(cx.waker().clone());
                            return Poll::Pending;
                        }
                    }
                };
                // It may have been reset before anybody accepted it.
                if let Some(t) = TcpStream::new(self.net.clone(), next) {
                    return Poll::Ready(t);
                }
            }
        })
        .await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.net.sockets().listeners.remove(&self.port);
    }
}
