//! Keys roll without losing a datagram, in any order of nodes.

mod common;

use common::*;
use link::{DropReason, Link, Provider, RollError, Security, Timer};
use synchrotron_link as link;

const NEW_KEY: [u8; 32] = OTHER_KEY;

/// Everyone sends to everyone and nothing is lost.
fn talk(now_ns: u64, pool: &frame::Pool, nodes: &mut [Link]) {
    for from in 0..nodes.len() {
        let bytes = seal(&mut nodes[from], b"talk");
        for to in (0..nodes.len()).filter(|to| *to != from) {
            let up = open(&mut nodes[to], now_ns, pool, &bytes);
            assert_eq!(up, Some((from as u32 + 1, b"talk".to_vec())), "{from} to {to}");
        }
    }
    for node in nodes {
        node.timeout(now_ns);
        assert!(drain(node).sends.is_empty());
    }
}

/// Three nodes that know each other.
fn trio(pool: &frame::Pool) -> Vec<Link> {
    let mut nodes: Vec<_> = (1..=3).map(|me| node(me, 1, sealed())).collect();
    for from in 0..3 {
        let bytes = seal(&mut nodes[from], b"hello");
        for node in &mut nodes {
            open(node, 0, pool, &bytes);
        }
        for _ in 0..4 {
            for at in 0..3 {
                for (to, bytes) in drain(&mut nodes[at]).sends {
                    open(&mut nodes[to.0 as usize - 1], 0, pool, &bytes);
                }
            }
        }
    }
    talk(MS, pool, &mut nodes);
    nodes
}

fn epochs(nodes: &[Link]) -> Vec<(u8, usize)> {
    let status = nodes.iter().map(Link::security);
    status.map(|security| (security.sending_epoch, security.epochs)).collect()
}

#[test]
fn a_key_rolls_without_a_gap_whoever_gets_it_first() {
    let pool = pool();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut nodes = trio(&pool);
        let mut now_ns = SECOND;
        let drops: Vec<_> = nodes.iter().map(|node| node.counters().drops).collect();
        for (given, at) in order.into_iter().enumerate() {
            nodes[at].rotate_key(now_ns, &NEW_KEY, 1).unwrap();
            for _ in 0..20 {
                talk(now_ns, &pool, &mut nodes);
                now_ns += SECOND / 10;
            }
            let in_use = epochs(&nodes).into_iter().filter(|(sending, _)| *sending == 1).count();
            assert_eq!(in_use, if given == 2 { 3 } else { 0 }, "all or none");
        }
        for _ in 0..40 {
            talk(now_ns, &pool, &mut nodes);
            now_ns += SECOND / 10;
        }
        assert_eq!(epochs(&nodes), [(1, 1); 3], "the old key is forgotten");
        assert!(nodes.iter().all(|node| node.next_timeout().is_none()));
        for (node, before) in nodes.iter().zip(drops) {
            assert_eq!((node.counters().drops, node.counters().key_switches), (before, 1));
        }
        // And once more, back to a number used before.
        for node in &mut nodes {
            node.rotate_key(now_ns, &KEY, 0).unwrap();
        }
        for _ in 0..60 {
            talk(now_ns, &pool, &mut nodes);
            now_ns += SECOND / 10;
        }
        assert_eq!(epochs(&nodes), [(0, 1); 3]);
    }
}

#[test]
fn after_the_roll_the_old_key_opens_nothing() {
    let pool = pool();
    let mut nodes = trio(&pool);
    let old = seal(&mut nodes[0], b"under the old key");
    for node in &mut nodes {
        node.rotate_key(SECOND, &NEW_KEY, 1).unwrap();
    }
    for tenth in 10..60 {
        talk(tenth * SECOND / 10, &pool, &mut nodes);
    }
    assert_eq!(open(&mut nodes[1], 6 * SECOND, &pool, &old), None);
    assert_eq!(nodes[1].counters().drops.get(DropReason::UnknownEpoch), 1);
}

#[test]
fn dead_peers_are_not_waited_for() {
    let pool = pool();
    let mut nodes = trio(&pool);
    nodes.truncate(2);
    for node in &mut nodes {
        node.rotate_key(SECOND, &NEW_KEY, 1).unwrap();
    }
    for second in 1..9 {
        talk(second * SECOND, &pool, &mut nodes);
    }
    assert_eq!(epochs(&nodes), [(0, 2); 2], "node 3 was heard a few seconds ago");
    for second in 9..20 {
        talk(second * SECOND, &pool, &mut nodes);
    }
    assert_eq!(epochs(&nodes), [(1, 1); 2]);

    let mut lonely = node(1, 1, sealed());
    lonely.rotate_key(0, &NEW_KEY, 1).unwrap();
    assert_eq!(lonely.security().sending_epoch, 1);
    while let Some((due_ns, timer)) = lonely.next_timeout() {
        assert_eq!(timer, Timer::KeyRoll);
        lonely.timeout(due_ns);
    }
    assert_eq!(lonely.security().epochs, 1);
}

#[test]
fn a_node_that_starts_during_the_roll_gets_in() {
    let pool = pool();
    let mut nodes = trio(&pool);
    for node in &mut nodes[..2] {
        node.rotate_key(SECOND, &NEW_KEY, 1).unwrap();
    }
    talk(SECOND, &pool, &mut nodes);
    assert_eq!(epochs(&nodes[..2]), [(0, 2); 2], "node 3 has only the old key");
    // Node 3 restarts with the new key only: it is asked, and answers, under that.
    nodes[2] = node(3, 2, gcm(NEW_KEY, 1, Provider::AesGcm));
    let hello = seal(&mut nodes[2], b"hello");
    for node in &mut nodes[..2] {
        open(node, 2 * SECOND, &pool, &hello);
    }
    let mut up = Vec::new();
    for _ in 0..4 {
        for at in 0..3 {
            for (to, bytes) in drain(&mut nodes[at]).sends {
                up.extend(open(&mut nodes[to.0 as usize - 1], 2 * SECOND, &pool, &bytes));
            }
        }
    }
    assert_eq!(up, [(3, b"hello".to_vec()), (3, b"hello".to_vec())]);
    // The others talk, learn from each other that all hold the new key, and node 3 hears them.
    for from in 0..2 {
        let bytes = seal(&mut nodes[from], b"talk");
        for to in (0..2).filter(|to| *to != from) {
            open(&mut nodes[to], 2 * SECOND, &pool, &bytes);
        }
    }
    talk(3 * SECOND, &pool, &mut nodes);
    for second in 4..9 {
        talk(second * SECOND, &pool, &mut nodes);
    }
    assert_eq!(epochs(&nodes), [(1, 1); 3]);
}

#[test]
fn a_key_that_waits_can_be_corrected() {
    let pool = pool();
    let mut nodes = trio(&pool);
    nodes[0].rotate_key(SECOND, &[9; 32], 1).unwrap();
    talk(SECOND, &pool, &mut nodes);
    for node in &mut nodes {
        node.rotate_key(SECOND, &NEW_KEY, 1).unwrap();
    }
    for second in 1..9 {
        talk(second * SECOND, &pool, &mut nodes);
    }
    assert_eq!(epochs(&nodes), [(1, 1); 3]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut open_node = node(1, 1, Security::Off);
    assert_eq!(open_node.rotate_key(0, &NEW_KEY, 1), Err(RollError::Off));
    let mut sealed_node = node(1, 1, sealed());
    assert_eq!(sealed_node.rotate_key(0, &NEW_KEY, 0), Err(RollError::InUse { epoch: 0 }));
    let shown = format!("{:?}", gcm([0xab; 32], 3, Provider::AesGcm));
    assert_eq!(shown, "Aes256Gcm { epoch: 3, provider: AesGcm, .. }", "keys are never shown");
}
