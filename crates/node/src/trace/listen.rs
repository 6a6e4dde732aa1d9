//! Collectors: each connects to the node's trace socket (SOCK_SEQPACKET), gets
//! batches from then on, and asks by a byte of its own for what is left.

use super::record::{Head, Record, put};
use crate::{Core, Driver, PortId, Time, Wake};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use tokio::io::unix::AsyncFd;

/// Bytes of one message: several fit the smallest send buffer that a kernel gives.
const MESSAGE: usize = 48 * 1024;
/// Bytes that wait for one collector; beyond, records are lost for it.
const WAITING: usize = 16 << 20;
/// Collectors at once.
const MOST: usize = 8;
/// A read buffer for a collector's bytes.
const ASKED: usize = 64;

/// One collector.
#[derive(Debug)]
pub(crate) struct Listener {
    id: u64,
    socket: Rc<AsyncFd<OwnedFd>>,
    /// Messages without their heads, and how many records each has.
    waiting: VecDeque<(Rc<[u8]>, u64)>,
    bytes: usize,
    lost: u64,
    /// It wants to hear until when all has been told.
    asked: bool,
    gone: bool,
}

/// Makes the listening socket.
///
/// # Errors
/// What the kernel said.
pub(crate) fn bind(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let _ = std::fs::remove_file(path);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let s = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&s, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&s, 8)?;
    port::watch(s)
}

/// Lets collectors in, for as long as the node runs.
pub(crate) async fn serve<E: 'static>(driver: Rc<RefCell<Driver<E>>>, socket: AsyncFd<OwnedFd>, wake: Wake) {
    let mut next = 0;
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        let got = ready.try_io(|s| Ok(rustix::net::accept_with(s.get_ref(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?));
        let Ok(Ok(fd)) = got else { continue };
        // The kernel gives less if it must.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&fd, 4 << 20);
        let Ok(fd) = port::watch(fd) else { continue };
        next += 1;
        let socket = Rc::new(fd);
        if driver.borrow_mut().core.let_in(next, Rc::clone(&socket)) {
            wake.set_traced(true);
            tokio::task::spawn_local(hear(Rc::clone(&driver), socket, next, wake.clone()));
        }
    }
}

/// Hears a collector's questions until it goes.
async fn hear<E>(driver: Rc<RefCell<Driver<E>>>, socket: Rc<AsyncFd<OwnedFd>>, id: u64, wake: Wake) {
    let mut buf = [0u8; ASKED];
    loop {
        let Ok(mut ready) = socket.readable().await else { break };
        match ready.try_io(|s| Ok(rustix::net::recv(s.get_ref(), &mut buf[..], RecvFlags::empty())?.0)) {
            Ok(Ok(n)) if n > 0 => {
                let mut d = driver.borrow_mut();
                if let Some(l) = d.core.trace.listeners.iter_mut().find(|l| l.id == id) {
                    l.asked = true;
                }
                d.core.tell();
            }
            Ok(_) => break,
            Err(_would_block) => {}
        }
    }
    let mut d = driver.borrow_mut();
    d.core.trace.listeners.retain(|l| l.id != id);
    if d.core.trace.listeners.is_empty() {
        // What is left is nobody's.
        d.core.trace.stop();
    }
    wake.set_traced(d.core.trace.on);
}

impl Core {
    fn let_in(&mut self, id: u64, socket: Rc<AsyncFd<OwnedFd>>) -> bool {
        if self.trace.listeners.len() >= MOST || cfg!(no_trace) {
            return false;
        }
        // What others are still owed is not this one's.
        self.tell();
        let mut hello = Vec::new();
        for (i, name) in self.names.iter().enumerate() {
            put(&mut hello, &Record::Port { port: PortId(i as u8), name });
        }
        let n = self.names.len() as u64;
        let bytes = hello.len();
        let waiting = VecDeque::from([(Rc::from(hello), n)]);
        self.trace.listeners.push(Listener { id, socket, waiting, bytes, lost: 0, asked: true, gone: false });
        (self.trace.on, self.trace.live) = (true, true);
        self.tell();
        true
    }

    /// Sends what was recorded to all that listen, as far as they have room.
    pub(crate) fn tell(&mut self) {
        let t = &mut self.trace;
        if t.listeners.is_empty() {
            return;
        }
        let until = Time::monotonic();
        let lost = std::mem::take(&mut t.lost);
        for l in &mut t.listeners {
            l.lost += lost;
        }
        if !t.buf.is_empty() {
            for (piece, n) in pieces(&t.buf, &t.ends) {
                let piece: Rc<[u8]> = Rc::from(piece);
                for l in &mut t.listeners {
                    if l.bytes + piece.len() > WAITING {
                        l.lost += n;
                    } else {
                        l.bytes += piece.len();
                        l.waiting.push_back((Rc::clone(&piece), n));
                    }
                }
            }
            t.buf.clear();
            t.ends.clear();
        }
        for l in &mut t.listeners {
            l.send(&self.node, until);
        }
    }
}

/// The buffer in pieces that end where a record does, each with its records' count.
fn pieces<'a>(buf: &'a [u8], ends: &[usize]) -> Vec<(&'a [u8], u64)> {
    let mut out = Vec::new();
    let (mut start, mut last, mut n) = (0, 0, 0);
    for &end in ends {
        if end - start > MESSAGE && last > start {
            out.push((&buf[start..last], n));
            (start, n) = (last, 0);
        }
        last = end;
        n += 1;
    }
    if last > start {
        out.push((&buf[start..last], n));
    }
    out
}

impl Listener {
    fn send(&mut self, node: &str, until: Time) {
        while !self.gone {
            let (body, is_last) = match self.waiting.front() {
                Some((b, _)) => (Rc::clone(b), self.waiting.len() == 1),
                None if self.asked => (Rc::from([].as_slice()), true),
                None => return,
            };
            // Only behind the last of them all has been told.
            let head = Head { node: node.to_owned(), lost: self.lost, until: if is_last { until } else { Time::ZERO } };
            let mut message = Vec::with_capacity(body.len() + 64);
            if !put(&mut message, &head) {
                return;
            }
            message.extend_from_slice(&body);
            match rustix::net::send(self.socket.get_ref(), &message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => {
                    if let Some((b, _)) = self.waiting.pop_front() {
                        self.bytes -= b.len();
                    }
                    self.asked &= !is_last;
                }
                // Tried again at the next batch, or when it asks.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => return,
                Err(rustix::io::Errno::MSGSIZE) => {
                    if let Some((b, n)) = self.waiting.pop_front() {
                        self.bytes -= b.len();
                        self.lost += n;
                    }
                }
                // Its task sees that too, and takes it off the list.
                Err(_) => {
                    self.gone = true;
                    self.waiting.clear();
                    self.bytes = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_records_do() {
        let buf = vec![0; 3 * MESSAGE];
        let ends: Vec<usize> = vec![10, MESSAGE - 1, MESSAGE + 5, 2 * MESSAGE + 1, 3 * MESSAGE];
        let got: Vec<(usize, u64)> = pieces(&buf, &ends).iter().map(|(b, n)| (b.len(), *n)).collect();
        assert_eq!(got, [(MESSAGE - 1, 2), (6, 1), (MESSAGE - 4, 1), (MESSAGE - 1, 1)]);
        assert_eq!(got.iter().map(|g| g.0).sum::<usize>(), buf.len());
        assert!(pieces(&[], &[]).is_empty());
    }
}
