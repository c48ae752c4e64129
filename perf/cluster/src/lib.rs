//! Clusters of real engines on this machine: separate processes on loopback or in network namespaces,
//! with faults (kill, pause, cut, heal) and loads that check what they receive.
//!
//! The demo, the cluster tests and the benchmarks all start their engines here.
#![forbid(unsafe_code)]

mod clock;
mod crossing;
mod engine;
mod fabric;
pub mod failover;
pub mod launch;
pub mod ledger;
pub mod links;
mod namespaces;
mod observer;
mod participant;
mod payload;
mod ports;
mod rig;
mod said;
mod spec;
pub mod stop;
pub mod torture;
pub mod usage;
pub mod weather;
mod worker;

pub use clock::now_ns;
pub use crossing::Crossing;
pub use engine::{Engine, Signal};
pub use failover::Fault;
pub use links::LinkFault;
pub use namespaces::Namespaces;
pub use observer::{Member, Observer, Verdict, ViewId, ViewLog, compare};
pub use participant::{Participant, Rate, Role, SeenView};
pub use ports::free_ports;
pub use rig::{Rig, wait_until};
pub use spec::{Cluster, Place, Second, Spec, render, test_key};
pub use torture::Plan;
