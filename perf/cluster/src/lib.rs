//! Clusters of real engines on this machine: separate processes on loopback or in network namespaces,
//! with faults (kill, pause, cut, heal) and loads that check what they receive.
//!
//! The demo, the cluster tests and the benchmarks all start their engines here.
#![forbid(unsafe_code)]

mod engine;
mod namespaces;
mod observer;
mod spec;

pub use engine::{Engine, Signal};
pub use namespaces::Namespaces;
pub use observer::{Member, Observer, Verdict, ViewId, ViewLog, compare};
pub use spec::{Cluster, Place, Spec};
