//! What a machine is made with.

use alloc::vec::Vec;

use wire::NodeId;

use crate::TokenTimeout;

/// Everything [`crate::Totem::new`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// The whole node list in ascending order, this node included; at most `wire::NODES_MAX`.
    pub nodes: Vec<NodeId>,
    /// Most payload bytes of one data frame, see `wire::data::payload_bytes_max`; at least
    /// [`PAYLOAD_BYTES_MIN`].
    pub payload_bytes_max: usize,
    /// When a silent ring is declared lost.
    pub token_timeout: TokenTimeout,
    /// Version of the configuration; older ones are refused.
    pub config_version: u64,
    /// Hash of what must be equal on all nodes.
    pub config_hash: u64,
    /// Highest ring sequence number that may have been used before the start (what was stored
    /// last).
    pub ring_seq_stored: u64,
    /// Seed of jitter.
    pub seed: u64,
    /// Windows and intervals.
    pub tuning: Tuning,
}

/// Least `payload_bytes_max`: a member's old state with the set of 1024 nodes and some ranges fits.
pub const PAYLOAD_BYTES_MIN: usize = 512;

/// Windows and intervals. The defaults suit everything from a laptop's loopback to 128 nodes.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Frames between the oldest one kept and the newest one accepted; rounded up to a power of
    /// two. Nobody numbers past half of it, so a receiver that knows less of what is stable still
    /// has room.
    pub window_frames: usize,
    /// Least bytes one node may number in a visit while the ring loses frames.
    pub personal_window_bytes_min: u64,
    /// Most bytes one node may number in one visit. Eight bursts of 64 KiB.
    pub personal_window_bytes_max: u64,
    /// Most bytes that all nodes may number in one rotation. Three rotations of it must fit the
    /// pool.
    pub global_window_bytes: u64,
    /// Bytes that are sent after the token has been passed on (Babay and Amir 2016): one burst.
    pub accelerated_window_bytes: u64,
    /// Longest time a lone sender keeps the token while its frames are not known to be stable.
    pub hold_us_max: u64,
    /// Least time between two beacons of a resting ring per member (0.3 s is enough for any number): bounds what idle
    /// engines cost, which all wake up for each. 32 on one machine, at some 85 us each, cost 1 % of a core.
    pub rest_interval_per_node_us: u64,
    /// How often a ring's representative looks for other rings.
    pub probe_interval_us: u64,
    /// How long nodes that form a ring wait for those that do not answer; `None`: derived from the
    /// token timeout. Nodes with different values wait for the most patient one.
    pub consensus_us: Option<u64>,
    /// How long a gap must last before its sender is asked directly: what networks reorder.
    pub repair_slack_us: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            window_frames: 8192,
            personal_window_bytes_min: 16 << 10,
            personal_window_bytes_max: 512 << 10,
            global_window_bytes: 1 << 20,
            accelerated_window_bytes: 64 << 10,
            hold_us_max: 2_000,
            rest_interval_per_node_us: 9_000,
            probe_interval_us: 200_000,
            consensus_us: None,
            repair_slack_us: 200,
        }
    }
}
