//! What the tests of whole clusters share.
#![allow(dead_code, reason = "every test binary uses its part")]

pub(crate) mod attacker;
pub(crate) mod shell;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cluster::{Place, Spec};

/// Whole clusters take the machine; one at a time.
static MACHINE: Mutex<()> = Mutex::new(());

/// Waits for the machine. Tests in other binaries are kept apart by cargo, which runs one binary at a time.
pub(crate) fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tool under test.
pub(crate) fn tool() -> PathBuf {
    env!("CARGO_BIN_EXE_synchrotron").into()
}

/// Whether the test command prepared network namespaces (root, `ip`, `nft`); says so where it did not.
pub(crate) fn has_namespaces() -> bool {
    let prepared = std::env::var_os("SYNCHROTRON_NETNS").is_some();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(prepared || !ci, "CI must run the tests in namespaces: use `cargo xtask test` as root");
    if !prepared {
        eprintln!("skipped: needs network namespaces; run `cargo xtask test` as root");
    }
    prepared
}

/// Whether the test command installed Corosync; says so where it did not.
pub(crate) fn has_corosync() -> bool {
    let prepared = std::env::var_os("SYNCHROTRON_COROSYNC").is_some();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(
        prepared || !ci,
        "CI must run the tests beside Corosync: use `cargo xtask test` as root"
    );
    if !prepared {
        eprintln!("skipped: needs Corosync; run `cargo xtask test` as root");
    }
    prepared
}

/// A cluster in namespaces with encryption.
pub(crate) fn in_namespaces(nodes: usize) -> Spec {
    Spec {
        nodes,
        place: Place::Namespaces { mtu_bytes: 1500 },
        program: vec![tool(), "engine".into()],
        encrypted: true,
        extra: Vec::new(),
    }
}

/// A cluster on loopback.
pub(crate) fn on_loopback(nodes: usize, base_port: u16) -> Spec {
    Spec {
        nodes,
        place: Place::Loopback { base_port },
        program: vec![tool(), "engine".into()],
        encrypted: false,
        extra: Vec::new(),
    }
}
