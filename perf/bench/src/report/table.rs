//! The rows of the table, in words and figures.

use crate::compare::{Comparison, Ratio};
use crate::failover;
use crate::figures::{Latencies, LoadFigures, Percentiles, median};
use crate::local;
use crate::report::plot::short;
use crate::report::samples::{Read, words};
use crate::results::Outcome;
use crate::ring;

/// A line of the table.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) corosync: String,
    pub(super) synchrotron: String,
    /// More than 1 is in our favour, or what is compared instead.
    pub(super) ratio: String,
    /// How idle the machine was before, in percent: the least of all measurements.
    pub(super) idle_before: Option<f64>,
}

/// Rows whose figures come with those of others: the rows they are taken from.
const FLOODS: [u8; 3] = [1, 2, 3];

/// The lines of a row.
pub(super) fn lines(number: u8, reads: &[Read<'_>]) -> Vec<Line> {
    let of = |rows: &'static [u8]| reads.iter().filter(move |read| rows.contains(&read.row));
    match number {
        6 => of(&FLOODS).filter_map(|read| compared(read, cpu)).collect(),
        8 => of(&FLOODS).filter_map(|read| compared(read, half)).collect(),
        7 => {
            let idle = of(&FLOODS).filter_map(|read| compared(read, idle));
            idle.chain(own(7, reads)).collect()
        }
        13 => {
            let formed = of(&FLOODS).filter_map(|read| compared(read, formation));
            formed.chain(own(13, reads)).collect()
        }
        _ => own(number, reads).collect(),
    }
}

/// Lines of what was measured in the row itself.
fn own<'a>(number: u8, reads: &'a [Read<'_>]) -> impl Iterator<Item = Line> + 'a {
    let mine: Vec<&Read<'_>> = reads.iter().filter(|read| read.row == number).collect();
    let mut lines = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for read in &mine {
        match &read.outcome {
            Outcome::Compare(_) => lines.extend(compared(read, flood)),
            Outcome::Failover(report) => lines.push(failed_over(report)),
            Outcome::Ring(report) => lines.extend(rings(report)),
            // Its table is shown with the plots.
            Outcome::Model(_) => {}
            Outcome::Local(_) => {
                if !seen.contains(&read.run.command.as_str()) {
                    seen.push(&read.run.command);
                    lines.extend(local_lines(&read.run.command, &mine));
                }
            }
        }
    }
    lines.into_iter()
}

fn least(shares: impl Iterator<Item = f64>) -> Option<f64> {
    shares.min_by(f64::total_cmp).map(|share| share * 100.0)
}

/// A line of a comparison: what, Corosync, ours, ratio.
fn compared(read: &Read<'_>, of: impl Fn(&Comparison) -> Option<[String; 4]>) -> Option<Line> {
    let Outcome::Compare(comparison) = &read.outcome else { return None };
    let [what, corosync, synchrotron, ratio] = of(comparison)?;
    let what = format!("{}: {what}", words(&comparison.settings));
    let idle_before = least(read.run.idle_before().into_iter());
    Some(Line { what, corosync, synchrotron, ratio, idle_before })
}

fn rate(messages: f64, megabytes: f64) -> String {
    format!("{}/s, {} MB/s", short(messages), short(megabytes))
}

fn flood(comparison: &Comparison) -> Option<[String; 4]> {
    let theirs = comparison.corosync.side();
    let corosync = match (&theirs, &comparison.corosync) {
        (Some(side), _) => rate(side.messages_per_second, side.megabytes_per_second),
        (None, crate::compare::Peer::Absent { reason, .. }) => format!("not measured: {reason}"),
        (None, _) => String::new(),
    };
    let ours = &comparison.synchrotron;
    let ratio = comparison.ratio.as_ref().map(|ratio| {
        let spread = ratio.messages_per_second_spread;
        format!(
            "{} x ({} to {}; pairs: {})",
            short(ratio.messages_per_second),
            short(spread.min),
            short(spread.max),
            ours.runs.len()
        )
    });
    let synchrotron = rate(ours.messages_per_second, ours.megabytes_per_second);
    Some(["flood".into(), corosync, synchrotron, ratio.unwrap_or_default()])
}

fn cpu(comparison: &Comparison) -> Option<[String; 4]> {
    let us = |us: f64| format!("{} us", short(us));
    let theirs = comparison.corosync.side().map(|side| us(side.cpu_us_per_message));
    let ratio = comparison.ratio.as_ref();
    Some([
        "CPU of the machine a message".into(),
        theirs.unwrap_or_default(),
        us(comparison.synchrotron.cpu_us_per_message),
        ratio.map(|ratio| format!("{} x", short(ratio.cpu_us_per_message))).unwrap_or_default(),
    ])
}

fn formation(comparison: &Comparison) -> Option<[String; 4]> {
    let seconds = |seconds: f64| format!("{} s", short(seconds));
    let theirs = comparison.corosync.side().map(|side| seconds(side.formation_s));
    let ratio = comparison.ratio.as_ref();
    Some([
        "formed after the last start".into(),
        theirs.unwrap_or_default(),
        seconds(comparison.synchrotron.formation_s),
        ratio.map(|ratio| format!("{} x", short(ratio.formation_s))).unwrap_or_default(),
    ])
}

fn percentiles(found: &Percentiles) -> String {
    format!("p50 {}, p99 {} us", short(found.p50), short(found.p99))
}

/// A latency of both; `None` where it was not measured.
fn latencies(
    comparison: &Comparison,
    what: String,
    of: impl Fn(&Latencies) -> Option<Percentiles>,
    ratios: impl Fn(&Ratio) -> (Option<f64>, Option<f64>),
) -> Option<[String; 4]> {
    let ours = of(&comparison.synchrotron.latency_us)?;
    let theirs = comparison.corosync.side().and_then(|side| of(&side.latency_us));
    let ratio = comparison.ratio.as_ref().and_then(|ratio| match ratios(ratio) {
        (Some(p50), Some(p99)) => Some(format!("p50 {} x, p99 {} x", short(p50), short(p99))),
        _ => None,
    });
    let theirs = theirs.map(|found| percentiles(&found));
    Some([what, theirs.unwrap_or_default(), percentiles(&ours), ratio.unwrap_or_default()])
}

fn idle(comparison: &Comparison) -> Option<[String; 4]> {
    let what = "one message at a time, adaptive".into();
    latencies(comparison, what, |l| l.idle, |ratio| (ratio.idle_p50, ratio.idle_p99))
}

fn half(comparison: &Comparison) -> Option<[String; 4]> {
    let loads = comparison.synchrotron.runs.iter().flat_map(|run| &run.loads);
    let rates = loads.filter(|load| load.load == "half").map(|load| load.messages_per_second);
    let what = format!("at {} messages/s", short(median(rates.collect())));
    latencies(comparison, what, |l| l.half, |ratio| (ratio.half_p50, ratio.half_p99))
}

fn failed_over(report: &failover::Report) -> Line {
    let failover::Report { nodes, median_ms, min_ms, max_ms, .. } = report;
    let what = match report.fault {
        failover::Kind::Kill => "an engine killed",
        failover::Kind::Unplug => "a host's cable pulled",
        failover::Kind::Leave => "an announced leave",
        failover::Kind::Link => "a link broken",
    };
    let rounds = report.all_ms.len();
    let found = format!(
        "{} ms ({} to {}; rounds: {rounds})",
        short(*median_ms),
        short(*min_ms),
        short(*max_ms)
    );
    let (corosync, synchrotron) = match report.engine {
        failover::Engine::Corosync => (found, String::new()),
        failover::Engine::Synchrotron => (String::new(), found),
    };
    Line {
        what: format!("{nodes} nodes: {what}"),
        corosync,
        synchrotron,
        idle_before: Some(report.idle_before * 100.0),
        ..Line::default()
    }
}

fn rings(report: &ring::Report) -> Vec<Line> {
    let line = |figure: &ring::RingFigure| Line {
        what: figure.what.clone(),
        synchrotron: format!(
            "{} {} (best {})",
            short(figure.median),
            figure.unit,
            short(figure.best)
        ),
        idle_before: Some(report.idle_before * 100.0),
        ..Line::default()
    };
    let mut lines: Vec<Line> = report.processes.iter().flat_map(|v| versus(v, report)).collect();
    lines.extend(report.rings.iter().map(line));
    if let Some(reason) = &report.iceoryx2_absent {
        let what = format!("iceoryx2 was not measured: {reason}");
        lines.push(Line { what, ..Line::default() });
    }
    lines
}

/// What our ring and iceoryx2 did in turn.
fn versus(versus: &ring::Versus, report: &ring::Report) -> Vec<Line> {
    let line = |(name, found): (&str, ring::Found)| Line {
        what: format!("{}: {name}", versus.what),
        synchrotron: format!(
            "{} {} ({} to {})",
            short(found.median),
            versus.unit,
            short(found.min),
            short(found.max)
        ),
        idle_before: Some(report.idle_before * 100.0),
        ..Line::default()
    };
    let mut lines: Vec<Line> = versus.named().into_iter().map(line).collect();
    if let (Some(last), Some(ratio)) = (lines.last_mut(), &versus.ratio) {
        last.ratio =
            format!("{} x ({} to {})", short(ratio.median), short(ratio.min), short(ratio.max));
    }
    lines
}

/// Lines of one command, with the medians of all its runs.
fn local_lines(command: &str, row: &[&Read<'_>]) -> Vec<Line> {
    let runs = reports(command, row);
    let Some(first) = runs.first() else { return Vec::new() };
    let plain = without_variant(command).map(|plain| reports(&plain, row)).unwrap_or_default();
    let idle_before = least(runs.iter().map(|run| run.figures.idle_before));
    let mut lines = Vec::new();
    for (index, load) in first.figures.loads.iter().enumerate() {
        let name = load.load.as_str();
        let of = |get: &dyn Fn(&LoadFigures) -> f64| {
            let loads = runs.iter().filter_map(|run| run.figures.loads.get(index));
            median(loads.map(get).collect())
        };
        let (p50, p99) = (of(&|load| load.latency_us.p50), of(&|load| load.latency_us.p99));
        let latency = percentiles(&Percentiles { p50, p99, ..Percentiles::default() });
        let carried =
            rate(of(&|load| load.messages_per_second), of(&|load| load.megabytes_per_second));
        let synchrotron = match name {
            "silent" => format!("{} % of a core", short(of(&|load| load.cores.engines * 100.0))),
            "idle" => latency,
            "flood" => {
                let formed = median(runs.iter().map(|run| run.figures.formation_s).collect());
                format!("{carried}; formed in {} s", short(formed))
            }
            _ => format!("{carried}; {latency}"),
        };
        let rotations = of(&|load| load.rotation_us.map_or(0.0, |us| load.latency_us.p99 / us));
        let ratio = match (name, share(&runs, &plain, index)) {
            ("half", _) if p50 > 0.0 && rotations > 0.0 => {
                format!("p99 {} x p50, {} rotations", short(p99 / p50), short(rotations))
            }
            ("half" | "idle", _) if p50 > 0.0 => format!("p99 {} x p50", short(p99 / p50)),
            ("flood", Some(share)) => share,
            _ => String::new(),
        };
        let what = format!("{}: {name}{}", words(&first.settings), syscalls(load));
        lines.push(Line { what, synchrotron, ratio, idle_before, ..Line::default() });
    }
    lines
}

fn reports<'a>(command: &str, row: &[&'a Read<'_>]) -> Vec<&'a local::Report> {
    let same = row.iter().filter(|read| read.run.command == command);
    let reports = same.filter_map(|read| match &read.outcome {
        Outcome::Local(report) => Some(report.as_ref()),
        _ => None,
    });
    reports.collect()
}

/// The command that a variant (encryption, loss, hogs) is compared with.
fn without_variant(command: &str) -> Option<String> {
    if command.contains("--encryption on") {
        return Some(command.replace("--encryption on", "--encryption off"));
    }
    let words: Vec<&str> = command.split(' ').collect();
    let at =
        words.iter().position(|word| matches!(*word, "--loss" | "--datagram-loss" | "--hogs"))?;
    let rest = words.iter().enumerate().filter(|(index, _)| *index != at && *index != at + 1);
    Some(rest.map(|(_, word)| *word).collect::<Vec<_>>().join(" "))
}

/// What is left of the throughput, run by run.
fn share(runs: &[&local::Report], plain: &[&local::Report], index: usize) -> Option<String> {
    let rate = |run: &local::Report| {
        run.figures.loads.get(index).map(|load| load.messages_per_second).filter(|r| *r > 0.0)
    };
    let pairs = runs.iter().zip(plain);
    let shares: Vec<f64> =
        pairs.filter_map(|(run, plain)| Some(rate(run)? / rate(plain)? * 100.0)).collect();
    let low = shares.iter().copied().min_by(f64::total_cmp)?;
    let high = shares.iter().copied().max_by(f64::total_cmp)?;
    let count = shares.len();
    Some(format!(
        "{} % of without ({} to {}; pairs: {count})",
        short(median(shares)),
        short(low),
        short(high)
    ))
}

fn syscalls(load: &LoadFigures) -> String {
    load.syscalls_per_message.map_or_else(String::new, |calls| {
        let (engines, generator) = (short(calls.engines), short(calls.generator));
        format!(
            " ({engines} system calls of engines and {generator} of the load generator a message)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_compared_with_the_same_command_without_it() {
        let plain = without_variant("local --nodes 3 --loss 1 --loads flood --seconds 2");
        assert_eq!(plain.as_deref(), Some("local --nodes 3 --loads flood --seconds 2"));
        let plain = without_variant("local --nodes 2 --encryption on --seconds 2");
        assert_eq!(plain.as_deref(), Some("local --nodes 2 --encryption off --seconds 2"));
        assert_eq!(without_variant("local --nodes 2 --seconds 2"), None);
    }
}
