//! Who may act for the cluster, and until when: votequorum's decision under a lease.
//!
//! Votes decide which part of the cluster has a quorum ([`Votequorum`]). That alone does not keep two
//! parts from acting at once: the one that lost learns of it later than the one that won. So a quorum
//! is only as good as the ring's lease ([`totem::Lease`]), and a new ring with a quorum comes into force
//! only when the leases of all whom it leaves out have ended ([`totem::Owed`]), unless they are known to
//! be gone. For that the sync barrier has a second half:
//!
//! 1. Every member says what it counts for and whom it knows to be gone, then `Present`.
//! 2. Who owes nothing to anybody outside is ready at once. Who does waits until it was paid, if there
//!    would be a quorum, and says `Ready` then. Without a quorum nobody need wait.
//!
//! The barrier ends when all are ready, at one point of the total order. Until then programs see
//! nothing of the new ring, neither that others are gone nor another quorum; what they were told
//! last holds as long as its lease does. It is kept up by the new ring once all are present in it
//! and have a quorum together: nobody else can have one then.

mod api;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use totem::Lease;
use wire::control::{CONTROL_BYTES_MIN, write_quorum};
use wire::quorum::{Gone, Quorum as Message};
use wire::{NodeId, RingId};

pub use api::{QuorumConfig, QuorumEvent, QuorumTimer};

use crate::votequorum::{self, NodeState, Votequorum};

/// What programs were told last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    quorate: bool,
    ring: RingId,
    members: Vec<NodeId>,
}

/// A sync barrier that has not ended.
#[derive(Debug, Default)]
struct Sync {
    present: BTreeSet<NodeId>,
    ready: BTreeSet<NodeId>,
    said_ready: bool,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    until_ns: u64,
    /// Whom it is owed to; `None` if that was never learned.
    boot: Option<u64>,
}

/// The quorum part of the group layer.
#[derive(Debug)]
pub struct Quorum {
    config: QuorumConfig,
    told: Told,
    /// The ring in which this node is, and its members.
    ring: RingId,
    members: Vec<NodeId>,
    sync: Option<Sync>,
    /// The lease under which `told` stands.
    until_ns: u64,
    /// The lease of `ring`.
    ring_until_ns: u64,
    /// `ring` keeps up what was told before it came into force.
    keeps_up: bool,
    owed: BTreeMap<NodeId, Owed>,
    /// Nodes that are gone, with their boot numbers.
    gone: BTreeMap<NodeId, u64>,
    /// This node said that it leaves, and others no longer wait for what it owes: no later ring makes it act again.
    leaving: bool,
    /// Others owe until then.
    not_before_ns: u64,
    /// A decision that waits for the lease or for what others owe.
    undecided: Option<Box<QuorumEvent>>,
    outbox: VecDeque<Box<[u8]>>,
    events: VecDeque<QuorumEvent>,
}

impl Quorum {
    /// A node without a ring.
    pub fn new(config: QuorumConfig, me: NodeId) -> Self {
        let ring = RingId { seq: 0, rep: me };
        Self {
            told: Told { quorate: config.votes.is_none(), ring, members: Vec::new() },
            ring,
            members: Vec::new(),
            sync: None,
            until_ns: 0,
            ring_until_ns: 0,
            keeps_up: false,
            owed: BTreeMap::new(),
            gone: BTreeMap::new(),
            leaving: false,
            not_before_ns: 0,
            undecided: None,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// The machine that decides, if votes are counted.
    pub fn votes(&self) -> Option<&Votequorum> {
        self.config.votes.as_ref()
    }

    /// The same, for requests. Call [`Quorum::look`] afterwards.
    pub fn votes_mut(&mut self) -> Option<&mut Votequorum> {
        self.config.votes.as_mut()
    }

    /// Whether this node may act for the cluster now, and until when, unless it hears of the others
    /// again: nanoseconds of the node's clock. Without votequorum always, for ever.
    pub fn quorate_until_ns(&self) -> Option<u64> {
        match (self.told.quorate, self.config.votes.is_some()) {
            (false, _) => None,
            (true, false) => Some(u64::MAX),
            (true, true) => Some(self.until_ns),
        }
    }

    /// The ring that was in force when programs were last told, and its members.
    pub fn view(&self) -> (RingId, &[NodeId]) {
        (self.told.ring, &self.told.members)
    }

    /// Whether a ring is being synchronised.
    pub fn in_sync(&self) -> bool {
        self.sync.is_some()
    }

    /// The next thing to tell programs.
    pub(crate) fn poll_event(&mut self) -> Option<QuorumEvent> {
        self.events.pop_front()
    }

    /// Whether messages wait for the ring.
    pub(crate) fn has_message(&self) -> bool {
        self.peek_message().is_some()
    }

    /// What is to be sent next: what this node counts for comes before that it is present.
    pub(crate) fn peek_message(&self) -> Option<&[u8]> {
        let votes = self.config.votes.as_ref().and_then(Votequorum::peek_message);
        votes.or_else(|| self.outbox.front().map(|message| &**message))
    }

    pub(crate) fn pop_message(&mut self) {
        let votes = self.config.votes.as_mut().and_then(Votequorum::poll_message);
        if votes.is_none() {
            self.outbox.pop_front();
        }
    }

    fn send(&mut self, message: &Message<'_>) {
        let mut buf = [0; CONTROL_BYTES_MIN];
        if let Some(end) = write_quorum(&mut buf, message) {
            self.outbox.push_back(buf[..end].into());
        }
    }

    /// A node whose last known boot number is `boot` is gone for good.
    pub(crate) fn gone(&mut self, node: NodeId, boot: Option<u64>) {
        if let Some(boot) = boot {
            self.gone.insert(node, boot);
        }
    }

    /// A new ring. `owed`: what this node owes to whom, with the boot number if it is known.
    pub(crate) fn start(
        &mut self,
        now_ns: u64,
        ring: RingId,
        members: &[NodeId],
        owed: impl Iterator<Item = (NodeId, u64, Option<u64>)>,
    ) {
        let held = self.told.quorate && now_ns < self.until_ns;
        self.ring = ring;
        self.members = members.to_vec();
        self.ring_until_ns = 0;
        self.keeps_up = false;
        self.undecided = None;
        self.outbox.clear();
        let Some(votes) = &mut self.config.votes else { return };
        self.not_before_ns = 0;
        self.gone.retain(|node, _| !members.contains(node));
        let outside = owed.filter(|(node, until_ns, _)| {
            *until_ns > now_ns && members.binary_search(node).is_err()
        });
        self.owed = outside.map(|(node, until_ns, boot)| (node, Owed { until_ns, boot })).collect();
        votes.sync_start(now_ns, ring, members, held);
        let waits = votes.waits_for_device();
        for (node, boot) in self.gone.clone() {
            self.forgive(node, boot);
        }
        let ready = !waits && self.owed_until_ns(now_ns).is_none();
        self.sync = Some(Sync { said_ready: ready, ..Sync::default() });
        let mut buf = Gone::buffer();
        let gone = Gone::write(&mut buf, self.gone.iter().map(|(node, boot)| (*node, *boot)));
        let present = Message::Present { ring, ready, gone };
        self.send(&present);
        self.collect();
    }

    /// What is owed to a life that ended is not owed any more.
    fn forgive(&mut self, node: NodeId, boot: u64) {
        if self.owed.get(&node).is_some_and(|owed| owed.boot == Some(boot)) {
            self.owed.remove(&node);
        }
    }

    /// Until when this node owes something to somebody outside its ring.
    fn owed_until_ns(&self, now_ns: u64) -> Option<u64> {
        let whole = self.members.len() == self.config.nodes.len();
        let forgotten = Some(self.config.forgotten_until_ns).filter(|_| !whole);
        let owed = self.owed.values().map(|owed| owed.until_ns).chain(forgotten).max();
        owed.filter(|until_ns| *until_ns > now_ns)
    }

    /// A quorum message in its place of the total order. `false` if it has none there.
    pub(crate) fn deliver(&mut self, now_ns: u64, origin: NodeId, message: &Message<'_>) -> bool {
        let Some(votes) = &mut self.config.votes else { return false };
        match *message {
            Message::Present { ring, ready, gone } => {
                let Some(sync) = self.sync.as_mut().filter(|_| ring == self.ring) else {
                    return false;
                };
                sync.present.insert(origin);
                if ready {
                    sync.ready.insert(origin);
                }
                for (node, boot) in gone.iter() {
                    self.forgive(node, boot);
                }
            }
            Message::Ready { ring, wait_us } => {
                let Some(sync) = self.sync.as_mut().filter(|_| ring == self.ring) else {
                    return false;
                };
                sync.ready.insert(origin);
                let until_ns = now_ns.saturating_add(wait_us.saturating_mul(1000));
                self.not_before_ns = self.not_before_ns.max(until_ns);
            }
            _ => votes.deliver(origin, message),
        }
        self.look(now_ns);
        true
    }

    /// Whether every member is ready for the ring.
    pub(crate) fn is_complete(&self) -> bool {
        let Some(sync) = &self.sync else { return true };
        self.members.iter().all(|node| sync.ready.contains(node))
    }

    /// The sync barrier ended: the ring is in force. `together`: nodes that went through everything
    /// with this one since the last did, in ascending order.
    pub(crate) fn end(&mut self, now_ns: u64, together: &[NodeId]) {
        self.sync = None;
        let before = core::mem::take(&mut self.told.members);
        let stayed = |node: &NodeId| together.contains(node);
        let missing = |these: &[NodeId], others: &[NodeId]| -> Vec<NodeId> {
            let gone = |node: &&NodeId| !stayed(node) || !others.contains(node);
            these.iter().filter(gone).copied().collect()
        };
        let (ring, members) = (self.ring, self.members.clone());
        let (joined, left) = (missing(&members, &before), missing(&before, &members));
        self.told.members = before;
        self.events.push_back(QuorumEvent::NodeList {
            ring,
            members: members.clone(),
            joined,
            left,
        });
        match &mut self.config.votes {
            Some(votes) => votes.sync_end(),
            None => {
                self.tell(QuorumEvent::Changed { quorate: true, ring, members, nodes: Vec::new() })
            }
        }
        self.look(now_ns);
    }

    /// The ring's lease as it is now.
    #[inline]
    pub(crate) fn lease(&mut self, now_ns: u64, lease: Lease) {
        if self.leaving || lease.ring != self.ring || lease.until_ns == self.ring_until_ns {
            if self.told.quorate && now_ns >= self.until_ns {
                self.look(now_ns);
            }
            return;
        }
        self.ring_until_ns = lease.until_ns;
        let in_force = self.sync.is_none() && self.told.ring == self.ring;
        if in_force || self.keeps_up {
            self.until_ns = self.until_ns.max(lease.until_ns);
        }
        if self.undecided.is_some() || !self.told.quorate || now_ns >= self.until_ns {
            self.look(now_ns);
        }
    }

    /// Another node list, and other votes.
    pub(crate) fn reconfigure(
        &mut self,
        now_ns: u64,
        nodes: Vec<NodeId>,
        options: Option<&votequorum::Options>,
    ) {
        self.config.nodes = nodes;
        if let (Some(votes), Some(options)) = (&mut self.config.votes, options) {
            // What does not go together was said when the configuration was read.
            votes.reconfigure(options);
            self.look(now_ns);
        }
    }

    /// This node is about to leave in order: it does not act any more.
    pub(crate) fn leave(&mut self, now_ns: u64) {
        let Some(votes) = &mut self.config.votes else { return };
        votes.leave();
        self.leaving = true;
        self.ring_until_ns = 0;
        self.until_ns = 0;
        self.ring = RingId { seq: 0, ..self.ring };
        self.look(now_ns);
    }

    /// When to be called, and why.
    pub(crate) fn next_timeout(&self) -> Option<(u64, QuorumTimer)> {
        let votes = self.config.votes.as_ref()?;
        let lease = self.told.quorate.then_some((self.until_ns, QuorumTimer::Lease));
        let waits = self.sync.as_ref().is_some_and(|sync| {
            let all = sync.present.len() == self.members.len();
            !sync.said_ready && all && !votes.waits_for_device()
        });
        let owed = if waits { self.owed_until_ns(0) } else { None };
        let owed = owed.or_else(|| self.undecided.is_some().then_some(self.not_before_ns));
        let owed = owed.filter(|at| *at > 0).map(|at| (at, QuorumTimer::Owed));
        let votes = votes.next_timeout().map(|(at, timer)| (at, QuorumTimer::Votes(timer)));
        [lease, owed, votes].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, now_ns: u64) {
        if let Some(votes) = &mut self.config.votes {
            votes.timeout(now_ns);
            self.look(now_ns);
        }
    }

    /// Whatever follows from what is known now.
    pub fn look(&mut self, now_ns: u64) {
        if now_ns >= self.not_before_ns {
            self.not_before_ns = 0;
        }
        self.collect();
        self.get_ready(now_ns);
        self.settle(now_ns);
    }

    /// Says `Ready` when it is time to.
    fn get_ready(&mut self, now_ns: u64) {
        let Some(votes) = &self.config.votes else { return };
        let Some(sync) = &self.sync else { return };
        let all = self.members.iter().all(|node| sync.present.contains(node));
        if all && votes.is_quorate() && self.told.quorate && !self.keeps_up {
            self.keeps_up = true;
            self.until_ns = self.until_ns.max(self.ring_until_ns);
        }
        if sync.said_ready || !all || votes.waits_for_device() {
            return;
        }
        let owed_ns = self.owed_until_ns(now_ns).map_or(0, |until_ns| until_ns - now_ns);
        if owed_ns > 0 && votes.is_quorate() {
            return;
        }
        if let Some(sync) = &mut self.sync {
            sync.said_ready = true;
        }
        let ready = Message::Ready { ring: self.ring, wait_us: owed_ns.div_ceil(1000) };
        self.send(&ready);
    }

    /// Takes what votequorum has to say.
    fn collect(&mut self) {
        while let Some(event) = self.config.votes.as_mut().and_then(Votequorum::poll_event) {
            match event {
                votequorum::Event::NodeList { ring, members } => {
                    self.events.push_back(QuorumEvent::Judge { ring, members });
                }
                votequorum::Event::Quorum { quorate, ring, members, nodes } => {
                    let event = QuorumEvent::Changed { quorate, ring, members, nodes };
                    self.undecided = Some(Box::new(event));
                }
                votequorum::Event::News(news) => self.events.push_back(QuorumEvent::News(news)),
            }
        }
    }

    /// Tells programs what has been decided, as soon as it holds, and that the lease ended.
    fn settle(&mut self, now_ns: u64) {
        let Some(votes) = &self.config.votes else { return };
        let decided = votes.is_quorate();
        if let Some(event) = &self.undecided {
            let QuorumEvent::Changed { quorate, .. } = **event else { return };
            let may = now_ns < self.ring_until_ns && now_ns >= self.not_before_ns;
            if (!quorate || may)
                && let Some(event) = self.undecided.take()
            {
                self.until_ns = self.ring_until_ns;
                self.tell(*event);
            }
        }
        if self.told.quorate && now_ns >= self.until_ns {
            let nodes = self.states();
            let Told { ring, ref members, .. } = self.told;
            let members = members.clone();
            self.tell(QuorumEvent::Changed { quorate: false, ring, members, nodes });
            return;
        }
        let in_force = self.sync.is_none() && self.told.ring == self.ring;
        let renewed = in_force && !self.told.quorate && decided;
        if renewed && self.undecided.is_none() && now_ns < self.ring_until_ns {
            // Nobody left this ring meanwhile: all of them still count on this node.
            let nodes = self.states();
            let (ring, members) = (self.ring, self.members.clone());
            self.until_ns = self.ring_until_ns;
            self.tell(QuorumEvent::Changed { quorate: true, ring, members, nodes });
        }
    }

    fn states(&self) -> Vec<(NodeId, NodeState)> {
        self.config.votes.as_ref().map(Votequorum::states).unwrap_or_default()
    }

    fn tell(&mut self, event: QuorumEvent) {
        if let QuorumEvent::Changed { quorate, ring, ref members, .. } = event {
            self.told = Told { quorate, ring, members: members.clone() };
        }
        self.events.push_back(event);
    }
}
