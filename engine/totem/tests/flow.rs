//! Credit and windows: nobody is overrun, nobody starves, nothing spins.

extern crate synchrotron_totem as totem;

mod net;

use net::check::check;
use net::{MS, Net, PAYLOAD};

#[test]
fn all_senders_get_an_equal_share() {
    let mut net = Net::new(8, 1);
    net.tuning.global_window_bytes = 64 << 10;
    net.tuning.personal_window_bytes_max = 64 << 10;
    net.start_all();
    let ids = net.ids.clone();
    net.run_until_ring(&ids, 2_000 * MS);
    for _ in 0..2_000 {
        for id in &ids {
            net.queue(*id, PAYLOAD, false);
        }
    }
    for id in &ids {
        net.wake(*id);
    }
    // Who woke first had a rotation alone; then all are alike.
    net.run(5 * MS);
    let count = |net: &Net, id: &u32| net.nodes[id].totem.counters().frames_sent;
    let before: Vec<u64> = ids.iter().map(|id| count(&net, id)).collect();
    net.run(10 * MS);
    let sent: Vec<u64> =
        ids.iter().zip(before).map(|(id, before)| count(&net, id) - before).collect();
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(*least > 100 && least * 10 >= most * 9, "{sent:?}");
    net.run(500 * MS);
    assert_eq!(net.bodies(1).len(), 16_000);
    check(&net).unwrap();
}

#[test]
fn a_member_without_room_stops_all_and_nothing_spins() {
    let mut net = Net::new(3, 2);
    net.start_all();
    net.run_until_ring(&[1, 2, 3], 2_000 * MS);
    net.no_room.insert(2);
    net.run(50 * MS);
    net.wake(2);
    for _ in 0..4_000 {
        net.queue(1, PAYLOAD, false);
    }
    net.wake(1);
    // The credit reaches the sender within two rotations; what went before fits the windows.
    net.run(20 * MS);
    let (sent, packets) = (net.node(1).totem.counters().frames_sent, net.packets);
    net.run(100 * MS);
    assert_eq!(net.node(1).totem.counters().frames_sent, sent, "stopped");
    assert!(sent < 2_500, "{sent}");
    let tokens = net.packets - packets;
    assert!(tokens < 1_100, "{tokens} packets in 100 ms");
    assert!(net.one_ring(&[1, 2, 3]), "{}", net.describe());
    net.no_room.clear();
    net.wake(2);
    net.run(200 * MS);
    assert_eq!(net.bodies(3).len(), 4_000);
    check(&net).unwrap();
}

#[test]
fn losses_are_repaired_directly() {
    let mut net = Net::new(4, 3);
    net.start_all();
    net.run_until_ring(&[1, 2, 3, 4], 2_000 * MS);
    net.loss_per_mille = 20;
    for _ in 0..3_000 {
        net.queue(3, PAYLOAD, false);
    }
    net.wake(3);
    net.run(2_000 * MS);
    net.loss_per_mille = 0;
    net.run(100 * MS);
    for id in 1..=4 {
        assert_eq!(net.bodies(id).len(), 3_000, "{}", net.describe());
    }
    assert!(net.node(3).totem.counters().repairs_sent > 0);
    assert!(net.nodes.values().any(|node| node.totem.counters().repairs_asked > 0));
    check(&net).unwrap();
}
