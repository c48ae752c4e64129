//! `synchrotron-weather`: the ring over UDP through `sch_netem`, as one JSON object; the order must be identical
//! under every condition.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use synchrotron_cluster::{Place, Spec, weather};

/// Runs a ring in network namespaces under each condition. Needs root and a kernel with `sch_netem`, as the
/// RDMA lab has it.
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
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    message_bytes: usize,
    /// Seconds under each condition.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// MTU of the interfaces.
    #[arg(long, default_value_t = 1500)]
    mtu_bytes: u32,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weather: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let mut program = vec![args.program.clone()];
    if !args.daemon {
        program.push("engine".into());
    }
    let spec = Spec {
        nodes: args.nodes,
        place: Place::Namespaces { mtu_bytes: args.mtu_bytes },
        program,
        encrypted: true,
        extra: Vec::new(),
    };
    let mut results = Vec::new();
    for condition in &weather::CONDITIONS {
        let result = weather::run(&spec, args.message_bytes, args.seconds, condition)?;
        eprintln!("{result}");
        results.push(result);
    }
    let is_good =
        results.iter().all(|result| result["findings"].as_array().is_some_and(Vec::is_empty));
    println!(
        "{}",
        serde_json::json!({
            "nodes": args.nodes, "message_bytes": args.message_bytes, "conditions": results,
        })
    );
    Ok(is_good)
}
