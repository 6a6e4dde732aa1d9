//! A null forwarder: reads one TAP, writes the other. What a forwarder costs is
//! told as a ratio to it.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use port::Tap;
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram;

struct Watched(Tap);

impl std::os::fd::AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        port::borrow(&self.0)
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--check") {
        return Ok(());
    }
    let at = args.iter().position(|a| a == "--config").context("--config FILE")?;
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(args.get(at + 1).context("--config FILE")?)?)?;
    let names: Vec<&str> = config["ports"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str()).collect();
    ensure!(names.len() == 2, "a null forwarder has two ports");
    let taps = [Watched(Tap::attach(names[0])?), Watched(Tap::attach(names[1])?)];
    if let Some(path) = std::env::var_os("LAB_NOTIFY") {
        let node = config["node"].as_str().unwrap_or("");
        UnixDatagram::unbound()?.send_to(format!("{node}\tready\t").as_bytes(), path)?;
    }
    let mut buf = [0u8; 2048];
    loop {
        let mut fds = [PollFd::new(&taps[0], PollFlags::IN), PollFd::new(&taps[1], PollFlags::IN)];
        poll(&mut fds, None)?;
        let ready = [0, 1].map(|i: usize| fds[i].revents().contains(PollFlags::IN));
        for from in [0, 1].into_iter().filter(|i| ready[*i]) {
            for _ in 0..64 {
                let Ok(n) = taps[from].0.recv(&mut buf) else { break };
                // A link that is down loses the frame, as a wire would.
                let _ = taps[1 - from].0.send(&buf[..n]);
            }
        }
    }
}
