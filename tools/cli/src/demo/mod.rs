//! `synchrotron demo`: a cluster of real engines on this machine, loaded, hurt and healed.

mod report;

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use cluster::{Fault, Participant, Place, Rate, Rig, Spec, failover, wait_until};
use indicatif::{ProgressBar, ProgressStyle};

use report::Report;

/// Options of `demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Engines to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=32))]
    nodes: u16,
    /// Bytes of each message.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    message_bytes: u32,
    /// Seconds of flood.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=30))]
    seconds: u64,
    /// Encrypt between the engines (as between hosts).
    #[arg(long)]
    encrypted: bool,
}

/// Longest wait for the ring to form, heal or drain.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages a second while latency is measured: an idle ring.
const CALM_RATE: u64 = 500;

/// Messages a second of each node while an engine is killed.
const BUSY_RATE: u64 = 2000;

/// Steps of the progress bar.
const STEPS: u64 = 6;

/// Runs the demo and prints its table.
pub(crate) fn run(options: &Demo, json: bool) -> anyhow::Result<()> {
    let bar = ProgressBar::new(STEPS);
    if json {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar.set_style(
        ProgressStyle::with_template("[{bar:24}] {elapsed} {msg}")?.progress_chars("=> "),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let report = drive(options, &bar)?;
    bar.finish_and_clear();
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    anyhow::ensure!(
        report.order_identical,
        "the subscribers disagree: {}",
        report.findings.join("; ")
    );
    Ok(())
}

fn spec(options: &Demo) -> anyhow::Result<Spec> {
    let nodes = usize::from(options.nodes);
    let program = std::env::current_exe().context("cannot find our own executable")?;
    Ok(Spec {
        nodes,
        place: Place::Loopback { base_port: cluster::free_ports(2 * options.nodes + 1)? },
        program: vec![program, "engine".into()],
        encrypted: options.encrypted,
        extra: Vec::new(),
    })
}

fn drive(options: &Demo, bar: &ProgressBar) -> anyhow::Result<Report> {
    let nodes = usize::from(options.nodes);
    let mut report = Report { nodes, message_bytes: options.message_bytes, ..Report::default() };
    bar.set_message(format!("starting {nodes} engines"));
    let start = Instant::now();
    let mut rig = Rig::start(spec(options)?, options.message_bytes as usize, PATIENCE)?;
    report.formation_ms = start.elapsed().as_secs_f64() * 1e3;

    step(bar, "latency of single messages on an idle ring");
    rig.participants[0].measure(true);
    rig.participants[0].set_rate(Rate::PerSecond(CALM_RATE));
    std::thread::sleep(Duration::from_secs(2));
    rig.participants[0].measure(false);
    report.latency(&rig.participants[0].latency());

    step(bar, "flood from every node, a subscriber on every node");
    flood(&mut rig, Duration::from_secs(options.seconds), bar, &mut report)?;

    let victim = nodes - 1;
    step(bar, &format!("killing engine {} under load", victim + 1));
    rig.set_rate(Rate::PerSecond(BUSY_RATE));
    std::thread::sleep(Duration::from_millis(500));
    report.failover_ms = failover::measure(&mut rig, victim, Fault::Kill)? as f64 / 1e6;
    std::thread::sleep(Duration::from_millis(500));

    step(bar, &format!("bringing engine {} back", victim + 1));
    drain(&rig)?;
    let start = Instant::now();
    failover::restore(&mut rig, victim, Fault::Kill)?;
    report.rejoin_ms = start.elapsed().as_secs_f64() * 1e3;
    rig.set_rate(Rate::PerSecond(BUSY_RATE));
    std::thread::sleep(Duration::from_millis(500));

    step(bar, "comparing what the subscribers saw");
    rig.settle(PATIENCE)?;
    report.messages = rig.participants.iter().map(|p| p.sent_in_all()).sum();
    report.deliveries = rig.delivered();
    let (observers, verdict) = rig.verdict();
    report.compare(&observers, verdict);
    Ok(report)
}

fn step(bar: &ProgressBar, what: &str) {
    bar.inc(1);
    bar.set_message(what.to_owned());
}

/// Floods for a while; the rate is what the first node's subscriber received in the time from the first
/// second on (the start is slower and would only blur the figure).
fn flood(
    rig: &mut Rig,
    time: Duration,
    bar: &ProgressBar,
    report: &mut Report,
) -> anyhow::Result<()> {
    rig.set_rate(Rate::Flood);
    let warm_up = Duration::from_millis(300);
    std::thread::sleep(warm_up);
    let (start, before) = (Instant::now(), rig.participants[0].delivered());
    while start.elapsed() < time {
        std::thread::sleep(Duration::from_millis(100));
        let messages = rig.participants[0].delivered() - before;
        let rate = messages as f64 / start.elapsed().as_secs_f64();
        bar.set_message(format!("flood from every node: {:.2} M messages/s ordered", rate / 1e6));
    }
    let messages = rig.participants[0].delivered() - before;
    report.messages_per_second = messages as f64 / start.elapsed().as_secs_f64();
    drain(rig)
}

/// Stops publishing and waits until everybody has its own messages back.
fn drain(rig: &Rig) -> anyhow::Result<()> {
    rig.set_rate(Rate::Silent);
    let running = |p: &&Participant| p.is_connected();
    let calm = wait_until(PATIENCE, || {
        rig.participants.iter().filter(running).all(Participant::is_settled)
    });
    anyhow::ensure!(calm, "the load did not drain in {PATIENCE:?}");
    Ok(())
}
