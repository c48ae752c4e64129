//! `synchrotron-ledger`: what a ring costs at rest and under load, counted by its engines, as one JSON object.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use synchrotron_cluster::launch::{Launch, ended};
use synchrotron_cluster::{Place, Rig, Spec, ledger};

/// Runs a ring in the RDMA lab (or over UDP) idle, lightly loaded and flooded, and reports every counter
/// for each message, processor time of the engines, and latency.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    launch: Launch,
    /// Loopback instead of the lab's soft-RoCE devices; the first UDP port.
    #[arg(long)]
    loopback: Option<u16>,
    /// In network namespaces with so many links instead, which needs root.
    #[arg(long, conflicts_with = "loopback")]
    links: Option<usize>,
    /// After the other parts a flood from the first node alone.
    #[arg(long)]
    lone: bool,
    /// `engine.idle` of the engines.
    #[arg(long, default_value = "park")]
    idle: String,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    message_bytes: usize,
    /// Seconds of each part.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Messages a second under the light load.
    #[arg(long, default_value_t = 100)]
    light_rate: u64,
}

/// How long the ring may take to form.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    ended("ledger", run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let place = match (args.loopback, args.links) {
        (Some(base_port), _) => Place::Loopback { base_port },
        (None, Some(count)) => Place::Links { count },
        (None, None) => Place::Rdma,
    };
    let extra = vec![("engine".into(), format!("idle = {:?}", args.idle))];
    let spec = Spec { extra, ..args.launch.spec(place) };
    let mut rig = Rig::start(spec, args.message_bytes, PATIENCE)?;
    let plan =
        ledger::Plan { seconds: args.seconds, light_rate: args.light_rate, has_lone: args.lone };
    let parts = ledger::run(&mut rig, &plan)?;
    let (_, verdict) = rig.verdict();
    anyhow::ensure!(verdict.findings.is_empty(), "{:?}", verdict.findings);
    let result = serde_json::json!({
        "nodes": args.launch.nodes, "idle": args.idle, "message_bytes": args.message_bytes, "parts": parts,
    });
    println!("{result}");
    Ok(true)
}
