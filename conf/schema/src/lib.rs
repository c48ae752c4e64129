//! Configuration: `synchrotron.toml`, `corosync.conf` or `corosync.xml` into one typed model.
//!
//! One table ([`keys::KEYS`]) declares every key: its type, bounds, default and meaning. It drives parsing,
//! the error messages, the defaults and the reference (`docs/configuration.md`, written by [`reference()`]).
//! A bad file yields all its problems at once, each with file, line, column, key, the value found, what is
//! wrong with it and what would be accepted.
//!
//! Corosync's files become the document that TOML becomes, too ([`corosync`]), so all checks and messages are the
//! same. [`Source`] says which language a file is in, reads it and converts it.
//!
//! The cluster key is read apart from that ([`key_file::cluster_key`]): tools that merely look for the socket
//! have no right to read it.
#![forbid(unsafe_code)]

mod check;
mod config;
pub mod corosync;
mod host;
pub mod key_file;
pub mod keys;
mod kind;
mod load;
mod me;
mod model;
mod nodes;
mod problem;
mod quorum;
mod reader;
mod reference;
mod reload;
mod values;
mod write;

pub use config::Config;
pub use host::{Host, System};
pub use kind::{Kind, Value};
pub use load::{Converted, Loaded, Source, Warning};
pub use model::{
    Cpu, Driver, Encryption, Engine, Idle, Ipc, KeySource, Limits, Link, LinkMode, LockMemory, Log,
    LogFormat, LogLevel, Memory, Multicast, Node, Priority, Provider, Rdma, Recorder, Secret,
    Security, TokenTimeout, Totem, Transport,
};
pub use problem::{Problem, Problems};
pub use quorum::{Device, Quorum, TieBreaker};
pub use reference::reference;
pub use reload::Differences;

/// Most nodes a cluster may have: what membership messages have room for (`wire::NODES_MAX`; the daemon
/// does not compile if they differ).
pub const NODES_MAX: usize = 1024;

/// Most links between two nodes: what Corosync's `ring0_addr` to `ring7_addr` can say.
pub const LINKS_MAX: usize = 8;
