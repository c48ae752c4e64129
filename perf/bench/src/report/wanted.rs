//! The lines of the table that say which figure of which command they show and what it should reach.

use crate::compare::Peer;
use crate::figures::{Figures, LoadFigures, median};
use crate::report::plot::short;
use crate::report::samples::Read;
use crate::report::table::{Line, least};
use crate::results::{Outcome, Results};
use crate::ring;
use crate::rows::{Metric, Of, Row, Target, Want};
use crate::{failover, results};

/// Letters of an error in a cell.
const ERROR_LETTERS: usize = 160;

/// The lines of a row.
pub(super) fn lines(row: &Row, results: &Results, reads: &[Read<'_>]) -> Vec<Line> {
    row.lines.iter().map(|want| line(row.number, want, results, reads)).collect()
}

/// From the least to the greatest of several, and the middle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    median: f64,
    min: f64,
    max: f64,
    count: usize,
}

impl Seen {
    fn of(values: &[f64]) -> Option<Self> {
        let min = values.iter().copied().min_by(f64::total_cmp)?;
        let max = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { median: median(values.to_vec()), min, max, count: values.len() })
    }
}

/// What both did, and how many times ours is better.
#[derive(Default)]
struct Sides {
    ours: Option<Seen>,
    theirs: Option<Seen>,
    ratio: Option<Seen>,
}

fn line(row: u8, want: &Want, results: &Results, reads: &[Read<'_>]) -> Line {
    let runs = runs_of(row, want.line, reads);
    let sides = sides(row, want, &runs, reads);
    let (failed, error) = failures(row, want.line, results);
    let metric = want.metric;
    let spread = |seen: Seen| {
        let (low, high) = (shown_bare(metric, seen.min), shown_bare(metric, seen.max));
        format!("{low} to {high} ({})", seen.count)
    };
    let synchrotron = match (sides.ours, error) {
        (Some(seen), None) => shown(metric, seen.median),
        (Some(seen), Some(_)) => {
            format!("{} ({failed} more failed)", shown(metric, seen.median))
        }
        (None, Some(error)) => format!("failed: {}", cut(&error)),
        (None, None) => "not measured".to_owned(),
    };
    let ratio = sides.ratio.map_or_else(String::new, |seen| match seen.count {
        1 => format!("{} x", short(seen.median)),
        _ => format!("{} x ({} to {})", short(seen.median), short(seen.min), short(seen.max)),
    });
    Line {
        what: want.what.to_owned(),
        corosync: match sides.theirs {
            Some(seen) if seen.count > 1 => {
                let (low, high) = (shown_bare(metric, seen.min), shown_bare(metric, seen.max));
                format!("{} ({low} to {high})", shown(metric, seen.median))
            }
            Some(seen) => shown(metric, seen.median),
            None => absent(&runs).map_or_else(String::new, |why| format!("not measured: {why}")),
        },
        synchrotron,
        spread: match metric {
            Metric::Held => String::new(),
            _ => sides.ours.filter(|seen| seen.count > 1).map(spread).unwrap_or_default(),
        },
        ratio,
        reach: reach(want),
        is_met: is_met(want.target, &sides, failed),
        command: runs.first().map_or_else(|| want.line.to_owned(), |read| read.run.command.clone()),
        idle_before: least(runs.iter().flat_map(|read| read.run.idle_before())),
        summary: want.summary,
    }
}

/// Why Corosync was not measured, where it should have been.
fn absent(runs: &[&Read<'_>]) -> Option<String> {
    runs.iter().find_map(|read| match &read.outcome {
        Outcome::Compare(comparison) => match &comparison.corosync {
            Peer::Absent { reason, .. } => Some(cut(reason)),
            Peer::Measured(_) => None,
        },
        _ => None,
    })
}

/// Runs of a command: those of this row, else all.
fn runs_of<'a, 'b>(row: u8, line: &str, reads: &'b [Read<'a>]) -> Vec<&'b Read<'a>> {
    let all: Vec<_> = reads.iter().filter(|read| read.run.line() == line).collect();
    let own: Vec<_> = all.iter().copied().filter(|read| read.row == row).collect();
    if own.is_empty() { all } else { own }
}

/// How many runs of a command failed, and why the last of them did.
fn failures(row: u8, line: &str, results: &Results) -> (usize, Option<String>) {
    let all: Vec<(u8, &results::Run)> =
        results.runs().filter(|(_, run)| run.line() == line).collect();
    let has_own = all.iter().any(|(number, _)| *number == row);
    let mine = all.iter().filter(|(number, _)| *number == row || !has_own);
    let errors: Vec<&String> = mine.filter_map(|(_, run)| run.error.as_ref()).collect();
    (errors.len(), errors.last().map(|error| (*error).clone()))
}

/// The first line of an error, or its beginning.
fn cut(error: &str) -> String {
    let first = error.lines().next().unwrap_or_default();
    // The tool's name, as it stands before every error it tells.
    let first = first.strip_prefix("synchrotron: ").unwrap_or(first);
    match first.char_indices().nth(ERROR_LETTERS) {
        Some((end, _)) => format!("{}...", &first[..end]),
        None => first.to_owned(),
    }
}

fn sides(row: u8, want: &Want, runs: &[&Read<'_>], reads: &[Read<'_>]) -> Sides {
    let metric = want.metric;
    match metric {
        Metric::RingTime(_) | Metric::RingRate(_) | Metric::RingShare(..) => {
            rings(metric, runs).unwrap_or_default()
        }
        Metric::Failover => failovers(runs, want.beside.map(|line| runs_of(row, line, reads))),
        Metric::Left => {
            let without = want.beside.map(|line| runs_of(row, line, reads)).unwrap_or_default();
            let pairs = ours(Metric::Rate, runs).into_iter().zip(ours(Metric::Rate, &without));
            let left: Vec<f64> =
                pairs.filter(|(_, all)| *all > 0.0).map(|(left, all)| left / all * 100.0).collect();
            Sides { ours: Seen::of(&left), ..Sides::default() }
        }
        _ => compared(metric, runs),
    }
}

/// What our engine did, run by run.
fn ours(metric: Metric, runs: &[&Read<'_>]) -> Vec<f64> {
    let figures = runs.iter().flat_map(|read| match &read.outcome {
        Outcome::Compare(comparison) => comparison.synchrotron.runs.iter().collect(),
        Outcome::Local(report) => vec![&report.figures],
        _ => Vec::new(),
    });
    figures.filter_map(|figures| value(metric, figures)).collect()
}

fn compared(metric: Metric, runs: &[&Read<'_>]) -> Sides {
    let (mut theirs, mut ratios) = (Vec::new(), Vec::new());
    for read in runs {
        let Outcome::Compare(comparison) = &read.outcome else { continue };
        let Some(side) = comparison.corosync.side() else { continue };
        theirs.extend(side.runs.iter().filter_map(|figures| value(metric, figures)));
        let pairs = side.runs.iter().zip(&comparison.synchrotron.runs);
        let pairs = pairs.filter_map(|(a, b)| Some((value(metric, a)?, value(metric, b)?)));
        let better = pairs.map(|(a, b)| if is_more_better(metric) { b / a } else { a / b });
        ratios.extend(better.filter(|ratio| ratio.is_finite()));
    }
    Sides {
        ours: Seen::of(&ours(metric, runs)),
        theirs: Seen::of(&theirs),
        ratio: Seen::of(&ratios),
    }
}

/// The figure of one run; `None` where it did not take it.
fn value(metric: Metric, figures: &Figures) -> Option<f64> {
    let load = |name: &str| figures.loads.iter().find(|load| load.load == name);
    match metric {
        Metric::Rate => load("flood").map(|_| figures.messages_per_second),
        Metric::Megabytes => load("flood").map(|_| figures.megabytes_per_second),
        Metric::Cpu => load("flood").map(|_| figures.cpu_us_per_message),
        Metric::Formed => Some(figures.formation_s),
        Metric::Cores => load("silent").map(|load| load.cores.engines * 100.0),
        Metric::Latency(name, of) => load(name).and_then(|load| latency(of, load)),
        Metric::Held => Some(1.0),
        Metric::Left
        | Metric::Failover
        | Metric::RingTime(_)
        | Metric::RingRate(_)
        | Metric::RingShare(..) => None,
    }
}

fn latency(of: Of, load: &LoadFigures) -> Option<f64> {
    let found = load.latency_us;
    let of_what = match of {
        Of::P50 => return (found.count > 0).then_some(found.p50),
        Of::P99 => return (found.count > 0).then_some(found.p99),
        Of::Skew => found.p50,
        Of::Rotations => load.rotation_us?,
    };
    (of_what > 0.0).then(|| found.p99 / of_what)
}

fn failovers(runs: &[&Read<'_>], beside: Option<Vec<&Read<'_>>>) -> Sides {
    let times = |runs: &[&Read<'_>], engine: failover::Engine| {
        let reports = runs.iter().filter_map(|read| match &read.outcome {
            Outcome::Failover(report) if report.engine == engine => Some(&report.all_ms),
            _ => None,
        });
        Seen::of(&reports.flatten().copied().collect::<Vec<f64>>())
    };
    let ours = times(runs, failover::Engine::Synchrotron);
    let theirs = beside.and_then(|runs| times(&runs, failover::Engine::Corosync));
    let ratio = ours.zip(theirs).and_then(|(a, b)| Seen::of(&[b.median / a.median]));
    Sides { ours, theirs, ratio }
}

fn rings(metric: Metric, runs: &[&Read<'_>]) -> Option<Sides> {
    let report = runs.iter().find_map(|read| match &read.outcome {
        Outcome::Ring(report) => Some(report),
        _ => None,
    })?;
    let seen = |found: ring::Found, count| Seen {
        median: found.median,
        min: found.min,
        max: found.max,
        count,
    };
    let figure = |name: &str| report.rings.iter().find(|figure| figure.what.contains(name));
    Some(match metric {
        Metric::RingShare(name, of) => {
            let share = figure(name)?.median / figure(of)?.median * 100.0;
            Sides { ours: Seen::of(&[share]), ..Sides::default() }
        }
        Metric::RingTime(name) | Metric::RingRate(name) => {
            match report.processes.iter().find(|versus| versus.what.contains(name)) {
                Some(versus) => Sides {
                    ours: Some(seen(versus.processes, usize::from(report.runs))),
                    theirs: versus.iceoryx2.map(|found| seen(found, usize::from(report.runs))),
                    ratio: versus.ratio.map(|found| seen(found, usize::from(report.runs))),
                },
                None => {
                    let figure = figure(name)?;
                    Sides { ours: Seen::of(&[figure.median]), ..Sides::default() }
                }
            }
        }
        _ => return None,
    })
}

fn is_more_better(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::Rate | Metric::Megabytes | Metric::Left | Metric::RingRate(_) | Metric::Held
    )
}

/// A figure with its unit.
fn shown(metric: Metric, value: f64) -> String {
    let number = shown_bare(metric, value);
    let unit = match metric {
        Metric::Held => return "none".to_owned(),
        Metric::Rate | Metric::RingRate(_) => "/s",
        Metric::Megabytes => " MB/s",
        Metric::Cpu | Metric::Latency(_, Of::P50 | Of::P99) => " us",
        Metric::Formed => " s",
        Metric::Latency(_, Of::Skew) => " x p50",
        Metric::Latency(_, Of::Rotations) => " rotations",
        Metric::Left | Metric::RingShare(..) => " %",
        Metric::Cores => " % of a core",
        Metric::Failover => " ms",
        Metric::RingTime(_) => " ns",
    };
    number + unit
}

fn shown_bare(metric: Metric, value: f64) -> String {
    match metric {
        Metric::RingRate(_) => short(value * 1e6),
        _ => short(value),
    }
}

fn reach(want: &Want) -> String {
    match want.target {
        Target::Shown => String::new(),
        Target::AtLeast(value) => format!("over {}", shown(want.metric, value)),
        Target::AtMost(value) => format!("under {}", shown(want.metric, value)),
        Target::Times(value, times) => {
            format!("over {}, {} x", shown(want.metric, value), short(times))
        }
        Target::Held => "none".to_owned(),
    }
}

/// Whether the median is where it should be; `None` where nothing was asked for or nothing was measured.
fn is_met(target: Target, sides: &Sides, failed: usize) -> Option<bool> {
    let median = sides.ours.map(|seen| seen.median);
    let is_far_enough = |value: f64| match target {
        Target::Shown => None,
        Target::AtLeast(least) => Some(value >= least),
        Target::AtMost(most) => Some(value <= most),
        Target::Times(least, times) => {
            Some(value >= least && sides.ratio.is_none_or(|ratio| ratio.median >= times))
        }
        Target::Held => Some(failed == 0),
    };
    match median {
        Some(value) => is_far_enough(value),
        None => (failed > 0 && target != Target::Shown).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(median: f64) -> Option<Seen> {
        Seen::of(&[median])
    }

    #[test]
    fn a_target_is_met_by_the_median_and_by_the_ratio() {
        let with = |ours, ratio| Sides { ours: side(ours), ratio, ..Sides::default() };
        let met = |target, ours, ratio| is_met(target, &with(ours, ratio), 0);
        assert_eq!(met(Target::AtLeast(8.0), 8.0, None), Some(true));
        assert_eq!(met(Target::AtMost(8.0), 8.1, None), Some(false));
        assert_eq!(met(Target::Times(8.0, 29.0), 9.0, side(20.0)), Some(false));
        assert_eq!(met(Target::Times(8.0, 29.0), 9.0, side(30.0)), Some(true));
        assert_eq!(met(Target::Times(8.0, 29.0), 9.0, None), Some(true));
        assert_eq!(met(Target::Shown, 9.0, None), None);
        assert_eq!(is_met(Target::AtMost(1.0), &Sides::default(), 1), Some(false));
        assert_eq!(is_met(Target::AtMost(1.0), &Sides::default(), 0), None);
        assert_eq!(is_met(Target::Held, &with(1.0, None), 1), Some(false));
    }

    #[test]
    fn figures_and_targets_have_units() {
        let shown = |metric, value| super::shown(metric, value);
        assert_eq!(shown(Metric::Rate, 7.96e6), "7.96 M/s");
        assert_eq!(shown(Metric::RingRate("x"), 18.2), "18.2 M/s");
        assert_eq!(shown(Metric::Latency("half", Of::Skew), 3.25), "3.25 x p50");
        assert_eq!(shown(Metric::Formed, 0.26), "0.26 s");
        assert_eq!(cut("synchrotron: one\ntwo"), "one");
        assert_eq!(cut(&"a".repeat(500)).len(), ERROR_LETTERS + 3);
    }
}
