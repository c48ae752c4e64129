//! What a node owes when it restarts: others may act on its last life for a while, whatever its file says by now.

extern crate synchrotron_node as node;

mod cluster;

use cluster::Cluster;
use link::Security;
use totem::TokenTimeout;
use wire::NodeId;

fn quorate(cluster: &mut Cluster, node: u32) -> bool {
    let now_ns = cluster.now_ns;
    let quorum = cluster.engine(node).node.groups().quorum();
    quorum.quorate_until_ns().is_some_and(|until_ns| now_ns < until_ns)
}

/// Three nodes with votes. One is cut off, and the others restart at once under a far shorter token timeout. Says
/// whether the one and the two were ever quorate together.
fn two_quorums(is_remembered: bool) -> bool {
    let mut cluster = Cluster::empty(Security::Off);
    cluster.votes = true;
    cluster.token_timeout = TokenTimeout::Fixed { us: 300_000 };
    cluster.ids = (1..=3).map(NodeId).collect();
    (1..=3).for_each(|id| cluster.start(NodeId(id)));
    cluster.run_until_one_ring();
    cluster.run_us(2_000_000);
    assert!((1..=3).all(|id| quorate(&mut cluster, id)));
    cluster.token_timeout = TokenTimeout::Fixed { us: 20_000 };
    cluster.config = (2, 22);
    for id in [NodeId(2), NodeId(3)] {
        cluster.cut.extend([(NodeId(1), id), (id, NodeId(1))]);
        cluster.kill(id);
        if !is_remembered && let Some(stored) = cluster.stored.get_mut(&id) {
            stored.owed_ns = 0;
        }
    }
    (2..=3).for_each(|id| cluster.start(NodeId(id)));
    let mut both = false;
    for _ in 0..5_000 {
        cluster.run_us(1_000);
        both |= quorate(&mut cluster, 1) && (quorate(&mut cluster, 2) || quorate(&mut cluster, 3));
    }
    assert!(quorate(&mut cluster, 2) && quorate(&mut cluster, 3) && !quorate(&mut cluster, 1));
    cluster.assert_nobody_misbehaved();
    both
}

#[test]
fn who_restarts_under_a_shorter_timeout_waits_for_what_it_owed_under_the_longer() {
    assert!(!two_quorums(true));
    assert!(two_quorums(false), "without what is stored the test would show nothing");
}

#[test]
fn the_disk_has_less_once_the_longer_time_has_passed() {
    let mut cluster = Cluster::empty(Security::Off);
    cluster.votes = true;
    cluster.token_timeout = TokenTimeout::Fixed { us: 300_000 };
    cluster.ids = vec![NodeId(1)];
    cluster.start(NodeId(1));
    cluster.run_until_one_ring();
    let longer_ns = cluster.stored[&NodeId(1)].owed_ns;
    cluster.kill(NodeId(1));
    cluster.token_timeout = TokenTimeout::Fixed { us: 20_000 };
    let started_ns = cluster.now_ns;
    cluster.start(NodeId(1));
    cluster.run_us(longer_ns / 1000 - 1);
    assert_eq!(cluster.stored[&NodeId(1)].owed_ns, longer_ns);
    cluster.run_us(2 * longer_ns / 1000);
    let shorter_ns = cluster.stored[&NodeId(1)].owed_ns;
    assert!(shorter_ns > 20_000_000 && shorter_ns < longer_ns / 4, "{shorter_ns} {longer_ns}");
    assert!(cluster.now_ns > started_ns + longer_ns);
}
