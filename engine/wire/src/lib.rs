//! Frame formats: checked views over received bytes, emitters, and the small types every layer shares.
//!
//! Numbers are little-endian; every length is compared with the bytes at hand before it is used.
//! Nothing here knows a clock, a socket or a state machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod ids;
pub mod link;
pub mod run;
pub mod trace;

pub use error::WireError;
pub use ids::{BootId, MemberId, NodeId, RingId};
