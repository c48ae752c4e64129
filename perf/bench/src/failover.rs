//! `synchrotron bench failover`: time from a fault to the new view at every surviving program, many times over;
//! for a link that fails while others work, the time for which deliveries stop.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, Parser, ValueEnum};
use cluster::{Fault, LinkFault, Place, Rate, Rig, Spec, failover, links, now_ns};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::corosync::{self, Transport};
use crate::figures;
use crate::host::{self, Host};
use crate::measure;
use crate::setup::Setup;
use crate::stage::{Stage, told};

/// Options of `bench failover`.
#[derive(Clone, Debug, Args)]
pub struct Failover {
    /// Engines.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=128))]
    nodes: u16,
    /// How the victim goes.
    #[arg(long, value_enum, default_value_t = Kind::Kill)]
    fault: Kind,
    /// Whose engines.
    #[arg(long, value_enum, default_value_t = Engine::Synchrotron)]
    engine: Engine,
    /// How often.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Messages a second from every node meanwhile.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Seconds to wait for the machine to become idle before; whether it was is reported.
    #[arg(long, default_value_t = 10.0, value_parser = crate::setup::patience)]
    patience: f64,
    /// Links between the nodes, with `--fault link`.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=8))]
    links: u8,
    /// How they are used, with `--fault link`.
    #[arg(long, value_enum, default_value_t = Mode::Passive)]
    link_mode: Mode,
}

/// Ways to go.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// SIGKILL of the engine.
    Kill,
    /// The host's cable is pulled.
    Unplug,
    /// SIGTERM: announced.
    Leave,
    /// Each link fails in turn, in every way; nobody goes.
    Link,
}

/// Whose engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// Ours.
    Synchrotron,
    /// Debian's Corosync, with knet, encryption and its default timeouts.
    Corosync,
}

/// What `bench failover --json` prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) host: Host,
    pub(crate) engine: Engine,
    pub(crate) nodes: usize,
    pub(crate) fault: Kind,
    /// Messages a second from every node meanwhile.
    pub(crate) rate: u64,
    /// Share of the machine that was idle before, from 0 to 1.
    pub(crate) idle_before: f64,
    pub(crate) median_ms: f64,
    pub(crate) min_ms: f64,
    pub(crate) max_ms: f64,
    /// Every round, shortest first.
    pub(crate) all_ms: Vec<f64>,
}

/// What `bench failover --fault link --json` prints.
#[derive(Debug, Serialize)]
struct LinkReport {
    host: Host,
    nodes: usize,
    fault: Kind,
    links: u8,
    link_mode: String,
    /// Messages a second from every node meanwhile.
    rate: u64,
    /// Share of the machine that was idle before, from 0 to 1.
    idle_before: f64,
    /// None, or there would be no report.
    view_changes: u32,
    /// All failures together.
    all: LinkTimes,
    /// By the way of failing.
    faults: Vec<LinkTimes>,
}

/// Medians, with the least and the greatest.
#[derive(Debug, Serialize)]
struct LinkTimes {
    fault: String,
    failures: usize,
    /// The slowest message while the link failed.
    slowest_ms: [f64; 3],
    /// The slowest message in as long a time before, while the same commands were run to no effect.
    slowest_before_ms: [f64; 3],
    /// Until the last engine had found the link broken.
    noticed_ms: [f64; 3],
    /// From the repair until the last engine used the link again, without the time for which it had to work first.
    healed_ms: [f64; 3],
}

impl LinkTimes {
    fn of(fault: &str, gaps: &[links::Gap]) -> Self {
        let times = |get: &dyn Fn(&links::Gap) -> u64| {
            let mut ms: Vec<f64> = gaps.iter().map(|gap| get(gap) as f64 / 1e6).collect();
            ms.sort_by(f64::total_cmp);
            let ends = [ms.first(), ms.last()].map(|end| end.copied().unwrap_or(0.0));
            [figures::median(ms), ends[0], ends[1]]
        };
        Self {
            fault: fault.to_lowercase(),
            failures: gaps.len(),
            slowest_ms: times(&|gap| gap.worst_ns),
            slowest_before_ms: times(&|gap| gap.before_ns),
            noticed_ms: times(&|gap| gap.noticed_ns),
            healed_ms: times(&|gap| gap.healed_ns.saturating_sub(gap.probation_ns)),
        }
    }
}

impl LinkReport {
    fn of(
        options: &Failover,
        mode: &str,
        idle_before: f64,
        all: &[(LinkFault, links::Gap)],
    ) -> Self {
        let of = |wanted: LinkFault| {
            let gaps = all.iter().filter(|(fault, _)| *fault == wanted).map(|(_, gap)| *gap);
            LinkTimes::of(&format!("{wanted:?}"), &gaps.collect::<Vec<_>>())
        };
        let gaps: Vec<links::Gap> = all.iter().map(|(_, gap)| *gap).collect();
        Self {
            host: Host::here(),
            nodes: options.nodes.into(),
            fault: Kind::Link,
            links: options.links,
            link_mode: mode.to_owned(),
            rate: options.rate,
            idle_before,
            view_changes: 0,
            all: LinkTimes::of("all", &gaps),
            faults: LinkFault::ALL.map(of).into(),
        }
    }

    fn print(&self) {
        println!(
            "{} failures of links ({}), no view change, order identical; median ms (least to greatest)",
            self.all.failures, self.link_mode
        );
        println!("{:<10} {:<24} {:<24} {:<24} healed", "", "slowest message", "before", "noticed");
        let shown =
            |[median, least, most]: [f64; 3]| format!("{median:.1} ({least:.1} to {most:.1})");
        for times in self.faults.iter().chain([&self.all]) {
            println!(
                "{:<10} {:<24} {:<24} {:<24} {}",
                times.fault,
                shown(times.slowest_ms),
                shown(times.slowest_before_ms),
                shown(times.noticed_ms),
                shown(times.healed_ms)
            );
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// The best link that works.
    Passive,
    /// All that work.
    Active,
    /// Those that work, in turn.
    Rr,
}

/// How long is looked at after a link failed, and before that to compare: many times what the ring takes to move, and
/// short enough that what else happens on the machine does not drown it.
const LINK_SPELL: Duration = Duration::from_millis(250);

/// Longest wait for the ring to form.
const FORMATION: Duration = Duration::from_secs(60);

/// Time under load before the fault.
const SETTLE: Duration = Duration::from_secs(1);

/// Longest wait for Corosync's new view: eight seconds are usual.
const THEIR_VIEW: Duration = Duration::from_secs(60);

/// How often its programs are asked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Failover {
    /// Measures and prints.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        if matches!(self.fault, Kind::Link) {
            ensure!(self.engine == Engine::Synchrotron, "only our links are measured");
            return self.run_links(&self.spec(tool), json);
        }
        let bar = crate::bar(json);
        bar.set_message("waiting for an idle machine");
        let idle_before = host::wait_idle(Duration::from_secs_f64(self.patience));
        let mut times_ms = match self.engine {
            Engine::Synchrotron => self.ours(tool, &bar)?,
            Engine::Corosync => self.theirs(tool, &bar)?,
        };
        bar.finish_and_clear();
        times_ms.sort_by(f64::total_cmp);
        let report = Report {
            host: Host::here(),
            engine: self.engine,
            nodes: usize::from(self.nodes),
            fault: self.fault,
            rate: self.rate,
            idle_before,
            median_ms: figures::median(times_ms.clone()),
            min_ms: times_ms[0],
            max_ms: times_ms[times_ms.len() - 1],
            all_ms: times_ms,
        };
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            let Report { engine, nodes, fault, median_ms, min_ms, max_ms, .. } = report;
            println!(
                "{engine:?}, {fault:?} of one of {nodes}: {median_ms:.1} ms ({min_ms:.1} to {max_ms:.1})"
            );
        }
        Ok(())
    }

    fn spec(&self, tool: &Path) -> Spec {
        Spec {
            nodes: usize::from(self.nodes),
            place: Place::Namespaces { mtu_bytes: 1500 },
            program: vec![tool.to_owned(), "engine".into()],
            encrypted: true,
            extra: Vec::new(),
        }
    }

    /// Breaks the link that carries most in every way, as often as asked, each time on a cluster of its own: a link
    /// that has failed before must work for longer until it is used again.
    fn run_links(&self, spec: &Spec, json: bool) -> anyhow::Result<()> {
        let (nodes, count) = (usize::from(self.nodes), usize::from(self.links));
        let mode = format!("{:?}", self.link_mode).to_lowercase();
        let extra = vec![("transport".to_owned(), format!("link_mode = \"{mode}\""))];
        let spec = Spec { place: Place::Links { count }, extra, ..spec.clone() };
        let bar = crate::bar(json);
        bar.set_message("waiting for an idle machine");
        let idle_before = host::wait_idle(Duration::from_secs_f64(self.patience));
        let mut all = Vec::new();
        for round in 0..usize::from(self.rounds) {
            let mut rig = Rig::start(spec.clone(), 64, FORMATION)?;
            links::wait_whole(&mut rig)?;
            rig.set_rate(Rate::PerSecond(self.rate));
            std::thread::sleep(SETTLE);
            for (at, fault) in LinkFault::ALL.into_iter().enumerate() {
                crate::stop::check()?;
                bar.set_message(format!("round {}: {fault:?}", round + 1));
                let gap = links::measure(&mut rig, None, fault, (round + at) % nodes, LINK_SPELL)?;
                all.push((fault, gap));
            }
            rig.settle(FORMATION)?;
            let (_, verdict) = rig.verdict();
            ensure!(verdict.findings.is_empty(), "{:#?}", verdict.findings);
        }
        bar.finish_and_clear();
        let report = LinkReport::of(self, &mode, idle_before, &all);
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            report.print();
        }
        Ok(())
    }

    /// Our engine: one cluster, whose nodes go and come back in turn. Milliseconds of every round.
    fn ours(&self, tool: &Path, bar: &ProgressBar) -> anyhow::Result<Vec<f64>> {
        let (nodes, spec) = (usize::from(self.nodes), self.spec(tool));
        let fault = match self.fault {
            Kind::Kill => Fault::Kill,
            Kind::Unplug => Fault::Unplug,
            Kind::Leave => Fault::Leave,
            Kind::Link => anyhow::bail!("links are measured by themselves"),
        };
        let mut rig = Rig::start(spec, 64, FORMATION)?;
        let mut times_ms = Vec::new();
        for round in 0..usize::from(self.rounds) {
            crate::stop::check()?;
            bar.set_message(format!("round {}", round + 1));
            rig.set_rate(Rate::PerSecond(self.rate));
            std::thread::sleep(SETTLE);
            // Never the same one twice running; the representative has its turn too.
            let victim = (nodes - 1 + round) % nodes;
            times_ms.push(failover::measure(&mut rig, victim, fault)? as f64 / 1e6);
            failover::restore(&mut rig, victim, fault)?;
        }
        Ok(times_ms)
    }

    /// Corosync with its defaults: a new cluster for every round.
    fn theirs(&self, tool: &Path, bar: &ProgressBar) -> anyhow::Result<Vec<f64>> {
        let setup = self.setup()?;
        let program = corosync::available(Transport::Knet, setup.encryption)?;
        let mut times_ms = Vec::new();
        for round in 0..usize::from(self.rounds) {
            bar.set_message(format!("Corosync, round {}", round + 1));
            let mut stage = Stage::corosync(&setup, tool, &program, Transport::Knet)?;
            let per_second = (self.rate * u64::from(self.nodes)) as f64;
            measure::start(&mut stage, &setup, &measure::rate(&setup, "failover", per_second))?;
            std::thread::sleep(SETTLE);
            let victim = (setup.nodes() - 1 + round) % setup.nodes();
            let start_ns = now_ns();
            match self.fault {
                Kind::Kill => stage.crew.kill(victim)?,
                Kind::Unplug => stage.unplug(victim)?,
                Kind::Leave | Kind::Link => {
                    anyhow::bail!("Corosync is measured with `kill` and `unplug`")
                }
            }
            let last_ns = last_view(&mut stage, victim);
            let last_ns = last_ns.map_err(|error| told(&error, &stage.logs()))?;
            times_ms.push(last_ns.saturating_sub(start_ns) as f64 / 1e6);
        }
        Ok(times_ms)
    }

    /// As much of the usual options as Corosync's cluster needs.
    fn setup(&self) -> anyhow::Result<Setup> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            setup: Setup,
        }
        let nodes = self.nodes.to_string();
        let args = ["", "--nodes", &nodes, "--encryption", "on", "--senders", "all"];
        Ok(Line::try_parse_from(args)?.setup)
    }
}

/// When the last survivor's program saw the view without the victim, by the monotonic clock that all of them share.
fn last_view(stage: &mut Stage, victim: usize) -> anyhow::Result<u64> {
    let deadline = Instant::now() + THEIR_VIEW;
    loop {
        let mark = stage.crew.look()?;
        let survivors = mark.seats().enumerate().filter(|(node, _)| *node != victim);
        let seen: Option<Vec<u64>> = survivors.map(|(_, seat)| seat.less_ns).collect();
        if let Some(seen) = seen {
            return seen.into_iter().max().context("there are survivors");
        }
        ensure!(Instant::now() < deadline, "no new view within {THEIR_VIEW:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}
