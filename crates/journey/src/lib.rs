//! The journey of packets: what nodes trace is collected, joined to one tree, and
//! told as a story, as a capture, as JSON or as a page.
//!
//! The central types are [`Collector`], which takes records in the order of time
//! (that is [`Merge`]'s work) and gives every packet its number, and [`Story`].

#![forbid(unsafe_code)]

pub mod collect;
pub mod diff;
pub mod dissect;
pub mod export;
pub mod feed;
pub mod filter;
mod flows;
mod heard;
pub mod hops;
pub mod json;
pub mod merge;
pub mod model;
pub mod pcapng;
pub mod story;
pub mod tape;
pub mod text;
pub mod topology;
pub mod web;
mod wires;
pub mod words;

pub use collect::Collector;
pub use feed::Feed;
pub use flows::FlowKey;
pub use heard::{BEFORE, Outage};
pub use merge::Merge;
pub use story::{About, Story};
pub use topology::Topology;
pub use wires::hash;
