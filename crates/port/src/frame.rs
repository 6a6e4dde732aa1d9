//! A frame in a pooled buffer with headroom, and the bursts it travels in.

use crate::Time;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use wire::ipv4::{self, Side};

/// Bytes kept free before a received frame, for headers that are put on.
pub const HEADROOM: usize = 128;
/// Frames that one burst holds at most.
pub const BURST: usize = 64;

const SMALL: usize = 2048 + HEADROOM;
const LARGE: usize = 66 * 1024 + HEADROOM;

thread_local! {
    static TEARDOWN: Cell<bool> = const { Cell::new(false) };
}

/// Says that elements are being taken apart on this thread: frames that they
/// still hold may go without `send` or `drop`. `false` takes it back.
pub fn teardown(on: bool) {
    TEARDOWN.with(|t| t.set(on));
}

/// A node-local frame number, never used twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct FrameSeq(pub NonZeroU64);

/// What is known of the transport checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Csum {
    /// Nobody looked.
    #[default]
    Unknown,
    /// Seen to be right on the way in.
    Verified,
    /// The field at `field` (from `start`) holds the uncomplemented
    /// pseudo-header sum; whoever puts the frame on a real wire completes it.
    Partial {
        /// First covered byte, from the start of the IP header.
        start: u16,
        /// Offset of the field behind `start`.
        field: u16,
    },
}

/// One frame. It ends by `Cx::send` or `Cx::drop` alone; in debug builds any
/// other end panics, so that no uncounted loss can be written.
#[derive(Debug)]
pub struct Frame {
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    /// The frame's number on this node.
    pub seq: FrameSeq,
    /// When it entered the node, or was made.
    pub rx: Time,
    /// What is known of its transport checksum.
    pub csum: Csum,
}

impl Frame {
    /// The frame's bytes from the current front on.
    pub fn data(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// As [`Frame::data`], to write.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..self.end]
    }

    /// Bytes from the current front on.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes `n` bytes of header off the front. Returns false, and changes
    /// nothing, if the frame is shorter.
    #[must_use]
    pub fn pull(&mut self, n: usize) -> bool {
        let fits = n <= self.len();
        if fits {
            self.start += n;
        }
        fits
    }

    /// Puts `n` bytes of headroom before the front and returns them to be
    /// written. Beyond the headroom the frame is copied once.
    pub fn push(&mut self, n: usize) -> &mut [u8] {
        if n > self.start {
            let mut bigger = vec![0; HEADROOM + n + self.len()].into_boxed_slice();
            bigger[HEADROOM + n..].copy_from_slice(&self.buf[self.start..self.end]);
            self.start = HEADROOM + n;
            self.end = bigger.len();
            self.buf = bigger;
        }
        self.start -= n;
        &mut self.buf[self.start..self.start + n]
    }

    /// Cuts the frame to `n` bytes; longer already is left as it is.
    pub fn truncate(&mut self, n: usize) {
        self.end = self.end.min(self.start + n);
    }

    /// Appends bytes; what does not fit into the buffer is copied to a larger one.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends `n` bytes of unspecified content and returns them to be written.
    pub fn grow(&mut self, n: usize) -> &mut [u8] {
        if self.end + n > self.buf.len() {
            let mut bigger = vec![0; self.end + n].into_boxed_slice();
            bigger[self.start..self.end].copy_from_slice(&self.buf[self.start..self.end]);
            self.buf = bigger;
        }
        self.end += n;
        &mut self.buf[self.end - n..self.end]
    }

    /// Sets one IPv4 address of the packet that starts at the current front;
    /// header and transport checksums stay right.
    pub fn set_ipv4(&mut self, side: Side, addr: Ipv4Addr) {
        let partial = matches!(self.csum, Csum::Partial { .. });
        ipv4::set_addr(self.data_mut(), side, addr, partial);
    }

    /// Sets a TCP or UDP port, or an echo's identifier, of the IPv4 packet that
    /// starts at the current front; its checksum stays right.
    pub fn set_l4_port(&mut self, side: Side, port: u16) {
        let partial = matches!(self.csum, Csum::Partial { .. });
        ipv4::set_l4_port(self.data_mut(), side, port, partial);
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if cfg!(debug_assertions) && !self.buf.is_empty() && !std::thread::panicking() && !TEARDOWN.with(Cell::get) {
            panic!("a frame ended by neither send nor drop: {:?}", self.seq);
        }
    }
}

/// Frames read at one go from one port.
#[derive(Default, Debug)]
pub struct Burst {
    frames: std::collections::VecDeque<Frame>,
}

impl Burst {
    /// Room for [`BURST`] frames.
    pub fn new() -> Burst {
        Burst { frames: std::collections::VecDeque::with_capacity(BURST) }
    }

    /// Adds a frame; beyond [`BURST`] the caller ends its reading first.
    pub fn push(&mut self, f: Frame) {
        self.frames.push_back(f);
    }

    /// The next frame in order of arrival.
    pub fn take(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// Frames left.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// None left.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// Buffers of two sizes, bounded: when `limit` frames are out, there is none.
#[derive(Debug)]
pub struct Pool {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
    out: usize,
    limit: usize,
    next: NonZeroU64,
}

impl Pool {
    /// A pool that lends at most `limit` frames.
    pub fn new(limit: usize) -> Pool {
        Pool { small: Vec::new(), large: Vec::new(), out: 0, limit, next: NonZeroU64::MIN }
    }

    /// An empty frame with headroom and space for `room` bytes, or `None` when
    /// all are out.
    pub fn take(&mut self, room: usize, now: Time) -> Option<Frame> {
        if self.out >= self.limit {
            return None;
        }
        self.out += 1;
        let buf = if room + HEADROOM <= SMALL {
            self.small.pop().unwrap_or_else(|| vec![0; SMALL].into_boxed_slice())
        } else {
            let size = LARGE.max(room + HEADROOM);
            self.large.pop().filter(|b| b.len() >= size).unwrap_or_else(|| vec![0; size].into_boxed_slice())
        };
        let seq = FrameSeq(self.next);
        self.next = self.next.checked_add(1).unwrap_or(NonZeroU64::MIN);
        Some(Frame { buf, start: HEADROOM, end: HEADROOM, seq, rx: now, csum: Csum::Unknown })
    }

    /// Takes a frame back. The loop calls this once a frame was written or
    /// counted as dropped.
    pub fn give(&mut self, mut f: Frame) {
        self.out = self.out.saturating_sub(1);
        let buf = std::mem::take(&mut f.buf);
        match buf.len() {
            SMALL if self.small.len() < 1024 => self.small.push(buf),
            n if n >= LARGE && self.large.len() < 16 => self.large.push(buf),
            _ => {}
        }
    }

    /// Frames out now.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Fills a new frame by `read`, which gets `room` bytes and returns how
    /// many it wrote.
    ///
    /// # Errors
    /// What `read` returned; `OutOfMemory` when the pool is empty.
    pub fn read_with(&mut self, room: usize, now: Time, read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> std::io::Result<Frame> {
        let Some(mut f) = self.take(room, now) else {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        };
        let (start, limit) = (f.start, f.buf.len());
        match read(&mut f.buf[start..limit.min(start + room)]) {
            Ok(n) => {
                f.end = start + n;
                Ok(f)
            }
            Err(e) => {
                self.give(f);
                Err(e)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headroom_and_growth() {
        let mut pool = Pool::new(2);
        let mut f = pool.take(1514, Time::ZERO).unwrap();
        f.extend(&[7; 100]);
        f.push(14).fill(1);
        assert_eq!((f.len(), f.data()[13], f.data()[14]), (114, 1, 7));
        assert!(f.pull(14) && !f.pull(101));
        f.push(400).fill(2);
        assert_eq!((f.len(), f.data()[399], f.data()[400]), (500, 2, 7));
        f.extend(&[9; 3000]);
        assert_eq!((f.len(), f.data()[3499]), (3500, 9));
        pool.give(f);
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::new(1);
        let f = pool.take(64, Time::ZERO).unwrap();
        assert!(pool.take(64, Time::ZERO).is_none());
        pool.give(f);
        let g = pool.take(9000, Time::ZERO).unwrap();
        pool.give(g);
        assert_eq!(pool.out(), 0);
    }

    #[test]
    #[should_panic(expected = "neither send nor drop")]
    fn a_lost_frame_is_noticed() {
        let mut pool = Pool::new(1);
        drop(pool.take(64, Time::ZERO));
    }
}
