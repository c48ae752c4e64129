//! A simulator of votes: what each part of a cluster would decide, without a cluster.
//!
//! Nodes of `groups::votequorum` are put into partitions, moved, split and joined, and say whether they
//! have a quorum. Commands and output are those of corosync-vqsim(8), so that its scripts run here. Time
//! is an argument ([`Simulator::advance`]); only the program has a clock.
#![forbid(unsafe_code)]

mod command;
mod conf;
mod program;
mod simulator;

pub use command::{Flow, Shell};
pub use conf::{ConfError, read_conf};
pub use program::{command, main_with};
pub use simulator::{PARTITIONS, Simulator};
