//! `synchrotron-steady`: a ring under a steady load while something else takes every core; the views
//! must not change.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::ProgressBar;
use synchrotron_cluster::launch::{Launch, ended};
use synchrotron_cluster::{Place, Rate, Rig};

/// Runs a cluster in network namespaces beside threads that only burn time, and counts view changes.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    launch: Launch,
    /// Seconds under load.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Threads that take all the time they get.
    #[arg(long, default_value_t = 2)]
    hogs: usize,
    /// Messages a second from every node.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
}

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    ended("steady", run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let spec = args.launch.spec(Place::Namespaces { mtu_bytes: 1500 });
    let mut rig = Rig::start(spec, 64, PATIENCE)?;
    let views = |rig: &Rig| rig.participants.iter().map(|p| p.views().len()).sum::<usize>();
    let before = views(&rig);
    let stop = AtomicBool::new(false);
    let bar = ProgressBar::new(args.seconds);
    std::thread::scope(|scope| {
        for _ in 0..args.hogs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        rig.participants[0].measure(true);
        rig.set_rate(Rate::PerSecond(args.rate));
        let start = Instant::now();
        while start.elapsed().as_secs() < args.seconds {
            std::thread::sleep(Duration::from_secs(1));
            bar.set_position(start.elapsed().as_secs());
        }
        stop.store(true, Ordering::Relaxed);
    });
    bar.finish_and_clear();
    let latency = rig.participants[0].latency();
    rig.settle(PATIENCE)?;
    let (changes, messages) = (views(&rig) - before, rig.delivered());
    let (_, verdict) = rig.verdict();
    let at_us = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{}",
        serde_json::json!({
            "nodes": args.launch.nodes, "hogs": args.hogs, "seconds": args.seconds, "deliveries": messages,
            "view_changes": changes, "findings": verdict.findings,
            "latency_us": { "p50": at_us(0.5), "p99": at_us(0.99), "p99_9": at_us(0.999) },
        })
    );
    Ok(changes == 0 && verdict.findings.is_empty())
}
