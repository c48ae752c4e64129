//! What a node is made with.

use alloc::vec::Vec;

use frame::{Class, Pool};
use groups::votequorum;
use link::Security;
use link::paths::Links;
use totem::{TokenTimeout, Tuning, owed_ns_max};
use wire::data::payload_bytes_max;
use wire::{BootId, CONTROL_BYTES_MAX, NODES_MAX, NodeId, RingId};

use crate::Stored;

/// Everything [`crate::Node::new`] needs.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// This node.
    pub me: NodeId,
    /// The whole node list, this node included, in any order.
    pub nodes: Vec<NodeId>,
    /// The cluster's name.
    pub cluster_name: &'a str,
    /// Encryption, or none.
    pub security: Security,
    /// This start of the engine: 128 bits from a good source of randomness.
    pub boot: BootId,
    /// Randomness for jitter and questions.
    pub seed: u64,
    /// Largest datagram in bytes that travels unfragmented (the transport's `Caps`).
    pub datagram_bytes: usize,
    /// Most datagrams in one burst (the transport's `Caps`).
    pub burst_segments: usize,
    /// Most bytes in one burst (the transport's `Caps`).
    pub burst_bytes: usize,
    /// The links to every peer.
    pub links: Links,
    /// When a silent ring is declared lost.
    pub token_timeout: TokenTimeout,
    /// Version of the configuration; older ones are refused.
    pub config_version: u64,
    /// Hash of what must be equal on all nodes.
    pub config_hash: u64,
    /// What was on the disk before this start. Where votes are counted, [`Config::owed_ns_max`] must have been
    /// stored since, unless what was there is longer.
    pub stored: Stored,
    /// Windows and intervals of the ring.
    pub tuning: Tuning,
    /// Limits of local sessions.
    pub limits: groups::Limits,
    /// How votes are counted; `None`: there is always a quorum.
    pub quorum: Option<votequorum::Options>,
    /// What the last `votequorum::News::Track` said, 0 if nothing.
    pub expected_votes_tracked: u32,
}

/// Why a node cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// This node is not in the node list.
    #[error("node {0} is not in the node list")]
    NotInNodeList(NodeId),
    /// Too many nodes.
    #[error("{0} nodes in the node list, at most {NODES_MAX} are possible")]
    TooManyNodes(usize),
    /// Zero is no node id.
    #[error("node id 0 in the node list; node ids start at 1")]
    NodeIdZero,
    /// Quorum features that exclude each other.
    #[error("{0}")]
    Quorum(votequorum::Problem),
    /// The path's datagrams or the pool's small slots are too small.
    #[error("datagrams of {datagram_bytes} bytes, at least {needed_bytes} are needed")]
    DatagramTooSmall {
        /// What the transport and the pool's small slots allow.
        datagram_bytes: usize,
        /// What control frames need.
        needed_bytes: usize,
    },
}

/// What a node may be given while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconfiguration {
    /// The ring in whose order the change was committed.
    pub ring: RingId,
    /// The whole node list, this node and all members of that ring included, in any order.
    pub nodes: Vec<NodeId>,
    /// When a silent ring is declared lost.
    pub token_timeout: TokenTimeout,
    /// How long agreement on a ring may take, see [`Tuning`].
    pub consensus_us: Option<u64>,
    /// Version of the configuration; older ones are refused.
    pub config_version: u64,
    /// Hash of what must be equal on all nodes.
    pub config_hash: u64,
    /// Limits of local sessions.
    pub limits: groups::Limits,
    /// How links are used; their number stays what it is.
    pub links: Links,
    /// How votes are counted, as far as that may change; ignored where they are not.
    pub quorum: Option<votequorum::Options>,
}

/// The node list in ascending order.
pub(crate) fn checked_nodes(
    mut nodes: Vec<NodeId>,
    me: NodeId,
) -> Result<Vec<NodeId>, ConfigError> {
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.first() == Some(&NodeId(0)) {
        return Err(ConfigError::NodeIdZero);
    }
    if nodes.len() > NODES_MAX {
        return Err(ConfigError::TooManyNodes(nodes.len()));
    }
    if nodes.binary_search(&me).is_err() {
        return Err(ConfigError::NotInNodeList(me));
    }
    Ok(nodes)
}

impl Config<'_> {
    /// Until when others may act on the last life of this node, which starts now.
    pub(crate) fn forgotten_until_ns(&self, now_ns: u64) -> u64 {
        match self.stored {
            // It never had a life.
            Stored { ring_seq: 0, owed_ns: 0 } => 0,
            Stored { owed_ns, .. } => now_ns.saturating_add(owed_ns.max(self.owed_ns_max())),
        }
    }

    /// The longest time that a node with this configuration can owe, nanoseconds; 0 where votes are not counted.
    pub fn owed_ns_max(&self) -> u64 {
        match self.quorum {
            Some(_) => owed_ns_max(self.token_timeout, self.nodes.len(), &self.tuning),
            None => 0,
        }
    }

    /// Payload bytes of a data frame: a frame fits a small slot, and sealed it fits one too.
    pub(crate) fn payload_bytes(
        &self,
        pool: &Pool,
        overhead_bytes: usize,
    ) -> Result<usize, ConfigError> {
        let datagram_bytes = self.datagram_bytes.min(pool.slot_bytes(Class::Small));
        let needed_bytes = CONTROL_BYTES_MAX + overhead_bytes;
        if datagram_bytes < needed_bytes {
            return Err(ConfigError::DatagramTooSmall { datagram_bytes, needed_bytes });
        }
        // Runs are multiples of 8 bytes, so the odd rest is of no use.
        Ok(payload_bytes_max(datagram_bytes - overhead_bytes) / 8 * 8)
    }
}
