//! `synchrotron-ledger`: what a ring costs at rest and under load, counted by its engines, as one JSON object.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use synchrotron_cluster::{Place, Rig, Spec, ledger};

/// Runs a ring in the RDMA lab (or on loopback) idle, lightly loaded and flooded, and reports every counter
/// for each message, processor time of the engines, and latency.
#[derive(Parser)]
struct Args {
    /// The tool that carries the engine, or `synchrotrond` with `--daemon`.
    #[arg(long, default_value = "target/release/synchrotron")]
    program: PathBuf,
    /// The program is `synchrotrond`, started as it is instead of as `synchrotron engine`.
    #[arg(long)]
    daemon: bool,
    /// Engines.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Loopback instead of the lab's soft-RoCE devices; the first UDP port.
    #[arg(long)]
    loopback: Option<u16>,
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
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledger: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let mut program = vec![args.program.clone()];
    if !args.daemon {
        program.push("engine".into());
    }
    let place = args.loopback.map_or(Place::Rdma, |base_port| Place::Loopback { base_port });
    let spec = Spec {
        nodes: args.nodes,
        place,
        program,
        encrypted: true,
        extra: vec![("engine".into(), format!("idle = {:?}", args.idle))],
    };
    let mut rig = Rig::start(spec, args.message_bytes, PATIENCE)?;
    let plan = ledger::Plan { seconds: args.seconds, light_rate: args.light_rate };
    let parts = ledger::run(&mut rig, &plan)?;
    let (_, verdict) = rig.verdict();
    anyhow::ensure!(verdict.findings.is_empty(), "{:?}", verdict.findings);
    let result = serde_json::json!({
        "nodes": args.nodes, "idle": args.idle, "message_bytes": args.message_bytes, "parts": parts,
    });
    println!("{result}");
    Ok(())
}
