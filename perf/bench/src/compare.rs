//! `synchrotron bench compare`: Corosync and our engine in turn on the same machine, under the same loads made by
//! the same generator.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::corosync::{self, Transport};
use crate::figures::{Figures, Latencies, Percentiles, median};
use crate::host::{self, Host, IDLE_SHARE};
use crate::measure::{self, Named};
use crate::setup::Setup;
use crate::stage::Stage;

/// Options of `bench compare`.
#[derive(Clone, Debug, Args)]
pub struct Compare {
    #[command(flatten)]
    pub(crate) setup: Setup,
    /// How often each engine is measured, taking turns.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) pairs: u16,
    /// How Corosync's datagrams travel.
    #[arg(long, value_enum, default_value_t = Transport::Knet)]
    pub(crate) transport: Transport,
    /// Leave out the latency of the idle ring and at half of Corosync's peak.
    #[arg(long)]
    pub(crate) flood_only: bool,
    /// Write HdrHistogram logs (V2) of every load's latencies into this directory.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// What both sides did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// The machine.
    pub(crate) host: Host,
    /// What was measured.
    pub(crate) settings: Setup,
    /// Corosync, or why not.
    pub(crate) corosync: Peer,
    /// Our engine.
    pub(crate) synchrotron: Side,
    /// One divided by the other.
    pub(crate) ratio: Option<Ratio>,
    /// Share of the machine that was idle before each pair, from 0 to 1.
    pub(crate) idle_before: Vec<f64>,
    /// Whether it was idle enough before all of them for figures to mean something.
    pub(crate) quiet: bool,
}

/// Corosync's side.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Peer {
    /// Measured.
    Measured(Box<Side>),
    /// Not measured.
    Absent {
        /// Always false.
        available: bool,
        /// Why.
        reason: String,
    },
}

/// From the least to the greatest of several runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Medians over all runs of one engine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) engine: String,
    pub(crate) messages_per_second: f64,
    pub(crate) messages_per_second_spread: Spread,
    pub(crate) megabytes_per_second: f64,
    pub(crate) latency_us: Latencies,
    pub(crate) cpu_us_per_message: f64,
    pub(crate) formation_s: f64,
    /// Whether the subscribers of every run received the same in the same order.
    pub(crate) order_identical: bool,
    /// Every run.
    pub(crate) runs: Vec<Figures>,
}

/// Ours divided by Corosync's for rates, Corosync's divided by ours for times: more is better.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) messages_per_second: f64,
    /// Of the pairs.
    pub(crate) messages_per_second_spread: Spread,
    pub(crate) cpu_us_per_message: f64,
    pub(crate) formation_s: f64,
    pub(crate) idle_p50: Option<f64>,
    pub(crate) idle_p99: Option<f64>,
    pub(crate) half_p50: Option<f64>,
    pub(crate) half_p99: Option<f64>,
}

impl Compare {
    /// Measures and prints.
    pub(crate) fn run(&self, tool: &Path, json: bool) -> anyhow::Result<()> {
        let bar = crate::bar(json);
        let comparison = self.measure(tool, &bar)?;
        bar.finish_and_clear();
        if json {
            println!("{}", serde_json::to_string(&comparison)?);
        } else {
            print(&comparison);
        }
        let agree = comparison.synchrotron.order_identical
            && comparison.corosync.side().is_none_or(|side| side.order_identical);
        ensure!(agree, "subscribers disagree");
        Ok(())
    }

    /// Measures both in turn.
    pub(crate) fn measure(&self, tool: &Path, bar: &ProgressBar) -> anyhow::Result<Comparison> {
        ensure!(self.setup.hosts.is_empty(), "Corosync is compared on this machine only");
        let program = corosync::available(self.transport, self.setup.encryption);
        let (mut theirs, mut ours, mut idle_before) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 1..=self.pairs {
            bar.set_message("waiting for an idle machine");
            let idle = host::wait_idle(self.setup.patience());
            idle_before.push(idle);
            let mut half = None;
            if let Ok(program) = &program {
                bar.set_message("starting Corosync");
                let stage = Stage::corosync(&self.setup, tool, program, self.transport)?;
                let figures = self.one(stage, idle, None, &format!("corosync-{pair}"), bar)?;
                half = Some(figures.messages_per_second / 2.0);
                theirs.push(figures);
            }
            bar.set_message("starting Synchrotron");
            let stage = Stage::synchrotron(&self.setup, tool)?;
            ours.push(self.one(stage, idle, half, &format!("synchrotron-{pair}"), bar)?);
        }
        let ratio = Ratio::of(&theirs, &ours);
        let corosync = match program {
            Ok(_) => Peer::Measured(Box::new(Side::of(theirs))),
            Err(reason) => Peer::Absent { available: false, reason: format!("{reason:#}") },
        };
        Ok(Comparison {
            host: Host::here(),
            settings: self.setup.clone(),
            corosync,
            synchrotron: Side::of(ours),
            ratio,
            quiet: idle_before.iter().all(|&share| share >= IDLE_SHARE),
            idle_before,
        })
    }

    /// All loads on one stage; `half` is the rate of the last one, else half of the flood. Logs are named after `run`.
    fn one(
        &self,
        mut stage: Stage,
        idle_before: f64,
        half: Option<f64>,
        run: &str,
        bar: &ProgressBar,
    ) -> anyhow::Result<Figures> {
        let mut figures = Figures {
            engine: stage.name.clone(),
            formation_s: stage.formation_s,
            idle_before,
            ..Figures::default()
        };
        let setup = &self.setup;
        let measure = |stage: &mut Stage, load: &Named| {
            let (figures, latency) = measure::measure(stage, setup, load, bar)?;
            if let Some(dir) = &self.out {
                crate::log::write(dir, &format!("{run}-{}", load.name), &latency)?;
            }
            anyhow::Ok(figures)
        };
        if !self.flood_only {
            figures.enter(measure(&mut stage, &measure::idle())?);
        }
        figures.enter(measure(&mut stage, &measure::flood(setup))?);
        if !self.flood_only {
            let rate = half.unwrap_or(figures.messages_per_second / 2.0);
            figures.enter(measure(&mut stage, &measure::rate(setup, "half", rate))?);
        }
        measure::finish(&mut stage, &mut figures)?;
        Ok(figures)
    }
}

impl Peer {
    /// The figures, if there are any.
    pub(crate) fn side(&self) -> Option<&Side> {
        match self {
            Self::Measured(side) => Some(side),
            Self::Absent { .. } => None,
        }
    }
}

impl Side {
    fn of(runs: Vec<Figures>) -> Self {
        let of = |get: fn(&Figures) -> f64| median(runs.iter().map(get).collect());
        let latency = |get: fn(&Latencies) -> Option<Percentiles>| {
            let found: Vec<Percentiles> = runs.iter().filter_map(|r| get(&r.latency_us)).collect();
            (!found.is_empty()).then(|| medians(&found))
        };
        Self {
            engine: runs.first().map(|run| run.engine.clone()).unwrap_or_default(),
            messages_per_second: of(|run| run.messages_per_second),
            messages_per_second_spread: Spread::of(runs.iter().map(|r| r.messages_per_second)),
            megabytes_per_second: of(|run| run.megabytes_per_second),
            latency_us: Latencies {
                idle: latency(|found| found.idle),
                half: latency(|found| found.half),
                flood: latency(|found| found.flood),
            },
            cpu_us_per_message: of(|run| run.cpu_us_per_message),
            formation_s: of(|run| run.formation_s),
            order_identical: runs.iter().all(|run| run.order.identical),
            runs,
        }
    }
}

impl Ratio {
    /// Of every pair; none if Corosync was not measured, or brought nothing in one of them.
    fn of(theirs: &[Figures], ours: &[Figures]) -> Option<Self> {
        let has_rates = theirs.iter().all(|run| run.messages_per_second > 0.0);
        (has_rates && !theirs.is_empty()).then(|| Self::of_pairs(theirs, ours))
    }

    fn of_pairs(theirs: &[Figures], ours: &[Figures]) -> Self {
        let pairs = || theirs.iter().zip(ours);
        let of = |get: &dyn Fn(&Figures, &Figures) -> f64| {
            median(pairs().map(|(theirs, ours)| get(theirs, ours)).collect())
        };
        let latency = |get: fn(&Latencies) -> Option<f64>| {
            let found = pairs().filter_map(|(theirs, ours)| {
                Some(get(&theirs.latency_us)? / get(&ours.latency_us)?)
            });
            let found: Vec<f64> = found.collect();
            (!found.is_empty()).then(|| median(found))
        };
        let rate = |(theirs, ours): (&Figures, &Figures)| {
            ours.messages_per_second / theirs.messages_per_second
        };
        Self {
            messages_per_second: median(pairs().map(rate).collect()),
            messages_per_second_spread: Spread::of(pairs().map(rate)),
            cpu_us_per_message: of(&|a, b| a.cpu_us_per_message / b.cpu_us_per_message),
            formation_s: of(&|a, b| a.formation_s / b.formation_s),
            idle_p50: latency(|l| l.idle.map(|p| p.p50)),
            idle_p99: latency(|l| l.idle.map(|p| p.p99)),
            half_p50: latency(|l| l.half.map(|p| p.p50)),
            half_p99: latency(|l| l.half.map(|p| p.p99)),
        }
    }
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let start = Self { min: f64::INFINITY, max: f64::NEG_INFINITY };
        values.fold(start, |sum, v| Self { min: sum.min.min(v), max: sum.max.max(v) })
    }
}

/// The median of each percentile.
fn medians(found: &[Percentiles]) -> Percentiles {
    let of = |get: fn(&Percentiles) -> f64| median(found.iter().map(get).collect());
    Percentiles {
        count: found.iter().map(|percentiles| percentiles.count).sum(),
        p50: of(|p| p.p50),
        p90: of(|p| p.p90),
        p99: of(|p| p.p99),
        p99_9: of(|p| p.p99_9),
        max: of(|p| p.max),
    }
}

fn print(comparison: &Comparison) {
    if let Peer::Absent { reason, .. } = &comparison.corosync {
        println!("Corosync was not measured: {reason}");
    }
    for side in comparison.corosync.side().into_iter().chain([&comparison.synchrotron]) {
        side.runs.iter().for_each(crate::print::figures);
    }
    if let Some(ratio) = &comparison.ratio {
        let spread = ratio.messages_per_second_spread;
        println!(
            "ratio: {:.1} x the messages a second ({:.1} to {:.1}), 1/{:.1} of the CPU time, formed {:.1} x as fast",
            ratio.messages_per_second,
            spread.min,
            spread.max,
            ratio.cpu_us_per_message,
            ratio.formation_s
        );
    }
    if !comparison.quiet {
        println!(
            "THE MACHINE WAS NOT IDLE: {:?} of it was before each pair",
            comparison.idle_before
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64, idle_p50: f64) -> Figures {
        let idle = Some(Percentiles { p50: idle_p50, p99: 10.0, ..Percentiles::default() });
        Figures {
            messages_per_second: rate,
            cpu_us_per_message: 1.0,
            formation_s: 1.0,
            latency_us: Latencies { idle, ..Latencies::default() },
            ..Figures::default()
        }
    }

    #[test]
    fn medians_and_ratios_are_taken_pair_by_pair() {
        let (theirs, ours) =
            ([run(10.0, 100.0), run(20.0, 80.0)], [run(30.0, 50.0), run(80.0, 20.0)]);
        let ratio = Ratio::of(&theirs, &ours).unwrap();
        assert_eq!(ratio.messages_per_second, 3.5);
        assert_eq!(ratio.messages_per_second_spread.max, 4.0);
        assert_eq!(ratio.idle_p50, Some(3.0));
        assert_eq!(ratio.half_p50, None);
        let nothing = [run(10.0, 100.0), run(0.0, 80.0)];
        assert!(Ratio::of(&nothing, &ours).is_none() && Ratio::of(&[], &ours).is_none());
        let side = Side::of(theirs.to_vec());
        assert_eq!(side.messages_per_second, 15.0);
        assert_eq!(side.latency_us.idle.unwrap().p50, 90.0);
    }
}
