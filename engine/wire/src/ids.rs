//! Identities: nodes, boots, rings, members.

use core::fmt;

/// A node's number in the configuration: unique in the cluster, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One start of one engine: 128 random bits, so that keys and sessions of two starts never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub [u8; 16]);

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A ring (configuration): `seq` grows for ever, `rep` is the representative that formed it
/// (Amir et al. 1995, section 4.1). Ordered by `seq` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId {
    /// Sequence number; never used twice by one representative, even across restarts.
    pub seq: u64,
    /// Lowest node id of the ring.
    pub rep: NodeId,
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.rep, self.seq)
    }
}

/// A member of process groups: one session (client connection) of one node. `session` is never
/// reused while the engine runs and starts at a random number, so a restart does not repeat it either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    /// The node the program runs on.
    pub node: NodeId,
    /// The session on that node.
    pub session: u32,
    /// The program's process id there, for people and for Corosync's clients.
    pub pid: u32,
}
