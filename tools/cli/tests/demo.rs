//! The main job, as the README gives it.

mod common;

use std::process::Command;

use serde_json::Value;

#[test]
fn the_demo_orders_fails_over_and_agrees() {
    let _machine = common::machine();
    let output =
        Command::new(common::tool()).args(["demo", "--json", "--seconds", "2"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["order_identical"], true, "{report}");
    assert_eq!(report["nodes"], 3);
    for key in ["messages", "messages_per_second", "failover_ms"] {
        assert!(report[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {report}");
    }
    for key in ["p50", "p99", "p99_9"] {
        assert!(
            report["latency_us"][key].as_f64().is_some_and(|value| value > 0.0),
            "{key} in {report}"
        );
    }
}

#[test]
fn the_demo_works_encrypted_and_with_other_sizes() {
    let _machine = common::machine();
    let args = [
        "demo",
        "--json",
        "--seconds",
        "1",
        "--encrypted",
        "--nodes",
        "2",
        "--message-bytes",
        "5000",
    ];
    let output = Command::new(common::tool()).args(args).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["order_identical"], true, "{report}");
}
