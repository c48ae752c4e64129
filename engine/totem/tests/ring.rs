//! Forming a ring, ordering on it, forming it anew.

extern crate synchrotron_totem as totem;

mod net;

use net::{MS, Net, check::check};

#[test]
fn a_lone_node_orders_its_own_messages_at_once() {
    let mut net = Net::new(1, 1);
    net.start_all();
    net.run(10 * MS);
    assert!(net.one_ring(&[1]), "{}", net.describe());
    let sent: Vec<_> = (0..100).map(|i| net.send(1, i % 3 == 0)).collect();
    assert_eq!(net.bodies(1), sent);
    assert_eq!(net.packets, 0);
    check(&net).unwrap();
}

#[test]
fn nodes_form_one_ring_and_agree() {
    for count in [2, 3, 5, 9, 16] {
        let mut net = Net::new(count, u64::from(count));
        net.start_all();
        let ids = net.ids.clone();
        let took = net.run_until_ring(&ids, 2_000 * MS);
        let mut sent = Vec::new();
        for round in 0..40 {
            for id in ids.clone() {
                sent.push(net.send(id, round % 4 == 0));
            }
            net.run(MS);
        }
        net.run(200 * MS);
        for id in &ids {
            let mut got = net.bodies(*id);
            assert_eq!(got, net.bodies(1), "{count}");
            got.sort();
            sent.sort();
            assert_eq!(got, sent, "{count} nodes, ring after {took} ns\n{}", net.describe());
        }
        check(&net).unwrap();
    }
}

#[test]
fn a_crash_leads_to_a_new_ring_without_loss() {
    let mut net = Net::new(5, 3);
    net.start_all();
    let ids = net.ids.clone();
    net.run_until_ring(&ids, 2_000 * MS);
    for _ in 0..100 {
        for id in 1..=5 {
            net.send(id, false);
        }
        net.run(MS / 5);
    }
    net.crash(3);
    let took = net.run_until_ring(&[1, 2, 4, 5], 1_000 * MS);
    for id in [1, 2, 4, 5] {
        net.send(id, true);
    }
    net.run(100 * MS);
    assert_eq!(net.bodies(1), net.bodies(5));
    assert!(took < 200 * MS, "{took}");
    check(&net).unwrap();
    net.start(3);
    net.run_until_ring(&ids, 2_000 * MS);
    check(&net).unwrap();
}
