//! Votequorum: who may act for the cluster, decided by votes.
//!
//! [`Votequorum`] is a pure machine of its own, without a ring: it takes the members of a new ring
//! ([`Votequorum::sync_start`], [`Votequorum::sync_end`]), messages of all members in their total
//! order ([`Votequorum::deliver`]), requests of local programs and the time, and puts out messages
//! to send and [`Event`]s. The rules are those of Corosync's votequorum(5): `wait_for_all`,
//! `last_man_standing`, `auto_tie_breaker`, `allow_downscale`, `expected_votes_tracking`, `two_node`, a
//! quorum device. What is decided from the table of nodes stands in `decide`, without any state of
//! its own; how the configuration's features go together stands in `options`.
//!
//! Whether a node that has a quorum may still act on it, although it has not heard of the others for
//! a while, is the lease's affair (`crate::quorum`).

mod api;
mod count;
mod decide;
mod device;
mod extra;
mod info;
mod machine;
mod messages;
mod options;
mod sync;
mod table;

pub use api::{Event, News, Refusal, Timer};
pub use decide::{highest_expected, votes_needed};
pub use device::DeviceStatus;
pub use info::{Features, InfoFlags, NodeStatus};
pub use machine::Votequorum;
pub use options::{DeviceOptions, Options, Plan, Problem, TieBreaker};
pub use table::{DEVICE, Entry, NodeFlags, NodeState, Table};
