//! `--figures`: our transport beside perftest, and what messages cost, in one boot. `--weather`: the ring over UDP
//! through netem.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::ring::executable;
use super::{Outcome, Run, boot, counts};

/// What runs in the lab.
const FIGURES: &str = include_str!("figures.sh");
pub(super) const WEATHER: &str = include_str!("weather.sh");

/// Columns of perftest's tables, counted from zero: the typical latency, and the average rate.
const TYPICAL: usize = 4;
const AVERAGE: usize = 3;

/// Measures and prints; the last line is the verdict.
///
/// # Errors
/// What is missing or went wrong.
pub(super) fn figures(nodes: usize, timeout: Duration, memory_mib: u32) -> anyhow::Result<String> {
    ensure!(nodes >= 2, "a ring needs 2 nodes at least");
    let pace = ["build", "-p", "synchrotron-verbs", "--features", "lab", "--example", "pace"];
    let programs = [
        (executable(&pace, "pace")?, "pace".to_owned()),
        super::ring::engine(&[])?,
        cluster_program("synchrotron-ledger")?,
    ];
    let outcome = in_lab(nodes, nodes, timeout, memory_mib, &programs, FIGURES)?;
    let pace: Value = serde_json::from_str(&read(&outcome, "pace")?)?;
    let us = &pace["one_way_us"]["p50"];
    let stream = |name: &str| pace["streams"][name]["mib_per_s"].as_f64().unwrap_or(0.0);
    let table = [
        ("token one way, us (ib_send_lat RC)", us.as_f64().unwrap_or(0.0), ("latency", TYPICAL)),
        ("datagrams, MiB/s (ib_send_bw UD)", stream("datagrams"), ("datagrams", AVERAGE)),
        (
            "bursts over a connection, MiB/s (ib_send_bw RC, 64 KiB)",
            stream("connection"),
            ("bursts", AVERAGE),
        ),
        ("the same (ib_send_bw RC, 4 KiB)", stream("connection"), ("connection", AVERAGE)),
    ];
    let mut rows = Vec::new();
    for (what, ours, (file, column)) in table {
        let theirs = perftest(&read(&outcome, file)?, column)
            .with_context(|| format!("{file}: no table"))?;
        println!("{what}: {ours:.1}, perftest {theirs:.1}, ratio {:.2}", ours / theirs);
        rows.push(
            json!({ "what": what, "ours": ours, "perftest": theirs, "ratio": ours / theirs }),
        );
    }
    let park = counts::print(&outcome.results.join("ledger.park"))?;
    let adaptive = counts::print(&outcome.results.join("ledger.adaptive"))?;
    let all = json!({ "perftest": rows, "pace": pace, "ledger": [park, adaptive] });
    let file = outcome.results.join("figures.json");
    std::fs::write(&file, all.to_string())?;
    Ok(format!("rdma-lab: {nodes} nodes, figures in {}", file.display()))
}

/// Runs the ring over UDP through netem; the last line is the verdict.
///
/// # Errors
/// What is missing or went wrong.
pub(super) fn weather(nodes: usize, timeout: Duration, memory_mib: u32) -> anyhow::Result<String> {
    ensure!(nodes >= 2, "a ring needs 2 nodes at least");
    let programs = [super::ring::engine(&[])?, cluster_program("synchrotron-weather")?];
    // These engines have a network of their own in there.
    let outcome = in_lab(1, nodes, timeout, memory_mib, &programs, WEATHER)?;
    let result: Value = serde_json::from_str(&read(&outcome, "weather")?)?;
    let conditions = result["conditions"].as_array().context("rdma-lab: no conditions")?;
    for is in conditions {
        println!(
            "{:<28} {:>8.0} messages/s, {} view changes",
            is["condition"].as_str().unwrap_or("?"),
            is["messages_per_s"].as_f64().unwrap_or(0.0),
            is["view_changes"]
        );
    }
    let messages: u64 = conditions.iter().filter_map(|is| is["messages_compared"].as_u64()).sum();
    println!("results are in {}", outcome.results.display());
    Ok(format!("rdma-lab: {nodes} nodes, {messages} messages through netem, order identical"))
}

pub(super) fn in_lab(
    ports: usize,
    ring: usize,
    timeout: Duration,
    memory_mib: u32,
    programs: &[(PathBuf, String)],
    script: &str,
) -> anyhow::Result<Outcome> {
    let command = format!("export RING_NODES={ring}\n{script}");
    let outcome = boot(&Run { nodes: ports, timeout, memory_mib, programs, command: &command })?;
    ensure!(outcome.code == 0, "rdma-lab: the command ended with {}", outcome.code);
    Ok(outcome)
}

fn cluster_program(name: &str) -> anyhow::Result<(PathBuf, String)> {
    let args = ["build", "-p", "synchrotron-cluster", "--bin", name];
    Ok((executable(&args, name)?, name.to_owned()))
}

pub(super) fn read(outcome: &Outcome, name: &str) -> anyhow::Result<String> {
    let file = outcome.results.join(name);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// A column of the one line of figures in perftest's output.
fn perftest(text: &str, column: usize) -> Option<f64> {
    let is_row = |line: &&str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    text.lines().rev().find(is_row)?.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_perftest_are_read() {
        let text = " GID: 00:00:255\n #bytes #iterations    t_min[usec]  t_max[usec]  t_typical[usec]\n \
                    128     4000          29.16          2318.06      30.67 \t  35.74\n-----\n";
        assert_eq!(perftest(text, TYPICAL), Some(30.67));
        assert_eq!(perftest(" #bytes #iterations\n---\n", TYPICAL), None);
    }
}
