//! What is fuzzed: functions that take any bytes and must not panic, hang, or keep memory.
//!
//! The same functions run under libFuzzer (`cargo +nightly fuzz run NAME`, in `fuzz/`) and, on any
//! toolchain, under a small mutator of our own in the everyday suite (`tests/smoke.rs`), which also replays
//! every input that ever failed (`fuzz/regressions/NAME/`).
#![forbid(unsafe_code)]

mod client_ring;
mod config;
mod input;
pub mod mutate;
mod ring;
mod wire_formats;

pub use client_ring::client_ring;
pub use config::{config, corosync_conf};
pub use ring::ring;
pub use wire_formats::wire;

/// A target: its name, the function, and inputs to start from.
pub struct Target {
    /// As in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Good inputs, from which mutation starts.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "wire", run: wire, seeds: wire_formats::seeds },
    Target { name: "ring", run: ring, seeds: ring::seeds },
    Target { name: "config", run: config, seeds: config::seeds },
    Target { name: "corosync_conf", run: corosync_conf, seeds: config::corosync_seeds },
    Target { name: "client_ring", run: client_ring, seeds: client_ring::seeds },
];
