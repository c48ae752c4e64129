//! Configuration: a TOML file into one typed model.
//!
//! One table ([`keys::KEYS`]) declares every key: its type, bounds, default and meaning. It drives parsing,
//! the error messages, the defaults and the reference (`docs/configuration.md`, written by [`reference()`]).
//! A bad file yields all its problems at once, each with file, line, column, key, the value found, what is
//! wrong with it and what would be accepted.
//!
//! [`Config::parse`] looks at text only; [`Config::load`] reads the file, and [`key_file::read`] the cluster
//! key, which tools that merely look for the socket have no right to read.
#![forbid(unsafe_code)]

mod check;
pub mod key_file;
pub mod keys;
mod kind;
mod model;
mod nodes;
mod problem;
mod quorum;
mod reader;
mod reference;

pub use kind::{Kind, Value};
pub use model::{
    Config, Cpu, Encryption, Engine, Idle, Ipc, Limits, LockMemory, Log, LogFormat, LogLevel,
    Memory, Multicast, Node, Priority, Provider, Recorder, Security, TokenTimeout, Totem,
    Transport,
};
pub use problem::{Problem, Problems};
pub use quorum::{Device, Quorum, TieBreaker};
pub use reference::reference;

/// Most nodes a cluster may have: what membership messages have room for (`wire::NODES_MAX`; the daemon
/// does not compile if they differ).
pub const NODES_MAX: usize = 1024;
