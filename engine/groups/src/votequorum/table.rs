//! The table of nodes: what each counts for.

use alloc::collections::BTreeMap;

use wire::NodeId;

/// The node id under which the quorum device goes.
pub const DEVICE: NodeId = NodeId(0);

bitflags::bitflags! {
    /// What a node says of itself, numbered as Corosync's.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NodeFlags: u32 {
        /// It has a quorum.
        const QUORATE = 1;
        /// It is about to leave in order.
        const LEAVING = 2;
        /// It waits for all nodes.
        const WAITS_FOR_ALL = 4;
        /// It has not been with any other node since its start.
        const FIRST = 8;
        /// A quorum device is registered there.
        const DEVICE_REGISTERED = 16;
        /// The device polls.
        const DEVICE_ALIVE = 32;
        /// The device casts its votes.
        const DEVICE_VOTES = 64;
        /// The partition that has the device's votes wins.
        const DEVICE_MASTER_WINS = 128;
        /// The device has something to say for itself.
        const DEVICE_EXTRA = 256;
        /// It was quorate until this ring, and the ring has who breaks a tie of those it was with. Ours alone.
        const BREAKS_TIE = 1 << 16;
    }
}

/// Whether a node counts, numbered as Corosync's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeState {
    /// In our ring.
    Member = 1,
    /// Not any more.
    Dead = 2,
    /// Announced that it leaves.
    Leaving = 3,
}

/// One node as it was last heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it counts.
    pub state: NodeState,
    /// Its votes.
    pub votes: u32,
    /// The votes it expects.
    pub expected_votes: u32,
    /// What it says of itself.
    pub flags: NodeFlags,
}

/// Every node ever heard of, in the order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    nodes: BTreeMap<NodeId, Entry>,
}

impl Table {
    /// One node.
    pub fn get(&self, node: NodeId) -> Option<&Entry> {
        self.nodes.get(&node)
    }

    /// One node, to change.
    pub fn get_mut(&mut self, node: NodeId) -> Option<&mut Entry> {
        self.nodes.get_mut(&node)
    }

    /// Adds or replaces a node.
    pub fn insert(&mut self, node: NodeId, entry: Entry) {
        self.nodes.insert(node, entry);
    }

    /// Every node ever heard of.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Entry)> {
        self.nodes.iter().map(|(node, entry)| (*node, entry))
    }

    /// Nodes that count.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Entry)> {
        self.iter().filter(|(_, entry)| entry.state == NodeState::Member)
    }

    /// Nodes that count, to change.
    pub fn members_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.nodes.values_mut().filter(|entry| entry.state == NodeState::Member)
    }

    /// Whether a node is among those that count.
    pub fn is_member(&self, node: NodeId) -> bool {
        self.get(node).is_some_and(|entry| entry.state == NodeState::Member)
    }

    /// Votes of those that count.
    pub fn votes(&self) -> u32 {
        self.members().fold(0, |sum, (_, entry)| sum.saturating_add(entry.votes))
    }
}
