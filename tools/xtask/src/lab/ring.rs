//! What the lab runs by itself: the transport's conformance suite, what messages cost, then a ring of real engines over
//! verbs that is hurt while it works.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Run, boot, counts};
use crate::steps::cargo;

/// Nodes that the conformance suite takes.
const SUITE_NODES: usize = 4;

/// Deliveries of the everyday run, all subscribers together: enough to pass every fault under load.
const EVERYDAY_DELIVERIES: u64 = 60_000;

/// Deliveries of the full run: more than a million messages with three nodes.
const FULL_DELIVERIES: u64 = 3_300_000;

/// When the machine is given up in the everyday run; it needs about a minute on two cores.
const EVERYDAY_TIMEOUT: Duration = Duration::from_secs(240);

/// Memory of the machine in the everyday run, in MiB.
const EVERYDAY_MEMORY_MIB: u32 = 2048;

/// The run of the everyday suite.
///
/// # Errors
/// What is missing or went wrong.
pub(crate) fn everyday() -> anyhow::Result<()> {
    let line = run(3, EVERYDAY_DELIVERIES, &[], EVERYDAY_TIMEOUT, EVERYDAY_MEMORY_MIB)?;
    println!("{line}");
    Ok(())
}

/// The run of `cargo xtask rdma-lab` without a command, then rings with each of these second links; returns its last
/// line.
///
/// # Errors
/// What is missing or went wrong.
pub(crate) fn full(
    nodes: usize,
    second_links: &[String],
    timeout: Duration,
    memory_mib: u32,
) -> anyhow::Result<String> {
    let deliveries = FULL_DELIVERIES * nodes as u64 / 3;
    run(nodes, deliveries, second_links, timeout, memory_mib)
}

fn run(
    nodes: usize,
    deliveries: u64,
    second_links: &[String],
    timeout: Duration,
    memory_mib: u32,
) -> anyhow::Result<String> {
    ensure!(nodes >= 2, "a ring needs 2 nodes at least");
    // Engines without optimisation, emulated, are so late that links that work are taken for dead.
    let profile: &[&str] = if second_links.is_empty() { &[] } else { &["--release"] };
    let suite =
        ["test", "-p", "synchrotron-verbs", "--features", "lab", "--test", "rdma", "--no-run"];
    let torture = ["build", "-p", "synchrotron-cluster", "--bin", "synchrotron-torture"];
    let torture = [&torture[..], profile].concat();
    let ledger = ["build", "-p", "synchrotron-cluster", "--bin", "synchrotron-ledger"];
    let programs = [
        (executable(&suite, "rdma")?, "conformance".to_owned()),
        engine(profile)?,
        (executable(&torture, "synchrotron-torture")?, "synchrotron-torture".to_owned()),
        (executable(&ledger, "synchrotron-ledger")?, "synchrotron-ledger".to_owned()),
    ];
    let crossings = second_links.iter().map(|second| {
        format!(
            "&& /lab/synchrotron-torture --rdma --second-link {second} --daemon \
             --program /lab/synchrotrond --nodes 3 --deliveries 1 --json \
             >/results/links.{second} 2>/results/links.log "
        )
    });
    let crossings: String = crossings.collect();
    let command = format!(
        "/lab/conformance --test-threads 1 && \
         /lab/synchrotron-ledger --daemon --program /lab/synchrotrond --nodes {nodes} --seconds 1 \
         >/results/ledger && \
         /lab/synchrotron-torture --rdma --daemon --program /lab/synchrotrond --nodes {nodes} \
         --deliveries {deliveries} >/results/ring 2>/results/ring.log {crossings}|| \
         {{ cd /results; tail -c 20000 links.log ring.log; cat ledger ring links.*; exit 1; }}"
    );
    let outcome = boot(&Run {
        nodes: nodes.max(SUITE_NODES),
        timeout,
        memory_mib,
        programs: &programs,
        command: &command,
    })?;
    ensure!(outcome.code == 0, "rdma-lab: the command ended with {}", outcome.code);
    counts::print(&outcome.results.join("ledger"))?;
    for second in second_links {
        print_crossings(second, &outcome.results.join(format!("links.{second}")))?;
    }
    let ring = std::fs::read_to_string(outcome.results.join("ring"))?;
    let line = ring.lines().rev().find(|line| line.ends_with("order identical"));
    Ok(format!("rdma-lab: {}", line.context("rdma-lab: the ring said nothing")?))
}

/// Prints how long nothing was delivered when a link failed and when it came back: one over verbs and a second one in
/// turn.
fn print_crossings(second: &str, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let report: Value = serde_json::from_str(&text).context("rdma-lab: no report of the links")?;
    println!(
        "link 0 over verbs, link 1 over {second}; longest time without a delivery, no view changed:"
    );
    for crossing in report["crossings"].as_array().into_iter().flatten() {
        let ms = |name: &str| crossing[1][name].as_f64().unwrap_or(f64::NAN);
        println!(
            "  {:<18} {:>7.1} ms ({:.1} ms before), {:.1} ms when it came back{}",
            crossing[0].as_str().unwrap_or("?"),
            ms("broken_ms"),
            ms("before_ms"),
            ms("mended_ms"),
            if crossing[1]["moved"] == true { "" } else { "; the ring was on the other" }
        );
    }
    Ok(())
}

/// The engine with verbs, and its name in the lab; `profile`: more words for cargo.
pub(super) fn engine(profile: &[&str]) -> anyhow::Result<(PathBuf, String)> {
    let args = ["build", "-p", "synchrotron-daemon", "--features", "verbs"];
    let args = [&args[..], profile].concat();
    Ok((executable(&args, "synchrotrond")?, "synchrotrond".to_owned()))
}

/// Builds with cargo and returns the program that came of it.
pub(super) fn executable(args: &[&str], target: &str) -> anyhow::Result<PathBuf> {
    let output = cargo(args)
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo {} failed", args.join(" "));
    let messages = cargo_metadata::Message::parse_stream(&output.stdout[..]);
    let built = messages.filter_map(Result::ok).filter_map(|message| match message {
        cargo_metadata::Message::CompilerArtifact(artifact) if artifact.target.name == target => {
            artifact.executable
        }
        _ => None,
    });
    let path = built.last().with_context(|| format!("cargo built no program `{target}`"))?;
    Ok(path.into_std_path_buf())
}

/// What building rdma-sys needs beside Rust, installed if we may.
///
/// # Errors
/// What is missing.
pub(crate) fn build_needs() -> Result<(), String> {
    crate::host::ensure_program("cmake", "cmake")?;
    crate::host::ensure_program("cc", "gcc")?;
    let has_libclang = || {
        let listed = Command::new("ldconfig").arg("-p").output();
        let cached = listed.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("libclang"));
        let llvm = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut versions = llvm.map(|entry| entry.path().join("lib/libclang.so.1"));
        cached || versions.any(|path| path.exists())
    };
    if has_libclang() { Ok(()) } else { crate::host::install("libclang-dev") }
}
