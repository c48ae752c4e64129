//! `synchrotron bench ring`: the rings and bells alone, between threads and between processes, and iceoryx2 beside
//! them.

#[cfg(feature = "iceoryx2")]
mod iceoryx;
mod ours;
mod pair;
mod threads;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::host::{self, Host};

pub(crate) use pair::{End, Found, Versus};

/// Options of `bench ring`.
#[derive(Clone, Debug, Args)]
pub struct Ring {
    /// Seconds to wait for the machine to become idle before; whether it was is reported.
    #[arg(long, default_value_t = 10.0, value_parser = crate::setup::patience)]
    patience: f64,
    /// How often everything is measured.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u8).range(1..=99))]
    runs: u8,
}

/// What was measured of one thing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RingFigure {
    /// What.
    pub(crate) what: String,
    /// Of what `median` and `best` are numbers.
    pub(crate) unit: String,
    /// The middle of all runs: what the machine let it do.
    pub(crate) median: f64,
    /// The best of all runs: what it can do.
    pub(crate) best: f64,
}

/// What `bench ring --json` prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) host: Host,
    /// Share of the machine that was idle before, from 0 to 1.
    pub(crate) idle_before: f64,
    /// How often everything was measured.
    #[serde(default)]
    pub(crate) runs: u8,
    /// Between threads.
    pub(crate) rings: Vec<RingFigure>,
    /// Between threads, between processes, and iceoryx2 between processes, taking turns.
    pub(crate) processes: Vec<Versus>,
    /// Why iceoryx2 was not measured, if it was not.
    pub(crate) iceoryx2_absent: Option<String>,
}

impl Ring {
    /// Measures and prints.
    ///
    /// # Errors
    /// When the other process does not start or does not answer.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        let bar = crate::bar(json);
        bar.set_message("waiting for an idle machine");
        let idle_before = host::wait_idle(Duration::from_secs_f64(self.patience));
        bar.set_message("rings between processes");
        let processes = pair::measure(tool, self.runs.into())?;
        bar.set_message("rings between threads");
        let rings = threads::figures(self.runs.into());
        bar.finish_and_clear();
        let host = Host::here();
        let iceoryx2_absent = pair::absent();
        let report =
            Report { host, idle_before, runs: self.runs, rings, processes, iceoryx2_absent };
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print(&report);
        }
        Ok(())
    }
}

fn print(report: &Report) {
    for figure in &report.rings {
        let RingFigure { what, unit, median, best } = figure;
        println!("{what:<66} {median:>8.1} {unit} (best {best:.1})");
    }
    for versus in &report.processes {
        println!("{}", versus.what);
        for (name, found) in versus.named() {
            println!(
                "  {name:<64} {:>8.1} {} ({:.1} to {:.1})",
                found.median, versus.unit, found.min, found.max
            );
        }
        if let Some(ratio) = &versus.ratio {
            println!(
                "  ratio {:.2} ({:.2} to {:.2}), above 1 in our favour",
                ratio.median, ratio.min, ratio.max
            );
        }
    }
    if let Some(reason) = &report.iceoryx2_absent {
        println!("iceoryx2 was not measured: {reason}");
    }
}
