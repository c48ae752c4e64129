//! `--weather --beside-corosync`: Debian's Corosync and our engine in turn through the same weather, by the benchmark's
//! own row for it; report and plot come back with the results.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::figures::{WEATHER, in_lab, read};
use super::ring::executable;

/// Where Corosync is, on machines that have it.
const COROSYNC: [&str; 2] = ["/usr/sbin/corosync", "/usr/lib/x86_64-linux-gnu/libcpg.so.4"];

/// Nodes of the row.
const NODES: usize = 3;

/// How long each load lasts (under loss Corosync delivers nothing for seconds on end), and whether everything is done
/// once only.
const OPTIONS: &str = "--seconds 8";
const OPTIONS_QUICK: &str = "--quick --seconds 8";

/// Measures and prints; the last line is the verdict.
///
/// # Errors
/// What is missing or went wrong. What one engine did not manage is in the table and in the results, and an error if
/// it was ours.
pub(super) fn beside(timeout: Duration, memory_mib: u32, is_quick: bool) -> anyhow::Result<String> {
    let mut programs = Vec::new();
    for file in COROSYNC.map(Path::new) {
        ensure!(
            file.is_file(),
            "rdma-lab: {} is missing (packages corosync and libcpg4)",
            file.display()
        );
        let name = file.file_name().context("a file")?.to_string_lossy().into_owned();
        programs.push((file.to_owned(), name));
    }
    // As it is shipped, since the other one is as well.
    let tool: PathBuf = executable(&["build", "--release", "-p", "synchrotron"], "synchrotron")?;
    programs.push((tool, "synchrotron".to_owned()));
    let options = if is_quick { OPTIONS_QUICK } else { OPTIONS };
    let script = format!("SUITE_OPTIONS='{options}'\n{WEATHER}");
    // These engines have a network of their own in there.
    let outcome = in_lab(1, NODES, timeout, memory_mib, &programs, &script)?;
    let results: Value = serde_json::from_str(&read(&outcome, "beside/results.json")?)?;
    let runs = runs(&results);
    ensure!(!runs.is_empty(), "rdma-lab: nothing was measured");
    println!("{:<24} {:>10} {:>12} {:>7}", "messages/s", "Corosync", "Synchrotron", "ratio");
    let mut failed = Vec::new();
    for run in &runs {
        match run.outcome {
            Ok([theirs, ours]) => {
                let ratio = if theirs > 0.0 { format!("{:.1}", ours / theirs) } else { "-".into() };
                println!("{:<24} {theirs:>10.0} {ours:>12.0} {ratio:>7}", run.weather);
            }
            Err(error) => {
                println!("{:<24} {error}", run.weather);
                failed.push(run.weather);
            }
        }
    }
    println!("results, report and plot are in {}", outcome.results.join("beside").display());
    ensure!(failed.is_empty(), "rdma-lab: not measured: {}", failed.join(", "));
    Ok(format!("rdma-lab: {NODES} nodes, both engines through {} kinds of weather", runs.len()))
}

/// One line of the table.
struct Run<'a> {
    weather: &'a str,
    /// Messages a second of Corosync and of ours, or why not.
    outcome: Result<[f64; 2], &'a str>,
}

fn runs(results: &Value) -> Vec<Run<'_>> {
    let rows = results["rows"].as_object().into_iter().flatten();
    rows.filter_map(|(_, row)| row["runs"].as_array()).flatten().map(Run::read).collect()
}

impl<'a> Run<'a> {
    fn read(run: &'a Value) -> Self {
        let command = run["command"].as_str().unwrap_or_default();
        let after = command.split("--netem ").nth(1).unwrap_or_default();
        let weather = after.split(' ').next().unwrap_or_default();
        let side = |name: &str| run["result"][name]["messages_per_second"].as_f64();
        let outcome = match (side("corosync"), side("synchrotron")) {
            (Some(theirs), Some(ours)) => Ok([theirs, ours]),
            _ => Err(run["error"].as_str().unwrap_or("Corosync was not there")),
        };
        Self { weather, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_the_suite_are_read() {
        let side = |rate: f64| serde_json::json!({ "messages_per_second": rate });
        let results = serde_json::json!({ "rows": { "22": { "runs": [
            { "command": "compare --netem loss,1% --pairs 2",
              "result": { "corosync": side(10.0), "synchrotron": side(40.0) }, "error": null },
            { "command": "compare --netem fair", "result": null, "error": "no ring" },
            { "command": "compare --netem fair", "error": null,
              "result": { "corosync": { "available": false }, "synchrotron": side(40.0) } },
        ] } } });
        let runs = runs(&results);
        assert_eq!((runs[0].weather, runs[0].outcome), ("loss,1%", Ok([10.0, 40.0])));
        assert_eq!((runs[1].weather, runs[1].outcome), ("fair", Err("no ring")));
        assert_eq!(runs[2].outcome, Err("Corosync was not there"));
    }
}
