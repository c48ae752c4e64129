//! A node: link, totem and groups composed into one pure machine, the whole brain.
//!
//! [`Node::handle`] takes what happened and the time; [`Node::poll_output`] says what is to be
//! done, until it says nothing more; [`Node::next_timeout`] says when to come back at the latest,
//! and why. The node knows no sockets, no clock and no clients: datagrams and time are arguments,
//! clients are a [`groups::Clients`].
//!
//! Data frames for one destination leave as one burst of segments of equal size, because a packet
//! is dear and bytes are nearly free; the token leaves alone. What arrives in a large slot but is
//! small is copied out of it, so that it does not pin the slot for as long as it is kept.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;
mod burst;
mod config;
mod links;
mod node;
mod owing;
mod receive;
mod status;

pub use api::{Input, Output, Reason};
pub use config::{Config, ConfigError, Reconfiguration};
pub use link::paths::{LinkState, Links, Mode as LinkMode};
pub use node::Node;
pub use owing::Stored;
pub use status::{Counters, NodeCounters, Status};
#[cfg(feature = "mutations")]
pub use totem::Mutation;
pub use totem::{Dest, Lane, Lane as Queue};
