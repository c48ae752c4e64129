//! What forming a ring costs where all nodes share two cores: nodes that start, a process that dies.

extern crate synchrotron_totem as totem;

mod net;

use net::{MS, Net};
use totem::{State, TokenTimeout};

/// Reading one frame, with the kernel's share: what was measured on the machine of docs/performance.md.
const COST_NS: u64 = 10_000;

fn shared(count: u32, seed: u64) -> Net {
    let mut net = Net::new(count, seed);
    net.timeout = TokenTimeout::Auto { min_us: 30_000, max_us: 1_000_000 };
    net.cores = vec![0; 2];
    net.cost_ns = COST_NS;
    net.slots = 600;
    net
}

fn total(net: &Net, name: &str) -> u64 {
    let count = |node: &net::Node| {
        let mut fields = node.totem.counters().fields();
        fields.find(|(field, _)| *field == name).map_or(0, |(_, value)| value)
    };
    net.nodes.values().map(count).sum()
}

/// Starts nodes one after the other; gives the time from the last start to the ring.
fn started(net: &mut Net, gap_ns: u64) -> u64 {
    let ids = net.ids.clone();
    for id in &ids {
        net.start(*id);
        net.run(gap_ns);
    }
    net.run_until_ring(&ids, 20_000 * MS)
}

#[test]
fn nodes_that_start_one_after_the_other_form_few_rings() {
    for (count, gap_us, limit_ms) in [(32, 5_000, 500), (64, 10_000, 3_000)] {
        let mut net = shared(count, 1);
        let took_ns = started(&mut net, gap_us * 1000);
        let joins = total(&net, "joins_sent") / u64::from(count);
        let rings = total(&net, "configurations") / u64::from(count);
        println!(
            "{count} nodes: {} ms after the last start, {joins} joins and {rings} rings a node, {} packets",
            took_ns / MS,
            net.packets
        );
        assert!(took_ns < limit_ms * MS, "{count} nodes: {} ms", took_ns / MS);
        assert!(joins <= 100 && rings <= 12, "{count} nodes: {joins} joins, {rings} rings");
    }
}

#[test]
fn a_dead_process_costs_two_joins_a_node() {
    for (count, limit_ms) in [(3, 10), (32, 60)] {
        let mut net = shared(count, 2);
        started(&mut net, 5 * MS);
        net.run(2_000 * MS);
        net.answer_unreachable = true;
        let victim = 2;
        net.crash(victim);
        let joins = total(&net, "joins_sent");
        let rest: Vec<u32> = net.ids.iter().copied().filter(|id| *id != victim).collect();
        // Somebody sent it something.
        net.hint(1, victim);
        let took = net.run_until_ring(&rest, 5_000 * MS);
        let joins = total(&net, "joins_sent") - joins;
        println!("{count} nodes: {} us, {joins} joins", took / 1000);
        assert!(took < limit_ms * MS, "{count} nodes: {} ms", took / MS);
        assert!(joins <= 3 * u64::from(count), "{count} nodes: {joins} joins");
        assert!(net.nodes.values().all(|node| node.totem.status().state == State::Operational));
    }
}
