//! Every fuzz target on its seeds, on what ever made it fail, and on some seconds of mutated inputs.

use std::path::Path;
use std::time::{Duration, Instant};

use synchrotron_fuzz::mutate::Mutator;
use synchrotron_fuzz::{TARGETS, Target};

/// Most inputs of one target, and the time after which no more are made. Inputs depend on their number
/// alone, so a failure names the one that repeats it.
const INPUTS_MAX: u64 = 20_000;

/// With `SYNCHROTRON_QUICK` a fifth of it.
const TIME_MAX: Duration = Duration::from_secs(5);

fn smoke(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let seeds = (target.seeds)();
    for (number, seed) in seeds.iter().enumerate() {
        attempt(target, &format!("seed {number}"), seed);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../regressions").join(name);
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        let input = std::fs::read(&path).expect("a readable file");
        attempt(target, &path.display().to_string(), &input);
    }
    let quick = std::env::var_os("SYNCHROTRON_QUICK").is_some();
    let time_max = if quick { TIME_MAX / 5 } else { TIME_MAX };
    let start = Instant::now();
    for number in 0..INPUTS_MAX {
        if start.elapsed() > time_max {
            println!("{name}: {number} inputs");
            return;
        }
        let input = Mutator::new(number + 1, seeds.clone()).next_input();
        attempt(target, &format!("mutated input {number}"), &input);
    }
}

fn attempt(target: &Target, what: &str, input: &[u8]) {
    let run = || (target.run)(input);
    if std::panic::catch_unwind(run).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("target {} fails on {what}: {hex}", target.name);
    }
}

#[test]
fn wire_formats() {
    smoke("wire");
}

#[test]
fn a_live_ring() {
    smoke("ring");
}

#[test]
fn configurations_of_corosync() {
    smoke("corosync_conf");
}

#[test]
fn configurations() {
    smoke("config");
}

#[test]
fn a_hostile_client() {
    smoke("client_ring");
}
