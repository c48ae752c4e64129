//! One host: its disk and sockets outlive the node that runs on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use frame::{Frame, FrameMut, Pool};
use node::{Input, Node};
use wire::{MemberId, NodeId, RingId};

use crate::clients::Processes;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::history::{GroupId, LifeId, MessageId};
use crate::quorum::Claim;
use crate::recorder::Recorder;
use crate::reload::{FileId, Standing};
use crate::socket::Sockets;
use crate::tamper::Tamperer;

/// Most frames that slow readers keep on one node; beyond that they have copied them away.
pub(crate) const READER_FRAMES_MAX: usize = 256;

/// A host.
pub(crate) struct Host {
    /// Its node's number.
    pub(crate) id: NodeId,
    /// The node's clock.
    pub(crate) clock: Clock,
    /// Its disk.
    pub(crate) disk: Disk,
    /// Receive queues.
    pub(crate) sockets: Sockets,
    /// The node, if it runs.
    pub(crate) running: Option<Running>,
    /// Stopped until then.
    pub(crate) paused_until: u64,
    /// Its configuration file.
    pub(crate) file: FileId,
    /// What becomes of it in the middle of its next multicast of data.
    pub(crate) doom: Option<Doom>,
    /// It has sent its last datagram and is killed as soon as the call returns.
    pub(crate) dying: bool,
    /// Whether the machine answers when nobody listens.
    pub(crate) answers: bool,
    /// When the next turn of the loop is due.
    pub(crate) turn_ns: Option<u64>,
    /// The loop is busy until then.
    pub(crate) busy_until: u64,
    /// What its node says of the quorum when asked.
    pub(crate) claim: Option<Claim>,
    /// What its programs were told last, if that was a quorum.
    pub(crate) told: Option<Claim>,
}

/// What happens in the middle of a multicast, when some have got it and others have not: the hardest moment
/// for those who have to agree on what was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doom {
    /// The sender dies.
    Crash,
    /// The network falls apart.
    Partition,
}

/// A node that runs, and the programs around it.
pub(crate) struct Running {
    /// Which life this is.
    pub(crate) life: LifeId,
    /// The node.
    pub(crate) node: Node,
    /// Its memory.
    pub(crate) pool: Pool,
    /// Its configuration.
    pub(crate) standing: Standing,
    /// Its clients.
    pub(crate) processes: Processes,
    /// Reads what it tells them.
    pub(crate) recorder: Recorder,
    /// Spoils it, in tests.
    pub(crate) tamperer: Tamperer,
    /// Inputs from this host that wait for the loop.
    pub(crate) controls: VecDeque<Input>,
    /// Frames that slow readers keep, and until when.
    pub(crate) readers: VecDeque<(u64, Frame)>,
    /// Slots held by something else.
    pub(crate) hog: Vec<FrameMut>,
    /// Every join ever asked for, to read the answers of what is closed meanwhile, too.
    pub(crate) asked: BTreeMap<(u32, u32), GroupId>,
    /// Joins that are not answered yet.
    pub(crate) joins: BTreeMap<(u32, u32), GroupId>,
    /// Leaves that no view has shown yet.
    pub(crate) leaves: BTreeSet<(u32, GroupId)>,
    /// Messages sent and not delivered here yet.
    pub(crate) undelivered: BTreeSet<MessageId>,
    /// The configuration it is in.
    pub(crate) ring: Option<(RingId, Vec<NodeId>)>,
    /// The ring whose barrier ended last.
    pub(crate) synced: Option<RingId>,
    /// Number of its next request.
    pub(crate) next_request: u32,
    /// Number of its next session.
    pub(crate) next_session: u32,
    /// Whether it was told to leave.
    pub(crate) leaving: bool,
    /// Its fresh message of the liveness phase.
    pub(crate) fresh: Option<MessageId>,
    /// Members of the fresh group as it was last told.
    pub(crate) fresh_view: Vec<MemberId>,
    /// Fresh messages of others (and its own) that it delivered.
    pub(crate) fresh_seen: BTreeSet<MessageId>,
}

impl Host {
    /// Whether the loop may run now.
    pub(crate) fn is_paused(&self, now_ns: u64) -> bool {
        now_ns < self.paused_until
    }
}

impl Running {
    /// The node of a life, around which nothing has happened yet.
    pub(crate) fn new(
        id: NodeId,
        (life, node): (LifeId, Node),
        pool: Pool,
        standing: Standing,
        next_session: u32,
    ) -> Self {
        Self {
            life,
            node,
            pool,
            standing,
            // Both ways are tried in every cluster.
            processes: Processes::new(id.0.is_multiple_of(2)),
            recorder: Recorder::new(id),
            tamperer: Tamperer::new(None),
            controls: VecDeque::new(),
            readers: VecDeque::new(),
            hog: Vec::new(),
            asked: BTreeMap::new(),
            joins: BTreeMap::new(),
            leaves: BTreeSet::new(),
            undelivered: BTreeSet::new(),
            ring: None,
            synced: None,
            next_request: 0,
            next_session,
            leaving: false,
            fresh: None,
            fresh_view: Vec::new(),
            fresh_seen: BTreeSet::new(),
        }
    }

    /// Slots in use.
    pub(crate) fn slots_in_use(pool: &Pool) -> u64 {
        let s = pool.stats();
        u64::from(s.small_total - s.small_free) + u64::from(s.large_total - s.large_free)
    }
}
