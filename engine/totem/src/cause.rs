//! Why a ring is formed anew: goes to traces, status and counters.

use crate::{Counters, Timer};

/// Why the node entered Gather. The number stands in traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// The machine was started.
    Start = 0,
    /// No sign of progress for the token timeout.
    TokenLoss = 1,
    /// Somebody else gathers.
    Join = 2,
    /// Another ring was seen.
    Merge = 3,
    /// A member's process is confirmed dead.
    PeerDead = 4,
    /// A member announced its leave.
    PeerLeft = 5,
    /// A member did not answer the holder of the resting token.
    Unanswered = 6,
    /// A member received nothing for too long.
    NotReceiving = 7,
    /// The ring that was being formed did not come about.
    Formation = 8,
    /// This node took over a configuration that others of the ring (or of the one that was being formed)
    /// may not have.
    Reload = 9,
}

/// A cause with its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What happened.
    pub cause: Cause,
    /// The node it is about, 0 if none.
    pub peer: u32,
    /// The timer that fired, if one did.
    pub timer: Option<Timer>,
    /// How long ago the peer (or the ring) was last heard of, microseconds.
    pub last_seen_us: u64,
}

impl Evidence {
    pub(crate) fn of(cause: Cause, peer: u32) -> Self {
        Self { cause, peer, timer: None, last_seen_us: 0 }
    }

    pub(crate) fn count(&self, counters: &mut Counters) {
        let counter = match self.cause {
            Cause::Start => return,
            Cause::TokenLoss => &mut counters.gathers_token_loss,
            Cause::Join => &mut counters.gathers_join,
            Cause::Merge => &mut counters.gathers_merge,
            Cause::PeerDead => &mut counters.gathers_dead,
            Cause::PeerLeft => &mut counters.gathers_leave,
            Cause::Unanswered => &mut counters.gathers_unanswered,
            Cause::NotReceiving => &mut counters.gathers_not_receiving,
            Cause::Formation => &mut counters.gathers_formation,
            Cause::Reload => &mut counters.gathers_reload,
        };
        *counter += 1;
    }
}
