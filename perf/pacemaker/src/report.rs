//! Clusters side by side, and how figures are shown.

use serde::Serialize;

use crate::Run;
use crate::case::{Fault, Outcome, Start};
use crate::conf::{Kind, Timers};
use crate::site::Programs;

/// What came of one cluster.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) timers: Timers,
    /// Given instead, in milliseconds.
    pub(crate) token_ms: Option<u32>,
    pub(crate) fencing: bool,
    pub(crate) start: Start,
    pub(crate) outcomes: Vec<Outcome>,
}

/// Both engines in turn.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Compare {
    /// What fails, one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "engine,host,link,stop,quorum")]
    faults: Vec<Fault>,
    /// With which timers.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "default,fast")]
    timers: Vec<Timers>,
    /// Seconds without a fault before each: a node that restarted owes the longest lease of its last life.
    #[arg(long, default_value_t = 10)]
    pause_s: u64,
    /// Leave out clusters without a power switch.
    #[arg(long)]
    fencing_only: bool,
}

impl Compare {
    /// Measures and prints.
    ///
    /// # Errors
    /// When a cluster does not deal with a fault.
    pub(crate) fn run(&self, programs: &Programs, json: bool) -> anyhow::Result<()> {
        let mut found = Vec::new();
        for no_fencing in [false, true] {
            if no_fencing && self.fencing_only {
                continue;
            }
            for &timers in &self.timers {
                for kind in [Kind::Corosync, Kind::Synchrotron] {
                    let (faults, pause_s) = (self.faults.clone(), self.pause_s);
                    let token_ms = None;
                    let run = Run { kind, timers, token_ms, no_fencing, faults, pause_s };
                    found.push(crate::one(programs, &run)?);
                }
            }
        }
        print(&found, json)
    }
}

/// Prints what was found.
///
/// # Errors
/// When it has no form in JSON.
pub(crate) fn print(found: &[Found], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::json!({ "clusters": serde_json::to_value(found)? }));
        return Ok(());
    }
    println!("seconds from the fault; `-`: does not apply");
    println!(
        "| engine | timers | fencing | fault | told | fence asked | running elsewhere | stopped | whole again |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for cluster in found {
        let fencing = if cluster.fencing { "yes" } else { "no" };
        let timers =
            cluster.token_ms.map_or_else(|| word(&cluster.timers), |ms| format!("{ms} ms"));
        let head = format!("| {} | {timers} | {fencing} |", word(&cluster.kind));
        let Start { quorate_s, online_s, running_s } = cluster.start;
        println!(
            "{head} (start: quorate {quorate_s:.2}, online {online_s:.1}) | - | - | {running_s:.1} | - | - |"
        );
        for outcome in &cluster.outcomes {
            println!(
                "{head} {} | {} | {} | {} | {} | {:.1} |",
                word(&outcome.fault),
                seconds(outcome.noticed_s),
                seconds(outcome.fence_asked_s),
                seconds(outcome.running_s),
                seconds(outcome.stopped_s),
                outcome.whole_again_s
            );
        }
    }
    Ok(())
}

/// A choice, as it is written on the command line.
pub(crate) fn word(choice: &impl clap::ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2}"))
}
