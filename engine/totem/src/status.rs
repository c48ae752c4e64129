//! What the machine looks like at the moment.

use alloc::rc::Rc;

use wire::{NodeId, RingId};

use crate::Evidence;

/// The state of the membership protocol (Amir et al. 1995 sec. 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Members are being agreed on.
    Gather,
    /// Members are agreed on; the commit token travels.
    Commit,
    /// Old frames are being exchanged.
    Recovery,
    /// The ring is installed.
    Operational,
    /// The node left and is silent.
    Left,
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Status {
    /// See [`State`].
    pub state: State,
    /// The ring installed last (`seq` 0: none yet).
    pub ring: RingId,
    /// Its members.
    pub members: Rc<[NodeId]>,
    /// Highest number known to be given to a frame.
    pub seq: u64,
    /// Everything up to here was received.
    pub aru: u64,
    /// Every member has everything up to here.
    pub stable: u64,
    /// Everything up to here was delivered.
    pub delivered: u64,
    /// Bytes this node may number in one visit.
    pub personal_window_bytes: u64,
    /// Bytes all may number in one rotation.
    pub global_window_bytes: u64,
    /// Free receive room of this node.
    pub free_bytes: u64,
    /// Timeout in force, microseconds.
    pub token_timeout_us: u64,
    /// Median rotation, microseconds (upper bound of its bucket).
    pub rotation_p50_us: u64,
    /// 99.9th percentile, microseconds.
    pub rotation_p999_us: u64,
    /// Whether the token is here.
    pub holding: bool,
    /// Whether it rests here.
    pub resting: bool,
    /// Why the last gather began.
    pub last_gather: Evidence,
    /// Until when this node may act for its ring, see [`crate::Lease`]; zero if nothing was proven yet.
    pub lease_until_ns: u64,
    /// Ring sequence numbers up to here are known to be stored.
    pub persisted: u64,
}
