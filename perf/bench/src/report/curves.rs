//! Which curves the report shows, from stored results.

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;

use crate::figures::{Figures, median};
use crate::model;
use crate::report::plot::{Axis, Curve, Of, Plot, Scale};
use crate::report::samples::{Read, Sample, is_plain, samples};
use crate::results::Outcome;
use crate::setup::Setup;

/// Clusters whose latencies are shown.
const NODES: [u16; 3] = [2, 8, 32];

/// Size of message of most plots.
const SIZE: u32 = 64;

/// Nodes of the measurements with loss.
const LOSS_NODES: u16 = 3;

/// Nodes of the measurements of sizes.
const SIZE_NODES: u16 = 2;

/// Points of a percentile curve in each factor of ten of `1 / (1 - quantile)`.
const POINTS_PER_DECADE: i32 = 12;

/// All plots that have something to show.
pub(super) fn plots(reads: &[Read<'_>], dir: &Path) -> (Vec<Plot>, Vec<String>) {
    let all = samples(reads);
    let mut wrong = Vec::new();
    let rate = |figures: &Figures| figures.messages_per_second;
    let mut plots = vec![
        against_nodes(&all, reads, "throughput-nodes", "ordered messages a second", rate, |p| {
            p.messages_per_second
        }),
        against_size(&all, "throughput-size", "ordered messages a second", rate),
        against_size(&all, "bytes-size", "10^6 bytes a second", |figures| {
            figures.megabytes_per_second
        }),
        against_loss(&all),
        through_weather(&all),
        latency(reads, dir, "half", "latency-percentiles", &mut wrong),
        latency(reads, dir, "idle", "latency-idle", &mut wrong),
        against_nodes(
            &all,
            reads,
            "cpu-nodes",
            "CPU of the whole machine, us a message",
            |figures| figures.cpu_us_per_message,
            |prediction| prediction.cpu_us_per_message,
        ),
        against_nodes(
            &all,
            reads,
            "formation-nodes",
            "seconds from the last start to the whole ring",
            |figures| figures.formation_s,
            |prediction| prediction.formation_ms / 1e3,
        ),
    ];
    plots.extend(links(&all, reads));
    plots.retain(Plot::has_points);
    (plots, wrong)
}

/// Medians (and what they are medians of) by x. Where an engine was measured beside the other one, only that counts.
fn curve(
    samples: &[Sample<'_>],
    of: Of,
    x: impl Fn(&Setup) -> f64,
    y: impl Fn(&Figures) -> f64,
) -> Curve {
    let mut found: BTreeMap<u64, Vec<(bool, f64)>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.of == of) {
        let value = y(sample.figures);
        if value.is_finite() && value > 0.0 {
            // Not negative, so the bits are in the order of the numbers.
            found.entry(x(sample.setup).to_bits()).or_default().push((sample.is_paired, value));
        }
    }
    let (mut points, mut spreads) = (Vec::new(), Vec::new());
    for (x, values) in found {
        let has_pair = values.iter().any(|(is_paired, _)| *is_paired);
        let values = values.into_iter().filter(|(is_paired, _)| *is_paired == has_pair);
        let values: Vec<f64> = values.map(|(_, value)| value).collect();
        let x = f64::from_bits(x);
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        spreads.push((x, low, high));
        points.push((x, median(values)));
    }
    let name = match of {
        Of::Synchrotron => "Synchrotron",
        Of::Corosync => "Corosync",
        Of::Model => "Synchrotron, predicted",
    };
    Curve { name: name.into(), of, variant: 0, points, spreads, is_marked: true }
}

fn chosen<'a>(all: &[Sample<'a>], keep: impl Fn(&Setup) -> bool) -> Vec<Sample<'a>> {
    all.iter().filter(|sample| is_plain(sample.setup) && keep(sample.setup)).copied().collect()
}

fn both(
    samples: &[Sample<'_>],
    x: impl Fn(&Setup) -> f64 + Copy,
    y: impl Fn(&Figures) -> f64 + Copy,
) -> Vec<Curve> {
    let mut curves =
        vec![curve(samples, Of::Synchrotron, x, y), curve(samples, Of::Corosync, x, y)];
    curves.retain(|curve| !curve.points.is_empty());
    curves
}

/// Predictions by name of the link and nodes.
fn predictions<'a>(reads: &'a [Read<'_>]) -> impl Iterator<Item = &'a model::Row> {
    let reports = reads.iter().filter_map(|read| match &read.outcome {
        Outcome::Model(report) if report.message_bytes == SIZE => Some(report),
        _ => None,
    });
    reports.flat_map(|report| &report.rows)
}

fn nodes(setup: &Setup) -> f64 {
    setup.nodes() as f64
}

/// Marks where there are points.
fn marked(label: &'static str, scale: Scale, curves: &[Curve]) -> Axis {
    let mut marks: Vec<f64> =
        curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0)).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    Axis { label, scale, marks }
}

fn against_nodes(
    all: &[Sample<'_>],
    reads: &[Read<'_>],
    name: &'static str,
    label: &'static str,
    measured: fn(&Figures) -> f64,
    predicted: fn(&::model::Prediction) -> f64,
) -> Plot {
    let chosen = chosen(all, |setup| setup.size == [SIZE] && setup.loss == 0);
    let mut curves = both(&chosen, nodes, measured);
    let mut model = curve(&[], Of::Model, nodes, measured);
    let here = predictions(reads).filter(|row| row.link == "here");
    model.points = here.map(|row| (f64::from(row.nodes), predicted(&row.prediction))).collect();
    if !model.points.is_empty() {
        curves.push(model);
    }
    Plot {
        name,
        title: format!("{SIZE} B, one sender, a subscriber on every node, all on one machine"),
        x: marked("nodes", Scale::Log, &curves),
        y: Axis { label, scale: Scale::Log, marks: Vec::new() },
        curves,
    }
}

fn against_size(
    all: &[Sample<'_>],
    name: &'static str,
    label: &'static str,
    measured: fn(&Figures) -> f64,
) -> Plot {
    let chosen = chosen(all, |setup| setup.nodes == SIZE_NODES && setup.loss == 0);
    let curves = both(&chosen, |setup| f64::from(setup.size[0]), measured);
    let marks = [16.0, 64.0, 320.0, 1400.0, 8192.0, 65_536.0, 1_048_576.0];
    Plot {
        name,
        title: format!("{SIZE_NODES} nodes, flood from one sender, a subscriber on every node"),
        x: Axis { label: "size of a message", scale: Scale::Bytes, marks: marks.into() },
        y: Axis { label, scale: Scale::Log, marks: Vec::new() },
        curves,
    }
}

fn against_loss(all: &[Sample<'_>]) -> Plot {
    let chosen = chosen(all, |setup| setup.nodes == LOSS_NODES && setup.size == [SIZE]);
    let rate = |figures: &Figures| figures.messages_per_second;
    let curves = both(&chosen, |setup| f64::from(setup.loss), rate);
    Plot {
        name: "throughput-loss",
        title: format!("{LOSS_NODES} nodes, {SIZE} B, flood from one sender"),
        x: marked("packets lost on their way in, %", Scale::Linear, &curves),
        y: Axis { label: "ordered messages a second", scale: Scale::Log, marks: vec![] },
        curves,
    }
}

/// The row that runs through `sch_netem`, as far as it is about loss.
fn through_weather(all: &[Sample<'_>]) -> Plot {
    let lossy = |setup: &Setup| setup.netem.as_deref().and_then(lost_percent);
    let has_loss = all.iter().filter(|sample| lossy(sample.setup).is_some());
    let chosen: Vec<Sample<'_>> = has_loss.copied().collect();
    let rate = |figures: &Figures| figures.messages_per_second;
    let curves = both(&chosen, |setup| lossy(setup).unwrap_or_default(), rate);
    let mut x =
        marked("packets lost on the way to every host (sch_netem), %", Scale::Linear, &curves);
    // Too near to the first for a label of its own.
    x.marks.retain(|percent| *percent == 0.0 || *percent >= 1.0);
    Plot {
        name: "throughput-weather",
        title: format!("{LOSS_NODES} nodes, {SIZE} B, every node sending, through sch_netem"),
        x,
        y: Axis { label: "ordered messages a second", scale: Scale::Log, marks: vec![] },
        curves,
    }
}

/// How much weather loses, if that is all it does.
fn lost_percent(weather: &str) -> Option<f64> {
    if weather.is_empty() {
        return Some(0.0);
    }
    weather.strip_prefix("loss,")?.strip_suffix('%')?.parse().ok()
}

/// Latencies of one load, from the logs.
fn latency(
    reads: &[Read<'_>],
    dir: &Path,
    load: &str,
    name: &'static str,
    wrong: &mut Vec<String>,
) -> Plot {
    let mut curves = Vec::new();
    for (engine, of) in [("Synchrotron", Of::Synchrotron), ("Corosync", Of::Corosync)] {
        for (variant, nodes) in NODES.into_iter().enumerate() {
            let mut sum = crate::desk::histogram();
            for read in reads {
                let Outcome::Compare(comparison) = &read.outcome else { continue };
                let setup = &comparison.settings;
                let is_it = is_plain(setup)
                    && setup.nodes == nodes
                    && setup.size == [SIZE]
                    && setup.loss == 0;
                let (true, Some(logs)) = (is_it, &read.run.logs) else { continue };
                let pairs = match of {
                    Of::Corosync => comparison.corosync.side().map_or(0, |side| side.runs.len()),
                    _ => comparison.synchrotron.runs.len(),
                };
                let has_load = comparison.synchrotron.latency_us.idle.is_some();
                for pair in (1..=pairs).filter(|_| has_load) {
                    let file = format!("{}-{pair}-{load}.hlog", engine.to_lowercase());
                    match crate::log::read(&dir.join(logs).join(file)) {
                        Ok(part) => sum += part,
                        Err(error) => wrong.push(format!("row {}: {error:#}", read.row)),
                    }
                }
            }
            let (name, points) = (format!("{engine}, {nodes} nodes"), percentiles(&sum));
            let spreads = Vec::new();
            curves.push(Curve { name, of, variant, points, spreads, is_marked: false });
        }
    }
    curves.retain(|curve| !curve.points.is_empty());
    let title = match load {
        "idle" => format!("{SIZE} B, one message at a time on an idle ring"),
        _ => format!("{SIZE} B, at half of what Corosync reaches with so many nodes"),
    };
    Plot {
        name,
        title,
        x: Axis { label: "percentile", scale: Scale::Percentile, marks: Vec::new() },
        y: Axis { label: "latency, us", scale: Scale::Log, marks: Vec::new() },
        curves,
    }
}

/// Microseconds by `1 / (1 - quantile)`, as far as the record has messages enough for it.
fn percentiles(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    let points = (0..).map(|step| 10_f64.powf(f64::from(step) / f64::from(POINTS_PER_DECADE)));
    points
        .take_while(|inverse| *inverse <= latency.len() as f64)
        .map(|inverse| {
            let us = latency.value_at_quantile(1.0 - 1.0 / inverse) as f64 / 1e3;
            (inverse, us)
        })
        .collect()
}

/// What the model predicts for other links, beside what was measured here.
fn links(all: &[Sample<'_>], reads: &[Read<'_>]) -> Option<Plot> {
    let mut by_link: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in predictions(reads) {
        let point = (f64::from(row.nodes), row.prediction.messages_per_second);
        by_link.entry(&row.link).or_default().push(point);
    }
    let curves = by_link.into_iter().enumerate().map(|(variant, (link, points))| {
        let name = match link {
            "here" => "model: this machine".to_owned(),
            link => format!("model: {link}, a host a node"),
        };
        Curve { name, of: Of::Model, variant, points, spreads: Vec::new(), is_marked: true }
    });
    let mut curves: Vec<Curve> = curves.collect();
    if curves.is_empty() {
        return None;
    }
    let chosen = chosen(all, |setup| setup.size == [SIZE] && setup.loss == 0);
    let mut measured = curve(&chosen, Of::Synchrotron, nodes, |f| f.messages_per_second);
    measured.name = "measured here".into();
    curves.insert(0, measured);
    Some(Plot {
        name: "model",
        title: format!("{SIZE} B, flood from one sender: predicted and measured"),
        x: marked("nodes", Scale::Log, &curves),
        y: Axis { label: "ordered messages a second", scale: Scale::Log, marks: Vec::new() },
        curves,
    })
}
