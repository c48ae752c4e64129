//! Whole nodes: encryption, ring and groups together.

extern crate synchrotron_node as node;

mod cluster;

use cluster::{Cluster, encrypted};
use groups::Cause;
use link::{DropReason, Provider, Security};
use node::Input;
use wire::NodeId;

/// Sends `count` messages from every node and checks that all have the same, in one order.
fn all_agree(cluster: &mut Cluster, count: u32, bytes: usize) {
    let ids: Vec<u32> = cluster.engines.keys().map(|id| id.0).collect();
    let handles: Vec<_> =
        ids.iter().map(|&id| (id, cluster.join(id, 100 + id, b"group"))).collect();
    for engine in cluster.engines.values_mut() {
        engine.events.clear();
    }
    for i in 0..count {
        for &(id, group) in &handles {
            let mut message = i.to_le_bytes().to_vec();
            message.resize(bytes, id as u8);
            cluster.engine(id).clients.push(100 + id, group, &message, i % 10 == 0);
            if i % 7 == id {
                cluster.input(NodeId(id), Input::Submitted);
            }
        }
    }
    for &id in &ids {
        cluster.input(NodeId(id), Input::Submitted);
    }
    cluster.run_us(2_000_000);
    let first = cluster.engine(ids[0]).messages();
    assert_eq!(first.len(), (count * ids.len() as u32) as usize);
    for &id in &ids {
        assert!(cluster.engine(id).messages() == first, "node {id} saw another order");
        let own = first.iter().filter(|(s, _)| *s == 100 + id);
        assert!(own.map(|(_, m)| m[..4].to_vec()).eq((0..count).map(|i| i.to_le_bytes().to_vec())));
    }
    cluster.assert_nobody_misbehaved();
}

#[test]
fn two_nodes_order_messages() {
    let mut cluster = Cluster::new(2, encrypted());
    cluster.run_until_one_ring();
    all_agree(&mut cluster, 3000, 64);
    assert!(cluster.engine(1).bursts.iter().any(|segments| *segments > 10), "bursts are full");
}

#[test]
fn three_nodes_order_messages() {
    let mut cluster = Cluster::new(3, encrypted());
    cluster.run_until_one_ring();
    all_agree(&mut cluster, 2000, 200);
}

#[test]
fn three_nodes_order_messages_without_encryption() {
    let mut cluster = Cluster::new(3, Security::Off);
    cluster.run_until_one_ring();
    all_agree(&mut cluster, 500, 1000);
}

#[test]
fn losses_are_repaired() {
    let mut cluster = Cluster::new(3, encrypted());
    cluster.loss = 30;
    cluster.run_until_one_ring();
    all_agree(&mut cluster, 1000, 300);
    let repaired = |e: &cluster::Engine| {
        let totem = e.node.counters().totem;
        totem.retransmissions + totem.repairs_sent
    };
    assert!(cluster.engines.values().map(repaired).sum::<u64>() > 0);
}

#[test]
fn one_node_alone_is_a_cluster() {
    let mut cluster = Cluster::new(1, encrypted());
    cluster.run_until_one_ring();
    all_agree(&mut cluster, 500, 100);
}

#[test]
fn slots_come_back() {
    let mut cluster = Cluster::new(2, encrypted());
    cluster.run_until_one_ring();
    all_agree(&mut cluster, 2000, 500);
    for engine in cluster.engines.values_mut() {
        engine.events.clear();
    }
    cluster.run_us(1_000_000);
    for engine in cluster.engines.values() {
        let stats = engine.pool.stats();
        assert_eq!(stats.large_free, stats.large_total);
        // What stays: the ring's spare slots, the last token, held frames of handshakes.
        assert!(stats.small_total - stats.small_free < 16, "{stats:?}");
    }
}

#[test]
fn a_killed_node_is_shown_down_and_comes_back() {
    let mut cluster = Cluster::new(3, encrypted());
    cluster.run_until_one_ring();
    for id in 1..=3 {
        cluster.join(id, 10 * id, b"g");
    }
    cluster.kill(NodeId(2));
    cluster.run_until_one_ring();
    for id in [1, 3] {
        let view = cluster.engine(id).last_view();
        assert_eq!(view.members.len(), 2);
        assert_eq!(view.left.len(), 1);
        assert_eq!((view.left[0].0.session, view.left[0].1), (20, Cause::NodeDown));
    }
    cluster.start(NodeId(2));
    cluster.run_until_one_ring();
    cluster.join(2, 21, b"g");
    let view = cluster.engine(1).last_view();
    assert_eq!(view.members.len(), 3);
    assert_eq!((view.joined[0].0.session, view.joined[0].1), (21, Cause::Join));
    let own = cluster.engine(2).last_view().clone();
    assert_eq!(own.members, cluster.engine(1).last_view().members);
    cluster.assert_nobody_misbehaved();
}

#[test]
fn a_partition_heals() {
    let mut cluster = Cluster::new(3, encrypted());
    cluster.run_until_one_ring();
    for id in 1..=3 {
        cluster.join(id, 10 * id, b"g");
    }
    for id in [1, 2] {
        cluster.cut.insert((NodeId(id), NodeId(3)));
        cluster.cut.insert((NodeId(3), NodeId(id)));
    }
    cluster.run_us(2_000_000);
    assert_eq!(cluster.engine(1).last_view().members.len(), 2);
    assert_eq!(cluster.engine(3).last_view().members.len(), 1);
    cluster.cut.clear();
    cluster.run_until_one_ring();
    let view = cluster.engine(1).last_view().clone();
    assert_eq!((view.joined[0].0.session, view.joined[0].1), (30, Cause::NodeUp));
    let view = cluster.engine(3).last_view();
    assert_eq!(view.members.len(), 3);
    assert!(view.joined.iter().all(|(_, cause)| *cause == Cause::NodeUp));
    cluster.assert_nobody_misbehaved();
}

#[test]
fn a_node_that_shuts_down_says_so() {
    let mut cluster = Cluster::new(3, encrypted());
    cluster.run_until_one_ring();
    for id in 1..=3 {
        cluster.join(id, 10 * id, b"g");
    }
    cluster.input(NodeId(2), Input::Shutdown);
    let began_ns = cluster.now_ns;
    while !cluster.engine(2).left {
        assert!(cluster.now_ns - began_ns < 1_000_000_000, "left within a second");
        cluster.run_us(100);
    }
    cluster.kill(NodeId(2));
    cluster.run_until_one_ring();
    let took_ms = (cluster.now_ns - began_ns) / 1_000_000;
    assert!(took_ms < 40, "no timeout was waited for: {took_ms} ms");
    let view = cluster.engine(1).last_view();
    assert_eq!(view.members.len(), 2);
    assert_eq!((view.left[0].0.session, view.left[0].1), (20, Cause::ProcessDown));
}

#[test]
fn strangers_change_nothing() {
    let mut cluster = Cluster::new(3, encrypted());
    cluster.kill(NodeId(3));
    cluster.run_until_one_ring();
    let ring = cluster.engine(1).node.status().totem.ring;
    let key = [8; 32];
    let wrong = Security::Aes256Gcm { key, epoch: 0, provider: Provider::AesGcm };
    cluster.start_with(NodeId(3), wrong);
    for i in 0..200_usize {
        let bytes: Vec<u8> = (0..i * 7).map(|b| (b * i) as u8).collect();
        if !bytes.is_empty() {
            cluster.inject(1, &bytes);
        }
    }
    cluster.run_us(1_000_000);
    let engine = cluster.engine(1);
    assert_eq!(engine.node.status().totem.ring, ring);
    assert!(engine.node.counters().link.drops.get(DropReason::BadTag) > 0);
    assert_eq!(engine.pool.stats().large_free, engine.pool.stats().large_total);
}
