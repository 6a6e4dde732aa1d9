//! UDP sockets.

use crate::net::Net;
use crate::sockets::Sockets;
use crate::trail::Due;
use flow::Packet;
use node::{Act, Cx, DropReason, FrameSeq};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::task::{Poll, Waker};
use wire::be16;
use wire::ipv4::{self, New, protocol};

/// Datagrams that wait for a task; beyond, they are dropped (`socket-full`).
const QUEUE: usize = 256;

#[derive(Default)]
pub(crate) struct UdpPort {
    queue: VecDeque<(SocketAddrV4, SocketAddrV4, Vec<u8>)>,
    waker: Option<Waker>,
    /// The last frame that each peer sent, while the trace is on.
    heard: VecDeque<(SocketAddrV4, FrameSeq)>,
    act: Option<Act>,
}

/// A datagram that waits to be sent.
pub(crate) struct Datagram {
    from: SocketAddrV4,
    to: SocketAddrV4,
    data: Vec<u8>,
    due: Due,
}

/// Peers whose last frame is remembered.
const PEERS: usize = 64;

impl UdpPort {
    /// An answer is due to what its receiver sent; a question to the socket's act.
    fn due(&self, to: SocketAddrV4) -> Due {
        match self.heard.iter().rev().find(|(p, _)| *p == to) {
            Some((_, seq)) => Due::Of(*seq),
            None => self.act.map_or(Due::Nothing, Due::Act),
        }
    }

    fn hear(&mut self, from: SocketAddrV4, seq: FrameSeq) {
        self.heard.retain(|(p, _)| *p != from);
        if self.heard.len() >= PEERS {
            self.heard.pop_front();
        }
        self.heard.push_back((from, seq));
    }

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

    /// What is sent from here, unless it answers, is due to this act.
    pub fn acts(&self, a: Option<Act>) {
        if let Some(p) = self.net.sockets().udp.get_mut(&self.port) {
            p.act = a;
        }
    }

    /// Sends a datagram from `local` (one of the node's addresses).
    pub fn send_to(&self, local: Ipv4Addr, to: SocketAddrV4, data: &[u8]) {
        let mut s = self.net.sockets();
        let due = s.udp.get(&self.port).map_or(Due::Nothing, |p| p.due(to));
        s.udp_out.push_back(Datagram { from: SocketAddrV4::new(local, self.port), to, data: data.to_vec(), due });
        s.wake.notify();
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.net.sockets().udp.remove(&self.port);
    }
}

impl Sockets {
    pub(crate) fn udp_input(&mut self, cx: &mut Cx<'_>, p: Packet) -> Option<Packet> {
        let body = p.header.payload(p.frame.data());
        let (Some(src), Some(dst), Some(len)) = (be16(body, 0), be16(body, 2), be16(body, 4)) else {
            cx.drop(p.frame, DropReason::BadLength);
            return None;
        };
        let Some(data) = body.get(8..usize::from(len)) else {
            cx.drop(p.frame, DropReason::BadLength);
            return None;
        };
        if !ipv4::l4_checksum_ok(p.frame.data(), &p.header) {
            cx.drop(p.frame, DropReason::BadChecksum);
            return None;
        }
        let Some(port) = self.udp.get_mut(&dst) else { return Some(p) };
        let (from, to) = (SocketAddrV4::new(p.header.src, src), SocketAddrV4::new(p.header.dst, dst));
        if cx.traces() {
            port.hear(from, p.frame.seq);
        }
        if port.deliver(from, to, data) {
            cx.consume(p.frame);
        } else {
            cx.drop(p.frame, DropReason::SocketFull);
        }
        None
    }

    pub(crate) fn send_udp(&mut self, cx: &mut Cx<'_>, d: &Datagram) {
        let Datagram { from, to, data, due } = d;
        let n = data.len() + wire::udp::HEADER_LEN;
        let Some(mut f) = cx.make_sized(due.parent(), n + ipv4::HEADER_LEN) else { return };
        self.ident = self.ident.wrapping_add(1);
        let b = f.grow(n + ipv4::HEADER_LEN);
        let new =
            New { payload_len: n, ident: self.ident, df: false, tos: 0, ttl: 64, protocol: protocol::UDP, src: *from.ip(), dst: *to.ip() };
        ipv4::write_header(b, &new);
        b[20..22].copy_from_slice(&from.port().to_be_bytes());
        b[22..24].copy_from_slice(&to.port().to_be_bytes());
        b[24..26].copy_from_slice(&(n as u16).to_be_bytes());
        b[26..28].fill(0);
        b[28..].copy_from_slice(data);
        ipv4::fill_l4_checksum(b);
        self.out.push(f);
    }
}
