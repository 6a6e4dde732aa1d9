//! UDP messages of the server's own: L2TP and RADIUS, over its IP hop.

use flow::{IpHop, NoLinks};
use node::{Cause, Cx, Frame, Parent, Protocol};
use std::net::Ipv4Addr;
use wire::ipv4::{self, HEADER_LEN, New, protocol};

/// Bytes of a UDP header.
pub(crate) const UDP: usize = 8;

/// Puts UDP and IPv4 headers before a payload. `checksum`: with UDP's; data of a
/// tunnel goes without, as RFC 2661 §8.1 allows: what it carries has its own.
pub(crate) fn wrap(f: &mut Frame, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), ident: u16, checksum: bool) {
    let len = f.len() + UDP;
    let h = f.push(UDP);
    h[..2].copy_from_slice(&from.1.to_be_bytes());
    h[2..4].copy_from_slice(&to.1.to_be_bytes());
    h[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    h[6..8].fill(0);
    let new = New { payload_len: len, ident, df: false, tos: 0, ttl: 64, protocol: protocol::UDP, src: from.0, dst: to.0 };
    ipv4::write_header(f.push(HEADER_LEN), &new);
    if checksum {
        ipv4::fill_l4_checksum(f.data_mut());
    }
}

/// Sends a message of this server's own.
pub(crate) fn send(
    cx: &mut Cx<'_>,
    hop: &mut IpHop,
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    ident: u16,
    payload: &[u8],
    protocol: Protocol,
) {
    let Some(mut f) = cx.make(Parent::Timer) else { return };
    f.extend(payload);
    wrap(&mut f, from, to, ident, true);
    hop.originate(cx, &mut NoLinks, f, Cause::Control { protocol });
}
