//! What will happen, in the order of time.

use node::{Lane, Stored};
use wire::NodeId;

use crate::history::LifeId;
use crate::link_faults::LinkStep;
use crate::network::Burst;
use crate::reload::{FileId, Question};

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Datagrams reach a host.
    Arrive { to: usize, from: usize, link: u8, lane: Lane, unicast: bool, burst: Burst },
    /// A host's loop runs.
    Turn { host: usize },
    /// A unicast was answered with "nobody there".
    Unreachable { host: usize, life: LifeId, link: u8, peer: NodeId },
    /// Something is on the disk.
    Durable { host: usize, life: LifeId, stored: Stored },
    /// The node learns that it is.
    Persisted { host: usize, life: LifeId, stored: Stored },
    /// The clients of a node do something.
    Clients { host: usize, life: LifeId },
    /// The next fault is due.
    Fault,
    /// A link fails, or one that failed comes back.
    LinkFault(LinkStep),
    /// The cluster gets another key.
    NewKey,
    /// A configuration file arrives at a host.
    File { host: usize, file: FileId },
    /// A node is asked for a reload.
    Ask { host: usize, life: LifeId },
    /// Whoever asked for it loses patience.
    GiveUp { host: usize, life: LifeId, number: u64 },
    /// A node reads its configuration file.
    Read { host: usize, life: LifeId, question: Box<Question> },
    /// Something breaks in the middle of a reload.
    Shake,
    /// The operator looks after the healed cluster.
    Tend,
    /// A storm ends.
    Calm,
    /// Slots that were held by something else are free again.
    Feed { host: usize, life: LifeId },
    /// A node is started again.
    Restart { host: usize },
}

/// An event in the queue.
pub(crate) struct Item {
    pub(crate) at_ns: u64,
    pub(crate) order: u64,
    pub(crate) event: Event,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}
