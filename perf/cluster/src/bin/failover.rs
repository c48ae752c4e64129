//! `synchrotron-failover`: time from a fault to the new view at every surviving program, many times over.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use synchrotron_cluster::{Fault, Place, Rate, Rig, Spec, failover};

/// Measures fail-over in network namespaces.
#[derive(Parser)]
struct Args {
    /// The tool that carries the engine.
    #[arg(long, default_value = "target/release/synchrotron")]
    program: PathBuf,
    /// Engines.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// How the victim goes.
    #[arg(long, value_enum, default_value_t = Kind::Kill)]
    fault: Kind,
    /// How often.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Messages a second from every node meanwhile.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// SIGKILL of the engine.
    Kill,
    /// The host's cable is pulled.
    Unplug,
    /// SIGTERM: announced.
    Leave,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failover: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let spec = Spec {
        nodes: args.nodes,
        place: Place::Namespaces { mtu_bytes: 1500 },
        program: vec![args.program.clone(), "engine".into()],
        encrypted: true,
        extra: Vec::new(),
    };
    let fault = match args.fault {
        Kind::Kill => Fault::Kill,
        Kind::Unplug => Fault::Unplug,
        Kind::Leave => Fault::Leave,
    };
    let mut rig = Rig::start(spec, 64, Duration::from_secs(60))?;
    let mut times_ms = Vec::new();
    for round in 0..args.rounds {
        rig.set_rate(Rate::PerSecond(args.rate));
        std::thread::sleep(Duration::from_secs(1));
        // Never the same one twice running; the representative has its turn too.
        let victim = (args.nodes - 1 + round) % args.nodes;
        times_ms.push(failover::measure(&mut rig, victim, fault)? as f64 / 1e6);
        failover::restore(&mut rig, victim, fault)?;
    }
    times_ms.sort_by(f64::total_cmp);
    let median = times_ms[times_ms.len() / 2];
    println!(
        "{}",
        serde_json::json!({ "nodes": args.nodes, "fault": format!("{fault:?}"), "median_ms": median,
            "min_ms": times_ms[0], "max_ms": times_ms[times_ms.len() - 1], "all_ms": times_ms })
    );
    Ok(())
}
