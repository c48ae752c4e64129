//! `synchrotron-torture`: a long load through every fault, then the comparison of what everybody saw.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use synchrotron_cluster::launch::{Launch, ended};
use synchrotron_cluster::{Crossing, Place, Plan, Rate, Second, Spec, torture};

/// Loads a cluster of real engines in network namespaces, hurts it and compares what its subscribers saw.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    launch: Launch,
    /// Deliveries, all subscribers together.
    #[arg(long, default_value_t = 10_000_000)]
    deliveries: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    message_bytes: usize,
    /// Decides who is hit and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// MTU of the interfaces.
    #[arg(long, default_value_t = 1500)]
    mtu_bytes: u32,
    /// Loopback instead of namespaces: no root needed, no network faults; the first UDP port.
    #[arg(long)]
    loopback: Option<u16>,
    /// In the RDMA lab: engines over verbs, and faults of RDMA ports and devices.
    #[arg(long, conflicts_with = "loopback")]
    rdma: bool,
    /// With `--rdma`: a second link over this, and faults of either link.
    #[arg(long, requires = "rdma")]
    second_link: Option<SecondLink>,
    /// Messages that each program publishes in a second; 0: as many as the engine takes (that is what they do without
    /// this option, but for `--second-link`: 2000).
    #[arg(long)]
    rate: Option<u64>,
    /// A fault to make, instead of all; may be given several times.
    #[arg(long = "fault")]
    faults: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What carries the second link.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SecondLink {
    Udp,
    Verbs,
}

fn main() -> ExitCode {
    ended("torture", run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let place = match args.loopback {
        Some(base_port) => Place::Loopback { base_port },
        None if args.rdma => match args.second_link {
            None => Place::Rdma,
            Some(SecondLink::Udp) => Place::RdmaAnd { second: Second::Udp },
            Some(SecondLink::Verbs) => Place::RdmaAnd { second: Second::Verbs },
        },
        None => Place::Namespaces { mtu_bytes: args.mtu_bytes },
    };
    let known = torture::faults(place);
    if let Some(name) = args.faults.iter().find(|name| !known.contains(&name.as_str())) {
        anyhow::bail!("--fault {name:?} cannot be made here; there are {known:?}");
    }
    let encrypted = args.loopback.is_none();
    let spec = Spec { encrypted, extra: calm_token(place), ..args.launch.spec(place) };
    let (deliveries, message_bytes) = (args.deliveries, args.message_bytes);
    let faults = args.faults.clone();
    let load = args.rate.map(|rate| if rate == 0 { Rate::Flood } else { Rate::PerSecond(rate) });
    let plan = Plan { spec, deliveries, message_bytes, seed: args.seed, faults, load };
    let bar = ProgressBar::new(deliveries);
    bar.set_style(ProgressStyle::with_template(
        "[{bar:30}] {human_pos} deliveries, {elapsed} {msg}",
    )?);
    bar.enable_steady_tick(Duration::from_millis(250));
    let report = torture::run(&plan, |delivered, fault| {
        bar.set_position(delivered);
        bar.set_message(fault.to_owned());
    })?;
    bar.finish_and_clear();
    let good = report.verdict.findings.is_empty();
    let object = serde_json::json!({
        "nodes": args.launch.nodes,
        "seed": args.seed,
        "messages": report.messages,
        "deliveries": report.deliveries,
        "seconds": report.seconds,
        "faults": report.faults.iter().map(|fault| fault.name).collect::<Vec<_>>(),
        "crossings": report.faults.iter().filter_map(|fault| {
            Some((fault.name, crossing(fault.crossing.as_ref()?)))
        }).collect::<Vec<_>>(),
        "heals_ms": report.faults.iter().map(|fault| fault.heal_ms).collect::<Vec<_>>(),
        "heal_ms_max": report.heal_ms_max,
        "views_compared": report.verdict.together,
        "messages_compared": report.verdict.messages,
        "findings": report.verdict.findings,
    });
    if args.json {
        println!("{object}");
    } else {
        println!("{object:#}");
    }
    if good && !args.json {
        println!("{} nodes, {} messages, order identical", args.launch.nodes, report.messages);
    }
    Ok(good)
}

/// With two links no view may change: the token timeout is far longer than anything that happens to a link takes, even
/// on an emulated machine with much else to do.
fn calm_token(place: Place) -> Vec<(String, String)> {
    match place {
        Place::RdmaAnd { .. } => vec![("totem".into(), "token_timeout = \"5s\"".into())],
        _ => Vec::new(),
    }
}

/// Times without a delivery, in milliseconds.
fn crossing(of: &Crossing) -> serde_json::Value {
    let ms = |ns: u64| ns as f64 / 1e6;
    serde_json::json!({
        "moved": of.moved,
        "before_ms": ms(of.before_ns),
        "broken_ms": ms(of.broken_ns),
        "mended_ms": ms(of.mended_ns),
    })
}
