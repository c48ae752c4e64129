//! Process groups on top of the total order.
//!
//! [`Groups`] is a pure machine. Below it stands the ring: frames and configurations come in
//! through [`Groups::deliver`] and [`Groups::configuration`], and the ring asks [`GroupSource`] for
//! frames to number. Above it stand local sessions: they join, leave and die, and read [`Event`]s.
//! Every node applies the same control messages in the same order to the same `table`, so all
//! agree on who is in which group and on the number each group has on the wire. After every change
//! of the ring the nodes tell each other what sessions they have (the sync barrier, `barrier`)
//! before any application message flows again.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;
mod barrier;
pub mod cfg;
mod config;
mod deliver;
mod local;
mod machine;
mod open;
mod quorum;
mod source;
mod status;
mod table;
pub mod votequorum;

pub use api::{
    Cause, Clients, Event, GroupHandle, Messages, Pulled, PulledKind, RefusedReason, View,
};
pub use config::{Config, Limits, MEMBERSHIPS_PER_NODE_MAX, SMALL_SLOTS_RESERVED};
pub use machine::Groups;
pub use quorum::{Quorum, QuorumConfig, QuorumEvent, QuorumTimer};
pub use source::GroupSource;
pub use status::{Counters, GroupStatus, Status};
