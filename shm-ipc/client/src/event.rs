//! What a program receives.

use std::sync::Arc;

use session::{Cause, Member, Order};

use crate::RefusedReason;

/// A group this program has joined. Cheap to clone; stays a name for the group after leaving it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    pub(crate) handle: u32,
    pub(crate) name: Arc<[u8]>,
}

impl Group {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its number on this node, the same for every program of the node while the engine runs.
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Whether it is a clone of the same, which is quicker to see than an equal name.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.handle == other.handle && Arc::ptr_eq(&self.name, &other.name)
    }
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The group it was sent to.
    pub group: &'a Group,
    /// Who sent it.
    pub sender: Member,
    /// What it says; in shared memory unless it was too large for one frame.
    pub bytes: &'a [u8],
    /// The place of its run in the total order: equal at every member. Messages of one run follow each other.
    pub order: Order,
    /// Whether it was delivered only once every node of the ring had it.
    pub safe: bool,
}

/// Why a member came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewCause {
    /// It asked to join.
    Join,
    /// It asked to leave.
    Leave,
    /// Its node is gone.
    NodeDown,
    /// Its node came.
    NodeUp,
    /// Its process or its connection is gone.
    ProcessDown,
    /// A cause this version of the library does not know.
    Other(u8),
}

impl ViewCause {
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Join,
            2 => Self::Leave,
            3 => Self::NodeDown,
            4 => Self::NodeUp,
            5 => Self::ProcessDown,
            other => Self::Other(other),
        }
    }
}

/// Somebody who came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who.
    pub member: Member,
    /// Why.
    pub cause: ViewCause,
}

/// A group's membership after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The group.
    pub group: Group,
    /// Its place in the total order: equal at every member.
    pub order: Order,
    /// All members, sorted by node, process id and session.
    pub members: Vec<Member>,
    /// Who came with this change.
    pub joined: Vec<Change>,
    /// Who went with this change.
    pub left: Vec<Change>,
    /// Whether this is the view with which this program became a member.
    pub is_first: bool,
    /// Whether this program is no member any more.
    pub is_last: bool,
}

/// A configuration of the ring itself (extended virtual synchrony).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Sequence number of the ring.
    pub ring_seq: u64,
    /// Its representative.
    pub ring_rep: u32,
    /// Whether it is the transitional configuration on the way to that ring.
    pub transitional: bool,
    /// Whether it was told before, and the groups are agreed in it now: views that it led to came in between. Only
    /// with [`crate::Options::bell_socket`].
    pub synced: bool,
    /// Its nodes, in ascending order.
    pub nodes: Vec<u32>,
}

/// What a program receives, in the total order.
#[derive(Debug)]
pub enum Event<'a> {
    /// A message of a group.
    Message(Message<'a>),
    /// A group's membership changed.
    View(View),
    /// A request was refused.
    Refused {
        /// Its number, from [`crate::Client::start_join`].
        request: u32,
        /// Why.
        reason: RefusedReason,
    },
    /// Messages of ours that the engine took but could not send.
    NotSent {
        /// The group's number.
        group: u32,
        /// How many; a message in several pieces counts once.
        count: u64,
        /// Why.
        reason: RefusedReason,
    },
    /// A message in pieces that could not be put together: longer than
    /// [`crate::Options::assembly_bytes_max`] leaves room for.
    Dropped {
        /// The group.
        group: Group,
        /// Who sent it.
        sender: Member,
        /// Its length in bytes.
        total_bytes: u64,
    },
    /// The ring changed.
    Configuration(Configuration),
    /// The engine ended the session, for this reason. Comes at every call from now on; see
    /// [`crate::Client::reconnect`].
    Evicted(Cause),
    /// The engine is gone or stops. Comes at every call from now on; see [`crate::Client::reconnect`].
    Disconnected,
}
