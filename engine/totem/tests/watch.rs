//! While the token rests: who is gone is noticed soon, who is only late is not, and nobody works for it.

extern crate synchrotron_totem as totem;

mod net;

use net::check::check;
use net::{MS, Net};
use totem::{State, TokenTimeout};

/// As engines are configured without being told otherwise.
const AUTO: TokenTimeout = TokenTimeout::Auto { min_us: 30_000, max_us: 1_000_000 };

/// A ring that nobody has used since it formed.
fn idle(count: u32, seed: u64) -> Net {
    let mut net = Net::new(count, seed);
    net.timeout = AUTO;
    net.start_all();
    let ids = net.ids.clone();
    net.run_until_ring(&ids, 5_000 * MS);
    net.run(500 * MS);
    assert_eq!(holders(&net).len(), 1, "{}", net.describe());
    net
}

fn holders(net: &Net) -> Vec<u32> {
    let rests = |node: &&net::Node| node.totem.status().resting;
    net.nodes.values().filter(rests).map(|node| node.id).collect()
}

fn total(net: &Net, name: &str) -> u64 {
    let count = |node: &net::Node| {
        let fields = node.totem.counters().fields();
        fields.filter(|(field, _)| field.starts_with(name)).map(|(_, value)| value).sum::<u64>()
    };
    net.nodes.values().map(count).sum()
}

fn timeout_ns(net: &mut Net, id: u32) -> u64 {
    net.node(id).totem.status().token_timeout_us * 1000
}

/// Time from the death of a host to the ring of all the others.
fn lost(net: &mut Net, victim: u32) -> u64 {
    net.crash(victim);
    let rest: Vec<u32> = net.ids.iter().copied().filter(|id| *id != victim).collect();
    net.run_until_ring(&rest, 3_000 * MS)
}

#[test]
fn a_new_ring_measures_before_it_rests() {
    for (count, limit_ms) in [(2, 31), (3, 31), (32, 130)] {
        let mut net = idle(count, 1);
        for id in 1..=count {
            let timeout = timeout_ns(&mut net, id);
            assert!(timeout <= limit_ms * MS, "{count} nodes: {timeout} ns at {id}");
        }
    }
}

#[test]
fn a_dead_host_is_noticed_by_a_ring_that_was_never_used() {
    for (count, limit_ms) in [(2, 90), (3, 90), (32, 520)] {
        for seed in 1..=4 {
            let mut net = idle(count, seed);
            let holder = holders(&net)[0];
            let other = if holder == 1 { 2 } else { 1 };
            let member = lost(&mut net, other);
            check(&net).unwrap();
            let mut net = idle(count, seed);
            let holder = lost(&mut net, holder);
            check(&net).unwrap();
            let limit = limit_ms * MS;
            assert!(
                member < limit && holder < limit,
                "{count} nodes: a member's host {member} ns, the holder's {holder} ns"
            );
        }
    }
}

#[test]
fn lost_beacons_and_answers_are_asked_for_again() {
    let mut net = idle(8, 5);
    let before = total(&net, "gathers");
    net.loss_per_mille = 50;
    net.run(60_000 * MS);
    assert_eq!(total(&net, "gathers"), before, "{}", net.describe());
    assert!(total(&net, "beacons_again") > 0 && total(&net, "signs_wanted") > 0);
    check(&net).unwrap();
}

/// Pauses of a node at different times between two beacons, each a little longer than the ones before.
fn pauses(net: &mut Net, who: impl Fn(&Net) -> u32) {
    let before = total(net, "gathers");
    for pause_ms in [14, 20, 28, 40, 56, 80] {
        for phase_ms in 0..9 {
            let id = who(net);
            net.pause(id, pause_ms * MS);
            net.run((190 + 4 * phase_ms) * MS);
        }
        let timeout = timeout_ns(net, 3);
        assert!(timeout >= pause_ms * MS, "{pause_ms} ms: {timeout} ns\n{}", net.describe());
    }
    assert_eq!(total(net, "gathers"), before, "{}", net.describe());
    check(net).unwrap();
}

#[test]
fn who_answers_ever_later_is_waited_for() {
    let mut net = idle(3, 6);
    pauses(&mut net, |net| if holders(net) == [1] { 2 } else { 1 });
    // It is forgotten, without anybody sending anything.
    net.run(200_000 * MS);
    assert!(timeout_ns(&mut net, 3) <= 31 * MS, "{}", net.describe());
}

#[test]
fn a_holder_that_is_ever_later_is_waited_for() {
    let mut net = idle(3, 7);
    pauses(&mut net, |net| holders(net).first().copied().unwrap_or(1));
    assert!(total(&net, "rotations_wanted") > 0);
}

#[test]
fn who_comes_in_later_is_measured_as_well() {
    let mut net = Net::new(5, 8);
    net.timeout = AUTO;
    for id in 1..=4 {
        net.start(id);
    }
    net.run_until_ring(&[1, 2, 3, 4], 5_000 * MS);
    net.run(500 * MS);
    assert!(timeout_ns(&mut net, 2) <= 31 * MS);
    net.start(5);
    let ids = net.ids.clone();
    net.run_until_ring(&ids, 5_000 * MS);
    // The rotations of four say nothing about those of five.
    assert_eq!(timeout_ns(&mut net, 2), 1_000 * MS);
    net.run(500 * MS);
    assert!(ids.iter().all(|id| timeout_ns(&mut net, *id) <= 31 * MS), "{}", net.describe());
}

#[test]
fn an_idle_ring_works_for_its_beacons_only() {
    let mut net = idle(32, 9);
    net.run(1_000 * MS);
    let counts = |net: &Net| [total(net, "beacons_sent"), total(net, "token_visits"), net.packets];
    let before = counts(&net);
    net.run(60_000 * MS);
    let after = counts(&net);
    let [beacons, visits, packets] = [0, 1, 2].map(|i| after[i] - before[i]);
    assert!(net.nodes.values().all(|node| node.totem.status().state == State::Operational));
    assert!((180..=260).contains(&beacons), "{beacons} beacons in a minute");
    // Now and then the token goes round, so that the members agree on the timeout.
    assert!((1..=6 * 4 * 32).contains(&visits), "{visits} visits");
    // Each beacon goes to 31 members, each of which answers; nothing else.
    // (What is on the way as the minute begins and ends is one beacon's, at most.)
    let expected = beacons * 2 * 31 + visits;
    assert!(packets.abs_diff(expected) <= 2 * 31, "{packets} packets, not {expected}");
}
