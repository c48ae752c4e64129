//! Changes of the configuration while nodes run: all make them at one place of the order, or none does.

extern crate synchrotron_node as node;

mod cluster;

use cluster::{Cluster, encrypted};
use groups::cfg::{Abort, Answer, Event, Request};
use link::Security;
use node::{Input, Reconfiguration};
use totem::{Cause, State, TokenTimeout};
use wire::cfg::{ChangeId, Target};
use wire::{NodeId, RingId};

const TARGET: Target = Target { config_version: 2, config_hash: 22, key: 0 };

fn reconfiguration(ring: RingId, nodes: &[u32]) -> Reconfiguration {
    Reconfiguration {
        ring,
        nodes: nodes.iter().copied().map(NodeId).collect(),
        token_timeout: TokenTimeout::Auto { min_us: 3_000, max_us: 40_000 },
        consensus_us: None,
        config_version: TARGET.config_version,
        config_hash: TARGET.config_hash,
        limits: groups::Limits::default(),
        links: node::Links::ONE,
        quorum: None,
    }
}

fn prepare(cluster: &mut Cluster, node: u32) {
    let request = Request::Prepare { number: 7, target: TARGET };
    cluster.input(NodeId(node), Input::Change(request));
}

/// Lets every node answer what it is asked, and take over what is committed; gives who did.
fn serve(cluster: &mut Cluster, nodes: &[u32], us: u64) -> Vec<u32> {
    let until_ns = cluster.now_ns + us * 1000;
    let mut took = Vec::new();
    while cluster.now_ns < until_ns {
        cluster.step(until_ns);
        for id in cluster.engines.keys().copied().collect::<Vec<_>>() {
            for event in std::mem::take(&mut cluster.engine(id.0).changes) {
                match event {
                    Event::Check { change, .. } => {
                        let answer = Answer { good: true, text: String::new() };
                        cluster.input(id, Input::Change(Request::Answer { change, answer }));
                    }
                    Event::Committed { at, .. } => {
                        let now_ns = cluster.now_ns;
                        let engine = cluster.engine(id.0);
                        let changed = reconfiguration(at.ring, nodes);
                        engine.node.reconfigure(now_ns, changed).unwrap();
                        took.push(id.0);
                        // Drains what follows.
                        cluster.input(id, Input::Submitted);
                    }
                    Event::Newer { config_version, config_hash, .. } => {
                        let theirs = Target { config_version, config_hash, ..TARGET };
                        assert_eq!(theirs, TARGET);
                        let number = cluster.now_ns;
                        let request = Request::Prepare { number, target: TARGET };
                        cluster.input(id, Input::Change(request));
                    }
                    other => cluster.engine(id.0).changes.push(other),
                }
            }
        }
    }
    took.sort_unstable();
    took
}

fn ring_seqs(cluster: &Cluster) -> Vec<u64> {
    cluster.engines.values().map(|engine| engine.node.status().totem.ring.seq).collect()
}

#[test]
fn a_ring_goes_on_under_a_new_configuration_and_strangers_to_it_stay_out() {
    let mut cluster = Cluster::new(3, encrypted());
    cluster.run_until_one_ring();
    let before = ring_seqs(&cluster);
    prepare(&mut cluster, 2);
    assert_eq!(serve(&mut cluster, &[1, 2, 3], 100_000), [1, 2, 3]);
    assert_eq!(ring_seqs(&cluster), before, "no view change");
    // A node that starts with the old configuration is refused, one with the new gets in.
    cluster.kill(NodeId(3));
    cluster.run_us(500_000);
    cluster.start(NodeId(3));
    cluster.run_us(1_000_000);
    assert_eq!(cluster.engine(1).node.status().totem.members.len(), 2);
    cluster.kill(NodeId(3));
    cluster.config = (TARGET.config_version, TARGET.config_hash);
    cluster.start(NodeId(3));
    cluster.run_until_one_ring();
    cluster.assert_nobody_misbehaved();
}

#[test]
fn a_node_is_added_in_front_of_and_behind_those_there_are_and_taken_out_again() {
    for security in [Security::Off, encrypted()] {
        // Positions of all others move when node 1 comes.
        let mut cluster = Cluster::empty(security);
        cluster.ids = [2, 4].map(NodeId).into();
        cluster.start(NodeId(2));
        cluster.start(NodeId(4));
        cluster.run_until_one_ring();
        let before = ring_seqs(&cluster);
        prepare(&mut cluster, 4);
        assert_eq!(serve(&mut cluster, &[1, 2, 3, 4, 5], 100_000), [2, 4]);
        assert_eq!(ring_seqs(&cluster), before, "no view change");
        cluster.ids = (1..=5).map(NodeId).collect();
        cluster.config = (TARGET.config_version, TARGET.config_hash);
        for id in [1, 5, 3] {
            cluster.start(NodeId(id));
            cluster.run_until_one_ring();
        }
        let group = cluster.join(1, 1, b"g");
        cluster.join(5, 5, b"g");
        cluster.push(1, 1, group, b"from the new node", true);
        cluster.run_us(100_000);
        assert_eq!(cluster.engine(5).messages(), [(1, b"from the new node".to_vec())]);
        // Out again: the first goes, and positions move back.
        cluster.kill(NodeId(1));
        cluster.run_until_one_ring();
        let before = ring_seqs(&cluster);
        prepare(&mut cluster, 3);
        assert_eq!(serve(&mut cluster, &[2, 3, 4, 5], 100_000), [2, 3, 4, 5]);
        assert_eq!(ring_seqs(&cluster), before, "no view change");
        cluster.ids = (2..=5).map(NodeId).collect();
        cluster.kill(NodeId(4));
        cluster.run_until_one_ring();
        cluster.start(NodeId(4));
        cluster.run_until_one_ring();
        cluster.assert_nobody_misbehaved();
    }
}

#[test]
fn a_ring_that_changes_in_between_ends_a_change_for_everybody() {
    let mut cluster = Cluster::new(3, Security::Off);
    cluster.run_until_one_ring();
    prepare(&mut cluster, 1);
    cluster.run_us(50_000);
    cluster.kill(NodeId(3));
    let change = ChangeId { node: NodeId(1), number: 7 };
    cluster.run_us(2_000_000);
    for id in [1, 2] {
        let last = cluster.engine(id).changes.last().cloned();
        assert_eq!(last, Some(Event::Aborted { change, why: Abort::NewRing }), "node {id}");
    }
    // Answers that come late change nothing.
    let answer = Answer { good: true, text: String::new() };
    cluster.input(NodeId(2), Input::Change(Request::Answer { change, answer }));
    cluster.run_us(100_000);
    assert!(!cluster.engine(1).changes.iter().any(|e| matches!(e, Event::Committed { .. })));
    cluster.assert_nobody_misbehaved();
}

/// A node takes over what was committed in a ring.
fn take_over(cluster: &mut Cluster, node: u32, ring: RingId) {
    let now_ns = cluster.now_ns;
    let changed = reconfiguration(ring, &[1, 2, 3]);
    cluster.engine(node).node.reconfigure(now_ns, changed).unwrap();
    // Drains what follows.
    cluster.input(NodeId(node), Input::Submitted);
}

#[test]
fn who_takes_a_commit_over_after_its_ring_has_ended_gathers_anew() {
    let mut cluster = Cluster::new(3, Security::Off);
    cluster.run_until_one_ring();
    let old = cluster.engine(1).node.status().totem.ring;
    cluster.kill(NodeId(3));
    cluster.run_until_one_ring();
    let before = ring_seqs(&cluster);
    // The other member of the new ring may come from elsewhere and not have it; here it has not, yet.
    take_over(&mut cluster, 1, old);
    let status = cluster.engine(1).node.status().totem;
    assert_eq!((status.state, status.last_gather.cause), (State::Gather, Cause::Reload));
    cluster.run_us(1_000_000);
    for id in [1, 2] {
        let members = cluster.engine(id).node.status().totem.members;
        assert_eq!(members[..], [NodeId(id)], "they have different configurations");
    }
    take_over(&mut cluster, 2, old);
    cluster.run_until_one_ring();
    assert!(ring_seqs(&cluster)[0] > before[0]);
    cluster.assert_nobody_misbehaved();
}

#[test]
fn whoever_is_cut_off_around_the_commit_ends_up_with_the_others() {
    // Cut at many moments: either nobody took it over, or all did, or the one cut off alone did not, and follows
    // when it meets the others again.
    let mut counts = [0; 3];
    for cut_us in (0..3_000).step_by(20) {
        let mut cluster = Cluster::new(3, Security::Off);
        cluster.run_until_one_ring();
        prepare(&mut cluster, 1);
        let mut took = serve(&mut cluster, &[1, 2, 3], cut_us);
        for other in [1, 2] {
            cluster.cut.insert((NodeId(3), NodeId(other)));
            cluster.cut.insert((NodeId(other), NodeId(3)));
        }
        took.extend(serve(&mut cluster, &[1, 2, 3], 1_000_000));
        took.sort_unstable();
        counts[2] += usize::from(took == [1, 2]);
        cluster.cut.clear();
        took.extend(serve(&mut cluster, &[1, 2, 3], 5_000_000));
        took.sort_unstable();
        let members = cluster.engine(1).node.status().totem.members.len();
        match took[..] {
            [] => counts[0] += 1,
            [1, 2, 3] => counts[1] += 1,
            _ => panic!("cut after {cut_us} us: {took:?} took it over"),
        }
        assert_eq!(members, 3, "cut after {cut_us} us: {took:?}");
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn a_node_is_asked_to_leave() {
    let mut cluster = Cluster::new(3, Security::Off);
    cluster.run_until_one_ring();
    let request = Request::Kill { node: NodeId(2), text: "by hand".into() };
    cluster.input(NodeId(3), Input::Change(request));
    cluster.run_us(100_000);
    let killed = Event::Killed { by: NodeId(3), text: "by hand".into() };
    assert_eq!(cluster.engine(2).changes, [killed]);
    assert!(cluster.engine(1).changes.is_empty());
}
