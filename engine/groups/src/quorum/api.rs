//! How the quorum part is made, and what programs are told.

use alloc::vec::Vec;

use wire::{NodeId, RingId};

use crate::votequorum::{self, NodeState, Votequorum};

/// What programs are told about the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuorumEvent {
    /// A new ring is being synchronised: what a quorum device has to judge. Only with votequorum.
    Judge {
        /// The ring.
        ring: RingId,
        /// Its members in ascending order.
        members: Vec<NodeId>,
    },
    /// A new ring is in force. An [`QuorumEvent::Changed`] follows.
    NodeList {
        /// The ring.
        ring: RingId,
        /// Its members in ascending order.
        members: Vec<NodeId>,
        /// Those that were not in the last one, or came back.
        joined: Vec<NodeId>,
        /// Those of the last one that are not in it, or were away.
        left: Vec<NodeId>,
    },
    /// A new ring is in force, or the quorum was lost or won within one.
    Changed {
        /// Whether this part of the cluster may act.
        quorate: bool,
        /// The ring.
        ring: RingId,
        /// Its members in ascending order.
        members: Vec<NodeId>,
        /// Every node ever heard of, and the device if one is registered; with votequorum.
        nodes: Vec<(NodeId, NodeState)>,
    },
    /// What votequorum has to say beside that.
    News(votequorum::News),
}

/// Why the quorum part wants to be called at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumTimer {
    /// The lease ends.
    Lease,
    /// What is owed to others is paid.
    Owed,
    /// Votequorum's.
    Votes(votequorum::Timer),
}

/// How a [`Quorum`](super::Quorum) is made.
#[derive(Debug)]
pub struct QuorumConfig {
    /// The machine that decides; `None`: there is always a quorum.
    pub votes: Option<Votequorum>,
    /// The node list in ascending order.
    pub nodes: Vec<NodeId>,
    /// Until when nodes may act that counted on this node's last life, nanoseconds of the node's clock.
    pub forgotten_until_ns: u64,
}
