//! `synchrotron-weather`: the ring over UDP through `sch_netem`, as one JSON object; the order must be identical
//! under every condition.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use synchrotron_cluster::launch::{Launch, ended};
use synchrotron_cluster::{Place, weather};

/// Runs a ring in network namespaces under each condition. Needs root and a kernel with `sch_netem`, as the
/// RDMA lab has it.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    launch: Launch,
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
    ended("weather", run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let spec = args.launch.spec(Place::Namespaces { mtu_bytes: args.mtu_bytes });
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
            "nodes": args.launch.nodes, "message_bytes": args.message_bytes, "conditions": results,
        })
    );
    Ok(is_good)
}
