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
    // One that spins would take 4,000.
    assert!(tokens < 1_500, "{tokens} packets in 100 ms");
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

/// Packets keep their order, as those of one network path do.
const IN_ORDER: u64 = 1;

/// What `frames` from each of `senders` cost three nodes that lose data frames: the questions asked, regular visits of
/// the token, frames lost, frames sent again by answers and requests, and by the token.
struct Cost {
    beacons: u64,
    visits: u64,
    lost: u64,
    repairs: u64,
    retransmissions: u64,
    least_window: u64,
}

fn flood(senders: &[u32], frames: usize, data_loss_per_mille: u64, jitter_ns: u64) -> Cost {
    let mut net = Net::new(3, 4);
    net.jitter_ns = jitter_ns;
    net.start_all();
    net.run_until_ring(&[1, 2, 3], 2_000 * MS);
    // A new ring rotates for a while before its token may stay anywhere.
    net.run(100 * MS);
    net.data_loss_per_mille = data_loss_per_mille;
    let sum = |net: &Net, of: fn(&totem::Counters) -> u64| {
        net.nodes.values().map(|node| of(node.totem.counters())).sum::<u64>()
    };
    let before = [sum(&net, |c| c.beacons_sent), sum(&net, |c| c.token_visits)];
    for id in senders {
        (0..frames).for_each(|_| net.queue(*id, PAYLOAD, false));
    }
    senders.iter().for_each(|id| net.wake(*id));
    let all = frames * senders.len();
    let mut least_window = u64::MAX;
    while net.bodies(1).len() < all || net.bodies(2).len() < all || net.bodies(3).len() < all {
        net.run(MS);
        let windows = net.nodes.values().map(|node| node.totem.status().personal_window_bytes);
        least_window = windows.chain([least_window]).min().unwrap();
        assert!(net.now < 60_000 * MS, "{}", net.describe());
    }
    check(&net).unwrap();
    Cost {
        beacons: sum(&net, |c| c.beacons_sent) - before[0],
        visits: sum(&net, |c| c.token_visits) - before[1],
        lost: net.data_lost,
        repairs: sum(&net, |c| c.repairs_sent),
        retransmissions: sum(&net, |c| c.retransmissions),
        least_window,
    }
}

#[test]
fn a_lost_frame_costs_a_lone_sender_one_more_frame_and_no_rotation() {
    let whole = flood(&[1], 20_000, 0, IN_ORDER);
    let lossy = flood(&[1], 20_000, 10, IN_ORDER);
    assert!(lossy.lost > 300, "{}", lossy.lost);
    assert_eq!(lossy.visits, whole.visits, "the token stays");
    assert_eq!(lossy.retransmissions, 0);
    assert!(
        (lossy.lost..=lossy.lost + lossy.lost / 10).contains(&lossy.repairs),
        "{}",
        lossy.repairs
    );
    // The window is asked for in quarters instead of halves, and is as large as without loss.
    assert!(lossy.beacons * 2 <= whole.beacons * 5, "{} {}", lossy.beacons, whole.beacons);
    assert_eq!(lossy.least_window, whole.least_window);
}

#[test]
fn lost_frames_cost_many_senders_no_window() {
    let whole = flood(&[1, 2, 3], 10_000, 0, IN_ORDER);
    let lossy = flood(&[1, 2, 3], 10_000, 10, IN_ORDER);
    assert!(lossy.lost > 500, "{}", lossy.lost);
    assert_eq!(lossy.least_window, whole.least_window);
    // What a rotation takes along is not less for a frame in a hundred.
    assert!(lossy.visits * 10 <= whole.visits * 13, "{} {}", lossy.visits, whole.visits);
    let again = lossy.repairs + lossy.retransmissions;
    // One that two members missed may go to both at once.
    let expected = lossy.lost * 9 / 10..=lossy.lost * 12 / 10;
    assert!(expected.contains(&again), "{again} {}", lossy.lost);
}

#[test]
fn what_is_only_late_is_hardly_ever_sent_again() {
    // Frames sent together overtake each other, as they do on links used in turn.
    let cost = flood(&[1], 20_000, 0, 20_000);
    assert_eq!(cost.lost, 0);
    assert!(
        cost.repairs + cost.retransmissions < 1_000,
        "{} {}",
        cost.repairs,
        cost.retransmissions
    );
}
