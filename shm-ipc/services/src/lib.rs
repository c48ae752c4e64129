//! What programs and the engine say to each other about cluster services: configuration map (`cmap`),
//! administration (`cfg`), quorum, votequorum, and the list of process groups. Questions, answers and notices
//! are typed here and travel as bytes over the socket of a session (`session::Control`).
//!
//! Three parts: the messages ([`Request`], [`Answer`], [`Notice`], one module per service), their encoding
//! ([`codec`]), and the client's half ([`Client`]) for libraries and tools. The engine's half is in the daemon.
//!
//! An answer is a [`Reply`]: what was asked for, or a [`Failure`] numbered as Corosync's `cs_error_t`, because
//! that is what programs written for it act on.
#![forbid(unsafe_code)]

pub mod cfg;
mod client;
pub mod cmap;
pub mod codec;
pub mod cpg;
mod failure;
pub mod quorum;
pub mod votequorum;

use serde::{Deserialize, Serialize};

pub use client::{Client, Error};
pub use failure::Failure;

/// Longest question in bytes, as encoded.
pub const REQUEST_BYTES_MAX: usize = session::QUESTION_BYTES_MAX;

/// Longest notice in bytes, as encoded: one datagram with its head.
pub const NOTICE_BYTES_MAX: usize = 32_000;

/// A ring's identity: equal at all its members, and in everything that is told about the same ring.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ring {
    /// Its representative.
    pub node: u32,
    /// Its sequence number.
    pub seq: u64,
}

/// What a program is told as soon as it starts to track, and from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The present state, once, now.
    pub current: bool,
    /// Every change, with everything there is to know.
    pub changes: bool,
    /// Every change, with what changed only.
    pub changes_only: bool,
}

/// A question to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// To the configuration map.
    Cmap(cmap::Request),
    /// To administration.
    Cfg(cfg::Request),
    /// To quorum.
    Quorum(quorum::Request),
    /// To the vote counter.
    Votequorum(votequorum::Request),
    /// About process groups.
    Cpg(cpg::Request),
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done; there is nothing to say.
    Done,
    /// From the configuration map.
    Cmap(cmap::Answer),
    /// From administration.
    Cfg(cfg::Answer),
    /// From quorum.
    Quorum(quorum::Answer),
    /// From the vote counter.
    Votequorum(votequorum::Answer),
    /// About process groups.
    Cpg(cpg::Answer),
}

/// An answer, or why there is none.
pub type Reply = Result<Answer, Failure>;

/// What the engine says unasked, to those who track it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// A key changed.
    Cmap(cmap::Notice),
    /// Somebody wants to shut this node down.
    Cfg(cfg::Notice),
    /// Quorum or membership changed.
    Quorum(quorum::Notice),
    /// Votes changed.
    Votequorum(votequorum::Notice),
}
