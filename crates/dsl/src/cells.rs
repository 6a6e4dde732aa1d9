//! The cell side of one end of a line: frames into cells at the line's rate, and
//! cells, disturbed as the line disturbs them, into frames.

use crate::copper;
use node::{Cause, Cx, DropReason, Frame, FrameSeq, Parent, Time};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::time::Duration;
use wire::aal5::{self, Reassembler};
use wire::atm::{CARRIED, CELL, Checked, Header, HecReceiver, LABEL_LEN, MOST_CELLS};
use wire::{atm, rfc2684};

/// The longest SDU: a frame with a VLAN tag, header, padding and FCS.
const LONGEST: usize = 1600;
/// Bits of a cell on the line.
const CELL_BITS: u64 = CELL as u64 * 8;

/// What one direction has carried, as its receiver or sender counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Cells of user data.
    pub(crate) cells: u64,
    /// Ethernet frames that they carried.
    pub(crate) frames: u64,
    /// … and their bytes.
    pub(crate) bytes: u64,
    /// Headers with one wrong bit, mended.
    pub(crate) corrected: u64,
    /// Cells thrown away for their header.
    pub(crate) discarded: u64,
    /// PDUs with a wrong CRC or length.
    pub(crate) crc: u64,
}

/// Bits that arrive wrong, by a seed.
#[derive(Debug)]
struct Noise {
    rng: StdRng,
    rate: f64,
    /// Right bits before the next wrong one.
    ahead: u64,
}

impl Noise {
    fn new(seed: u64) -> Noise {
        Noise { rng: StdRng::seed_from_u64(seed), rate: 0.0, ahead: u64::MAX }
    }

    fn set(&mut self, rate: f64) {
        if rate != self.rate {
            self.rate = rate;
            self.draw();
        }
    }

    fn draw(&mut self) {
        // Distances between independent errors are geometric.
        let u: f64 = self.rng.random_range(f64::MIN_POSITIVE..1.0);
        let d = u.ln() / (-self.rate).ln_1p();
        self.ahead = if self.rate > 0.0 && d < 1e18 { d as u64 } else { u64::MAX };
    }

    fn disturb(&mut self, cell: &mut [u8; CELL]) {
        let mut from = 0;
        while self.ahead < CELL_BITS - from {
            let bit = (from + self.ahead) as usize;
            cell[bit / 8] ^= 0x80 >> (bit % 8);
            from = bit as u64 + 1;
            self.draw();
        }
        self.ahead = self.ahead.saturating_sub(CELL_BITS - from);
    }
}

/// One end's sender and receiver.
#[derive(Debug)]
pub(crate) struct Cells {
    /// Labels of what is sent and of what is received.
    labels: (u32, u32),
    channel: Header,
    fcs: bool,
    queue: u64,
    /// Bits a second towards the far end; 0 while there is no showtime.
    rate: u64,
    interleave: Duration,
    free_at: Time,
    leaving: VecDeque<(Time, Frame, u16)>,
    noise: Noise,
    hec: HecReceiver,
    reassembler: Reassembler,
    parents: Vec<FrameSeq>,
    scratch: (Vec<u8>, Vec<u8>),
    pub(crate) sent: Count,
    pub(crate) received: Count,
}

impl Cells {
    pub(crate) fn new(labels: (u32, u32), channel: (u8, u16), fcs: bool, queue: u32, seed: u64) -> Cells {
        Cells {
            labels,
            channel: Header { vpi: channel.0, vci: channel.1, ..Header::default() },
            fcs,
            queue: u64::from(queue),
            rate: 0,
            interleave: Duration::ZERO,
            free_at: Time::ZERO,
            leaving: VecDeque::new(),
            noise: Noise::new(seed),
            hec: HecReceiver::default(),
            reassembler: Reassembler::default(),
            parents: Vec::new(),
            scratch: (Vec::new(), Vec::new()),
            sent: Count::default(),
            received: Count::default(),
        }
    }

    /// The line came up: this end sends at `rate`.
    pub(crate) fn start(&mut self, now: Time, rate: u64, interleave: Duration) {
        (self.rate, self.interleave, self.free_at) = (rate, interleave, now);
        self.reassembler.reset();
        self.parents.clear();
    }

    /// It broke off: what waits is lost.
    pub(crate) fn stop(&mut self, cx: &mut Cx<'_>) {
        self.rate = 0;
        for (_, f, _) in self.leaving.drain(..) {
            cx.drop(f, DropReason::LineDown);
        }
    }

    /// The margin of what is received.
    pub(crate) fn set_margin(&mut self, margin_db: f64) {
        self.noise.set(copper::bit_error_rate(margin_db));
    }

    /// Bytes of cells that wait for the line.
    pub(crate) fn waiting(&self, now: Time) -> u64 {
        (self.free_at.since(now).as_nanos() * u128::from(self.rate) / 8_000_000_000) as u64
    }

    /// Cuts a frame into cells; they leave at the line's rate.
    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, f: Frame) {
        if self.rate == 0 {
            return cx.drop(f, DropReason::LineDown);
        }
        if self.waiting(cx.now) + f.len() as u64 > self.queue {
            return cx.drop(f, DropReason::QueueFull);
        }
        let (sdu, cells) = &mut self.scratch;
        sdu.clear();
        cells.clear();
        rfc2684::encapsulate(f.data(), self.fcs, sdu);
        if sdu.len() > LONGEST {
            return cx.drop(f, DropReason::BadLength);
        }
        aal5::segment(self.channel, sdu, cells);
        let n = cells.len() / CARRIED;
        self.sent.cells += n as u64;
        self.sent.frames += 1;
        self.sent.bytes += f.len() as u64;
        self.free_at = self.free_at.max(cx.now);
        for group in cells.chunks(MOST_CELLS * CARRIED) {
            let bits = (group.len() / CARRIED) as u64 * CELL_BITS;
            self.free_at = self.free_at + Duration::from_nanos(bits * 1_000_000_000 / self.rate);
            let Some(mut out) = cx.make(Parent::Part(f.seq)) else { continue };
            atm::write_label(out.grow(LABEL_LEN), self.labels.0);
            out.extend(group);
            cx.hold(&out, || Cause::Queued);
            self.leaving.push_back((self.free_at + self.interleave, out, n as u16));
        }
        cx.consume(f);
    }

    /// The next frame of cells whose time to leave has come, from its label on,
    /// and the cells of the frame that it belongs to.
    pub(crate) fn leaving(&mut self, now: Time) -> Option<(Frame, u16)> {
        self.leaving.front().filter(|(at, _, _)| *at <= now)?;
        self.leaving.pop_front().map(|(_, f, n)| (f, n))
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.leaving.front().map(|(at, _, _)| *at)
    }

    /// Takes a frame of cells, from its label on; Ethernet frames that became
    /// whole go to `whole`, with the cells that they took.
    pub(crate) fn receive(&mut self, cx: &mut Cx<'_>, f: Frame, whole: &mut Vec<(Frame, u16)>) {
        let Some((label, cells)) = atm::read_frame(f.data()) else {
            return cx.drop(f, DropReason::BadCells);
        };
        if label != self.labels.1 {
            return cx.drop(f, DropReason::UnknownVc);
        }
        if self.rate == 0 {
            return cx.drop(f, DropReason::LineDown);
        }
        self.parents.push(f.seq);
        for (i, carried) in cells.iter().enumerate() {
            self.received.cells += 1;
            // The fifth header byte is made again, as it was on the line.
            let mut cell = [0; CELL];
            cell[..4].copy_from_slice(&carried[..4]);
            cell[4] = atm::hec([carried[0], carried[1], carried[2], carried[3]]);
            cell[5..].copy_from_slice(&carried[4..]);
            self.noise.disturb(&mut cell);
            let goes_on = i + 1 < cells.len();
            self.cell(cx, &mut cell, (f.seq, goes_on), whole);
        }
        cx.consume(f);
    }

    fn cell(&mut self, cx: &mut Cx<'_>, cell: &mut [u8; CELL], (seq, goes_on): (FrameSeq, bool), whole: &mut Vec<(Frame, u16)>) {
        let (head, payload) = cell.split_first_chunk_mut::<5>().expect("a cell has 53 bytes");
        match self.hec.check(head) {
            Checked::Good => {}
            Checked::Corrected => {
                self.received.corrected += 1;
                cx.count("hec-corrected");
            }
            Checked::Discarded => {
                self.received.discarded += 1;
                return cx.count("hec-discarded-cells");
            }
        }
        let h = Header::read([head[0], head[1], head[2], head[3]]);
        if (h.vpi, h.vci) != (self.channel.vpi, self.channel.vci) {
            return cx.count("cells-of-unknown-channel");
        }
        if !h.is_user() {
            return cx.count("management-cells");
        }
        let Some(ended) = self.reassembler.push(h.is_end(), payload, LONGEST) else { return };
        match ended {
            Ok(sdu) => match rfc2684::decapsulate(sdu) {
                Ok(frame) => {
                    if let Some(mut out) = cx.make(Parent::Many(&self.parents)) {
                        out.extend(frame);
                        self.received.frames += 1;
                        self.received.bytes += frame.len() as u64;
                        whole.push((out, self.reassembler.cells() as u16));
                    }
                }
                Err(rfc2684::Error::Fcs) => cx.lost_part(Some(seq), DropReason::BadFcs),
                Err(rfc2684::Error::Encapsulation) => cx.count("unknown-encapsulation"),
            },
            Err(e) => {
                self.received.crc += 1;
                cx.count(match e {
                    aal5::Error::Crc => "aal5-crc-errors",
                    aal5::Error::Length => "aal5-length-errors",
                    aal5::Error::Abort => "aal5-aborts",
                    aal5::Error::TooLong => "aal5-too-long",
                });
                cx.lost_part(Some(seq), DropReason::BadCells);
            }
        }
        self.parents.clear();
        // Cells behind the last one of a PDU are the next one's.
        if goes_on {
            self.parents.push(seq);
        }
    }
}

/// Part of a direction's line bytes that was not Ethernet, in percent.
pub(crate) fn cell_tax(c: &Count) -> Option<f64> {
    let line = (c.cells * CELL as u64) as f64;
    (c.cells > 0).then(|| ((1.0 - c.bytes as f64 / line) * 1000.0).round() / 10.0)
}

/// Cells that `rate` carries in a time.
pub(crate) fn slots(rate: u64, time: Duration) -> u64 {
    (time.as_nanos() * u128::from(rate) / 1_000_000_000 / u128::from(CELL_BITS)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_at_their_rate_and_by_the_seed() {
        let run = |seed| {
            let mut n = Noise::new(seed);
            n.set(1e-3);
            let mut wrong = 0;
            for _ in 0..20_000 {
                let mut cell = [0; CELL];
                n.disturb(&mut cell);
                wrong += cell.iter().map(|b| b.count_ones()).sum::<u32>();
            }
            wrong
        };
        let expect = (20_000 * CELL_BITS) as f64 * 1e-3;
        assert!((f64::from(run(5)) / expect - 1.0).abs() < 0.05, "{} {expect}", run(5));
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
        let mut clean = Noise::new(1);
        clean.set(0.0);
        let mut cell = [0; CELL];
        clean.disturb(&mut cell);
        assert_eq!(cell, [0; CELL]);
    }
}
