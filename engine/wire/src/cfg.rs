//! Messages about the cluster's configuration: the content of control messages of kind 6. A node
//! asks all members to check their configuration files, each answers, and the node that asked says
//! whether all take them over or none does. Or it asks a node to leave.

use crate::codec::{Reader, Writer};
use crate::{NodeId, WireError};

/// Most bytes of a text in these messages: a line of a file with its place and what would be right.
pub const TEXT_BYTES_MAX: usize = 320;

/// Bytes that hold the content of any of these messages: an answer with the longest text.
pub const CFG_BYTES_MAX: usize = HEAD_BYTES + TEXT_BYTES_MAX;

/// Kind, flags and length of the text; node; number.
const HEAD_BYTES: usize = 1 + 1 + 2 + 4 + 8;

/// Bytes of a [`Target`].
const TARGET_BYTES: usize = 24;

const PREPARE: u8 = 1;
const ANSWER: u8 = 2;
const COMMIT: u8 = 3;
const ABORT: u8 = 4;
const KILL: u8 = 5;

/// Names a change: the node that asks for it and a number of that node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId {
    /// Who asks for the change.
    pub node: NodeId,
    /// Its number for it, not used again while the engine runs.
    pub number: u64,
}

/// What every node must find in its own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Version of the configuration.
    pub config_version: u64,
    /// Hash of what must be equal on all nodes.
    pub config_hash: u64,
    /// Fingerprint of the cluster key; zero when encryption is off.
    pub key: u64,
}

/// A checked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cfg<'a> {
    /// All members are to check their files.
    Prepare {
        /// The sender's number for the change.
        number: u64,
        /// What they must find.
        target: Target,
    },
    /// What a member found.
    Answer {
        /// The change.
        change: ChangeId,
        /// Whether it can take the change over.
        good: bool,
        /// What is wrong, or what a good answer has to add.
        text: &'a [u8],
    },
    /// All members take the change over.
    Commit {
        /// The sender's number for the change.
        number: u64,
    },
    /// Nobody takes it over.
    Abort {
        /// The sender's number for the change.
        number: u64,
        /// Why.
        text: &'a [u8],
    },
    /// A node is to leave and end.
    Kill {
        /// Which.
        node: NodeId,
        /// Why.
        text: &'a [u8],
    },
}

impl<'a> Cfg<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// When bytes are missing or left over, or a field has a value that no sender writes.
    pub fn parse(content: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("configuration change", content);
        let kind = r.u8()?;
        let flag = r.u8()?;
        let text_bytes = r.u16()? as usize;
        let node = NodeId(r.u32()?);
        let number = r.u64()?;
        if flag > 1 || flag == 1 && kind != ANSWER {
            return Err(r.bad("flags", flag.into()));
        }
        let target = match kind {
            PREPARE => Target { config_version: r.u64()?, config_hash: r.u64()?, key: r.u64()? },
            _ => Target { config_version: 0, config_hash: 0, key: 0 },
        };
        let text = r.take(text_bytes)?;
        let has_text = matches!(kind, ANSWER | ABORT | KILL);
        if text_bytes > TEXT_BYTES_MAX || text_bytes > 0 && !has_text {
            return Err(r.bad("text length", text_bytes as u64));
        }
        let head = HEAD_BYTES + if kind == PREPARE { TARGET_BYTES } else { 0 };
        if content.len() != head + text_bytes {
            return Err(r.bad("bytes", content.len() as u64));
        }
        if node.0 != 0 && !matches!(kind, ANSWER | KILL) {
            return Err(r.bad("node", node.0.into()));
        }
        match kind {
            PREPARE => Ok(Self::Prepare { number, target }),
            ANSWER => Ok(Self::Answer { change: ChangeId { node, number }, good: flag == 1, text }),
            COMMIT => Ok(Self::Commit { number }),
            ABORT => Ok(Self::Abort { number, text }),
            KILL if number == 0 => Ok(Self::Kill { node, text }),
            KILL => Err(r.bad("number", number)),
            other => Err(r.bad("kind", other.into())),
        }
    }

    /// Writes the message; `None` if `out` is too small or a text too long.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let (kind, flag, node, number, text): (u8, bool, NodeId, u64, &[u8]) = match *self {
            Self::Prepare { number, .. } => (PREPARE, false, NodeId(0), number, &[]),
            Self::Answer { change, good, text } => (ANSWER, good, change.node, change.number, text),
            Self::Commit { number } => (COMMIT, false, NodeId(0), number, &[]),
            Self::Abort { number, text } => (ABORT, false, NodeId(0), number, text),
            Self::Kill { node, text } => (KILL, false, node, 0, text),
        };
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut w = Writer::new(out);
        w.u8(kind).u8(flag.into()).u16(text.len() as u16).u32(node.0).u64(number);
        if let Self::Prepare { target, .. } = self {
            w.u64(target.config_version).u64(target.config_hash).u64(target.key);
        }
        w.put(text).finish()
    }
}
