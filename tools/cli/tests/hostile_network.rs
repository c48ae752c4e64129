//! An attacker without the key beside a ring under light load: everything it sends is dropped and counted, and
//! nothing else happens.
//!
//! `SYNCHROTRON_HOSTILE_FRAMES` sets how many frames are sent (100,000 unless set). Without
//! encryption an attacker can write frames with good checksums; what is promised then, and tested
//! here, is that damage, garbage and replays do no harm.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster::{Rate, Rig, Spec, wait_until};
use common::attacker::Attacker;
use common::shell::{PATIENCE, status};
use serde_json::Value;

const NODES: usize = 3;

/// Messages a second of each participant.
const LIGHT: Rate = Rate::PerSecond(200);

/// Frames sent between two looks at the engines, which also keep the attacker from merely filling the
/// receive buffers.
const BATCH: u64 = 500;

/// Ways to be dropped that the attacker's frames must have been met with.
const REASONS: [&str; 12] = [
    "drop_truncated",
    "drop_bad_magic",
    "drop_wrong_version",
    "drop_bad_field",
    "drop_wrong_cluster",
    "drop_wrong_security",
    "drop_same_node_id",
    "drop_unknown_sender",
    "drop_bad_length",
    "drop_unknown_epoch",
    "drop_bad_tag",
    "drop_replay",
];

fn frames() -> u64 {
    std::env::var("SYNCHROTRON_HOSTILE_FRAMES").map_or(100_000, |count| count.parse().unwrap())
}

/// Drops by reason, of all engines together. What comes back from the group by itself does not count.
fn drops(rig: &Rig) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for node in 0..NODES {
        let status = status(&rig.cluster.socket(node));
        let link = status["counters"]["link"].as_object().unwrap().clone();
        for (name, count) in link {
            if name.starts_with("drop_") && name != "drop_own_frame" {
                *sum.entry(name).or_insert(0) += count.as_u64().unwrap();
            }
        }
    }
    sum
}

fn views(rig: &Rig) -> Vec<usize> {
    rig.participants.iter().map(|participant| participant.views().len()).collect()
}

fn rings(rig: &Rig) -> Vec<Value> {
    (0..NODES).map(|node| status(&rig.cluster.socket(node))["ring"]["seq"].clone()).collect()
}

/// Free slots of an engine that has nothing to do.
fn free_slots(rig: &Rig, node: usize) -> u64 {
    let pool = status(&rig.cluster.socket(node))["pool"].clone();
    ["small_free", "large_free", "lent"].iter().map(|name| pool[*name].as_u64().unwrap()).sum()
}

/// Attacks until `frames` were sent, through the whole of which messages must keep flowing.
fn attack(rig: &Rig, attacker: &mut Attacker, frames: u64) -> u64 {
    let mut sent = 0;
    while sent < frames {
        attacker.listen();
        sent += attacker.attack(BATCH.min(frames - sent));
        let seen = drops(rig).values().sum::<u64>();
        assert!(seen > 0, "nothing arrives at the engines");
    }
    let before = rig.delivered();
    let flows = wait_until(PATIENCE, || rig.delivered() > before + 100 * NODES as u64);
    assert!(flows, "nothing is delivered any more");
    sent
}

fn survive(spec: Spec, base_port: u16, seed: u64) {
    // The test is about what frames do, not about how busy this machine is: only a ring that was broken, not
    // one that was slow, may be formed anew.
    let spec = Spec { extra: vec![("totem".into(), "token_timeout = \"20s\"".into())], ..spec };
    let mut rig = Rig::start(spec, 64, PATIENCE).unwrap();
    let mut attacker = Attacker::new(NODES, base_port, seed);
    let idle: Vec<u64> = (0..NODES).map(|node| free_slots(&rig, node)).collect();
    rig.set_rate(LIGHT);
    assert!(wait_until(PATIENCE, || attacker.listen() > 300), "nothing is multicast");
    let (views_before, rings_before, drops_before) = (views(&rig), rings(&rig), drops(&rig));
    let start = Instant::now();
    let sent = attack(&rig, &mut attacker, frames());
    let seconds = start.elapsed().as_secs_f64();
    for node in 0..NODES {
        assert!(rig.cluster.engine(node).unwrap().is_running(), "engine {node} is gone");
    }
    assert_eq!(views(&rig), views_before, "the attack changed views");
    assert_eq!(rings(&rig), rings_before, "the attack made a new ring");
    assert!(rig.participants.iter().all(|participant| participant.connections() == 1));
    let dropped: BTreeMap<String, u64> = drops(&rig)
        .into_iter()
        .map(|(name, count)| (name.clone(), count - drops_before.get(&name).unwrap_or(&0)))
        .collect();
    for reason in REASONS {
        assert!(dropped[reason] > 0, "no frame met {reason}: {dropped:#?}");
    }
    if let Err(error) = rig.settle(PATIENCE) {
        let seen: Vec<_> = (0..NODES).map(|node| status(&rig.cluster.socket(node))).collect();
        panic!("{error}\n{seen:#?}");
    }
    let is_idle = || (0..NODES).all(|node| free_slots(&rig, node) >= idle[node]);
    assert!(wait_until(Duration::from_secs(20), is_idle), "message memory leaks: {idle:?}");
    let (_, verdict) = rig.verdict();
    assert!(verdict.findings.is_empty(), "{:#?}", verdict.findings);
    assert!(verdict.together > 0 && verdict.messages > 0, "{verdict:?}");
    let total: u64 = dropped.values().sum();
    eprintln!(
        "{sent} frames in {seconds:.1} s, {total} drops at {NODES} engines, {} messages compared: {dropped:#?}",
        verdict.messages
    );
}

#[test]
fn an_encrypted_ring_does_not_notice_an_attacker() {
    let _machine = common::machine();
    let spec = Spec { encrypted: true, ..common::on_loopback(NODES, 33_100) };
    survive(spec, 33_100, 1);
}

#[test]
fn a_ring_in_the_clear_does_not_notice_damage_garbage_and_replays() {
    let _machine = common::machine();
    survive(common::on_loopback(NODES, 33_120), 33_120, 2);
}
