//! Many engines on one machine: one ring, order from every node, one ring again after a third is killed.

mod common;

use std::time::Duration;

use cluster::Rate;
use cluster::Rig;

/// Engines started.
const NODES: usize = 32;

/// Engines killed at once.
const KILLED: usize = NODES / 3;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn thirty_two_engines_form_a_ring_and_survive_the_loss_of_a_third() {
    let _machine = common::machine();
    let spec = common::on_loopback(NODES, 31_000);
    let mut rig = Rig::start(spec, 64, PATIENCE).unwrap();
    rig.set_rate(Rate::PerSecond(50));
    std::thread::sleep(Duration::from_secs(1));
    let survivors: Vec<usize> = (0..NODES - KILLED).collect();
    for victim in NODES - KILLED..NODES {
        rig.participants[victim].set_rate(Rate::Silent);
        rig.cluster.engine(victim).unwrap().kill().unwrap();
    }
    rig.wait_view(&survivors, &survivors, PATIENCE).unwrap();
    for victim in NODES - KILLED..NODES {
        rig.cluster.start(victim).unwrap();
    }
    rig.wait_whole(PATIENCE).unwrap();
    rig.set_rate(Rate::PerSecond(50));
    std::thread::sleep(Duration::from_secs(1));
    rig.settle(PATIENCE).unwrap();
    assert!(rig.participants.iter().all(|participant| participant.sent_in_all() > 0));
    let (_, verdict) = rig.verdict();
    assert!(verdict.findings.is_empty(), "{:#?}", verdict.findings);
    assert!(verdict.together > NODES, "only {} views were compared", verdict.together);
}
