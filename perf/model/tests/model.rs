//! The model keeps to arithmetic that can be done by hand.

use synchrotron_model::{Cores, Costs, Load, Network, Plan, Prediction, predict};

/// Round numbers, so that limits can be computed.
const COSTS: Costs = Costs {
    burst_send_ns: 4_000.0,
    burst_receive_ns: 2_000.0,
    datagram_send_ns: 50.0,
    datagram_receive_ns: 60.0,
    frame_send_ns: 300.0,
    frame_receive_ns: 200.0,
    message_submit_ns: 20.0,
    message_read_ns: 10.0,
    wake_ns: 2_500.0,
};

fn plan(nodes: u16) -> Plan {
    Plan {
        nodes,
        senders: 1,
        message_bytes: 64,
        load: Load::Flood,
        mtu_bytes: 1500,
        encrypted: false,
        cores: Cores::Own,
        network: Network::HERE,
        costs: COSTS,
        measure_ns: 20_000_000,
    }
}

fn run(plan: &Plan) -> Prediction {
    predict(plan).expect("the plan can be run")
}

#[test]
fn one_plan_has_one_prediction() {
    assert_eq!(run(&plan(3)), run(&plan(3)));
}

#[test]
fn a_flood_is_bounded_by_what_a_message_costs() {
    let prediction = run(&plan(2));
    let per_second = prediction.messages_per_second;
    // No faster than its sender's program, nor than frames of 18 messages can be sent.
    let bound = 1e9 / COSTS.message_submit_ns;
    let frames_bound = 19.0 * 1e9 / (COSTS.frame_send_ns + COSTS.datagram_send_ns);
    assert!(per_second < bound.min(frames_bound), "{prediction:?}");
    assert!(per_second > frames_bound / 4.0, "{prediction:?}");
    assert!(prediction.datagrams_per_burst > 4.0, "bursts fill in a flood: {prediction:?}");
}

#[test]
fn a_slow_link_is_the_limit_and_is_full() {
    let prediction = run(&Plan { network: Network::switched(1.0), message_bytes: 1024, ..plan(3) });
    // A burst is counted when it starts, so a little of the last one may lie beyond the end.
    assert!((0.7..=1.05).contains(&prediction.link_busy), "{prediction:?}");
    assert!(prediction.megabytes_per_second < 125.0, "{prediction:?}");
}

#[test]
fn shared_processors_are_slower_than_own_ones() {
    let own = run(&plan(8));
    let shared = run(&Plan { cores: Cores::Shared(2), ..plan(8) });
    assert!(shared.messages_per_second < own.messages_per_second, "{shared:?} {own:?}");
    assert!(shared.processor_busy > 0.9, "{shared:?}");
}

#[test]
fn a_rate_that_can_be_kept_is_kept() {
    let rate = Plan { senders: 3, load: Load::Rate(20_000.0), measure_ns: 100_000_000, ..plan(3) };
    let prediction = run(&rate);
    assert!((prediction.messages_per_second / 60_000.0 - 1.0).abs() < 0.02, "{prediction:?}");
    let latency =
        prediction.latency_us.expect("messages have times at which they are meant to be sent");
    assert!(latency.p50 > 0.0 && latency.p99 < 5_000.0, "{prediction:?}");
}

#[test]
fn large_messages_go_through_in_pieces() {
    let prediction = run(&Plan { message_bytes: 65_536, ..plan(2) });
    assert!(prediction.megabytes_per_second > 500.0, "{prediction:?}");
}
