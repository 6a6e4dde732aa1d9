//! Packets that no rule may let pass. Each has its own name among the drops.

use flow::tcp_state::impossible_flags;
use node::DropReason;
use wire::ipv4::{self, Header, protocol};
use wire::{be16, icmp, tcp};

/// What is wrong with the IP header, fragments included.
pub(crate) fn header(p: &[u8], h: &Header) -> Option<DropReason> {
    if h.src == h.dst {
        return Some(DropReason::Land);
    }
    has_route_option(&p[ipv4::HEADER_LEN..h.header_len]).then_some(DropReason::SourceRoute)
}

/// Loose and strict source route and record route (RFC 7126 §4).
fn has_route_option(mut options: &[u8]) -> bool {
    while let Some(&kind) = options.first() {
        let len = match kind {
            0 => return false,
            1 => 1,
            7 | 131 | 137 => return true,
            _ => usize::from(options.get(1).copied().unwrap_or(0)),
        };
        if len == 0 || len > options.len() || (kind != 1 && len < 2) {
            return true; // options that cannot be read may hide one
        }
        options = &options[len..];
    }
    false
}

/// What is wrong with the transport header of a whole packet.
pub(crate) fn transport(p: &[u8], h: &Header) -> Option<DropReason> {
    let body = h.payload(p);
    let long_enough = match h.protocol {
        protocol::TCP => tcp::header_len(body).is_some(),
        protocol::UDP => be16(body, 4).is_some_and(|n| usize::from(n) >= 8 && usize::from(n) <= body.len()),
        protocol::ICMP => body.len() >= icmp::HEADER_LEN,
        _ => true,
    };
    if !long_enough {
        return Some(DropReason::BadLength);
    }
    if h.protocol == protocol::TCP && impossible_flags(tcp::flags(body).unwrap_or(0)) {
        return Some(DropReason::BadTcpFlags);
    }
    (!ipv4::l4_checksum_ok(p, h)).then_some(DropReason::BadChecksum)
}
