//! The one interface between a device and what drives it.

use crate::{Burst, Cursor, Cx, Rows, Time};
use serde::{Deserialize, Serialize};
use std::any::Any;

/// A port of this node, counted from 0 in the order of the lab file's links.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PortId(pub u8);

/// Why an element is polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The loop starts; ports are up.
    Start,
    /// The time that `deadline` named has come.
    Deadline,
    /// A task wrote to a socket or closed one.
    Woken,
}

/// Whether a device does its work yet, in words for `lab up` and `lab status`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// It works.
    Ready,
    /// It waits for something, named here.
    Waiting(String),
    /// It gave up, or is refused, for the reason named here; it may try again.
    Failed(String),
}

/// What a `show` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// One of [`Element::views`].
    pub what: String,
    /// The time of the question, for ages and deadlines.
    pub now: Time,
}

/// Why a `show` cannot be answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such view on this device.
    #[error("there is no `{0}` here")]
    Unknown(String),
}

/// A command's words, as `lab command NODE WORDS…` sent them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The words.
    pub words: Vec<String>,
}

/// A command's answer: one line for a person.
pub type Reply = String;

/// Why a command was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The device has no such command.
    #[error("`{0}` is no command of this device")]
    Unknown(String),
    /// It has, but not with these words or not now.
    #[error("{0}")]
    Refused(String),
}

/// A device: frames and time go in, frames come out. It has no clock, socket,
/// thread or randomness of its own; all of these come with `cx`.
pub trait Element: Any {
    /// Frames that arrived at `port`. Takes every frame out of the burst and
    /// ends each by `cx.send` or `cx.drop`, or keeps it after `cx.hold`.
    fn input(&mut self, cx: &mut Cx<'_>, port: PortId, burst: &mut Burst);

    /// Something other than a frame happened.
    fn poll(&mut self, cx: &mut Cx<'_>, event: Event);

    /// When `poll` is wanted next; must be O(1).
    fn deadline(&self) -> Option<Time>;

    /// Names of the views that `show` knows, each with a line on what it is.
    fn views(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Up to [`crate::PAGE`] rows of a view from `from` on. Returns where to go
    /// on, or `None` at the end.
    ///
    /// # Errors
    /// If there is no such view.
    fn show(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Result<Option<Cursor>, QueryError> {
        let _ = (from, rows);
        Err(QueryError::Unknown(q.what.clone()))
    }

    /// Counters that are the element's own (rules, hits), as rows of
    /// `kind`, `name`, `value`; those of `Core` are shown by the loop.
    fn counters(&self, rows: &mut Rows) {
        let _ = rows;
    }

    /// An act that a person asked for.
    ///
    /// # Errors
    /// If there is no such command, or it cannot be done.
    fn command(&mut self, cx: &mut Cx<'_>, c: Command) -> Result<Reply, CommandError> {
        let _ = cx;
        Err(CommandError::Unknown(c.words.join(" ")))
    }

    /// Whether the device does its work.
    fn status(&self) -> Status {
        Status::Ready
    }
}
