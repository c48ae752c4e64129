//! The checkers bite: for each there is a deliberate fault that it catches within a few seeds, and the very
//! same seeds are clean without the fault.

use std::collections::BTreeSet;

use node::Mutation;
use synchrotron_sim::{Checker, Scenario, Spoil, Tamper, Tracer, run};

/// Seeds tried for one fault. They are small worlds of this many nodes.
const SEEDS: std::ops::Range<u64> = 1..60;
const NODES: u32 = 4;

fn play(seed: u64, spoil: Spoil) -> BTreeSet<Checker> {
    let outcome = run(Scenario::new(seed, Some(NODES)), Tracer::default(), spoil);
    outcome.findings.iter().map(|f| f.checker).collect()
}

/// The checker notices the fault in one of the seeds, and says nothing about that seed without it.
fn catches(checker: Checker, spoil: Spoil) {
    catches_within(SEEDS, checker, spoil);
}

fn catches_within(seeds: std::ops::Range<u64>, checker: Checker, spoil: Spoil) {
    let seed = seeds.into_iter().find(|seed| play(*seed, spoil).contains(&checker));
    let seed = seed.unwrap_or_else(|| panic!("{} does not notice {spoil:?}", checker.name()));
    let clean = play(seed, Spoil::default());
    assert!(clean.is_empty(), "seed {seed} is not clean without the fault: {clean:?}");
}

fn mutation(mutation: Mutation) -> Spoil {
    Spoil { mutation: Some(mutation), ..Spoil::default() }
}

fn tamper(tamper: Tamper) -> Spoil {
    Spoil { tamper: Some(tamper), ..Spoil::default() }
}

#[test]
fn agreed_order_catches_a_gap_that_is_stepped_over() {
    catches(Checker::AgreedOrder, mutation(Mutation::DeliverGap));
}

#[test]
fn agreed_order_catches_neighbours_that_change_places() {
    catches(Checker::AgreedOrder, tamper(Tamper::Swap));
}

#[test]
fn agreed_order_catches_a_message_in_another_place() {
    catches(Checker::AgreedOrder, tamper(Tamper::Displace));
}

#[test]
fn safe_delivery_catches_safe_treated_as_agreed() {
    catches(Checker::SafeDelivery, mutation(Mutation::SafeAsAgreed));
}

#[test]
fn safe_delivery_catches_one_rotation_instead_of_two() {
    catches(Checker::SafeDelivery, mutation(Mutation::SkipStableCheck));
}

#[test]
fn safe_delivery_catches_what_one_member_has_taken_for_what_all_have() {
    catches(Checker::SafeDelivery, mutation(Mutation::AskOne));
}

#[test]
fn self_delivery_catches_own_frames_left_out() {
    catches(Checker::SelfDelivery, mutation(Mutation::NoSelfDelivery));
}

#[test]
fn virtual_synchrony_catches_different_recovery() {
    catches(Checker::VirtualSynchrony, mutation(Mutation::DeliverDifferentRecovered));
}

#[test]
fn virtual_synchrony_catches_a_lost_delivery() {
    catches(Checker::VirtualSynchrony, tamper(Tamper::Drop));
}

/// Worlds of large messages and joins, otherwise as their seeds draw them.
fn crowded(seed: u64, spoil: Spoil) -> (BTreeSet<Checker>, u64) {
    let mut scenario = Scenario::new(seed, Some(NODES));
    scenario.load = scenario.load.with_joins_amid_large_messages();
    let outcome = run(scenario, Tracer::default(), spoil);
    let waited = outcome.counters.get(&("groups", "joins_waited")).copied().unwrap_or_default();
    (outcome.findings.iter().map(|f| f.checker).collect(), waited)
}

#[test]
fn virtual_synchrony_catches_joins_that_do_not_wait() {
    let spoilt = mutation(Mutation::JoinAtOnce);
    let caught = SEEDS.filter(|seed| crowded(*seed, spoilt).0.contains(&Checker::VirtualSynchrony));
    let caught = caught.take(3).collect::<Vec<_>>();
    assert_eq!(caught.len(), 3, "only seeds {caught:?} notice that joins do not wait");
    for seed in caught {
        assert_eq!(crowded(seed, Spoil::default()).0, BTreeSet::new(), "seed {seed} is not clean");
    }
}

#[test]
fn virtual_synchrony_catches_clients_that_do_not_look_before_their_first_view() {
    let spoilt = tamper(Tamper::ForgetBeginnings);
    let caught = SEEDS.filter(|seed| crowded(*seed, spoilt).0.contains(&Checker::VirtualSynchrony));
    let caught = caught.take(3).collect::<Vec<_>>();
    assert_eq!(caught.len(), 3, "only seeds {caught:?} notice the beginnings that were lost");
    for seed in caught {
        assert_eq!(crowded(seed, Spoil::default()).0, BTreeSet::new(), "seed {seed} is not clean");
    }
}

#[test]
fn joins_wait_in_worlds_of_large_messages() {
    let mut waited = 0;
    for seed in 1..20 {
        let (findings, count) = crowded(seed, Spoil::default());
        assert!(findings.is_empty(), "seed {seed}: {findings:?}");
        waited += count;
    }
    assert!(waited > 200, "{waited} joins waited, counted at every node");
}

#[test]
fn causal_order_catches_a_gap_that_is_stepped_over() {
    catches(Checker::CausalOrder, mutation(Mutation::DeliverGap));
}

#[test]
fn integrity_catches_a_frame_delivered_twice() {
    catches(Checker::Integrity, mutation(Mutation::DuplicateDeliver));
}

#[test]
fn integrity_catches_a_message_delivered_twice() {
    catches(Checker::Integrity, tamper(Tamper::Repeat));
}

#[test]
fn views_catch_a_forgotten_member() {
    catches(Checker::Views, tamper(Tamper::ForgetMember));
}

#[test]
fn views_catch_a_wrong_reason() {
    catches(Checker::Views, tamper(Tamper::WrongReason));
}

#[test]
fn ring_ids_catch_a_number_used_again() {
    catches(Checker::RingIds, mutation(Mutation::ReuseRingSeq));
}

#[test]
fn ring_ids_catch_a_disk_that_forgets() {
    catches(Checker::RingIds, tamper(Tamper::ForgetDisk));
}

#[test]
fn slots_catch_a_leak() {
    catches(Checker::Slots, tamper(Tamper::LeakSlot));
}

#[test]
fn liveness_catches_unanswered_retransmission_requests() {
    catches(Checker::Liveness, mutation(Mutation::ForgetRetransmit));
}

#[test]
fn liveness_catches_a_deaf_node() {
    catches(Checker::Liveness, tamper(Tamper::StayDeaf));
}

#[test]
fn one_quorum_catches_a_ring_that_does_not_wait_for_the_leases_of_others() {
    catches(Checker::OneQuorum, mutation(Mutation::OweNothing));
}

#[test]
fn one_quorum_catches_a_lease_that_does_not_end() {
    // The part that lost must be the later one to form its ring, which is seldom.
    catches_within(100..160, Checker::OneQuorum, mutation(Mutation::EndlessLease));
}

#[test]
fn quorum_membership_catches_a_disk_that_forgets() {
    catches(Checker::QuorumMembership, tamper(Tamper::ForgetDisk));
}

/// Worlds of reloads, otherwise as their seeds draw them; what was found, and how often a node took a
/// configuration over.
fn reloading(seed: u64, spoil: Spoil) -> (BTreeSet<Checker>, u64) {
    let scenario = Scenario::new(seed, Some(NODES)).with_many_reloads();
    let outcome = run(scenario, Tracer::default(), spoil);
    let taken = outcome.counters.get(&("reload", "taken_over")).copied().unwrap_or_default();
    (outcome.findings.iter().map(|f| f.checker).collect(), taken)
}

/// The checker notices the fault in a world of reloads, and says nothing about that world without it.
fn catches_reloading(checker: Checker, spoil: Spoil) {
    let seed = SEEDS.into_iter().find(|seed| reloading(*seed, spoil).0.contains(&checker));
    let seed = seed.unwrap_or_else(|| panic!("{} does not notice {spoil:?}", checker.name()));
    let clean = reloading(seed, Spoil::default()).0;
    assert!(clean.is_empty(), "seed {seed} is not clean without the fault: {clean:?}");
}

#[test]
fn worlds_of_reloads_keep_every_promise() {
    let mut taken = 0;
    // The last one: a node that leaves hears nothing of its own leave, and comes along into further rings.
    for seed in (1..40).chain([88_650_053]) {
        let (findings, count) = reloading(seed, Spoil::default());
        assert!(findings.is_empty(), "seed {seed}: {findings:?}");
        taken += count;
    }
    assert!(taken > 400, "{taken} configurations taken over, counted at every node");
}

#[test]
fn reload_catches_a_commit_that_is_not_safe() {
    catches_reloading(Checker::Reload, mutation(Mutation::CommitUnsafe));
}

#[test]
fn reload_catches_nodes_that_do_not_wait_for_the_commit() {
    catches_reloading(Checker::Reload, mutation(Mutation::CommitEarly));
}

#[test]
fn reload_catches_nodes_that_take_over_what_was_refused() {
    catches_reloading(Checker::Reload, tamper(Tamper::TakeOverRefused));
}

#[test]
fn one_configuration_catches_rings_of_several() {
    catches_reloading(Checker::OneConfiguration, mutation(Mutation::MixConfigurations));
}

#[test]
fn liveness_catches_a_node_that_does_not_follow_a_newer_configuration() {
    catches_reloading(Checker::Liveness, tamper(Tamper::IgnoreNewer));
}
