//! What people and tests may look at.

use alloc::vec::Vec;

use wire::{MemberId, RingId};

use crate::GroupHandle;

wire::counters! {
    /// What the group layer did and what it refused.
    pub struct Counters {
        /// Frames delivered by the ring.
        pub frames_delivered: u64,
        /// Runs passed to local programs.
        pub runs_delivered: u64,
        /// Messages passed to local programs.
        pub messages_delivered: u64,
        /// Runs of groups without a local member.
        pub runs_foreign: u64,
        /// Frames built for the ring.
        pub frames_built: u64,
        /// Runs of application messages put into frames.
        pub runs_sent: u64,
        /// Application messages put into frames.
        pub messages_sent: u64,
        /// Control messages put into frames.
        pub controls_sent: u64,
        /// Times no frame was built because too few slots were free.
        pub slots_short: u64,
        /// Messages pulled from a session that may not send to the group: dropped, the session
        /// told.
        pub messages_refused: u64,
        /// Messages pulled from a session that is closed: dropped.
        pub messages_of_closed: u64,
        /// Pulled runs that broke the contract of `Clients::pull`: dropped.
        pub pulls_malformed: u64,
        /// Requests of local sessions that were refused.
        pub requests_refused: u64,
        /// Payloads from peers with a malformed run or control message: dropped from there on.
        pub peer_malformed: u64,
        /// Runs from peers with a group number nobody agreed on: dropped.
        pub peer_unknown_group: u64,
        /// Runs from peers whose sender is not a member of the group: dropped.
        pub peer_not_member: u64,
        /// Runs from peers at a point of the order where they may not be (application messages
        /// before the barrier ended, states after it or of another ring): dropped.
        pub peer_out_of_place: u64,
        /// Fragments from peers that continue nothing: dropped.
        pub peer_stray_fragments: u64,
        /// Joins that waited for messages that had begun.
        pub joins_waited: u64,
        /// Joins and leaves that change nothing, or break the limit.
        pub peer_void: u64,
        /// Sync barriers that ended.
        pub barriers: u64,
        /// Views told to local programs.
        pub views: u64,
    }
}

/// One group as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Its name, 1 to 128 bytes of anything.
    pub name: Vec<u8>,
    /// Its number on the wire in this ring.
    pub number: u32,
    /// Its handle, if it has a local member.
    pub handle: Option<GroupHandle>,
    /// All members, sorted by node, pid, session.
    pub members: Vec<MemberId>,
    /// Those whose join was ordered and waits for messages that had begun, in the order of their joins.
    pub waiting: Vec<MemberId>,
}

/// The state of the group layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The ring whose members the group state is agreed with (or being agreed); none before the
    /// first.
    pub ring: Option<RingId>,
    /// Whether the sync barrier of that ring ended.
    pub synced: bool,
    /// Open local sessions.
    pub sessions: u32,
    /// Requests of local sessions that are not in the order yet.
    pub requests_waiting: u32,
    /// Every group, by name.
    pub groups: Vec<GroupStatus>,
}
