//! `cargo xtask test`: every test, with what it needs.

use std::process::Command;

use crate::capi;
use crate::host;
use crate::lab;
use crate::steps::{Steps, cargo};

/// Programs the namespace tests use, and the Debian packages that have them.
const NAMESPACE_PROGRAMS: [(&str, &str); 2] = [("ip", "iproute2"), ("nft", "nftables")];

/// Runs the whole suite.
pub(crate) fn run(steps: &mut Steps, quick: bool) {
    let namespaces = namespaces_ready();
    let mut workspace = cargo(["test", "--workspace", "--no-fail-fast"]);
    if quick {
        workspace.env("SYNCHROTRON_QUICK", "1");
    }
    match &namespaces {
        Ok(()) => _ = workspace.env("SYNCHROTRON_NETNS", "1"),
        Err(reason) => steps.skip("tests in network namespaces", reason),
    }
    let pacemaker = namespaces.clone().and_then(|()| crate::pacemaker::needs());
    if pacemaker.is_ok() {
        workspace.env("SYNCHROTRON_PACEMAKER", "1");
    }
    match namespaces.and_then(|()| host::ensure_program("corosync", "corosync")) {
        Ok(()) => _ = workspace.env("SYNCHROTRON_COROSYNC", "1"),
        Err(reason) => steps.skip("tests beside Corosync", &reason),
    }
    match host::ensure_program("valgrind", "valgrind") {
        Ok(()) => _ = workspace.env("SYNCHROTRON_VALGRIND", "1"),
        Err(reason) => steps.skip("instruction counts", &reason),
    }
    match host::ensure_program("corosync-vqsim", "corosync-vqsim") {
        Ok(()) => _ = workspace.env("SYNCHROTRON_VQSIM", "1"),
        Err(reason) => steps.skip("votes beside corosync-vqsim", &reason),
    }
    steps.run("tests", workspace);
    c_libraries(steps);
    match pacemaker {
        Ok(()) => steps.check("Pacemaker", crate::pacemaker::everyday),
        Err(reason) => steps.skip("Pacemaker", &reason),
    }
    let portable = ["test", "-p", "synchrotron-link", "--no-default-features"];
    steps.run("link tests without aws-lc", cargo(portable));
    match lab::build_needs() {
        Ok(()) => {
            let host = ["test", "-p", "synchrotron-verbs", "--features", "rdma"];
            steps.run("verbs tests on this host", cargo(host));
            if host::is_root() {
                steps.check("verbs in the RDMA lab", lab::everyday);
            } else {
                steps.skip("verbs in the RDMA lab", "installing what it needs takes root");
            }
        }
        Err(reason) => steps.skip("verbs", &reason),
    }
    if !quick {
        steps.run("interleavings (loom)", loom());
    }
}

/// Programs in C over Corosync's libraries.
pub(crate) fn c_libraries(steps: &mut Steps) {
    steps.check("C libraries", capi::trial);
    match capi::debian_libsam() {
        Ok(libsam) => {
            steps
                .check("C libraries below Debian's libsam", || capi::beside_debian_libsam(&libsam));
        }
        Err(reason) => steps.skip("C libraries below Debian's libsam", &reason),
    }
}

fn namespaces_ready() -> Result<(), String> {
    if !host::is_root() {
        return Err("they need root (network namespaces); run as root to include them".into());
    }
    NAMESPACE_PROGRAMS
        .iter()
        .try_for_each(|(program, package)| host::ensure_program(program, package))
}

/// loom replaces the atomics, so these tests are a build of their own.
fn loom() -> Command {
    let mut command = cargo(["test", "--release", "-p", "synchrotron-ring", "--test", "loom"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", "target/loom");
    command
}
