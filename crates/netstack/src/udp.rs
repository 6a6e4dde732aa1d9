//! UDP sockets.

use crate::net::Net;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::task::{Poll, Waker};

/// Datagrams that wait for a task; beyond, they are dropped (`socket-full`).
const QUEUE: usize = 256;

#[derive(Default)]
pub(crate) struct UdpPort {
    queue: VecDeque<(SocketAddrV4, SocketAddrV4, Vec<u8>)>,
    waker: Option<Waker>,
}

impl UdpPort {
    pub(crate) fn deliver(&mut self, from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> bool {
        let room = self.queue.len() < QUEUE;
        if room {
            self.queue.push_back((from, to, data.to_vec()));
            if let Some(w) = self.waker.take() {
                w.wake();
            }
        }
        room
    }
}

/// A bound UDP socket; closed when dropped.
pub struct UdpSocket {
    net: Net,
    port: u16,
}

impl UdpSocket {
    pub(crate) fn new(net: Net, port: u16) -> UdpSocket {
        UdpSocket { net, port }
    }

    /// The local port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next datagram: its sender, the address it was sent to, its bytes.
    pub async fn recv_from(&self) -> (SocketAddrV4, SocketAddrV4, Vec<u8>) {
        poll_fn(|cx| {
            let mut s = self.net.sockets();
            let Some(p) = s.udp.get_mut(&self.port) else { return Poll::Pending };
            match p.queue.pop_front() {
                Some(d) => Poll::Ready(d),
                None => {
                    p.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Sends a datagram from `local` (one of the node's addresses).
    pub fn send_to(&self, local: Ipv4Addr, to: SocketAddrV4, data: &[u8]) {
        let mut s = self.net.sockets();
        s.udp_out.push_back((SocketAddrV4::new(local, self.port), to, data.to_vec()));
        s.wake.notify();
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.net.sockets().udp.remove(&self.port);
    }
}
