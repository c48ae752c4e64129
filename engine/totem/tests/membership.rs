//! How rings change, how fast, and what must not change them.

extern crate synchrotron_totem as totem;

mod net;

use frame::{Class, Pool, PoolConfig};
use net::check::check;
use net::{MS, Net};
use totem::{Cause, State};
use wire::commit::Commit;
use wire::join::{Compat, Join};
use wire::token::Token;
use wire::{NodeId, NodeSet, RingId};

fn formed(count: u32, seed: u64) -> Net {
    let mut net = Net::new(count, seed);
    net.start_all();
    let ids = net.ids.clone();
    net.run_until_ring(&ids, 5_000 * MS);
    // Enough rotations for the timeout to leave its upper bound.
    for round in 0..150 {
        for id in &ids {
            if round % 2 == 0 || *id % 2 == 0 {
                net.send(*id, false);
            }
        }
        net.run(MS);
    }
    net.run(50 * MS);
    assert!(net.one_ring(&ids), "{}", net.describe());
    net
}

fn gathers(net: &Net) -> u64 {
    let count =
        |(name, value): (&'static str, u64)| if name.starts_with("gathers") { value } else { 0 };
    net.nodes.values().map(|node| node.totem.counters().fields().map(count).sum::<u64>()).sum()
}

#[test]
fn a_leave_is_announced_and_needs_no_timeout() {
    for count in [2, 3, 16] {
        let mut net = formed(count, 1);
        net.leave(2);
        let rest: Vec<u32> = net.ids.iter().copied().filter(|id| *id != 2).collect();
        let took = net.run_until_ring(&rest, 1_000 * MS);
        net.run(5 * MS);
        assert!(net.node(2).left);
        assert!(took < 20 * MS, "{count} nodes: {took} ns");
        for id in rest {
            let cause = net.node(id).totem.status().last_gather.cause;
            assert!(matches!(cause, Cause::PeerLeft | Cause::Join), "{cause:?}");
        }
        check(&net).unwrap();
    }
}

#[test]
fn a_dead_process_is_noticed_by_its_port() {
    for count in [2, 3, 16] {
        let mut net = formed(count, 2);
        net.answer_unreachable = true;
        net.send(1, false);
        net.crash(2);
        net.send(1, false);
        let rest: Vec<u32> = net.ids.iter().copied().filter(|id| *id != 2).collect();
        let took = net.run_until_ring(&rest, 1_000 * MS);
        assert!(took < 25 * MS, "{count} nodes: {took} ns");
        check(&net).unwrap();
    }
}

#[test]
fn a_dead_host_is_noticed_by_the_timeout() {
    for count in [2, 3, 16] {
        let mut net = formed(count, 3);
        let timeout = net.node(1).totem.status().token_timeout_us * 1000;
        net.send(1, false);
        net.crash(2);
        net.send(1, false);
        let rest: Vec<u32> = net.ids.iter().copied().filter(|id| *id != 2).collect();
        let took = net.run_until_ring(&rest, 1_000 * MS);
        // What members that share cores wait for each other comes on top.
        assert!(timeout <= (12 + 3 * u64::from(count)).max(20) * MS, "{timeout}");
        assert!(took < 3 * timeout, "{count} nodes: {took} ns, timeout {timeout} ns");
        check(&net).unwrap();
    }
}

#[test]
fn two_rings_merge_in_one_gather() {
    let mut net = formed(8, 4);
    net.split(&[1, 2, 3, 4], &[5, 6, 7, 8]);
    net.run_until_ring(&[1, 2, 3, 4], 1_000 * MS);
    net.run_until_ring(&[5, 6, 7, 8], 1_000 * MS);
    net.run(1_000 * MS);
    let before = gathers(&net);
    net.heal();
    let ids = net.ids.clone();
    net.run_until_ring(&ids, 1_000 * MS);
    assert_eq!(gathers(&net) - before, 8, "each node gathers once\n{}", net.describe());
    check(&net).unwrap();
}

#[test]
fn one_broken_path_evicts_one_side_and_stays_calm() {
    for both_ways in [false, true] {
        let mut net = formed(5, 5);
        net.cut.insert((2, 4));
        if both_ways {
            net.cut.insert((4, 2));
        }
        // Any change of the ring shows the broken path.
        net.crash(5);
        net.start(5);
        net.run_until_ring(&[1, 2, 3, 5], 2_000 * MS);
        net.run(500 * MS);
        let before = gathers(&net);
        net.run(10_000 * MS);
        let restless = gathers(&net) - before;
        assert!(net.one_ring(&[1, 2, 3, 5]), "{}", net.describe());
        assert!(restless <= 2, "{restless} gathers\n{}", net.describe());
        net.heal();
        let ids = net.ids.clone();
        net.run_until_ring(&ids, 5_000 * MS);
        check(&net).unwrap();
    }
}

#[test]
fn an_older_configuration_is_refused_and_disturbs_nobody() {
    let mut net = formed(4, 6);
    net.crash(4);
    net.run_until_ring(&[1, 2, 3], 1_000 * MS);
    for id in 1..4 {
        net.config_version.insert(id, 1);
    }
    net.config_version.insert(4, 0);
    let before = gathers(&net);
    net.start(4);
    net.run(3_000 * MS);
    assert!(net.one_ring(&[1, 2, 3]));
    assert_eq!(net.node(4).totem.status().members.len(), 1);
    let counters = *net.node(4).totem.counters();
    assert!(counters.refused_by_peers > 0 && counters.refused_by_peers < 40);
    assert_eq!(gathers(&net) - before, 0);
    check(&net).unwrap();
}

#[test]
fn an_own_pause_is_not_blamed_on_others() {
    let mut net = formed(3, 7);
    let ids = net.ids.clone();
    // Shorter than the others' patience: nothing may happen but a note.
    net.pause(3, 12 * MS);
    net.run(100 * MS);
    assert!(net.one_ring(&ids), "{}", net.describe());
    // Longer: the others go on, and the sleeper comes back.
    net.pause(3, 500 * MS);
    net.run_until_ring(&[1, 2], 300 * MS);
    net.run_until_ring(&ids, 2_000 * MS);
    assert!(net.node(3).totem.counters().own_pauses > 0);
    check(&net).unwrap();
}

#[test]
fn thirty_two_nodes_survive_the_death_of_a_third() {
    let mut net = Net::new(32, 8);
    net.start_all();
    let ids = net.ids.clone();
    let formed = net.run_until_ring(&ids, 2_000 * MS);
    for id in &ids {
        net.send(*id, true);
    }
    net.run(100 * MS);
    for id in &ids {
        assert_eq!(net.bodies(*id).len(), 32);
    }
    for id in (3..=32).step_by(3) {
        net.crash(id);
    }
    let rest: Vec<u32> = ids.iter().copied().filter(|id| id % 3 != 0).collect();
    let took = net.run_until_ring(&rest, 2_000 * MS);
    println!("32 nodes: formed in {} ms, third lost: {} ms", formed / MS, took / MS);
    assert!(formed < 1_000 * MS && took < 500 * MS);
    check(&net).unwrap();
}

#[test]
fn a_hundred_and_twenty_eight_nodes_form_a_ring() {
    let mut net = Net::new(128, 9);
    net.start_all();
    let ids = net.ids.clone();
    let formed = net.run_until_ring(&ids, 3_000 * MS);
    net.send(7, true);
    net.run(100 * MS);
    assert!(ids.iter().all(|id| net.bodies(*id).len() == 1), "{}", net.describe());
    println!("128 nodes: formed in {} ms, {} packets", formed / MS, net.packets);
}

#[test]
fn an_idle_ring_is_quiet() {
    let mut net = formed(32, 10);
    net.run(500 * MS);
    let before = net.packets;
    let beacons = net.nodes.values().filter(|node| node.totem.status().resting).count();
    assert_eq!(beacons, 1);
    net.run(1_000 * MS);
    let per_node = (net.packets - before) / 32;
    println!("idle ring of 32: {per_node} packets received per node and second");
    assert!(per_node < 60, "{per_node}");
    assert!(net.nodes.values().all(|node| node.totem.status().state == State::Operational));
}

#[test]
fn a_lone_sender_needs_no_network_hop() {
    let mut net = formed(8, 11);
    net.send(5, false);
    net.run(100 * MS);
    assert!(net.node(5).totem.status().resting, "{}", net.describe());
    let body = net.send(5, false);
    assert_eq!(net.bodies(5).last(), Some(&body), "ordered before any packet came back");
    // Somebody else wakes the ring with one packet: two hops to be ordered everywhere.
    net.run(100 * MS);
    let body = net.send(2, false);
    net.run(MS / 2);
    assert!(net.ids.iter().all(|id| net.bodies(*id).last() == Some(&body)), "{}", net.describe());
    check(&net).unwrap();
}

/// Gives a node a frame that another one never sent.
fn forge(net: &mut Net, to: u32, from: u32, emit: impl FnOnce(&mut [u8]) -> Option<usize>) {
    let now = net.now;
    let node = net.node(to);
    // From a pool of its own: the node's may be empty.
    let (small_bytes, large_bytes) = (1216, 4096);
    let pool = Pool::heap(PoolConfig { small_bytes, small_count: 1, large_bytes, large_count: 0 });
    let mut slot = pool.alloc(Class::Small).unwrap();
    let len = emit(&mut slot).unwrap();
    slot.truncate(len);
    node.totem.receive(now, NodeId(from), slot.freeze(), &mut node.queue);
}

/// Ring numbers are stored: one that leaves none for later would end the cluster for good.
#[test]
fn a_ring_number_that_leaves_none_for_later_is_refused() {
    let mut net = formed(3, 11);
    let compat = Compat { protocol_min: 1, protocol_max: 1, config_version: 1, config_hash: 7 };
    let all = NodeSet::first_n(3);
    let malformed = net.node(1).totem.counters().malformed;
    for ring_seq in [u64::MAX, u64::MAX - 1, 1 << 60] {
        let last_ring = RingId { seq: ring_seq, rep: NodeId(2) };
        let fail = NodeSet::EMPTY;
        let join = Join { compat, ring_seq, last_ring, proc: all, fail, hears: all };
        forge(&mut net, 1, 2, |out| join.emit(out, 3, core::iter::empty()));
        let commit =
            Commit { ring: RingId { seq: ring_seq, rep: NodeId(2) }, hop: 1, members: all };
        forge(&mut net, 1, 2, |out| commit.emit(out, 3));
    }
    assert_eq!(net.node(1).totem.counters().malformed, malformed + 6);
    net.crash(3);
    net.run_until_ring(&[1, 2], 5_000 * MS);
    assert!(net.node(1).totem.status().ring.seq < 1000);
    check(&net).unwrap();
}

/// The frames of the old ring and of the one in the making may pin every slot. Whoever has the token then can neither
/// pass it on nor hear that the others gave the ring up.
#[test]
fn a_token_that_cannot_be_passed_on_is_lost() {
    let mut net = Net::new(2, 12);
    // One large slot is all it has: for the commit, then for its own frame of the new ring.
    net.slots = 0;
    net.start(2);
    let compat = Compat { protocol_min: 1, protocol_max: 1, config_version: 1, config_hash: 7 };
    let (all, fail, last_ring) =
        (NodeSet::first_n(2), NodeSet::EMPTY, RingId { seq: 0, rep: NodeId(1) });
    let join = Join { compat, ring_seq: 4, last_ring, proc: all, fail, hears: all };
    forge(&mut net, 2, 1, |out| join.emit(out, 2, core::iter::empty()));
    let ring = RingId { seq: 5, rep: NodeId(1) };
    let commit = Commit { ring, hop: 1, members: all };
    forge(&mut net, 2, 1, |out| commit.emit(out, 2));
    assert_eq!(net.node(2).totem.status().state, State::Commit);
    net.run(MS);
    let (to, regular_next) = (NodeId(2), NodeId(2));
    let token = Token { to, regular_next, visit: 2, ..Token::first(ring, 100_000) };
    forge(&mut net, 2, 1, |out| token.emit(out));
    net.run(10 * MS);
    let node = net.node(2);
    assert_eq!(node.totem.status().state, State::Recovery);
    assert!(node.totem.counters().pool_empty > 5, "the token is here and cannot leave");
    assert_eq!(node.pool.free(Class::Large), 0);
    net.run_until_ring(&[2], 1_000 * MS);
    assert_eq!(net.node(2).totem.status().last_gather.cause, Cause::Formation);
    assert_eq!(net.node(2).pool.free(Class::Large), 1);
}
