//! Message memory: one region, cut into slots, and the three states a slot can be in.
//!
//! Every byte of every message lives in one [`Pool`]'s region. A slot is either free, lent to a
//! driver (the kernel may write to it), or held by one or more handles:
//!
//! * [`FrameMut`]: a unique, writable range. Received bytes are decrypted here, sent ones built here.
//!   One slot can be cut into several disjoint `FrameMut`s ([`FrameMut::split_to`]), which is how the
//!   segments of one received super-packet become frames of their own without a copy.
//! * [`Frame`]: a shared, immutable range; cloning it counts, dropping the last one frees the slot.
//!
//! Counts live in the engine's own memory, never in the region, because clients map the region
//! (read-only). Handles are neither `Send` nor `Sync`: one hot thread owns all of them, so a count is
//! a plain integer. The crate is `no_std`; the `std` feature adds [`Region`], sealed memory from the
//! operating system.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod frame;
mod pool;
#[cfg(feature = "std")]
mod region;

pub use frame::{Frame, FrameMut, prefetch};
pub use pool::{Class, Lent, Pool, PoolConfig, PoolStats};
#[cfg(feature = "std")]
pub use region::{Region, RegionError};
