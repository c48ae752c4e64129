//! What the owner of a node asks for, and what it is told.

use alloc::string::String;
use alloc::vec::Vec;

use wire::cfg::{ChangeId, Target};
use wire::{NodeId, RingId};

/// What a member found when it checked its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it can take the change over.
    pub good: bool,
    /// What is wrong, or what a good answer has to add. Cut at [`wire::cfg::TEXT_BYTES_MAX`] bytes.
    pub text: String,
}

/// What the owner of a node asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Start a change under a number of this node's.
    Prepare {
        /// The number, not used before.
        number: u64,
        /// What every member must find.
        target: Target,
    },
    /// The answer to [`Event::Check`].
    Answer {
        /// Which change.
        change: ChangeId,
        /// What was found.
        answer: Answer,
    },
    /// Give up a change of this node's, unless it is committed already.
    Abort {
        /// Its number.
        number: u64,
        /// Why.
        text: String,
    },
    /// Ask a node to leave and end.
    Kill {
        /// Which.
        node: NodeId,
        /// Why.
        text: String,
    },
}

/// Why a change ended without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Another change is under way.
    Busy {
        /// Who asked for that.
        node: NodeId,
    },
    /// A member cannot take it over, or the node that asked gave it up.
    Refused {
        /// Who says so.
        node: NodeId,
        /// Why.
        text: String,
    },
    /// The members changed in between.
    NewRing,
}

/// Where a commit stands in the total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ring that numbered its frame.
    pub ring: RingId,
    /// The frame's number there.
    pub seq: u64,
    /// Whether it was delivered in a transitional configuration: then members that are not in it
    /// may not have it.
    pub transitional: bool,
}

/// What happened to a change, in the total order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Check the file and say [`Request::Answer`].
    Check {
        /// Which change.
        change: ChangeId,
        /// What must be found.
        target: Target,
        /// Who is asked, in ascending order.
        members: Vec<NodeId>,
    },
    /// A member answered.
    Answered {
        /// Which change.
        change: ChangeId,
        /// Who.
        node: NodeId,
        /// What it found.
        answer: Answer,
    },
    /// Take the change over now.
    Committed {
        /// Which change.
        change: ChangeId,
        /// Where.
        at: Place,
    },
    /// Nobody takes the change over.
    Aborted {
        /// Which change.
        change: ChangeId,
        /// Why.
        why: Abort,
    },
    /// Another ring has a newer configuration. If this node's file says the same, its ring can follow: ask for
    /// a change. Comes at most once a second, to the representative of a ring only, and in no order.
    Newer {
        /// A member of that ring.
        node: NodeId,
        /// Its version.
        config_version: u64,
        /// Its hash.
        config_hash: u64,
    },
    /// Somebody asks this node to leave and end.
    Killed {
        /// Who.
        by: NodeId,
        /// Why.
        text: String,
    },
}
