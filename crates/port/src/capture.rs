//! A packet socket that sees every frame of one interface, both ways, with the
//! kernel's own time (packet(7)).

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// One captured frame.
#[derive(Debug)]
pub struct Captured {
    /// Time since the Unix epoch, by the kernel.
    pub at: Duration,
    /// The interface's owner sent it (for a TAP: the frame goes to the role).
    pub outgoing: bool,
    /// Bytes on the wire; more than `data` if the frame was cut.
    pub original_len: usize,
    /// The frame, with its VLAN tag back in place.
    pub data: Vec<u8>,
}

/// A raw packet socket bound to one interface of the namespace in which it was
/// opened; it stays there when the process moves on.
#[derive(Debug)]
pub struct CaptureSocket {
    fd: OwnedFd,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Aux {
    status: u32,
    len: u32,
    snaplen: u32,
    mac: u16,
    net: u16,
    vlan_tci: u16,
    vlan_tpid: u16,
}

const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;

fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

impl CaptureSocket {
    /// Opens a non-blocking capture on `interface`. Needs CAP_NET_RAW.
    ///
    /// # Errors
    /// `ENODEV` if there is no such interface, `EPERM` without the capability.
    pub fn open(interface: &str) -> io::Result<CaptureSocket> {
        let name = std::ffi::CString::new(interface)?;
        // SAFETY: plain syscalls; the fd is owned at once, and every pointer is
        // to a local that outlives its call, with its true size.
        unsafe {
            let flags = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, flags, 0))?);
            let raw = fd.as_raw_fd();
            let index = libc::if_nametoindex(name.as_ptr());
            if index == 0 {
                return Err(io::Error::last_os_error());
            }
            let set = |level, opt, v: libc::c_int| {
                check(libc::setsockopt(raw, level, opt, (&raw const v).cast(), size_of::<libc::c_int>() as u32))
            };
            set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
            set(libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
            // FORCE needs the host's CAP_NET_ADMIN; without it the host's limit holds.
            if set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 32 << 20).is_err() {
                set(libc::SOL_SOCKET, libc::SO_RCVBUF, 32 << 20)?;
            }
            let mut addr: libc::sockaddr_ll = zeroed();
            addr.sll_family = libc::AF_PACKET as u16;
            addr.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            addr.sll_ifindex = index as i32;
            check(libc::bind(raw, (&raw const addr).cast(), size_of::<libc::sockaddr_ll>() as u32))?;
            Ok(CaptureSocket { fd })
        }
    }

    /// The next frame, or `None` if none waits. `scratch` bounds what is kept
    /// of a frame.
    ///
    /// # Errors
    /// `ENETDOWN` when the interface went away, or what the kernel said.
    pub fn recv(&self, scratch: &mut [u8]) -> io::Result<Option<Captured>> {
        let mut control = [0u64; 32];
        // SAFETY: msghdr points to locals of the sizes it names; the control
        // buffer is aligned by its type and walked with the CMSG macros only.
        unsafe {
            let mut from: libc::sockaddr_ll = zeroed();
            let mut iov = libc::iovec { iov_base: scratch.as_mut_ptr().cast(), iov_len: scratch.len() };
            let mut msg: libc::msghdr = zeroed();
            msg.msg_name = (&raw mut from).cast();
            msg.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
            msg.msg_iov = &raw mut iov;
            msg.msg_iovlen = 1;
            msg.msg_control = control.as_mut_ptr().cast();
            msg.msg_controllen = size_of_val(&control) as _;
            let n = libc::recvmsg(self.fd.as_raw_fd(), &raw mut msg, libc::MSG_TRUNC);
            if n < 0 {
                let e = io::Error::last_os_error();
                return if e.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(e) };
            }
            let mut original_len = n as usize;
            let mut data = scratch[..original_len.min(scratch.len())].to_vec();
            let mut at = Duration::ZERO;
            let mut c = libc::CMSG_FIRSTHDR(&raw const msg);
            while !c.is_null() {
                let body = libc::CMSG_DATA(c);
                match ((*c).cmsg_level, (*c).cmsg_type) {
                    (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => {
                        let t: libc::timespec = body.cast::<libc::timespec>().read_unaligned();
                        at = Duration::new(t.tv_sec as u64, t.tv_nsec as u32);
                    }
                    (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                        let a: Aux = body.cast::<Aux>().read_unaligned();
                        if a.status & TP_STATUS_VLAN_VALID != 0 && data.len() >= 12 {
                            let tpid = if a.status & TP_STATUS_VLAN_TPID_VALID != 0 { a.vlan_tpid } else { 0x8100 };
                            let [t0, t1] = tpid.to_be_bytes();
                            let [c0, c1] = a.vlan_tci.to_be_bytes();
                            data.splice(12..12, [t0, t1, c0, c1]);
                            original_len += 4;
                        }
                    }
                    _ => {}
                }
                c = libc::CMSG_NXTHDR(&raw const msg, c);
            }
            let outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
            Ok(Some(Captured { at, outgoing, original_len, data }))
        }
    }

    /// Sends a frame out of the interface, as its owner would.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and length are of one live slice.
        let n = unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Frames that the kernel dropped for want of buffer since the last call.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn dropped(&self) -> io::Result<u32> {
        #[repr(C)]
        struct Stats {
            packets: u32,
            drops: u32,
        }
        let mut s = Stats { packets: 0, drops: 0 };
        let mut len = size_of::<Stats>() as u32;
        // SAFETY: `s` has the layout of tpacket_stats and outlives the call.
        check(unsafe {
            libc::getsockopt(self.fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, (&raw mut s).cast(), &raw mut len)
        })?;
        let _ = s.packets;
        Ok(s.drops)
    }
}

impl AsFd for CaptureSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
