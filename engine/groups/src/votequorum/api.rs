//! What programs are told, and why they are refused.

use alloc::boxed::Box;
use alloc::vec::Vec;

use wire::{NodeId, RingId};

use super::table::NodeState;

/// What programs are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new ring is being synchronised: its members. Comes before the [`Event::Quorum`] of that ring.
    NodeList {
        /// The ring.
        ring: RingId,
        /// Its members in ascending order.
        members: Vec<NodeId>,
    },
    /// A new ring was synchronised, or the quorum was lost or won within one.
    Quorum {
        /// Whether there is a quorum.
        quorate: bool,
        /// The ring.
        ring: RingId,
        /// Its members in ascending order.
        members: Vec<NodeId>,
        /// Every node ever heard of, and the device if one is registered.
        nodes: Vec<(NodeId, NodeState)>,
    },
    /// Something else.
    News(News),
}

/// What programs are told whatever the ring is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Other votes are expected now.
    ExpectedVotes {
        /// How many.
        votes: u32,
    },
    /// With `expected_votes_tracking`: the most votes ever expected, to be stored, and given to
    /// [`super::Votequorum::new`] at the next start.
    Track {
        /// How many.
        votes: u32,
    },
    /// The answer to [`super::Votequorum::device_register`].
    Registered {
        /// Whether the device is registered; else another name is.
        accepted: bool,
    },
    /// What a node's device has to say for itself, or nothing any more.
    Extra {
        /// The node.
        node: NodeId,
        /// Empty: nothing.
        bytes: Box<[u8]>,
    },
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The number would take the quorum away, or is less than the votes there are.
    Impossible,
    /// There is no such node.
    NoSuchNode,
    /// A device of another name is registered.
    OtherDevice,
    /// The name is not the registered device's.
    WrongName,
    /// No device is registered.
    NotRegistered,
    /// The configuration leaves no room for a device.
    NotAllowed,
    /// The ring is not the one that is in force.
    OtherRing,
    /// Too much is under way.
    TryAgain,
}

/// What the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The window of `last_man_standing` ends.
    LastMan,
    /// The device must have polled.
    DevicePoll,
}
