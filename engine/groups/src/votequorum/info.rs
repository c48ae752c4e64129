//! What programs and people may ask.

use wire::{NodeId, RingId};

use super::decide::highest_expected;
use super::machine::Votequorum;
use super::options::TieBreaker;
use super::table::{DEVICE, NodeFlags, NodeState};

bitflags::bitflags! {
    /// Features in force and the state of a node, numbered as in Corosync's `votequorum.h`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct InfoFlags: u32 {
        /// `two_node`.
        const TWO_NODE = 1;
        /// There is a quorum.
        const QUORATE = 2;
        /// `wait_for_all`.
        const WAIT_FOR_ALL = 4;
        /// `last_man_standing`.
        const LAST_MAN_STANDING = 8;
        /// `auto_tie_breaker`.
        const AUTO_TIE_BREAKER = 16;
        /// `allow_downscale`.
        const ALLOW_DOWNSCALE = 32;
        /// A device is registered there.
        const DEVICE_REGISTERED = 64;
        /// It polls.
        const DEVICE_ALIVE = 128;
        /// It votes.
        const DEVICE_VOTES = 256;
        /// The partition with its votes wins.
        const DEVICE_MASTER_WINS = 512;
        /// It has something to say for itself.
        const DEVICE_EXTRA = 1024;
    }
}

impl InfoFlags {
    /// Those that are about a node's device.
    pub fn of_device() -> Self {
        Self::DEVICE_REGISTERED
            | Self::DEVICE_ALIVE
            | Self::DEVICE_VOTES
            | Self::DEVICE_MASTER_WINS
            | Self::DEVICE_EXTRA
    }
}

/// One node as votequorum sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Whether it counts.
    pub state: NodeState,
    /// Its votes.
    pub votes: u32,
    /// The votes it expects.
    pub expected_votes: u32,
    /// The most votes any member expects.
    pub highest_expected: u32,
    /// The votes that are here; the device's only if it votes at that node.
    pub total_votes: u32,
    /// Votes needed.
    pub needed: u32,
    /// See [`InfoFlags`].
    pub flags: InfoFlags,
    /// The device's votes.
    pub device_votes: u32,
}

/// Features that may change while the engine runs, as `runtime.votequorum` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `two_node`.
    pub two_node: bool,
    /// `wait_for_all`.
    pub wait_for_all: bool,
    /// All nodes have not been here at once yet.
    pub waits_for_all: bool,
    /// `last_man_standing`.
    pub last_man_standing: bool,
    /// `auto_tie_breaker`, as Corosync numbers it: 0 off, 1 lowest, 2 highest, 3 list.
    pub tie_breaker: u8,
    /// `allow_downscale`.
    pub allow_downscale: bool,
    /// Least and greatest node id when it was quorate last.
    pub lowest: Option<NodeId>,
    /// See `lowest`.
    pub highest: Option<NodeId>,
    /// `allow_downscale` never goes below this.
    pub expected_floor: u32,
    /// The most votes ever expected.
    pub tracked: u32,
}

impl Votequorum {
    /// A node; [`DEVICE`] stands for this node. `None` if it was never heard of.
    pub fn info(&self, node: NodeId) -> Option<NodeStatus> {
        let node = if node == DEVICE { self.me } else { node };
        let entry = self.table.get(node)?;
        let mut flags = InfoFlags::empty();
        flags.set(InfoFlags::TWO_NODE, self.two_node);
        flags.set(InfoFlags::QUORATE, self.quorate);
        flags.set(InfoFlags::WAIT_FOR_ALL, self.wait_for_all);
        flags.set(InfoFlags::LAST_MAN_STANDING, self.last_man_standing);
        flags.set(InfoFlags::AUTO_TIE_BREAKER, self.tie_breaker != TieBreaker::Off);
        flags.set(InfoFlags::ALLOW_DOWNSCALE, self.start.allow_downscale);
        // Corosync numbers what nodes tell each other and what programs are told apart, and so do we: the one is on
        // the wire, the other in the libraries' interface, and each has what the other has not.
        let of_node = [
            (NodeFlags::DEVICE_REGISTERED, InfoFlags::DEVICE_REGISTERED),
            (NodeFlags::DEVICE_ALIVE, InfoFlags::DEVICE_ALIVE),
            (NodeFlags::DEVICE_VOTES, InfoFlags::DEVICE_VOTES),
            (NodeFlags::DEVICE_MASTER_WINS, InfoFlags::DEVICE_MASTER_WINS),
            (NodeFlags::DEVICE_EXTRA, InfoFlags::DEVICE_EXTRA),
        ];
        for (from, to) in of_node {
            flags.set(to, entry.flags.contains(from));
        }
        let device =
            if entry.flags.contains(NodeFlags::DEVICE_VOTES) { self.device.votes } else { 0 };
        Some(NodeStatus {
            node,
            state: entry.state,
            votes: entry.votes,
            expected_votes: entry.expected_votes,
            highest_expected: highest_expected(&self.table),
            total_votes: self.table.votes().saturating_add(device),
            needed: self.needed,
            flags,
            device_votes: self.device.votes,
        })
    }

    /// Every node ever heard of.
    pub fn nodes(&self) -> impl Iterator<Item = NodeStatus> + '_ {
        self.table.iter().filter_map(|(node, _)| self.info(node))
    }

    /// The ring that is (or is being) synchronised, and its members.
    pub fn view(&self) -> (RingId, &[NodeId]) {
        (self.ring, &self.members)
    }

    /// Features in force.
    pub fn features(&self) -> Features {
        Features {
            two_node: self.two_node,
            wait_for_all: self.wait_for_all,
            waits_for_all: self.waiting,
            last_man_standing: self.last_man_standing,
            tie_breaker: match self.tie_breaker {
                TieBreaker::Off => 0,
                TieBreaker::Lowest => 1,
                TieBreaker::Highest => 2,
                TieBreaker::List(_) => 3,
            },
            allow_downscale: self.start.allow_downscale,
            lowest: self.extremes.lowest,
            highest: self.extremes.highest,
            expected_floor: self.expected_floor,
            tracked: self.tracked,
        }
    }
}
