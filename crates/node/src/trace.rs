//! The trace hooks: what an element did with each frame, why, and from which
//! frames it came. Off costs one branch a frame; the collector is not here.

use crate::{DropReason, FrameSeq, PortId, Time};
use std::net::Ipv4Addr;
use wire::Mac;

/// From which frames a frame was made.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'a> {
    /// One: an answer, a rewritten or encapsulated frame.
    Of(FrameSeq),
    /// Several: a reassembled datagram.
    Many(&'a [FrameSeq]),
    /// None: a timer or a task made it.
    Timer,
}

/// Why a frame was sent or held, in the field's own terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A switch knew the station's port.
    Forwarded,
    /// A switch did not know it, or it is for all.
    Flooded,
    /// A route was chosen; `next_hop` is the neighbour.
    Routed {
        /// The neighbour it goes to.
        next_hop: Ipv4Addr,
    },
    /// NAT rewrote one end.
    Nat {
        /// Address and port before.
        from: (Ipv4Addr, u16),
        /// Address and port after.
        to: (Ipv4Addr, u16),
    },
    /// Put into a PPPoE session.
    PppoeEncapsulated {
        /// The session's id.
        session: u16,
    },
    /// Taken out of a PPPoE session and routed.
    PppoeDecapsulated {
        /// The session's id.
        session: u16,
    },
    /// Cut into ATM cells for a phone line.
    Segmented {
        /// Cells of the whole frame.
        cells: u16,
    },
    /// Put together from ATM cells.
    Reassembled {
        /// Cells of the whole frame.
        cells: u16,
    },
    /// Put into an L2TP session; numbers are the receiver's.
    L2tpEncapsulated {
        /// The tunnel.
        tunnel: u16,
        /// The session.
        session: u16,
    },
    /// Taken out of an L2TP session; numbers are this end's.
    L2tpDecapsulated {
        /// The tunnel.
        tunnel: u16,
        /// The session.
        session: u16,
    },
    /// Crossed a medium as a signal.
    Signalled,
    /// A firewall rule let it pass.
    Allowed {
        /// The rule's place in the list, from 1; 0 is a tracked flow.
        rule: u16,
    },
    /// One of several fragments.
    Fragmented,
    /// A question by ARP.
    ArpRequest {
        /// Whose address is sought.
        target: Ipv4Addr,
    },
    /// An answer to a frame: ARP reply, echo reply, PADO, DHCP offer, …
    Answered,
    /// An ICMP error about a frame.
    IcmpError {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// A protocol's own message, sent by its state machine.
    Control {
        /// Protocol.
        protocol: &'static str,
    },
    /// A socket of this host wrote it.
    Socket,
    /// Let through by a link, later or altered.
    Impaired,
    /// A second copy made by a link.
    Duplicated,
    /// Waits for the next hop's MAC address.
    AwaitsNeighbour {
        /// The next hop.
        next_hop: Ipv4Addr,
    },
    /// Waits for its other fragments.
    AwaitsFragments,
    /// Waits in a link's queue.
    Queued,
    /// A station was learned, and the frame forwarded.
    Learned {
        /// The station.
        station: Mac,
    },
}

/// One event of a frame.
#[derive(Clone, Debug)]
pub enum Record {
    /// It entered at a port.
    In {
        /// The frame.
        seq: FrameSeq,
        /// Where.
        port: PortId,
        /// When.
        at: Time,
        /// Its bytes.
        len: usize,
    },
    /// It was made from others.
    Made {
        /// The frame.
        seq: FrameSeq,
        /// Its parents; none for a timer.
        parents: Vec<FrameSeq>,
    },
    /// It left at a port.
    Out {
        /// The frame.
        seq: FrameSeq,
        /// Where.
        port: PortId,
        /// When.
        at: Time,
        /// Why.
        cause: Cause,
    },
    /// It waits.
    Held {
        /// The frame.
        seq: FrameSeq,
        /// When.
        at: Time,
        /// For what.
        cause: Cause,
    },
    /// It ended here.
    Dropped {
        /// The frame.
        seq: FrameSeq,
        /// When.
        at: Time,
        /// Why.
        reason: DropReason,
    },
}

/// Records since the last take, bounded; `lost` counts what did not fit.
#[derive(Debug, Default)]
pub struct Trace {
    records: Option<Vec<Record>>,
    lost: u64,
}

/// Records that wait for the collector at most.
const BOUND: usize = 65_536;

impl Trace {
    /// Starts to record.
    pub fn start(&mut self) {
        self.records.get_or_insert_default();
    }

    /// The records so far, and how many were lost; recording goes on.
    pub fn take(&mut self) -> (Vec<Record>, u64) {
        let r = self.records.as_mut().map(std::mem::take).unwrap_or_default();
        (r, std::mem::take(&mut self.lost))
    }

    #[inline]
    pub(crate) fn add(&mut self, record: impl FnOnce() -> Record) {
        if let Some(r) = &mut self.records {
            if r.len() < BOUND {
                r.push(record());
            } else {
                self.lost += 1;
            }
        }
    }
}
