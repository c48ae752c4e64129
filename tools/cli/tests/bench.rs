//! The benchmarks as scripts use them: what they print has the promised shape, and the order was checked. No speed
//! is asserted: that is for quiet machines.

mod common;

use std::process::Command;

use serde_json::Value;

/// Runs `synchrotron bench ... --json` and reads what it printed.
fn bench(args: &[&str]) -> Value {
    let _machine = common::machine();
    let mut command = Command::new(common::tool());
    command.arg("bench").args(args).args(["--patience", "0", "--json"]);
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
