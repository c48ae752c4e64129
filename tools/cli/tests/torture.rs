//! Real engines in network namespaces through every fault; everybody must have seen the same.

mod common;

use cluster::{Plan, torture};

fn torture_of(nodes: usize, deliveries: u64, message_bytes: usize, seed: u64) {
    if !common::has_namespaces() {
        return;
    }
    let _machine = common::machine();
    let spec = common::in_namespaces(nodes);
    let plan = Plan { spec, deliveries, message_bytes, seed, faults: Vec::new(), load: None };
    let report = torture::run(&plan, |_, _| {}).unwrap();
    assert!(report.verdict.findings.is_empty(), "{:#?}", report.verdict.findings);
    assert!(report.deliveries >= deliveries);
    eprintln!(
        "{nodes} nodes: {} messages, {} deliveries in {:.1} s, {} faults, {} views compared, healed in at most {} ms",
        report.messages,
        report.deliveries,
        report.seconds,
        report.faults.len(),
        report.verdict.together,
        report.heal_ms_max
    );
}

#[test]
fn three_nodes_survive_every_fault() {
    torture_of(3, 300_000, 64, 1);
}

#[test]
fn five_nodes_survive_every_fault() {
    torture_of(5, 300_000, 200, 2);
}

#[test]
fn large_messages_survive_every_fault() {
    torture_of(3, 2_000, 100_000, 3);
}
