//! Random faults: whatever happens, what was delivered is right, and after the network heals there
//! is one ring again.

extern crate synchrotron_totem as totem;

mod net;

use net::scenario::{run, scenario};

/// Cluster sizes and how many seeds each gets; `SEEDS` and `FIRST` in the environment run others.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("FIRST").unwrap_or(1);
    first..first + number("SEEDS").unwrap_or(60)
}

#[test]
fn random_faults_never_break_the_order() {
    let failed: Vec<(u64, String)> =
        seeds().filter_map(|seed| run(seed).err().map(|problem| (seed, problem))).collect();
    for (seed, problem) in failed.iter().take(30) {
        let shown = if seeds().count() == 1 { 50_000 } else { 200 };
        println!("FIRST={seed} SEEDS=1: {:.shown$}", problem);
    }
    assert!(
        failed.is_empty(),
        "{} seeds failed: {:?}",
        failed.len(),
        failed.iter().map(|f| f.0).collect::<Vec<_>>()
    );
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 1..20 {
        let (first, _) = scenario(seed);
        let (second, _) = scenario(seed);
        assert_eq!(first.packets, second.packets, "seed {seed}");
        assert_eq!(first.histories(), second.histories(), "seed {seed}");
    }
}
