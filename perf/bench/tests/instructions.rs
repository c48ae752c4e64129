//! Instructions of the ordering step and of the delivery step, counted by valgrind, which does not depend on the
//! machine's mood. A bound that is exceeded means that the path of every message has become longer.

use std::process::Command;

/// Instructions to order a frame of 1400 bytes: in the virtual time of two nodes, from its sender's submit ring to both
/// nodes' readers, tokens, checksums and this virtual world included. Measured: 15 059; the bound leaves a quarter.
const ORDER_MAX: f64 = 18_800.0;

/// Instructions to deliver a descriptor to one reader through the delivery ring. Measured: 113; the bound
/// leaves a quarter.
const DELIVER_MAX: f64 = 140.0;

/// Whether the test command installed valgrind; says so where it did not.
fn has_valgrind() -> bool {
    let prepared = std::env::var_os("SYNCHROTRON_VALGRIND").is_some();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(prepared || !ci, "CI must count instructions: use `cargo xtask test` as root");
    if !prepared {
        eprintln!("skipped: needs valgrind; run `cargo xtask test` as root");
    }
    prepared
}

/// Steps done and instructions executed for them, everything from the start of the program included.
fn count(what: &str, much: u64) -> (f64, f64) {
    let mut steps = std::env::current_exe().unwrap();
    steps.pop();
    steps.pop();
    steps.push("examples/steps");
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    let output = command.arg(steps).arg(what).arg(much.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    let done: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    let line = said.lines().find_map(|line| line.split_once("refs:"));
    let (_, instructions) = line.expect("cachegrind says how many");
    (done, instructions.trim().replace(',', "").parse().unwrap())
}

/// Instructions of one step: what more steps cost more.
fn per_step(what: &str, few: u64, many: u64) -> f64 {
    let ((few_done, few_cost), (many_done, many_cost)) = (count(what, few), count(what, many));
    assert!(many_done > few_done, "{many_done} steps are not more than {few_done}");
    let each = (many_cost - few_cost) / (many_done - few_done);
    eprintln!("{what}: {each:.0} instructions a step");
    each
}

#[test]
fn ordering_a_frame_takes_no_more_instructions_than_it_should() {
    if has_valgrind() {
        let each = per_step("order", 200, 700);
        assert!(each <= ORDER_MAX, "{each:.0} instructions, at most {ORDER_MAX}");
    }
}

#[test]
fn delivering_a_descriptor_takes_no_more_instructions_than_it_should() {
    if has_valgrind() {
        let each = per_step("deliver", 6_400, 64_000);
        assert!(each <= DELIVER_MAX, "{each:.0} instructions, at most {DELIVER_MAX}");
    }
}
