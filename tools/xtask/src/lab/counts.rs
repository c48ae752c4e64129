//! A ring's ledger, read: what one message costs by the engines' own counters.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Counters shown, and what they count.
const SHOWN: [(&str, &str); 9] = [
    ("transport.send_requests", "work requests posted for sending"),
    ("transport.send_copies_inline", "of these written into the request (inline)"),
    ("transport.send_doorbells", "doorbells of sends"),
    ("transport.send_completions", "completions of sends"),
    ("transport.receive_requests", "work requests posted for receiving"),
    ("transport.receive_doorbells", "doorbells of receives"),
    ("transport.receive_completions", "completions of receives"),
    ("transport.loopbacks", "of these our own multicasts, dropped"),
    ("transport.tokens_received", "tokens"),
];

/// Reads a ledger, prints what it says about a part, and holds it to what must be nothing: registrations after the
/// start, and frames copied on their way in.
///
/// # Errors
/// When it is not a ledger, or those are not nothing.
pub(super) fn print(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let ledger: Value = serde_json::from_str(&text).context("rdma-lab: the ledger is not JSON")?;
    println!(
        "engine.idle = {}, {} nodes, {} byte messages:",
        ledger["idle"], ledger["nodes"], ledger["message_bytes"]
    );
    for name in ["idle", "light", "flood"] {
        let part = &ledger["parts"][name];
        let cpu: Vec<String> =
            list(&part["engine_cpu"]).map(|share| format!("{:.1} %", 100.0 * share)).collect();
        let latency =
            part["latency_us"]["p50"].as_f64().map_or("-".to_owned(), |us| format!("{us:.0} us"));
        println!(
            "  {name:<6} {:>8.0} messages/s, processor per engine {}, latency p50 {latency}",
            number(&part["messages_per_s"]),
            cpu.join(", ")
        );
        ensure!(
            number(&part["registrations"]) == 0.0,
            "rdma-lab: {name}: memory was registered under load"
        );
        let copied = &part["counts"]["node.frames_copied_out"]["count"];
        ensure!(copied.is_null(), "rdma-lab: {name}: {copied} frames were copied on their way in");
    }
    let flood = &ledger["parts"]["flood"];
    ensure!(number(&flood["messages"]) > 0.0, "rdma-lab: no message was ordered under load");
    println!("  for each message of the flood, all nodes together:");
    for (counter, what) in SHOWN {
        println!("    {:>9.5} {what}", number(&flood["counts"][counter]["per_message"]));
    }
    println!("    {:>9.5} registrations", number(&flood["registrations"]));
    println!(
        "    {:>9.5} copies for each delivery to a program",
        number(&flood["copies_per_delivery"])
    );
    Ok(ledger)
}

fn list(value: &Value) -> impl Iterator<Item = f64> {
    value.as_array().into_iter().flatten().map(number)
}

/// A number, or nothing where it is absent.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}
