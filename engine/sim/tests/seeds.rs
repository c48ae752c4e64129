//! The everyday suite: at least a thousand worlds of 2 to 32 nodes, and every seed that ever failed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use synchrotron_sim::{Scenario, Spoil, Tracer, run};

/// Worlds drawn by the everyday suite.
const SEEDS: u64 = 1_000;

/// Plays worlds on all cores and returns the line that replays each failing one.
fn failing(worlds: &[(u64, Option<u32>)]) -> Vec<String> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((seed, nodes)) =
                    worlds.get(next.fetch_add(1, Ordering::Relaxed) as usize).copied()
                {
                    let outcome =
                        run(Scenario::new(seed, nodes), Tracer::default(), Spoil::default());
                    if let Some(first) = outcome.findings.first() {
                        let nodes = outcome.nodes;
                        let line =
                            format!("cargo xtask sim --seed {seed} --nodes {nodes}: {first}");
                        failed.lock().expect("no other thread panicked").push(line);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no thread panicked")
}

#[test]
fn a_thousand_worlds_keep_every_promise() {
    let worlds: Vec<_> = (1..=SEEDS).map(|seed| (seed, None)).collect();
    let sizes: Vec<u32> = worlds.iter().map(|(s, n)| Scenario::new(*s, *n).nodes).collect();
    assert_eq!(sizes.iter().min(), Some(&2));
    assert_eq!(sizes.iter().max(), Some(&32));
    let failed = failing(&worlds);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn seeds_that_once_failed_stay_well() {
    let mut worlds = Vec::new();
    for line in include_str!("../seeds.txt").lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(seed) = words.next() else { continue };
        let seed = seed.parse().expect("a seed is a number");
        worlds.push((seed, words.next().map(|n| n.parse().expect("nodes is a number"))));
    }
    assert!(!worlds.is_empty(), "the file of seeds is empty");
    let failed = failing(&worlds);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in [3, 17] {
        let play = || {
            let o = run(Scenario::new(seed, None), Tracer::default(), Spoil::default());
            (o.events, o.delivered, o.configurations, format!("{:?}", o.history.lives))
        };
        assert_eq!(play(), play(), "seed {seed}");
    }
}
