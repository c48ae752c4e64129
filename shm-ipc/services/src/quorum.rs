//! Whether this node's part of the cluster may go on, and who is in it.

use serde::{Deserialize, Serialize};

use crate::{Ring, Track};

/// A question to quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// [`Answer::State`].
    State,
    /// Tell me: `Done`, `Exist` if this connection tracks already. What is true now comes before the answer's
    /// failure if it was asked for.
    Track(Track),
    /// Do not tell me any more: `Done`, tracking or not.
    Untrack,
}

/// What quorum answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The present state.
    State {
        /// Whether this part may go on.
        quorate: bool,
        /// Whether votes are counted at all; if not, every part may always go on.
        counted: bool,
    },
}

/// What trackers are told. On a change of membership [`Notice::Nodes`] comes first and [`Notice::Quorum`]
/// once the votes of the new membership are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// Quorum in this ring.
    Quorum {
        /// Whether this part may go on.
        quorate: bool,
        /// The ring.
        ring: Ring,
        /// Its members, ascending.
        members: Vec<u32>,
    },
    /// A new ring.
    Nodes {
        /// The ring.
        ring: Ring,
        /// Its members, ascending.
        members: Vec<u32>,
        /// Those that were not in the one before.
        joined: Vec<u32>,
        /// Those that were in the one before and did not come along without a gap.
        left: Vec<u32>,
    },
}
