//! The votes behind quorum.

use serde::{Deserialize, Serialize};

use crate::{Ring, Track};

/// Longest name of a quorum device, in bytes.
pub const QDEVICE_NAME_BYTES_MAX: usize = 254;

/// Most extra information about a quorum device, in bytes.
pub const QDEVICE_EXTRA_BYTES_MAX: usize = 4096;

/// A question to the vote counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// [`Answer::Info`], or `NotExist`. Node 0 is this one.
    Info {
        /// Of which node.
        node: u32,
    },
    /// Expect so many votes: `Done`, `InvalidParameter` if it would end quorum or is less than are there.
    SetExpected {
        /// How many.
        votes: u32,
    },
    /// Give a node so many votes: `Done`, `NotExist`, `InvalidParameter`. Node 0 is this one.
    SetVotes {
        /// Which.
        node: u32,
        /// How many.
        votes: u32,
    },
    /// Tell me: `Done`, `Exist` if this connection tracks already.
    Track(Track),
    /// Do not tell me any more: `Done`, `NotExist`.
    Untrack,
    /// A quorum device is here: `Done`, `Exist` under another name, `TryAgain`, `Access`.
    QdeviceRegister {
        /// Its name.
        name: Vec<u8>,
    },
    /// It goes: `Done`, `NotExist`, `InvalidParameter` if that is not its name.
    QdeviceUnregister {
        /// Its name.
        name: Vec<u8>,
    },
    /// It has another name now.
    QdeviceUpdate {
        /// Its name so far.
        old: Vec<u8>,
        /// Its name from now on.
        new: Vec<u8>,
    },
    /// It lives: `Done`, `MessageError` if `ring` is not the present one, `NotExist`, `Access`.
    QdevicePoll {
        /// Its name.
        name: Vec<u8>,
        /// Whether it votes for us.
        cast_vote: bool,
        /// The ring it says so about.
        ring: Ring,
    },
    /// Whether its vote alone is enough.
    QdeviceMasterWins {
        /// Its name.
        name: Vec<u8>,
        /// Whether it is.
        allow: bool,
    },
    /// [`Answer::QdeviceExtra`], or `NotExist`. Node 0 is the device of no node in particular, which says nothing.
    QdeviceExtraGet {
        /// Of which node's device.
        node: u32,
    },
    /// What it has to say for itself, up to [`QDEVICE_EXTRA_BYTES_MAX`] bytes.
    QdeviceExtraSet {
        /// Any bytes.
        bytes: Vec<u8>,
    },
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// In the ring.
    Member,
    /// Not in the ring.
    Dead,
    /// On its way out.
    Leaving,
}

impl NodeState {
    /// As Corosync numbers them.
    pub fn code(self) -> u32 {
        match self {
            Self::Member => 1,
            Self::Dead => 2,
            Self::Leaving => 3,
        }
    }
}

/// Bits of [`Info::flags`], as Corosync numbers them.
pub mod flags {
    /// Two nodes, one is enough.
    pub const TWO_NODE: u32 = 1;
    /// This part may go on.
    pub const QUORATE: u32 = 2;
    /// All must have been here once.
    pub const WAIT_FOR_ALL: u32 = 4;
    /// Expected votes follow the survivors.
    pub const LAST_MAN_STANDING: u32 = 8;
    /// Even halves are decided.
    pub const AUTO_TIE_BREAKER: u32 = 16;
    /// Expected votes follow those that leave in good order.
    pub const ALLOW_DOWNSCALE: u32 = 32;
    /// A quorum device is registered.
    pub const QDEVICE_REGISTERED: u32 = 64;
    /// It was heard of in time.
    pub const QDEVICE_ALIVE: u32 = 128;
    /// It votes for us.
    pub const QDEVICE_CAST_VOTE: u32 = 256;
    /// Its vote alone is enough.
    pub const QDEVICE_MASTER_WINS: u32 = 512;
    /// It has something to say for itself.
    pub const QDEVICE_HAS_EXTRA_INFO: u32 = 1024;
}

/// A node and its votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its id.
    pub node: u32,
    /// Where it is.
    pub state: NodeState,
    /// Its votes.
    pub votes: u32,
    /// The votes it expects.
    pub expected: u32,
    /// The most that any node expects.
    pub highest_expected: u32,
    /// The votes of all members.
    pub total: u32,
    /// The votes needed.
    pub quorum: u32,
    /// See [`flags`].
    pub flags: u32,
    /// Votes of its quorum device.
    pub qdevice_votes: u32,
    /// Name of its quorum device; empty: none.
    pub qdevice_name: Vec<u8>,
}

/// What the vote counter answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A node and its votes.
    Info(Info),
    /// What a quorum device has to say for itself.
    QdeviceExtra(Vec<u8>),
}

/// What trackers are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The votes were counted.
    Quorum {
        /// Whether this part may go on.
        quorate: bool,
        /// All nodes known, ascending, and where they are.
        nodes: Vec<(u32, NodeState)>,
    },
    /// A new ring; its votes are not counted yet.
    Nodes {
        /// The ring.
        ring: Ring,
        /// Its members, ascending.
        nodes: Vec<u32>,
    },
    /// So many votes are expected from now on.
    Expected {
        /// How many.
        votes: u32,
    },
    /// What a node's quorum device has to say for itself.
    QdeviceExtra {
        /// The node.
        node: u32,
        /// Empty: nothing any more.
        bytes: Vec<u8>,
    },
}
