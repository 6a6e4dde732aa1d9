//! How frames enter and leave a process: the frame and its pool, TAP devices
//! and capture sockets. The only crate with `unsafe`: it talks to the kernel
//! where no safe wrapper exists.

mod capture;
mod frame;
mod tap;
mod time;
mod watch;

pub use capture::{Captured, CaptureSocket};
pub use frame::{Burst, Csum, Frame, FrameSeq, Pool, BURST, HEADROOM, teardown};
pub use tap::Tap;
pub use time::Time;
pub use watch::{Owned, watch};
