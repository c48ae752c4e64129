//! Process groups, as somebody sees them who need not be in any.

use serde::{Deserialize, Serialize};

use crate::Ring;

/// A question about process groups. What concerns one's own membership and messages goes through the rings of a
/// session and not through here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// All groups of the cluster: [`Answer::Groups`].
    Groups,
    /// Whether messages flow: [`Answer::Flow`].
    Flow,
}

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The node its program runs on.
    pub node: u32,
    /// Its process id there.
    pub pid: u32,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name: any 1 to 128 bytes.
    pub name: Vec<u8>,
    /// Its members, sorted by node and process.
    pub members: Vec<Member>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// All groups, by name.
    Groups(Vec<Group>),
    /// Whether messages flow.
    Flow {
        /// Whether the ring is formed and the groups are agreed in it.
        synced: bool,
        /// The newest ring.
        ring: Ring,
        /// Its members, ascending.
        members: Vec<u32>,
    },
}
