//! Measuring: loads on clusters of real engines, checked while they are measured.
//!
//! The one who measures starts engines (`stage`) and agents (`crew`, `agent`): processes that carry *seats*. A seat
//! (`seat`) is a member of one group on one node; it publishes a `load`, receives everything and keeps an `account`
//! of it, so that every measurement is also a test of the order. Figures come from the seats' clocks, the kernel's
//! accounting (`usage`) and the engines' counters.
#![forbid(unsafe_code)]

mod account;
mod agent;
mod compare;
mod corosync;
mod cpg;
mod crew;
mod desk;
mod failover;
mod figures;
mod host;
mod hosts;
mod load;
mod local;
mod log;
mod measure;
mod model;
mod native;
mod payload;
mod print;
mod protocol;
mod report;
mod results;
mod ring;
mod rows;
mod seat;
mod setup;
mod stage;
mod suite;
mod syscalls;

use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use cluster::{stop, usage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Engines on this machine (or `--hosts`), under every kind of load.
    Local(Box<local::Local>),
    /// Corosync and our engine in turn, under the same loads: one object with both and their ratio.
    Compare(Box<compare::Compare>),
    /// Predict other clusters and networks: the real nodes in virtual time, with costs measured here.
    Model(model::Model),
    /// The rings and bells alone, between threads and between processes, beside iceoryx2.
    Ring(ring::Ring),
    /// From the end of an engine or a host to the new view at every surviving program.
    Failover(failover::Failover),
    /// The table of `docs/performance.md`, row by row: results, logs of all latencies and a report with plots.
    Suite(suite::Suite),
    /// The report of a suite once more, from what it stored.
    Report(report::Report),
    /// Carry load for somebody who measures (used by the other commands).
    #[command(hide = true)]
    Agent,
    /// The other process of `ring`.
    #[command(hide = true)]
    RingEnd(ring::End),
}

impl Bench {
    /// Whether it starts nothing that has to be put in order if it ends in the middle of a line.
    pub fn only_prints(&self) -> bool {
        match self {
            Self::Suite(suite) => suite.only_prints(),
            Self::Report(_) => true,
            _ => false,
        }
    }
}

/// Measures and prints.
///
/// # Errors
/// When something cannot be measured, or what was received was not right.
pub fn run(bench: &Bench, json: bool) -> anyhow::Result<()> {
    let tool = std::env::current_exe().context("cannot find our own executable")?;
    if !matches!(bench, Bench::Agent | Bench::RingEnd(_)) {
        stop::listen()?;
    }
    match bench {
        Bench::Local(local) => local.run(&tool, json),
        Bench::Compare(compare) => compare.run(&tool, json),
        Bench::Model(model) => model.run(json),
        Bench::Ring(ring) => ring.run(&tool, json),
        Bench::Failover(failover) => failover.run(&tool, json),
        Bench::Suite(suite) => suite.run(&tool, json),
        Bench::Report(report) => report.run(json),
        Bench::Agent => agent::run(),
        Bench::RingEnd(end) => end.run(),
    }
}

/// A sign of life, on the terminal only.
fn bar(json: bool) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
