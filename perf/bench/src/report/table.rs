//! The rows of the table, in words and figures.

use crate::compare::{Comparison, Peer};
use crate::figures::{LoadFigures, Percentiles, median};
use crate::report::plot::{Of, short};
use crate::report::samples::{Read, is_plain, samples, words};
use crate::report::wanted;
use crate::results::{Outcome, Results};
use crate::{local, model, rows};

/// A line of the table.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) corosync: String,
    pub(super) synchrotron: String,
    /// From the least to the greatest of ours, and how many.
    pub(super) spread: String,
    /// More than 1 is in our favour, or what is compared instead.
    pub(super) ratio: String,
    /// What it should reach.
    pub(super) reach: String,
    /// Whether it does, where something is to be reached and something was measured.
    pub(super) is_met: Option<bool>,
    /// What follows `synchrotron bench`.
    pub(super) command: String,
    /// How idle the machine was before, in percent: the least of all measurements.
    pub(super) idle_before: Option<f64>,
    /// What the README calls it, if it shows it.
    pub(super) summary: Option<&'static str>,
}

/// A row with its lines.
pub(super) struct Rows {
    pub(super) number: u8,
    pub(super) what: &'static str,
    pub(super) lines: Vec<Line>,
}

/// Every row of which something was measured. A line that shows a figure of another row's command stands wherever
/// that was.
pub(super) fn table(results: &Results, reads: &[Read<'_>]) -> Vec<Rows> {
    let is_measured = |line: &str| results.runs().any(|(_, run)| run.line() == line);
    let wanted = rows::rows().filter(|row| {
        results.rows.contains_key(&row.number)
            || row.lines.iter().any(|want| is_measured(want.line))
    });
    let filled = |row: &rows::Row| match row.lines {
        [] => plain(row.number, reads),
        _ => wanted::lines(row, results, reads),
    };
    wanted.map(|row| Rows { number: row.number, what: row.what, lines: filled(row) }).collect()
}

/// What the commands of a row without lines of its own gave.
fn plain(number: u8, reads: &[Read<'_>]) -> Vec<Line> {
    let mine: Vec<&Read<'_>> = reads.iter().filter(|read| read.row == number).collect();
    let mut lines = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for read in &mine {
        match &read.outcome {
            Outcome::Compare(comparison) => lines.push(compared(read, comparison)),
            Outcome::Local(_) if !seen.contains(&read.run.command.as_str()) => {
                seen.push(&read.run.command);
                lines.extend(local_lines(&read.run.command, &mine));
            }
            Outcome::Model(report) => lines.extend(predicted(&read.run.command, report, reads)),
            // No such row has fail-overs or rings alone.
            _ => {}
        }
    }
    lines
}

pub(super) fn least(shares: impl Iterator<Item = f64>) -> Option<f64> {
    shares.min_by(f64::total_cmp).map(|share| share * 100.0)
}

fn rate(messages: f64, megabytes: f64) -> String {
    format!("{}/s, {} MB/s", short(messages), short(megabytes))
}

/// The floods of a comparison.
fn compared(read: &Read<'_>, comparison: &Comparison) -> Line {
    let corosync = match &comparison.corosync {
        Peer::Measured(side) => rate(side.messages_per_second, side.megabytes_per_second),
        Peer::Absent { reason, .. } => format!("not measured: {reason}"),
    };
    let ours = &comparison.synchrotron;
    let has_spread = ours.runs.len() > 1;
    let spread = |low, high| format!("{} to {}", short(low), short(high));
    let ratio = comparison.ratio.as_ref().map(|ratio| {
        let found = ratio.messages_per_second_spread;
        match has_spread {
            true => {
                format!("{} x ({})", short(ratio.messages_per_second), spread(found.min, found.max))
            }
            false => format!("{} x", short(ratio.messages_per_second)),
        }
    });
    let found = ours.messages_per_second_spread;
    Line {
        what: format!("{}: flood", words(&comparison.settings)),
        corosync,
        synchrotron: rate(ours.messages_per_second, ours.megabytes_per_second),
        spread: if has_spread { spread(found.min, found.max) } else { String::new() },
        ratio: ratio.unwrap_or_default(),
        command: read.run.command.clone(),
        idle_before: least(read.run.idle_before().into_iter()),
        ..Line::default()
    }
}

/// What the model predicts, and for this machine beside what was measured.
fn predicted(command: &str, report: &model::Report, reads: &[Read<'_>]) -> Vec<Line> {
    let line = |row: &model::Row| {
        let found = &row.prediction;
        let here = (row.link == "here").then(|| measured(row.nodes, report.message_bytes, reads));
        let beside = here.flatten().map(|rate| {
            let times = short(found.messages_per_second / rate);
            format!("{times} x what was measured ({}/s)", short(rate))
        });
        Line {
            what: format!("predicted: {} nodes, {}", row.nodes, row.link),
            synchrotron: rate(found.messages_per_second, found.megabytes_per_second),
            ratio: beside.unwrap_or_default(),
            command: command.to_owned(),
            ..Line::default()
        }
    };
    report.rows.iter().map(line).collect()
}

/// The median of the floods that are as the model's.
fn measured(nodes: u16, bytes: u32, reads: &[Read<'_>]) -> Option<f64> {
    let all = samples(reads);
    let same = all.iter().filter(|sample| {
        let setup = sample.setup;
        sample.of == Of::Synchrotron
            && sample.is_paired
            && is_plain(setup)
            && setup.nodes == nodes
            && setup.size == [bytes]
            && setup.loss == 0
    });
    let rates: Vec<f64> = same.map(|sample| sample.figures.messages_per_second).collect();
    (!rates.is_empty()).then(|| median(rates))
}

fn percentiles(found: &Percentiles) -> String {
    format!("p50 {}, p99 {} us", short(found.p50), short(found.p99))
}

/// Lines of one command, a load each, with the medians of all its runs.
fn local_lines(command: &str, row: &[&Read<'_>]) -> Vec<Line> {
    let same = row.iter().filter(|read| read.run.command == command);
    let runs: Vec<&local::Report> = same
        .filter_map(|read| match &read.outcome {
            Outcome::Local(report) => Some(report.as_ref()),
            _ => None,
        })
        .collect();
    let Some(first) = runs.first() else { return Vec::new() };
    let mut lines = Vec::new();
    for (index, load) in first.figures.loads.iter().enumerate() {
        let of = |get: &dyn Fn(&LoadFigures) -> f64| {
            let loads = runs.iter().filter_map(|run| run.figures.loads.get(index));
            median(loads.map(get).collect())
        };
        let (p50, p99) = (of(&|load| load.latency_us.p50), of(&|load| load.latency_us.p99));
        let carried =
            rate(of(&|load| load.messages_per_second), of(&|load| load.megabytes_per_second));
        let synchrotron = match load.load.as_str() {
            "flood" => carried,
            _ => {
                let latency = Percentiles { p50, p99, ..Percentiles::default() };
                format!("{carried}; {}", percentiles(&latency))
            }
        };
        let ratio = match load.load.as_str() {
            "half" if p50 > 0.0 => format!("p99 {} x p50", short(p99 / p50)),
            _ => String::new(),
        };
        lines.push(Line {
            what: format!("{}: {}{}", words(&first.settings), load.load, syscalls(load)),
            synchrotron,
            ratio,
            command: command.to_owned(),
            idle_before: least(runs.iter().map(|run| run.figures.idle_before)),
            ..Line::default()
        });
    }
    lines
}

fn syscalls(load: &LoadFigures) -> String {
    load.syscalls_per_message.map_or_else(String::new, |calls| {
        let (engines, generator) = (short(calls.engines), short(calls.generator));
        format!(
            " ({engines} system calls of engines and {generator} of the load generator a message)"
        )
    })
}
