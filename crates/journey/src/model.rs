//! What was seen: packets, where they were, what became of them.

use crate::topology::PortAt;
use node::trace::Cause;
use node::{DropReason, Time};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A packet's number: the same at every port, through translation, encapsulation,
/// cells and fragments.
pub type PacketId = u64;

/// Which way a frame went at a port, as its node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Direction {
    /// It came.
    In,
    /// It left.
    Out,
}

/// A packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its number.
    pub id: PacketId,
    /// The journey that it belongs to.
    pub journey: Option<u64>,
    /// The packet because of which it was made.
    pub because: Option<PacketId>,
    /// The packet of which it is a retransmission.
    pub again: Option<PacketId>,
    /// The node that made it.
    pub node: u16,
    /// Its frames at ports, by their places in [`crate::Collector::sights`].
    pub sights: Vec<usize>,
    /// How it ended, and where.
    pub ends: Vec<End>,
}

/// A frame at a port.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The packet that it is, or is a part of.
    pub packet: PacketId,
    /// Where.
    pub port: PortAt,
    /// Which way.
    pub direction: Direction,
    /// When.
    pub at: Time,
    /// All of it.
    pub bytes: Arc<[u8]>,
    /// What was done with it at this node, in order; at its way in: nothing.
    pub causes: Vec<Cause>,
    /// What it waited for at this node, and since when.
    pub held: Vec<(Time, Cause)>,
    /// The frame's number on its node; frames of one number are one frame.
    pub frame: u64,
}

/// How a packet, or a copy of it, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Where.
    pub node: u16,
    /// When.
    pub at: Time,
    /// How.
    pub how: Ended,
    /// What was done with it at this node before.
    pub causes: Vec<Cause>,
}

/// How.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The node dropped it, and says why; `Consumed` is no loss.
    Dropped(DropReason),
    /// It left one port and never came to the other: the kernel lost it.
    Kernel {
        /// The port that it left.
        from: PortAt,
        /// The port that it was for.
        to: PortAt,
    },
    /// It left one port while nobody was at the other: that role did not run.
    Absent {
        /// The port that it left.
        from: PortAt,
        /// The port that it was for.
        to: PortAt,
    },
}

impl End {
    /// Something was lost.
    pub fn is_loss(&self) -> bool {
        self.how != Ended::Dropped(DropReason::Consumed)
    }
}

/// What a node said, with or without a packet.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where.
    pub node: u16,
    /// When.
    pub at: Time,
    /// The packet that brought it about.
    pub packet: Option<PacketId>,
    /// The journey, if it is known.
    pub journey: Option<u64>,
    /// What.
    pub cause: Cause,
}

/// What the collector missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Records that nodes had no room for.
    pub records: u64,
    /// Frames that the kernel lost between two ports.
    pub frames: u64,
    /// Frames that came to a port from nowhere: what made them was not seen.
    pub unmatched: u64,
}
