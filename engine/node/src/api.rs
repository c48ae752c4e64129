//! What goes into a node and what comes out.

use alloc::vec::Vec;

use frame::FrameMut;
use groups::GroupHandle;
use totem::{Dest, Lane, TokenTimeout};
use wire::NodeId;
use wire::trace::Trace;

use crate::Stored;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Datagrams arrived.
    Received {
        /// The link they came in on.
        link: u8,
        /// The queue they came in on.
        queue: Lane,
        /// One datagram, or several of equal size (the last may be shorter).
        bytes: FrameMut,
        /// Bytes of each datagram but the last; `bytes.len()` or more: one datagram.
        segment_bytes: usize,
    },
    /// A unicast to this peer was answered with "nobody there". A hint.
    Unreachable {
        /// The link it was sent on.
        link: u8,
        /// The peer.
        peer: NodeId,
    },
    /// A local program connected.
    Open {
        /// Its session, never used before by this engine.
        session: u32,
        /// Its process id.
        pid: u32,
    },
    /// A local program or its connection is gone.
    Close {
        /// Its session.
        session: u32,
    },
    /// A local program wants to join a group.
    Join {
        /// Its session.
        session: u32,
        /// The number it gives the request; comes back in the answer.
        request: u32,
        /// The group's name, 1 to 128 bytes.
        name: Vec<u8>,
    },
    /// A local program wants to leave a group.
    Leave {
        /// Its session.
        session: u32,
        /// The number it gives the request; comes back if it is refused.
        request: u32,
        /// The group.
        group: GroupHandle,
    },
    /// [`Output::Persist`] was done.
    Persisted(Stored),
    /// A change of the configuration was found good that has these bounds. The answer to it, which comes next,
    /// waits until the disk has what this node may owe then.
    Expect {
        /// When a silent ring is declared lost.
        token_timeout: TokenTimeout,
        /// How long agreement on a ring may take, see [`totem::Tuning`].
        consensus_us: Option<u64>,
        /// How many nodes the list has.
        nodes: usize,
    },
    /// The clients have something to send.
    Submitted,
    /// Something about the configuration of the cluster.
    Change(groups::cfg::Request),
    /// [`crate::Node::next_timeout`] is reached.
    Timeout,
    /// Close every session, announce that this node leaves, and say [`Output::Left`] when done.
    Shutdown,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send datagrams. In the order in which they must reach the network.
    Send {
        /// To whom.
        to: Dest,
        /// On which links, as bits: a copy on each.
        links: u8,
        /// Into which queue of theirs.
        lane: Lane,
        /// One datagram, or several of equal size (the last may be shorter).
        bytes: FrameMut,
        /// Bytes of each datagram but the last.
        segment_bytes: usize,
    },
    /// Something for local programs, in the total order.
    Event(groups::Event),
    /// Something happened to a change of the configuration, in the total order. On
    /// [`groups::cfg::Event::Committed`] call [`crate::Node::reconfigure`] before anything else.
    Change(groups::cfg::Event),
    /// Store this durably, over what was to be stored before, then say [`Input::Persisted`]. Several may be under
    /// way; they are stored in their order, or only the last of them is.
    Persist(Stored),
    /// Something to remember.
    Trace(Trace),
    /// The leave that [`Input::Shutdown`] asked for is done; the others know.
    Left,
}

/// Why a node wants to be called at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A timer of the ring.
    Totem(totem::Timer),
    /// A timer of the link layer.
    Link(link::Timer),
    /// Nodes show each other which links work.
    Hello,
    /// A timer of the quorum.
    Quorum(groups::QuorumTimer),
    /// What the disk says that this node may owe can be less.
    Owing,
}

impl Reason {
    /// Whether it is about who is there, not about messages: nothing follows from it soon.
    pub fn is_chore(self) -> bool {
        use totem::Timer::{Beacon, Doubt, Ping, Probe};
        match self {
            Self::Totem(timer) => matches!(timer, Beacon | Doubt | Ping | Probe),
            Self::Link(_) | Self::Hello | Self::Quorum(_) | Self::Owing => true,
        }
    }
}
