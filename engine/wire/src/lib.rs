//! Frame formats: checked views over received bytes, emitters, and the small types every layer shares.
//!
//! Numbers are little-endian; every length is compared with the bytes at hand before it is used.
//! Nothing here knows a clock, a socket or a state machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod beacon;
pub mod cfg;
mod codec;
pub mod commit;
pub mod control;
mod counters;
pub mod data;
mod error;
pub mod hello;
mod ids;
pub mod join;
mod kind;
pub mod link;
pub mod probe;
pub mod quorum;
pub mod repair;
pub mod run;
mod set;
pub mod state;
pub mod token;
pub mod trace;

pub use error::WireError;
pub use ids::{BootId, MemberId, NodeId, RingId};
pub use kind::{CONTROL_BYTES_MAX, Kind};
pub use set::{NODES_MAX, NodeSet};
