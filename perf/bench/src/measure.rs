//! One load on a stage, from its first message to its figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;

use crate::crew::Mark;
use crate::figures::{
    Cores, Cpu, Figures, LoadFigures, OrderFigures, Percentiles, Switches, Syscalls,
};
use crate::load::Load;
use crate::seat::Order;
use crate::setup::Setup;
use crate::stage::{Stage, told};
use crate::syscalls::Count;
use crate::usage::{Machine, Usage};

/// A load with a name, for figures.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) load: Load,
    pub(crate) senders: usize,
}

/// Time from the first message to the beginning of the measurement.
const WARM_UP: Duration = Duration::from_millis(300);

/// Longest wait for what is on the way when a load ends.
const DRAIN: Duration = Duration::from_secs(60);

/// Share of a load's time in which system calls are counted: `perf` takes some to start.
const COUNTED_SHARE: f64 = 0.7;

/// Pause between messages of an idle ring.
pub(crate) const IDLE_GAP_NS: u64 = 1_000_000;

/// Everything that can be counted, at one moment.
struct Moment {
    mark: Mark,
    /// Of ours, or of every host.
    machines: Vec<Machine>,
    engines: Usage,
    counters: Vec<Vec<(String, u64)>>,
}

impl Moment {
    fn now(stage: &mut Stage) -> anyhow::Result<Self> {
        let here = Machine::now();
        let mark = stage.crew.mark()?;
        let machines = match stage.is_remote() {
            true => mark.agents.iter().map(|agent| agent.machine).collect(),
            false => vec![here],
        };
        let engines = stage.engines(&mark);
        Ok(Self { mark, machines, engines, counters: stage.counters() })
    }
}

/// Puts a load on the stage and measures it for a while.
///
/// # Errors
/// When a seat fails or what was sent does not arrive.
pub(crate) fn measure(
    stage: &mut Stage,
    setup: &Setup,
    named: &Named,
    bar: &ProgressBar,
) -> anyhow::Result<(LoadFigures, Histogram<u64>)> {
    let outcome = measured(stage, setup, named, bar);
    let load = || format!("load {}", named.name);
    outcome.with_context(load).map_err(|error| told(&error, &stage.logs()))
}

/// Has everybody begin with a load.
///
/// # Errors
/// When an agent has ended.
pub(crate) fn start(stage: &mut Stage, setup: &Setup, named: &Named) -> anyhow::Result<()> {
    (0..named.senders).try_for_each(|sender| stage.crew.order(sender, order(setup, named, sender)))
}

fn measured(
    stage: &mut Stage,
    setup: &Setup,
    named: &Named,
    bar: &ProgressBar,
) -> anyhow::Result<(LoadFigures, Histogram<u64>)> {
    let time = Duration::from_secs_f64(setup.seconds);
    bar.set_message(format!("{}: {}", stage.name, named.name));
    if let Some(weather) = &setup.netem {
        stage.weather(weather)?;
    }
    start(stage, setup, named)?;
    std::thread::sleep(WARM_UP);
    stage.crew.record(time)?;
    let before = Moment::now(stage)?;
    let counts = setup.syscalls.then(|| count(stage, &before.mark, time)).transpose()?;
    wait(time.saturating_sub(before.mark.at.elapsed()), bar)?;
    let after = Moment::now(stage)?;
    for sender in 0..named.senders {
        let silent = Named { load: Load::Silent, ..named.clone() };
        stage.crew.order(sender, order(setup, &silent, sender))?;
    }
    if setup.netem.is_some() {
        stage.weather("")?;
    }
    drain(stage)?;
    let latency = stage.crew.latencies()?;
    let mut figures = figures(&before, &after);
    if let Some([engines, generator]) = counts {
        let messages = figures.messages_per_second;
        let each = |count: Count| {
            count.per_second().map(|calls| if messages > 0.0 { calls / messages } else { 0.0 })
        };
        let (engines, generator) = (each(engines)?, each(generator)?);
        figures.syscalls_per_message = Some(Syscalls { engines, generator });
    }
    figures.load.clone_from(&named.name);
    figures.latency_us = Percentiles::of(&latency);
    Ok((figures, latency))
}

/// Counts system calls of engines and of the load generator during the middle of `time`.
fn count(stage: &Stage, mark: &Mark, time: Duration) -> anyhow::Result<[Count; 2]> {
    let time = time.mul_f64(COUNTED_SHARE);
    let engines = Count::start(&stage.engine_pids(mark), time)?;
    Ok([
        engines,
        Count::start(&mark.agents.iter().map(|agent| agent.pid).collect::<Vec<_>>(), time)?,
    ])
}

/// A sender's part of a load.
fn order(setup: &Setup, named: &Named, sender: usize) -> Order {
    let senders = named.senders as f64;
    let (load, interval_ns) = match named.load {
        Load::Rate { per_second } => {
            (Load::Rate { per_second: per_second / senders }, 1e9 * senders / per_second)
        }
        load => (load, 0.0),
    };
    let delay_ns = (interval_ns * sender as f64 / senders) as u64;
    Order { load, sizes: setup.sizes(), waiting: setup.waiting, delay_ns }
}

fn wait(time: Duration, bar: &ProgressBar) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let left = end.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(Duration::from_millis(500)));
        bar.tick();
        crate::stop::check()?;
    }
    Ok(())
}

/// Waits until everything sent has reached everybody.
fn drain(stage: &mut Stage) -> anyhow::Result<()> {
    stage.crew.wait("everything sent has arrived", DRAIN, |mark| {
        let sent: u64 = mark.seats().map(|seat| seat.sent).sum();
        mark.seats().all(|seat| seat.messages == sent && seat.own == seat.sent)
    })?;
    Ok(())
}

fn figures(before: &Moment, after: &Moment) -> LoadFigures {
    let seconds = after.mark.at.duration_since(before.mark.at).as_secs_f64();
    let pairs = || before.mark.seats().zip(after.mark.seats());
    let messages: Vec<u64> = pairs().map(|(a, b)| b.messages - a.messages).collect();
    let bytes = pairs().map(|(a, b)| b.bytes - a.bytes).min().unwrap_or(0) as f64;
    let slowest = messages.iter().copied().min().unwrap_or(0) as f64;
    let subscribers = messages.len().max(1) as f64;
    let engines = after.engines.since(before.engines);
    let generator = after.mark.own().since(before.mark.own());
    let machines = || before.machines.iter().zip(&after.machines);
    let machine_us: f64 = machines().map(|(before, after)| after.busy_us_since(before)).sum();
    let first = machines().next().map(|(before, after)| after.at_ns - before.at_ns);
    let machine_seconds = first.unwrap_or(0) as f64 / 1e9;
    let (engines_us, generator_us) = (engines.cpu_ns as f64 / 1e3, generator.cpu_ns as f64 / 1e3);
    // Nothing was sent in a load of silence: then "per message" says nothing.
    let each = |total: f64| if slowest > 0.0 { total / slowest } else { 0.0 };
    let switched = |(a, b): (&Machine, &Machine)| b.switches.saturating_sub(a.switches);
    let switches: u64 = machines().map(switched).sum();
    let counters = counted(&before.counters, &after.counters);
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    let rotations = count("totem.token_rotations");
    let has_counters = !after.counters.is_empty();
    LoadFigures {
        seconds,
        messages_per_second: slowest / seconds,
        megabytes_per_second: bytes / seconds / 1e6,
        deliveries_per_second: messages.iter().sum::<u64>() as f64 / seconds,
        cpu_us_per_message: Cpu {
            machine: each(machine_us),
            engines: each(engines_us),
            per_engine: each(engines_us) / subscribers,
            generator: each(generator_us),
            per_subscriber: each(generator_us) / subscribers,
            per_delivery: each(machine_us) / subscribers,
        },
        switches_per_message: Switches {
            machine: each(switches as f64),
            engines: each(engines.switches as f64),
            generator: each(generator.switches as f64),
        },
        cores: Cores {
            machine: machine_us / 1e6 / machine_seconds,
            engines: engines_us / 1e6 / seconds,
            generator: generator_us / 1e6 / seconds,
        },
        rotation_us: (rotations > 0)
            .then(|| count("totem.token_rotation_ns") as f64 / 1e3 / rotations as f64),
        retransmissions: has_counters
            .then(|| count("totem.retransmissions") + count("totem.repairs_sent")),
        counters,
        ..LoadFigures::default()
    }
}

/// What all engines together counted in between; gauges, which also fall, are left out.
fn counted(before: &[Vec<(String, u64)>], after: &[Vec<(String, u64)>]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (before, after) in before.iter().zip(after) {
        for ((name, before), (_, after)) in before.iter().zip(after) {
            if after > before && !name.starts_with("pool.") {
                *sum.entry(name.clone()).or_insert(0) += after - before;
            }
        }
    }
    sum
}

/// Ends a run: what everybody saw, compared.
pub(crate) fn finish(stage: &mut Stage, figures: &mut Figures) -> anyhow::Result<()> {
    figures.memory = stage.memory()?;
    let accounts = stage.crew.accounts()?;
    let findings = crate::account::compare(&accounts);
    figures.order = OrderFigures {
        identical: findings.is_empty(),
        subscribers: accounts.len(),
        messages: accounts.first().map_or(0, |account| account.messages),
        findings,
    };
    Ok(())
}

/// What an idle ring does to one message at a time.
pub(crate) fn idle() -> Named {
    Named { name: "idle".into(), load: Load::Single { gap_ns: IDLE_GAP_NS }, senders: 1 }
}

/// A flood.
pub(crate) fn flood(setup: &Setup) -> Named {
    let load = Load::Flood { window_bytes: setup.window_bytes };
    Named { name: "flood".into(), load, senders: setup.senders() }
}

/// So many messages a second, all senders together.
pub(crate) fn rate(setup: &Setup, name: &str, per_second: f64) -> Named {
    let load = Load::Rate { per_second: per_second.max(1.0) };
    Named { name: name.into(), load, senders: setup.senders() }
}
