//! `synchrotron-sim`: plays seeds and says which of them break a promise.
//!
//! Exit codes: 0 all well, 1 a safety promise broken, 2 wrong arguments, 3 only liveness broken, 4 a crash.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use synchrotron_sim::{Counts, Outcome, Scenario, Spoil, Tracer};

/// Exit code when a safety promise was broken.
const EXIT_SAFETY: u8 = 1;
/// Exit code when only liveness was broken.
const EXIT_LIVENESS: u8 = 3;
/// Exit code when a node or a checker panicked.
const EXIT_CRASH: u8 = 4;

/// Plays whole clusters in virtual time, one per seed, and checks what they promise.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Args {
    /// How many seeds, counted up from --seed.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of nodes, 1 to 64, instead of the one the seed draws.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    nodes: Option<u32>,
    /// Reloads among most of the faults of every seed.
    #[arg(long)]
    reloads: bool,
    /// Worlds played at once.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Worlds in which nothing fails but links, and one always works: the ring must stay what it is.
    #[arg(long, conflicts_with = "nodes")]
    sparing_links: bool,
    /// One JSON object per failing seed, and one at the end.
    #[arg(long)]
    json: bool,
    /// Prints every event of every seed, one line each.
    #[arg(long)]
    trace: bool,
    /// Prints at the end what the nodes counted, all seeds together.
    #[arg(long)]
    counters: bool,
    /// Goes on after the first failing seed.
    #[arg(long)]
    keep_going: bool,
}

/// What a seed came to.
enum Verdict {
    Done(Box<Summary>),
    Crashed(String),
}

/// What is kept of an [`Outcome`].
struct Summary {
    nodes: u32,
    findings: Vec<(&'static str, String)>,
    broke_promise: bool,
    events: u64,
    delivered: u64,
    configurations: u64,
    recovery_ns: u64,
    counters: Counts,
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    failed: u64,
    broke_promise: u64,
    stuck: u64,
    crashed: u64,
    events: u64,
    delivered: u64,
    configurations: u64,
    slowest_recovery_ns: u64,
    counters: Counts,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let started = Instant::now();
    let bar = progress(&args);
    let mut totals = Totals::default();
    let stop = AtomicU64::new(u64::MAX);
    let next = AtomicU64::new(args.seed);
    let end = args.seed.saturating_add(args.seeds);
    let (results, verdicts) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..args.threads.clamp(1, 256) {
            let (results, next, stop, args) = (results.clone(), &next, &stop, &args);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let done = seed >= end || seed > stop.load(Ordering::Relaxed);
                    if done || results.send((seed, play(seed, args))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(results);
        for (seed, verdict) in verdicts {
            let failed = note(&mut totals, &args, seed, &verdict, &bar);
            if failed && !args.keep_going {
                stop.fetch_min(seed, Ordering::Relaxed);
            }
            bar.inc(1);
        }
    });
    bar.finish_and_clear();
    if args.counters {
        for ((layer, name), value) in &totals.counters {
            println!("{layer:>6} {name:<32} {value}");
        }
    }
    summary(&args, &totals, started);
    ExitCode::from(match &totals {
        t if t.crashed > 0 => EXIT_CRASH,
        t if t.broke_promise > 0 => EXIT_SAFETY,
        t if t.stuck > 0 => EXIT_LIVENESS,
        _ => 0,
    })
}

fn progress(args: &Args) -> ProgressBar {
    if args.trace || args.json || args.seeds < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds {per_sec} {eta}");
    ProgressBar::new(args.seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn play(seed: u64, args: &Args) -> Verdict {
    let tracer = Tracer::new(args.trace);
    let drawn = || match args.sparing_links {
        true => Scenario::sparing_links(seed),
        false => Scenario::new(seed, args.nodes),
    };
    let run = || {
        let scenario = if args.reloads { drawn().with_many_reloads() } else { drawn() };
        synchrotron_sim::run(scenario, tracer, Spoil::default())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => Verdict::Done(Box::new(keep(&outcome))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Verdict::Crashed(text.unwrap_or_else(|| "panic".to_owned()))
        }
    }
}

fn keep(outcome: &Outcome) -> Summary {
    Summary {
        nodes: outcome.nodes,
        findings: outcome.findings.iter().map(|f| (f.checker.name(), f.text.clone())).collect(),
        broke_promise: outcome.broke_promise(),
        events: outcome.events,
        delivered: outcome.delivered,
        configurations: outcome.configurations,
        recovery_ns: outcome.recovery_ns,
        counters: outcome.counters.clone(),
    }
}

/// Counts a verdict and reports it if it is bad. Returns whether it is.
fn note(totals: &mut Totals, args: &Args, seed: u64, verdict: &Verdict, bar: &ProgressBar) -> bool {
    totals.seeds += 1;
    let (kind, nodes, findings) = match verdict {
        Verdict::Done(s) => {
            totals.events += s.events;
            totals.delivered += s.delivered;
            totals.configurations += s.configurations;
            totals.slowest_recovery_ns = totals.slowest_recovery_ns.max(s.recovery_ns);
            for (key, value) in &s.counters {
                *totals.counters.entry(*key).or_default() += value;
            }
            if s.findings.is_empty() {
                return false;
            }
            let kind = if s.broke_promise { "safety" } else { "liveness" };
            (kind, Some(s.nodes), s.findings.clone())
        }
        Verdict::Crashed(text) => ("crash", args.nodes, vec![("crash", text.clone())]),
    };
    totals.failed += 1;
    match kind {
        "crash" => totals.crashed += 1,
        "safety" => totals.broke_promise += 1,
        _ => totals.stuck += 1,
    }
    let nodes = nodes.map_or(String::new(), |n| format!(" --nodes {n}"));
    let reloads = if args.reloads { " --reloads" } else { "" };
    let replay = format!("cargo xtask sim --seed {seed}{nodes}{reloads}");
    bar.suspend(|| {
        if args.json {
            let list: Vec<String> = findings
                .iter()
                .map(|(checker, text)| {
                    format!("{{\"checker\":\"{checker}\",\"text\":{}}}", quoted(text))
                })
                .collect();
            println!(
                "{{\"seed\":{seed},\"kind\":\"{kind}\",\"replay\":\"{replay}\",\"findings\":[{}]}}",
                list.join(",")
            );
        } else {
            println!("seed {seed}: {kind}; replay: {replay}");
            for (checker, text) in &findings {
                println!("    {checker}: {text}");
            }
        }
        let _ = std::io::stdout().flush();
    });
    true
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

fn summary(args: &Args, t: &Totals, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let slowest_ms = t.slowest_recovery_ns / 1_000_000;
    if args.json {
        println!(
            "{{\"seeds\":{},\"failed\":{},\"unsafe\":{},\"stuck\":{},\"crashed\":{},\
             \"events\":{},\"delivered\":{},\"configurations\":{},\
             \"slowest_recovery_ms\":{slowest_ms},\"seconds\":{seconds:.3}}}",
            t.seeds,
            t.failed,
            t.broke_promise,
            t.stuck,
            t.crashed,
            t.events,
            t.delivered,
            t.configurations
        );
        return;
    }
    println!(
        "{} seeds, {} failed ({} safety, {} liveness, {} crash); {} deliveries, {} configurations, \
         {} events; slowest recovery {slowest_ms} ms of virtual time; {:.1} seeds/s",
        t.seeds,
        t.failed,
        t.broke_promise,
        t.stuck,
        t.crashed,
        t.delivered,
        t.configurations,
        t.events,
        t.seeds as f64 / seconds.max(1e-9)
    );
}
