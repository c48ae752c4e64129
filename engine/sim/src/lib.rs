//! A deterministic world for whole nodes: virtual time, a faulty network, hosts that pause, die and
//! come back, clients that join, send and vanish, all from one seed; and checkers that stand outside the nodes.
//!
//! [`Scenario::new`] draws a run from its seed, [`run()`] plays it and judges it ([`check`]). The same seed, the same
//! number of nodes and the same build give the same run, event by event. A run has three parts: chaos, in which faults
//! are injected; healing, after which everything has to be well within a bound; rest, in which slots are
//! counted.
#![forbid(unsafe_code)]

mod behaviour;
pub mod check;
mod clients;
mod clock;
mod content;
mod disk;
mod event;
mod faults;
pub mod history;
mod holdings;
mod host;
mod life;
mod link_faults;
mod network;
mod quorum;
mod recorder;
mod reload;
mod rng;
mod run;
mod scenario;
mod socket;
mod spy;
mod tamper;
mod tracer;
mod turn;
mod world;

pub use check::{Checker, Finding};
pub use run::{Outcome, run};
pub use scenario::{
    DRAIN_NS, FaultWeights, LIVENESS_NS, Load, NEW_KEY_NS, NetworkFaults, Scenario, Stale,
};
pub use tamper::Tamper;
pub use tracer::Tracer;
pub use world::{Counts, Spoil};
