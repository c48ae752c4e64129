//! The Totem single-ring protocol: total order, membership and recovery as one pure machine.
//!
//! [`Totem`] is the whole protocol of one node. It sees only `(now, input)` and yields [`Output`]s.
//! Its parts: `ordering` (frames, delivery), `visit` (the token here), `rest` (the token kept),
//! `watch` (who is there meanwhile), `question`, `repair`, `resend`, `flow`, `rotation` on an installed ring; `gather`,
//! `membership`, `recovery`, `install`, `clique`, `merge` between rings; `detector` for dead processes and our own
//! pauses. Rules and frame formats: `docs/protocol.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;
mod asked;
mod cause;
mod change;
mod clique;
mod config;
mod counters;
mod ctx;
mod detector;
mod feed;
mod flow;
mod gather;
mod install;
mod lease;
mod machine;
mod members;
mod membership;
mod merge;
mod mutation;
mod ordering;
mod question;
mod receive;
mod recovery;
mod repair;
mod resend;
mod rest;
mod rotation;
mod status;
#[cfg(test)]
mod tests;
mod timers;
mod visit;
mod watch;
mod window;

pub use api::{
    Configuration, ConfigurationKind, Delivered, Dest, Lane, Output, Payload, Source, TokenTimeout,
};
pub use cause::{Cause, Evidence};
pub use change::Change;
pub use config::{Config, PAYLOAD_BYTES_MIN, Tuning};
pub use counters::Counters;
pub use lease::{Lease, Owed, owed_ns_max};
pub use machine::Totem;
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
#[cfg(not(feature = "mutations"))]
pub(crate) use mutation::Mutation;
pub use status::{State, Status};
pub use timers::Timer;
