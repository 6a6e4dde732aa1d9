//! How frames enter and leave a process: the frame and its pool, TAP devices
//! and capture sockets. The only crate with `unsafe`: it talks to the kernel
//! where no safe wrapper exists.

mod capture;
mod frame;
mod tap;
pub mod time;
mod watch;

pub use capture::{CaptureSocket, Captured};
pub use frame::{BURST, Burst, Csum, Frame, FrameSeq, HEADROOM, Pool, teardown};
pub use tap::Tap;
pub use time::Time;
pub use watch::{Owned, borrow, watch};
