//! Sends frames out of an interface: what no honest host would send, for tests.
//! Frames are read as hexadecimal digits, one a line.

#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use std::io::BufRead;

fn main() -> Result<()> {
    let interface = std::env::args().nth(1).context("usage: inject INTERFACE < FRAMES")?;
    let socket = port::CaptureSocket::open(&interface).with_context(|| interface.clone())?;
    let mut n = 0;
    for line in std::io::stdin().lock().lines() {
        let frame = integration::from_hex(line?.trim()).context("not hexadecimal")?;
        socket.send(&frame)?;
        n += 1;
    }
    println!("{n} frames");
    Ok(())
}
