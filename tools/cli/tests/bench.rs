//! The benchmarks as scripts use them: what they print has the promised shape, and the order was checked. No speed
//! is asserted: that is for quiet machines.

mod common;

use std::process::Command;

use serde_json::Value;

/// Runs `synchrotron bench ... --json` and reads what it printed.
fn bench(args: &[&str]) -> Value {
    bench_in(&std::env::var("PATH").unwrap(), args)
}

/// The same with another search path for programs.
fn bench_in(path: &str, args: &[&str]) -> Value {
    let _machine = common::machine();
    let mut command = Command::new(common::tool());
    command.env("PATH", path).arg("bench").args(args).args(["--patience", "0", "--json"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn positive(value: &Value, at: &str) {
    let found = value.pointer(at).and_then(Value::as_f64);
    assert!(found.is_some_and(|number| number > 0.0), "{at} is {found:?} in {value}");
}

#[test]
fn every_load_gives_figures_and_everybody_saw_the_same() {
    let logs = tempfile::tempdir().unwrap();
    let loads = "silent,idle,flood,half,rate:1000,burst:20:5000";
    let report = bench(&[
        "local",
        "--loopback",
        "--nodes",
        "2",
        "--size",
        "16,64,1400,70000",
        "--senders",
        "all",
        "--seconds",
        "0.3",
        "--loads",
        loads,
        "--out",
        logs.path().to_str().unwrap(),
    ]);
    for at in [
        "/messages_per_second",
        "/megabytes_per_second",
        "/latency_us/idle/p50",
        "/latency_us/idle/p99",
        "/latency_us/half/p99",
        "/latency_us/flood/count",
        "/cpu_us_per_message",
        "/formation_s",
        "/memory/private_bytes",
        "/host/cores",
        "/order/messages",
        "/loads/2/cpu_us_per_message/engines",
        "/loads/2/cpu_us_per_message/generator",
        "/loads/2/switches_per_message/machine",
        "/loads/2/counters/totem.frames_delivered",
        "/loads/4/latency_us/count",
        "/loads/5/latency_us/max",
    ] {
        positive(&report, at);
    }
    assert_eq!(report["order"]["identical"], true);
    assert_eq!(report["order"]["subscribers"], 2);
    assert_eq!(report["loads"].as_array().unwrap().len(), 6);
    let log = std::fs::read_to_string(logs.path().join("synchrotron-flood.hlog")).unwrap();
    assert!(log.contains("HIST"), "{log}");
}

#[test]
fn a_suite_goes_on_after_a_failure_and_ends_with_a_report() {
    let _machine = common::machine();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    // Without `ip` on the path there are no namespaces, so that the first row fails wherever this runs.
    let mut command = Command::new(common::tool());
    command.env("PATH", dir.path());
    command.args(["bench", "suite", "--quick", "--seconds", "0.1", "--patience", "0"]);
    command.args(["--rows", "12,11", "--out", out]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("row 12: FAILED"), "{errors}");
    let results = std::fs::read(dir.path().join("results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    assert!(results["rows"]["12"]["runs"][0]["error"].is_string(), "{results}");
    let ring = &results["rows"]["11"]["runs"][0]["result"];
    for versus in 0..3 {
        for contestant in ["threads", "processes", "iceoryx2", "ratio"] {
            positive(ring, &format!("/processes/{versus}/{contestant}/median"));
        }
    }
    positive(ring, "/rings/0/median");
    let table = std::fs::read_to_string(dir.path().join("table.md")).unwrap();
    assert!(table.contains("| 12 | 32 nodes |  | failed: "), "{table}");
    let of_rings = table.lines().filter(|line| line.starts_with("| 11 |")).collect::<Vec<_>>();
    assert_eq!(of_rings.len(), 7, "{table}");
    assert!(!of_rings.iter().any(|line| line.contains("not measured")), "{of_rings:#?}");
    let page = dir.path().join("report.html");
    let first = std::fs::read_to_string(&page).unwrap();
    assert!(first.contains("What failed") && first.contains("one way, two processes, both spin"));
    std::fs::remove_file(&page).unwrap();
    let again = Command::new(common::tool()).args(["bench", "report", out]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(std::fs::read_to_string(&page).unwrap(), first);
}

#[test]
fn where_corosync_cannot_be_measured_the_report_says_why() {
    let report = bench(&[
        "compare",
        "--loopback",
        "--transport",
        "udp",
        "--encryption",
        "on",
        "--pairs",
        "1",
        "--seconds",
        "0.2",
    ]);
    assert_eq!(report["corosync"]["available"], false);
    assert!(report["corosync"]["reason"].as_str().unwrap().contains("udp"));
    positive(&report, "/synchrotron/messages_per_second");
    assert_eq!(report["ratio"], Value::Null);
}

#[test]
fn corosync_and_we_are_measured_with_the_same_loads() {
    if !common::has_namespaces() || !common::has_corosync() {
        return;
    }
    let report =
        bench(&["compare", "--nodes", "2", "--size", "64", "--seconds", "0.5", "--pairs", "1"]);
    for side in ["corosync", "synchrotron"] {
        for field in [
            "messages_per_second",
            "latency_us/idle/p50",
            "latency_us/idle/p99",
            "latency_us/half/p50",
            "latency_us/half/p99",
            "cpu_us_per_message",
            "formation_s",
        ] {
            positive(&report, &format!("/{side}/{field}"));
        }
        assert_eq!(report[side]["order_identical"], true, "{}", report[side]["runs"]);
    }
    positive(&report, "/ratio/messages_per_second");
    positive(&report, "/ratio/half_p50");
    assert!(report["quiet"].is_boolean() && report["idle_before"][0].is_number());
}

#[test]
fn engines_on_other_hosts_are_driven_over_ssh() {
    use std::os::unix::fs::PermissionsExt;

    if !common::has_namespaces() {
        return;
    }
    // Hosts are namespaces, and the `ssh` that is found first goes into them.
    let hosts = cluster::Namespaces::create(2, 1500).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ssh = dir.path().join("ssh");
    let script = "#!/bin/sh\nshift 2\nhost=$1\nshift\nexec ip netns exec \"$host\" sh -c \"$*\"\n";
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let named = [0, 1].map(|host| format!("{}={}", hosts.name(host), hosts.address(host)));
    let args = ["local", "--hosts", &named.join(","), "--encryption", "on", "--seconds", "0.3"];
    let report = bench_in(&path, &args);
    assert_eq!(report["order"]["identical"], true);
    positive(&report, "/messages_per_second");
    positive(&report, "/loads/1/cpu_us_per_message/engines");
    let left = std::fs::read_dir("/tmp").unwrap().flatten();
    let mine = report["pid"].as_u64().map(|pid| format!("synchrotron-bench-{pid}"));
    assert!(mine.is_some(), "{report}");
    assert!(!left.map(|e| e.file_name()).any(|name| name.to_str() == mine.as_deref()));
}
