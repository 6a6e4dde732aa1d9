//! Sends one frame again and again for some seconds: a load of small frames.

#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, interface, hex, seconds] = &args[..] else { anyhow::bail!("usage: blast INTERFACE FRAME SECONDS") };
    let socket = port::CaptureSocket::open(interface).with_context(|| interface.clone())?;
    let frame = integration::from_hex(hex).context("not hexadecimal")?;
    let end = Instant::now() + Duration::from_secs_f64(seconds.parse()?);
    let mut n = 0u64;
    while Instant::now() < end {
        for _ in 0..64 {
            // A full queue is what the measure is about.
            n += u64::from(socket.send(&frame).is_ok());
        }
    }
    println!("{n}");
    Ok(())
}
