//! What a node tells of its frames, and how it is written down: one record after
//! another in postcard's encoding.

use super::Cause;
use crate::{DropReason, FrameSeq, PortId, Time};
use serde::{Deserialize, Serialize};

/// An act of a person from which packets come: a page that was asked for. Numbers
/// are the node's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Act(pub u64);

/// From which frames a frame was made.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'a> {
    /// A packet of its own because of another: an answer, an error, a question.
    Of(FrameSeq),
    /// The same packet, or a part of it, in another frame: a copy, a fragment, cells.
    Part(FrameSeq),
    /// The same packet again, put together from its parts.
    Many(&'a [FrameSeq]),
    /// A retransmission of what this frame carried.
    Again(FrameSeq),
    /// An act began it.
    Act(Act),
    /// Nothing that was traced: a timer or a task made it; or an automaton did, for the
    /// frame whose turn it is ([`crate::Cx::during`]).
    Timer,
}

/// [`Parent`] as it is recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// As [`Parent::Of`].
    Of(FrameSeq),
    /// As [`Parent::Part`].
    Part(FrameSeq),
    /// As [`Parent::Many`].
    Many(Vec<FrameSeq>),
    /// As [`Parent::Again`].
    Again(FrameSeq),
    /// As [`Parent::Act`].
    Act(Act),
    /// As [`Parent::Timer`].
    Timer,
}

impl From<Parent<'_>> for Origin {
    fn from(p: Parent<'_>) -> Origin {
        match p {
            Parent::Of(s) => Origin::Of(s),
            Parent::Part(s) => Origin::Part(s),
            Parent::Many(s) => Origin::Many(s.to_vec()),
            Parent::Again(s) => Origin::Again(s),
            Parent::Act(a) => Origin::Act(a),
            Parent::Timer => Origin::Timer,
        }
    }
}

/// One event of a frame, or of what it carried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record<'a> {
    /// It entered at a port.
    In {
        /// The frame.
        seq: FrameSeq,
        /// Where.
        port: PortId,
        /// When it was read.
        at: Time,
        /// All of it.
        #[serde(borrow, with = "serde_bytes")]
        bytes: &'a [u8],
    },
    /// It was made here.
    Made {
        /// The frame.
        seq: FrameSeq,
        /// When.
        at: Time,
        /// From what.
        origin: Origin,
    },
    /// What was done with it, or with what it carried, besides its end.
    Said {
        /// The frame, if one brought it about.
        seq: Option<FrameSeq>,
        /// The act, if it is known.
        act: Option<Act>,
        /// When.
        at: Time,
        /// What and why.
        cause: Cause,
    },
    /// It left at a port.
    Out {
        /// The frame.
        seq: FrameSeq,
        /// Where.
        port: PortId,
        /// When it was written.
        at: Time,
        /// Why.
        cause: Cause,
        /// All of it.
        #[serde(borrow, with = "serde_bytes")]
        bytes: &'a [u8],
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
        /// The frame; none if a part of one was lost.
        seq: Option<FrameSeq>,
        /// When.
        at: Time,
        /// Why.
        reason: DropReason,
    },
    /// A port, told when the collector comes and when the node gets another one.
    Port {
        /// Its number.
        port: PortId,
        /// Its name.
        name: &'a str,
    },
}

impl Record<'_> {
    /// When it happened.
    pub fn at(&self) -> Option<Time> {
        match self {
            Record::In { at, .. }
            | Record::Made { at, .. }
            | Record::Said { at, .. }
            | Record::Out { at, .. }
            | Record::Held { at, .. }
            | Record::Dropped { at, .. } => Some(*at),
            Record::Port { .. } => None,
        }
    }
}

/// A batch's head; its records follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The node.
    pub node: String,
    /// Records of this node that this collector has lost since it came.
    pub lost: u64,
    /// All that happened before this has been told.
    pub until: Time,
}

/// The records in `bytes`; it ends early at what is none.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (r, after) = postcard::take_from_bytes::<Record<'_>>(rest).ok()?;
        rest = after;
        Some(r)
    })
}

/// A batch's head and its records; `None` if the bytes are no batch.
pub fn read_batch(bytes: &[u8]) -> Option<(Head, impl Iterator<Item = Record<'_>>)> {
    let (head, rest) = postcard::take_from_bytes::<Head>(bytes).ok()?;
    Some((head, records(rest)))
}

/// Writes a head or a record behind what stands in `buf`; false, and nothing is
/// written, if it cannot be.
pub fn put<T: Serialize>(buf: &mut Vec<u8>, value: &T) -> bool {
    let before = buf.len();
    let done = postcard::to_io(value, &mut *buf).is_ok();
    if !done {
        buf.truncate(before);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

    fn seq(n: u64) -> FrameSeq {
        FrameSeq(NonZeroU64::new(n).unwrap())
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let at = Time::from_nanos(7);
        let all = [
            Record::Port { port: PortId(3), name: "wan" },
            Record::In { seq: seq(1), port: PortId(0), at, bytes: &[1, 2, 3] },
            Record::Made { seq: seq(2), at, origin: Origin::Many(vec![seq(1), seq(9)]) },
            Record::Said {
                seq: None,
                act: Some(Act(4)),
                at,
                cause: Cause::Resolved { name: "a.example".into(), addresses: vec![[192, 0, 2, 1].into()], cached: true },
            },
            Record::Out { seq: seq(2), port: PortId(1), at, cause: Cause::Segmented { cells: 3 }, bytes: &[] },
            Record::Dropped { seq: Some(seq(1)), at, reason: DropReason::TtlExceeded },
        ];
        let mut buf = Vec::new();
        let head = Head { node: "bas".into(), lost: 5, until: at };
        assert!(put(&mut buf, &head));
        assert!(all.iter().all(|r| put(&mut buf, r)));
        let (h, got) = read_batch(&buf).unwrap();
        assert_eq!((h, got.collect::<Vec<_>>()), (head, all.to_vec()));
        // What is cut ends early and never panics.
        for n in 0..buf.len() {
            if let Some((_, got)) = read_batch(&buf[..n]) {
                assert!(got.count() <= all.len());
            }
        }
    }
}
