//! What ICMP, or a missing neighbour, says of our flows.

use crate::sockets::Sockets;
use flow::{Packet, Tuple};
use smoltcp::socket::tcp::State;
use std::net::SocketAddrV4;
use wire::ipv4::protocol;

impl Sockets {
    pub(crate) fn icmp_error(&mut self, t: &Tuple, p: &Packet) {
        let kind = p.frame.data().get(p.header.header_len).copied();
        let code = p.frame.data().get(p.header.header_len + 1).copied();
        if t.protocol != protocol::TCP || kind != Some(wire::icmp::UNREACHABLE) || code == Some(wire::icmp::unreachable::FRAG_NEEDED) {
            return;
        }
        self.unreachable(t);
    }

    /// No way leads to the other end of a flow (as we sent it): soft for an open
    /// connection, an answer for a new one (RFC 1122 §4.2.3.9).
    pub fn unreachable(&mut self, t: &Tuple) {
        let e = (SocketAddrV4::new(t.src.0, t.src.1), SocketAddrV4::new(t.dst.0, t.dst.1));
        let Some(i) = self.by_ends.get(&e).copied() else { return };
        let c = &mut self.connections[i];
        if t.protocol == protocol::TCP && c.socket().state() == State::SynSent {
            c.error = Some(std::io::ErrorKind::HostUnreachable);
            c.socket().abort();
            self.touch(i);
        }
    }
}
