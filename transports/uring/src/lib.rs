//! UDP over io_uring: datagrams land by multishot receives in slots of the engine's region.
//!
//! A node has three sockets: one for the token, one for data sent to it alone (which also sends
//! everything but tokens), and one for the multicast group. Bursts are segmented (GSO) and merged
//! (GRO) by the kernel, so that one pass through its stack carries up to 64 datagrams; on virtual links
//! and loopback that is worth more than any other choice (docs/adr/0007). Datagrams are never
//! fragmented: the largest one follows the path's MTU.
//!
//! The crate knows no protocol. It needs Linux 6.0; where something newer or optional is missing it
//! works without and says so ([`Warning`]), and where it cannot, it says exactly why ([`Error`]).

mod buffers;
mod complete;
mod config;
mod counters;
mod error;
mod open;
mod peers;
mod receive;
mod ring;
mod sends;
mod sockets;
mod sockopt;
mod tethers;
mod transport;
mod watches;

pub use config::{Config, Multicast, Peer, Warning};
pub use counters::Counters;
pub use error::Error;
pub use peers::PeerError;
pub use ring::probe;
pub use transport::UdpTransport;
