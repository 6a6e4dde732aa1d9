//! Registering what this crate opens with tokio's reactor.

use crate::Tap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Types that own their descriptor for life and never swap it.
pub trait Owned: AsRawFd {}
impl Owned for Tap {}
impl Owned for OwnedFd {}

/// Registers `inner` for readability.
///
/// # Errors
/// What the reactor said.
pub fn watch<T: Owned>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `Owned` types keep one open descriptor until they are dropped, and
    // the AsyncFd owns the value.
    Ok(unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }?)
}

/// The descriptor of what this crate opened, borrowed.
pub fn borrow<T: Owned>(inner: &T) -> BorrowedFd<'_> {
    // SAFETY: `Owned` types keep one open descriptor as long as they live, and
    // the borrow ends before `inner` does.
    unsafe { BorrowedFd::borrow_raw(inner.as_raw_fd()) }
}
