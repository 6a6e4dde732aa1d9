//! What every bridge checks before it learns or forwards (IEEE 802.1D §7).

use node::{Cx, DropReason, Frame};
use wire::ether::Header;

/// A frame's header, if a bridge may handle the frame: whole, not to a reserved
/// address, not from a group. Else it ends here.
pub fn check(cx: &mut Cx<'_>, f: Frame) -> Option<(Header, Frame)> {
    let why = match Header::read(f.data()) {
        None => DropReason::Truncated,
        Some(h) if h.dst.is_bridge_reserved() => DropReason::BridgeReserved,
        Some(h) if h.src.is_multicast() => DropReason::MulticastSource,
        Some(h) => return Some((h, f)),
    };
    cx.drop(f, why);
    None
}
