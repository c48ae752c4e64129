//! What happened in a run, as seen from outside the nodes: the only thing the checkers read.

mod segment;

use std::collections::BTreeMap;
use std::rc::Rc;

use groups::cfg::Place;
use groups::{Cause, RefusedReason};
use wire::cfg::ChangeId;
use wire::{MemberId, NodeId, RingId};

pub use segment::{Segment, Span, Transition, segments};

/// A place in the total order: ring, frame, run in the frame, message in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The ring that numbered the frame.
    pub ring: RingId,
    /// The frame's number.
    pub seq: u64,
    /// Where the run's body starts in the frame.
    pub offset: u32,
    /// Which message of the run.
    pub index: u32,
}

/// One start of one node: index into [`History::lives`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LifeId(pub u32);

/// A message: index into [`History::messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u32);

/// A group by its name: index into [`History::groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A message that a client wanted to send.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// The life of the node the client was connected to.
    pub life: LifeId,
    /// The client's session there.
    pub session: u32,
    /// To which group.
    pub group: GroupId,
    /// Its place among all messages of the session, from 0.
    pub number: u64,
    /// Bytes.
    pub len: u32,
    /// Whether safe delivery was asked for.
    pub safe: bool,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Killed.
    Crash,
    /// Announced its leave.
    Left,
}

/// A message delivered to the clients of a node.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Which message.
    pub message: MessageId,
    /// To which group.
    pub group: GroupId,
    /// Its place: that of its last fragment.
    pub at: Position,
    /// The place of its first fragment; equal to `at` for a message in one piece.
    pub first: Position,
    /// Whether it was said to be delivered as safe.
    pub safe: bool,
    /// The member it was said to come from.
    pub sender: MemberId,
}

/// A view of a group delivered to the clients of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRecord {
    /// Which group.
    pub group: GroupId,
    /// The ring.
    pub ring: RingId,
    /// The frame that made it.
    pub seq: u64,
    /// Where in the frame.
    pub offset: u32,
    /// All members.
    pub members: Vec<MemberId>,
    /// Who came.
    pub joined: Vec<(MemberId, Cause)>,
    /// Who went.
    pub left: Vec<(MemberId, Cause)>,
}

/// What a client asked its node for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To become a member.
    Join,
    /// To be one no longer.
    Leave,
}

/// What became of a change of the configuration at one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadStep {
    /// The node read its file and said what it found.
    Answered {
        /// Whether it can take it over.
        good: bool,
    },
    /// The node took the change over.
    TakenOver {
        /// Where in the order.
        at: Place,
        /// The version that it has now.
        version: u64,
        /// The hash that it has now.
        hash: u64,
        /// The number of the cluster key that it has now.
        key: u8,
    },
    /// The node was told to take a change over that it had not found good.
    Unchecked,
    /// A member refused the change, or whoever asked for it gave it up.
    Refused,
    /// A new ring ended it.
    NewRing,
}

/// One thing that happened at one life.
#[derive(Clone, Debug)]
pub enum What {
    /// The node was started with this configuration.
    Configured {
        /// Its version.
        version: u64,
        /// Its hash.
        hash: u64,
    },
    /// Something became of a change of the configuration.
    Reload {
        /// Which.
        change: ChangeId,
        /// What.
        step: ReloadStep,
    },
    /// A transitional configuration towards `ring` was delivered.
    Transitional {
        /// The ring that is being formed.
        ring: RingId,
        /// Who goes on together.
        members: Rc<[NodeId]>,
    },
    /// A regular configuration was delivered.
    Regular {
        /// The ring.
        ring: RingId,
        /// Its members.
        members: Rc<[NodeId]>,
        /// The ring number that the node's disk held at this moment.
        stored: u64,
    },
    /// The sync barrier ended.
    Synced {
        /// The ring.
        ring: RingId,
    },
    /// The node took the last byte of a message from a client.
    Sent(MessageId),
    /// A message was delivered.
    Delivered(Delivery),
    /// Bytes were delivered that no client sent in this form.
    Foreign {
        /// Where.
        at: Position,
        /// What is wrong with them.
        why: String,
    },
    /// A view was delivered.
    View(ViewRecord),
    /// A client connected.
    Opened {
        /// Its session.
        session: u32,
    },
    /// A client is gone.
    Closed {
        /// Its session.
        session: u32,
    },
    /// A client asked for something.
    Asked {
        /// Its session.
        session: u32,
        /// The number of the request.
        request: u32,
        /// The group; `None` when the name or handle was bad on purpose.
        group: Option<GroupId>,
        /// What for.
        ask: Ask,
        /// How the node must refuse it; `None` if it must grant it.
        refusal: Option<RefusedReason>,
    },
    /// The node said that messages it had taken were not sent.
    NotSent {
        /// Whose they were.
        session: u32,
        /// How many.
        count: u16,
    },
    /// A join was answered.
    Joined {
        /// Who asked.
        session: u32,
        /// The number of the request.
        request: u32,
        /// The group the node says it joined.
        group: GroupId,
    },
    /// A request was refused.
    Refused {
        /// Who asked.
        session: u32,
        /// The number of the request.
        request: u32,
        /// Why.
        reason: RefusedReason,
    },
}

/// A [`What`] with its time.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Virtual time of the world.
    pub at_ns: u64,
    /// What.
    pub what: What,
}

/// One start of one node and what its clients saw of it.
#[derive(Clone, Debug)]
pub struct Life {
    /// The node.
    pub node: NodeId,
    /// When it started.
    pub started_ns: u64,
    /// When and how it ended.
    pub end: Option<(u64, End)>,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

/// A slot account taken when everything was at rest.
#[derive(Clone, Copy, Debug)]
pub struct SlotAccount {
    /// Whose pool.
    pub life: LifeId,
    /// Slots in use while the node was idle and all its readers had caught up.
    pub idle: u64,
    /// Slots in use after the node and everything it gave away were dropped.
    pub dropped: u64,
}

/// When which life first had a frame that asks for safe delivery.
pub type Receipts = BTreeMap<(RingId, u64), Vec<(LifeId, u64)>>;

/// A run as its checkers see it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The nodes in the configuration.
    pub nodes: Vec<NodeId>,
    /// Every start of every node, in order of time.
    pub lives: Vec<Life>,
    /// Every message a client had to send.
    pub messages: Vec<Message>,
    /// Names of the groups.
    pub groups: Vec<Vec<u8>>,
    /// Who had which frame when, for frames that ask for safe delivery; `None` if frames were sealed and
    /// could not be read from outside.
    pub receipts: Option<Receipts>,
    /// Claims of the ring that all members have frames, which some member did not have.
    pub overclaims: Vec<String>,
    /// Times at which nodes were quorate that should not both have been.
    pub quorum_clashes: Vec<String>,
    /// How often any node's programs were told that there is a quorum.
    pub quorums: u64,
    /// When the network was healed and no more faults were injected.
    pub healed_ns: u64,
    /// From then until healing no node may install another ring.
    pub one_view_from_ns: Option<u64>,
    /// When the bound on liveness was reached or everything was done.
    pub ended_ns: u64,
    /// What was still missing when the bound was reached; empty if the run came to rest in time.
    pub missing: Vec<String>,
    /// Who should be a member of what at the end, if the run came to rest.
    pub expected_members: Option<BTreeMap<GroupId, Vec<(LifeId, u32)>>>,
    /// Slot accounts of the lives at the end.
    pub slots: Vec<SlotAccount>,
}

impl History {
    /// A message's description.
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// A life.
    pub fn life(&self, id: LifeId) -> &Life {
        &self.lives[id.0 as usize]
    }

    /// Identifiers of all lives.
    pub fn life_ids(&self) -> impl Iterator<Item = LifeId> + use<> {
        (0..self.lives.len() as u32).map(LifeId)
    }

    /// Whether a life was running when the run came to rest.
    pub fn survived(&self, id: LifeId) -> bool {
        self.life(id).end.is_none() && self.missing.is_empty()
    }

    /// A message in words.
    pub fn describe(&self, id: MessageId) -> String {
        let m = self.message(id);
        let node = self.life(m.life).node;
        let kind = if m.safe { "safe" } else { "agreed" };
        format!(
            "message {} ({kind} {} of session {} on node {node} life {} to group {})",
            id.0, m.number, m.session, m.life.0, m.group.0
        )
    }

    /// A life in words.
    pub fn who(&self, id: LifeId) -> String {
        format!("node {} (life {})", self.life(id).node, id.0)
    }
}

/// Which sessions of a node read which groups: those whose join was granted. (A session that was closed
/// before its join was ordered shows up in views until its process-down is, but nobody reads for it.)
#[derive(Debug, Default)]
pub(crate) struct Readers {
    granted: std::collections::BTreeSet<(GroupId, u32)>,
}

impl Readers {
    /// Takes notice of an entry of a life of the node.
    pub(crate) fn see(&mut self, node: NodeId, what: &What) {
        match what {
            What::Joined { session, group, .. } => {
                self.granted.insert((*group, *session));
            }
            What::View(view) => {
                for (m, cause) in view.left.iter().filter(|(m, _)| m.node == node) {
                    if *cause != Cause::NodeDown {
                        self.granted.remove(&(view.group, m.session));
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether somebody on the node reads the group in this view.
    pub(crate) fn any(&self, node: NodeId, view: &ViewRecord) -> bool {
        let reads = |m: &MemberId| self.granted.contains(&(view.group, m.session));
        view.members.iter().any(|m| m.node == node && reads(m))
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}+{}.{}", self.ring, self.seq, self.offset, self.index)
    }
}
