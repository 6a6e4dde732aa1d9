//! A plain TAP device (tun-tap), attached to what the lab made.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// A TAP held by this process. Reads and writes never block.
#[derive(Debug)]
pub struct Tap {
    iface: tun_tap::Iface,
}

impl Tap {
    /// Attaches to the persistent TAP `name` of the current network namespace.
    ///
    /// # Errors
    /// `EBUSY` if another process holds it, `EPERM` if it does not exist and
    /// the process may not make one.
    pub fn attach(name: &str) -> io::Result<Tap> {
        if name.is_empty() || name.len() >= libc::IFNAMSIZ {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a TAP's name has 1 to 15 bytes"));
        }
        let iface = tun_tap::Iface::without_packet_info(name, tun_tap::Mode::Tap)?;
        // An earlier holder's offload flags outlive it: without a vnet header
        // we would be handed aggregates that nothing describes.
        // SAFETY: TUNSETOFFLOAD takes its argument by value; the fd is open.
        let rc = unsafe { libc::ioctl(iface.as_raw_fd(), libc::TUNSETOFFLOAD, 0 as libc::c_ulong) };
        if rc != 0 {
            return Err(io::Error::last_os_error());
        }
        iface.set_non_blocking()?;
        Ok(Tap { iface })
    }

    /// One frame into `buf`; `WouldBlock` if none waits. A longer frame is cut.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.iface.recv(buf)
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// `EIO` while the link is down, `EINVAL` below 14 bytes.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.iface.send(frame).map(|_| ())
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.iface.as_raw_fd()
    }
}
