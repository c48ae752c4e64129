//! What a group layer is told when it is made.

use wire::NodeId;

/// Most memberships (session and group) of one node. Every node applies it to every other at the
/// same point of the total order, so it is a constant, not a setting. At 12 bytes each a node can
/// make the others keep 12 MiB.
pub const MEMBERSHIPS_PER_NODE_MAX: u32 = 1 << 20;

/// Small slots that new frames leave free: the ring needs some for tokens, repairs and what it
/// receives even when clients would fill all of them. Smaller pools keep an eighth.
pub const SMALL_SLOTS_RESERVED: u32 = 64;

/// Limits of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most open sessions.
    pub sessions_max: u32,
    /// Most memberships of local sessions, at most [`MEMBERSHIPS_PER_NODE_MAX`].
    pub memberships_max: u32,
}

impl Default for Limits {
    /// 16384 sessions, 65536 memberships: far above what one host's programs use, far below what
    /// would hurt the cluster.
    fn default() -> Self {
        Self { sessions_max: 16_384, memberships_max: 65_536 }
    }
}

/// How to make a [`Groups`](crate::Groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// A number drawn at this start of the engine: tells others that we restarted.
    pub boot: u64,
    /// Limits of this node.
    pub limits: Limits,
}
