//! Nothing fails but links, and one always works: the ring stays what it is.

use synchrotron_sim::check::Checker;
use synchrotron_sim::{Scenario, Spoil, Tracer, run};

/// Worlds played.
const SEEDS: u64 = 24;

#[test]
fn the_ring_moves_from_link_to_link_without_a_view_change() {
    let play = |seed| {
        let outcome = run(Scenario::sparing_links(seed), Tracer::default(), Spoil::default());
        (outcome.findings, outcome.counters, outcome.delivered)
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let seeds = (1..=SEEDS).filter(move |seed| seed % 2 == half);
            scope.spawn(move || seeds.map(|seed| (seed, play(seed))).collect::<Vec<_>>())
        });
        halves.into_iter().flat_map(|half| half.join().expect("no panic")).collect()
    });
    let (mut moves, mut downs, mut delivered) = (0, 0, 0);
    for (seed, (findings, counters, count_delivered)) in outcomes {
        assert_eq!(findings, [], "seed {seed}");
        let count = |name| counters.get(&("links", name)).copied().unwrap_or(0);
        moves += count("moves");
        downs += count("links_down");
        delivered += count_delivered;
    }
    // The worlds are such that links do fail, and frames do travel meanwhile.
    assert!(moves > 10 * SEEDS && downs > 20 * SEEDS, "{moves} moves, {downs} links down");
    assert!(delivered > 1000 * SEEDS, "{delivered} delivered");
}

#[test]
fn a_view_change_is_noticed() {
    // Nodes are killed, too.
    let scenario = Scenario { fault_ns: 300_000_000, ..Scenario::sparing_links(1) };
    let outcome = run(scenario, Tracer::default(), Spoil::default());
    assert!(outcome.findings.iter().any(|finding| finding.checker == Checker::OneView));
}
