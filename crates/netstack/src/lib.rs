//! TCP and UDP for hosts: smoltcp inside, sockets with tokio's traits outside.
//!
//! [`Sockets`] is the transport layer as a part of an element: packets and time
//! go in, packets come out. [`Host`] is a whole element: an IPv4 host on its
//! ports. [`Net`] is what tasks hold to open sockets.
//!
//! One smoltcp `Interface` serves all connections, each in a `SocketSet` of its
//! own, found by its 4-tuple in a keyed map: the cost of a segment does not grow
//! with the number of connections.

#![forbid(unsafe_code)]

mod connection;
mod device;
mod errors;
mod host;
pub mod http;
mod net;
pub mod resolve;
mod segment;
mod sockets;
mod stream;
mod trail;
mod udp;

pub use host::Host;
pub use net::{ConnectError, Net};
pub use sockets::{Limits, Sockets};
pub use stream::{TcpListener, TcpStream};
pub use trail::{Due, Trail};
pub use udp::UdpSocket;
