//! What people and tests may look at.

use alloc::vec::Vec;

use frame::PoolStats;
use wire::NodeId;

wire::counters! {
    /// What the node itself did between its layers.
    pub struct NodeCounters {
        /// Calls of `handle`.
        pub inputs: u64,
        /// Buffers received on the token queue.
        pub token_bursts_received: u64,
        /// Buffers received on the data queue.
        pub data_bursts_received: u64,
        /// Datagrams received in them.
        pub datagrams_received: u64,
        /// Bytes received.
        pub bytes_received: u64,
        /// Data frames copied out of a large slot so that they do not pin it.
        pub frames_copied_out: u64,
        /// Data frames dropped because large slots were scarce and no small one was free.
        pub frames_without_slot: u64,
        /// Buffers given out for sending.
        pub bursts_sent: u64,
        /// Datagrams in them.
        pub datagrams_sent: u64,
        /// Bytes in them.
        pub bytes_sent: u64,
        /// Zeros among these that make the segments of a burst equal.
        pub padding_bytes_sent: u64,
        /// Requests about the configuration that were dropped because too many waited.
        pub changes_refused: u64,
        /// Frames that were not sent because no slot was free or they could not be sealed.
        pub frames_unsent: u64,
    }
}

/// The counters of all layers.
#[derive(Clone, Copy, Debug)]
pub struct Counters<'a> {
    /// The node itself.
    pub node: &'a NodeCounters,
    /// Datagrams: sealed, opened, dropped and why.
    pub link: &'a link::Counters,
    /// The ring.
    pub totem: &'a totem::Counters,
    /// The groups.
    pub groups: &'a groups::Counters,
    /// The links, if there are several.
    pub paths: link::paths::PathCounters,
}

/// The state of a node.
#[derive(Clone, Debug)]
pub struct Status {
    /// This node.
    pub me: NodeId,
    /// The node list.
    pub nodes: Vec<NodeId>,
    /// The ring.
    pub totem: totem::Status,
    /// Sessions and groups.
    pub groups: groups::Status,
    /// Every other node as the link layer knows it.
    pub peers: Vec<link::PeerStatus>,
    /// Every link to every other node, if there are several.
    pub links: Vec<link::paths::LinkState>,
    /// The links that frames for all travel on, as bits.
    pub links_in_use: u8,
    /// How datagrams are protected.
    pub security: link::SecurityStatus,
    /// How full message memory is.
    pub pool: PoolStats,
}
