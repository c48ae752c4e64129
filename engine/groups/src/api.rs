//! What goes in and what comes out of the group layer.

use alloc::boxed::Box;
use alloc::vec::Vec;

use frame::Frame;
use wire::run::RunKind;
use wire::{MemberId, RingId};

use crate::QuorumEvent;

/// A group as the programs of this node know it: given at the first local join, below 2^28, and not used for
/// another group before all others were. (The number on the wire is agreed anew in every view.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupHandle(pub u32);

/// What [`Clients::pull`] put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulledKind {
    /// `count` whole records in the layout of `wire::run`.
    Messages,
    /// A `wire::run::FragmentHeader` and a piece of one message, padded.
    Fragment,
}

/// One run of application messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Who sends.
    pub session: u32,
    /// To which group.
    pub group: GroupHandle,
    /// What the bytes are.
    pub kind: PulledKind,
    /// Messages in it (1 for a fragment).
    pub count: u16,
    /// Bytes written, a multiple of `wire::run::ALIGN`.
    pub bytes: usize,
    /// Whether safe delivery is asked for.
    pub safe: bool,
}

/// The application messages waiting on this node. Implemented over submit rings by the daemon and
/// over plain queues by the simulator. Fair among sessions.
///
/// Joins wait for messages of which a part was pulled, so the rest of such a message has to be at
/// hand: whoever hands out the first fragment can hand out the others without waiting for a program.
pub trait Clients {
    /// An estimate of the bytes waiting; zero if and only if `pull` would give nothing.
    fn pending_bytes(&self) -> u64;

    /// Bytes that may be delivered to the programs of this node before a reader that keeps up a
    /// fair pace is in danger of losing its place; no limit unless somebody lags. Becomes credit:
    /// the whole ring slows down to it.
    fn room_bytes(&self) -> u64 {
        u64::MAX
    }

    /// There is a new ring, and nothing was pulled for it yet: a message of which a part was pulled starts again
    /// at its first byte, because receivers may be new. Nothing to do for those who send no fragments.
    fn restart(&mut self) {}

    /// Writes one run's body into `buf`; `None` if nothing is waiting or nothing fits.
    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled>;

    /// Takes messages for the programs at once, where no event waits before them; or gives them back, and they come as
    /// [`Event::Messages`].
    fn deliver(&mut self, messages: Messages) -> Option<Messages> {
        Some(messages)
    }
}

/// Why a member came or went (numbered as Corosync's CPG reasons).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// It asked to join.
    Join = 1,
    /// It asked to leave.
    Leave = 2,
    /// Its node is gone.
    NodeDown = 3,
    /// Its node came.
    NodeUp = 4,
    /// Its process or connection is gone.
    ProcessDown = 5,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusedReason {
    /// The name is empty or longer than 128 bytes.
    BadName = 1,
    /// The session is a member already (or its join is on the way).
    AlreadyMember = 2,
    /// The session is not a member.
    NotMember = 3,
    /// A limit of this node is reached.
    TooMany = 4,
}

/// A run of messages in its place of the total order.
#[derive(Clone, Debug)]
pub struct Messages {
    /// The group, as this node knows it.
    pub group: GroupHandle,
    /// Who sent it.
    pub sender: MemberId,
    /// `Messages` or `Fragment`.
    pub kind: RunKind,
    /// Messages in the run; fragments in it, at least one.
    pub count: u16,
    /// Whether they were delivered as safe.
    pub safe: bool,
    /// The ring that numbered the frame.
    pub ring: RingId,
    /// The frame's number there.
    pub seq: u64,
    /// Where the run's body starts in its frame's payload: order within a frame.
    pub offset: u32,
    /// The run's body. It lies whole in its frame and is a multiple of 8 bytes long; whether its
    /// records do is for the reader to check while it walks them (`wire::run::record_at` does),
    /// because the cost here is per run, not per message. Fragments of one sender to one group that follow each
    /// other in a frame come together, with what stands between them there (`wire::run::Fragments` walks them);
    /// their headers have been checked.
    pub body: Frame,
}

/// A group's membership after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The group, as this node knows it.
    pub group: GroupHandle,
    /// Its name.
    pub name: Vec<u8>,
    /// The ring and the number of the frame that made the view: equal at all nodes that end the ring
    /// together. (Parts of a ring that separate in the middle of a change may differ in its members.)
    pub ring: RingId,
    /// See `ring`.
    pub seq: u64,
    /// Where in that frame: a frame may make several views of a group. The body of the control message that made
    /// it, or the end of the run with which the last message ended that a join had waited for.
    pub offset: u32,
    /// All members, sorted by node, pid, session.
    pub members: Vec<MemberId>,
    /// Who came with this change.
    pub joined: Vec<(MemberId, Cause)>,
    /// Who went with this change.
    pub left: Vec<(MemberId, Cause)>,
}

/// What the group layer tells local programs, in the total order.
#[derive(Clone, Debug)]
pub enum Event {
    /// Messages of a group with a local member.
    Messages(Messages),
    /// A new view of a group with a local member, or of one whose last local member just left.
    View(Box<View>),
    /// A join was ordered. The view that shows it follows: at once, unless messages to the group had begun and
    /// not ended, then as soon as those have. The session gets everything of the group from here on, but what
    /// ends before that view is not for it: of what comes before, it needs the fragments whose
    /// messages end after it, and of the views who left.
    Joined {
        /// Who asked.
        session: u32,
        /// The number it gave the request.
        request: u32,
        /// The group from now on.
        group: GroupHandle,
    },
    /// A request was refused.
    Refused {
        /// Who asked.
        session: u32,
        /// The number it gave the request.
        request: u32,
        /// Why.
        reason: RefusedReason,
    },
    /// Messages that the clients gave were not sent and never will be: their sender is not (or no
    /// longer) a member of the group. Accepted means sent, or this.
    NotSent {
        /// Whose they were.
        session: u32,
        /// To which group.
        group: GroupHandle,
        /// How many messages (1 for a fragment).
        count: u16,
        /// Why.
        reason: RefusedReason,
    },
    /// A configuration of the ring itself, for those who want extended virtual synchrony.
    Configuration(totem::Configuration),
    /// Something about who may act for the cluster.
    Quorum(QuorumEvent),
    /// The sync barrier of this ring ended: application messages flow again.
    Synced {
        /// The ring.
        ring: RingId,
    },
}
