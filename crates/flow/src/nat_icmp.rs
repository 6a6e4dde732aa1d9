//! ICMP errors through the translator (RFC 5508 §4): the quoted packet is
//! translated back too, or the receiver could not tell which flow is meant.

use crate::nat::Nat;
use crate::tuple::Tuple;
use node::{Cause, DropReason, Frame};
use std::net::Ipv4Addr;
use wire::icmp;
use wire::ipv4::{self, Header, Side};

impl Nat {
    /// An error from outside about a packet that we translated: `quoted` is
    /// that packet's tuple as it left.
    pub(crate) fn error_in(&mut self, f: &mut Frame, h: &Header, quoted: Tuple) -> Result<Cause, DropReason> {
        let inside = *self.by_outside.get(&(quoted.protocol, quoted.src.1)).ok_or(DropReason::NatNoMapping)?;
        // RFC 5508 REQ-4: only about a session that exists.
        if Some(quoted.src.0) != self.outside() || !self.has_session(&quoted, inside, quoted.dst) {
            return Err(DropReason::UnrelatedError);
        }
        rewrite(f, h, (Side::Destination, inside.0), (Side::Source, inside));
        Ok(Cause::Nat { from: quoted.src, to: inside })
    }

    /// An inside host's error about a packet that we had let in.
    pub(crate) fn error_out(&mut self, f: &mut Frame, h: &Header, quoted: Tuple, outside: Ipv4Addr) -> Result<Cause, DropReason> {
        let m = *self.mappings.get(&(quoted.protocol, quoted.dst)).ok_or(DropReason::NatNoMapping)?;
        if !self.has_session(&quoted, quoted.dst, quoted.src) {
            return Err(DropReason::UnrelatedError);
        }
        let to = (outside, m.outside);
        rewrite(f, h, (Side::Source, outside), (Side::Destination, to));
        Ok(Cause::Nat { from: quoted.dst, to })
    }
}

fn rewrite(f: &mut Frame, h: &Header, outer: (Side, Ipv4Addr), quoted: (Side, (Ipv4Addr, u16))) {
    let at = h.header_len + icmp::HEADER_LEN;
    if let Some(q) = f.data_mut().get_mut(at..) {
        ipv4::set_addr(q, quoted.0, quoted.1.0, false);
        ipv4::set_l4_port(q, quoted.0, quoted.1.1, false);
    }
    f.set_ipv4(outer.0, outer.1);
    ipv4::fill_l4_checksum(f.data_mut());
}
