//! The machine: its state, and what local sessions and the ring ask of it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;

use frame::Pool;
use totem::{Configuration, ConfigurationKind, Lease, Owed};
use wire::trace::{Code, Level, Trace};
use wire::{MemberId, NodeId, RingId};

use crate::barrier::Barrier;
use crate::cfg::Changes;
use crate::local::Sessions;
use crate::open::OpenMessages;
use crate::table::{Group, Table};
use crate::votequorum::{DEVICE, Options, Votequorum};
use crate::{
    Clients, Config, Counters, Event, GroupHandle, GroupSource, GroupStatus, Quorum, QuorumConfig,
    QuorumEvent, QuorumTimer, RefusedReason, Status,
};

/// The group layer of one node.
///
/// Calls change its state; what follows from them waits in [`Groups::poll_event`] and
/// [`Groups::poll_trace`], to be drained after every call.
pub struct Groups {
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) small_slots_reserved: u32,
    pub(crate) table: Table,
    pub(crate) sessions: Sessions,
    /// Messages of which a part is in the order.
    pub(crate) open: OpenMessages,
    /// The regular configuration this node is in.
    pub(crate) ring: Option<RingId>,
    /// The barrier of `ring` while it stands.
    pub(crate) barrier: Option<Barrier>,
    /// Nodes that went through everything with us since the last barrier ended.
    pub(crate) together: Vec<NodeId>,
    /// Members of the transitional configuration that came since the last regular one, if one did.
    pub(crate) transitional: Option<Rc<[NodeId]>>,
    /// What each member of the last ended barrier said its boot number was.
    pub(crate) boots: BTreeMap<NodeId, u64>,
    /// That barrier's ring.
    pub(crate) boots_ring: u64,
    pub(crate) quorum: Quorum,
    /// What this node owes, see [`Groups::owe`].
    owed: Vec<Owed>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) traces: VecDeque<Trace>,
    /// Changes of the configuration.
    pub(crate) changes: Changes,
    pub(crate) counters: Counters,
    /// The clients have to be told of a new ring before anything is pulled for it.
    restart: bool,
    /// Something to send came up since [`Groups::take_wake`] was asked.
    pub(crate) wake: bool,
    /// Where in its frame a view stands that is made now: see [`crate::View::offset`].
    pub(crate) view_offset: u32,
    /// A deliberate bug, for tests of the checkers.
    #[cfg(feature = "mutations")]
    pub(crate) mutation: Option<totem::Mutation>,
}

/// Room made for events at the start, so that a full burst of frames does not allocate: 64 frames
/// of 16 runs.
const EVENTS_CAPACITY: usize = 1024;

impl Groups {
    /// A group layer without a ring yet. `pool` is where frames are built.
    pub fn new(config: Config, pool: Pool) -> Self {
        let eighth = pool.stats().small_total / 8;
        let no_votes = QuorumConfig { votes: None, nodes: Vec::new(), forgotten_until_ns: 0 };
        Self {
            config,
            small_slots_reserved: crate::SMALL_SLOTS_RESERVED.min(eighth),
            pool,
            table: Table::default(),
            sessions: Sessions::default(),
            open: OpenMessages::default(),
            ring: None,
            barrier: None,
            together: [config.me].into(),
            transitional: None,
            boots: BTreeMap::new(),
            boots_ring: 0,
            quorum: Quorum::new(no_votes, config.me),
            owed: Vec::new(),
            events: VecDeque::with_capacity(EVENTS_CAPACITY),
            traces: VecDeque::new(),
            changes: Changes::default(),
            counters: Counters::default(),
            restart: false,
            wake: false,
            view_offset: 0,
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }

    /// The same with votes counted.
    #[must_use]
    pub fn with_quorum(mut self, config: QuorumConfig) -> Self {
        self.quorum = Quorum::new(config, self.config.me);
        self
    }

    /// A local program connected. Past `Limits::sessions_max` its joins will be refused.
    pub fn open(&mut self, session: u32, pid: u32) {
        if self.sessions.len() < self.config.limits.sessions_max {
            self.sessions.open(session, pid);
        }
    }

    /// A local program or its connection is gone: nothing it still had waiting is sent, and a
    /// process-down for all its groups goes out in order. Who closes in peace lets its messages be
    /// pulled first.
    pub fn close(&mut self, session: u32) {
        for number in self.table.groups_of(self.config.me, session) {
            if let Some(group) = self.table.get_mut(number) {
                group.set_sending(session, false);
            }
        }
        self.sessions.close(session);
        self.wake = true;
    }

    /// Closes every session, as before a shutdown.
    pub fn close_all(&mut self) {
        for session in self.sessions.ids() {
            self.close(session);
        }
    }

    /// A session asks to join the group `name` (1 to 128 bytes of anything). Answered by
    /// [`Event::Joined`] once ordered and a view that shows it, or by [`Event::Refused`].
    pub fn join(&mut self, session: u32, request: u32, name: &[u8]) {
        let max = self.config.limits.memberships_max.min(crate::MEMBERSHIPS_PER_NODE_MAX);
        match self.sessions.join(session, request, name, max) {
            Ok(()) => self.wake = true,
            Err(reason) => self.refuse(session, request, reason),
        }
    }

    /// A session asks to leave. Answered by a view in which it left, or by [`Event::Refused`].
    /// Messages of the session that were not pulled by now are not sent any more, so hand the
    /// request in after them.
    pub fn leave(&mut self, session: u32, request: u32, group: GroupHandle) {
        let number = self.table.number_of(group);
        let Some(group) = number.and_then(|number| self.table.get_mut(number)) else {
            return self.refuse(session, request, RefusedReason::NotMember);
        };
        match self.sessions.leave(session, &group.name) {
            Ok(()) => {
                group.set_sending(session, false);
                self.wake = true;
            }
            Err(reason) => self.refuse(session, request, reason),
        }
    }

    pub(crate) fn refuse(&mut self, session: u32, request: u32, reason: RefusedReason) {
        self.counters.requests_refused += 1;
        self.events.push_back(Event::Refused { session, request, reason });
    }

    /// What this node owes to nodes of former rings ([`totem::Totem::owed`]); told before the ring
    /// changes.
    pub fn owe(&mut self, owed: impl Iterator<Item = Owed>) {
        self.owed.clear();
        self.owed.extend(owed);
    }

    /// A node that was a member is gone for good.
    pub fn gone(&mut self, node: NodeId) {
        self.quorum.gone(node, self.boots.get(&node).copied());
    }

    /// How long this node may act for its ring.
    #[inline]
    pub fn lease(&mut self, now_ns: u64, lease: Lease) {
        self.quorum.lease(now_ns, lease);
        self.collect_quorum();
    }

    /// This node is about to leave in order.
    pub fn retire(&mut self, now_ns: u64) {
        self.quorum.leave(now_ns);
        self.collect_quorum();
    }

    /// When [`Groups::timeout`] is to be called, and why.
    pub fn next_timeout(&self) -> Option<(u64, QuorumTimer)> {
        self.quorum.next_timeout()
    }

    /// Does what is due.
    pub fn timeout(&mut self, now_ns: u64) {
        self.quorum.timeout(now_ns);
        self.collect_quorum();
    }

    /// Who may act for the cluster.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// Asks the machine that counts votes for something; `None` when there is none.
    pub fn with_votes<R>(
        &mut self,
        now_ns: u64,
        request: impl FnOnce(&mut Votequorum) -> R,
    ) -> Option<R> {
        let answer = self.quorum.votes_mut().map(request);
        self.quorum.look(now_ns);
        self.collect_quorum();
        answer
    }

    /// Takes over another node list and, where votes are counted, what may change of how they are.
    pub fn set_quorum(&mut self, now_ns: u64, nodes: Vec<NodeId>, options: Option<&Options>) {
        self.quorum.reconfigure(now_ns, nodes, options);
        self.collect_quorum();
    }

    /// Passes on what the quorum part says.
    pub(crate) fn collect_quorum(&mut self) {
        while let Some(event) = self.quorum.poll_event() {
            let told = self.quorum.votes().and_then(|votes| votes.info(DEVICE));
            if let (QuorumEvent::Changed { quorate, ring, .. }, Some(mine)) = (&event, told) {
                let args =
                    [u64::from(*quorate), ring.seq, mine.needed.into(), mine.total_votes.into()];
                let level = if *quorate { Level::Info } else { Level::Warn };
                self.traces.push_back(Trace::new(level, Code::Quorum, &args));
            }
            self.events.push_back(Event::Quorum(event));
        }
        self.wake |= self.quorum.has_message();
    }

    /// The ring changed, at this point of the total order. A regular configuration starts a sync
    /// barrier.
    pub fn configuration(&mut self, now_ns: u64, configuration: &Configuration) {
        let members = &configuration.members;
        self.events.push_back(Event::Configuration(configuration.clone()));
        match configuration.kind {
            // It counts from the next regular configuration on: until then the old ring's barrier may
            // still end, and what it agrees on was said when all were together.
            ConfigurationKind::Transitional => self.transitional = Some(members.clone()),
            ConfigurationKind::Regular => {
                match self.transitional.take() {
                    Some(along) => self.together.retain(|n| along.binary_search(n).is_ok()),
                    // Nobody is known to have come along.
                    None => self.together = [self.config.me].into(),
                }
                self.changes.new_ring(self.config.me);
                self.ring = Some(configuration.ring);
                self.open.clear();
                self.restart = true;
                self.barrier = Some(Barrier::new(configuration.ring, members, now_ns));
                let (boots, seq) = (&self.boots, self.boots_ring);
                let owed = self.owed.drain(..).map(|owed| {
                    let met = owed.ring_seq == seq;
                    let boot = boots.get(&owed.node).copied().filter(|_| met);
                    (owed.node, owed.until_ns, boot)
                });
                self.quorum.start(now_ns, configuration.ring, members, owed);
                self.collect_quorum();
                self.wake = true;
            }
        }
    }

    /// Where the ring gets frames from, for the length of one call.
    pub fn source<'a>(&'a mut self, clients: &'a mut dyn Clients) -> GroupSource<'a> {
        if core::mem::take(&mut self.restart) {
            clients.restart();
        }
        GroupSource::new(self, clients)
    }

    /// The next thing for local programs.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing for the log.
    pub fn poll_trace(&mut self) -> Option<Trace> {
        self.traces.pop_front()
    }

    /// Whether the group state is agreed with all members of the ring; application messages flow
    /// only then.
    pub fn is_synced(&self) -> bool {
        self.ring.is_some() && self.barrier.is_none()
    }

    /// What [`Groups::take_wake`] would say.
    #[inline]
    pub fn wants_wake(&self) -> bool {
        self.wake
    }

    /// Whether something to send came up since the last time this was asked: a reason to wake the
    /// ring.
    pub fn take_wake(&mut self) -> bool {
        core::mem::take(&mut self.wake)
    }

    /// Whether control messages wait to be sent.
    pub fn has_control(&self) -> bool {
        let requests = match &self.barrier {
            Some(barrier) => barrier.must_send(),
            None => !self.sessions.requests.is_empty() || self.changes.must_send(),
        };
        self.ring.is_some() && (requests || self.quorum.has_message())
    }

    /// Members of a group by its name, sorted by node, pid, session; `None` if there is no such
    /// group.
    pub fn members(&self, name: &[u8]) -> Option<Vec<MemberId>> {
        let number = self.table.number_of_name(name)?;
        Some(self.table.get(number)?.members_by_pid())
    }

    /// Every group, by name.
    pub fn groups(&self) -> impl Iterator<Item = GroupStatus> {
        let status = |(number, group): (u32, &Group)| GroupStatus {
            name: group.name.to_vec(),
            number,
            handle: group.handle,
            members: group.members_by_pid(),
            waiting: group.waiting.iter().map(|waiting| waiting.member).collect(),
        };
        self.table.by_name_from(&[]).map(status)
    }

    /// The state of the group layer, for people and tests.
    pub fn status(&self) -> Status {
        Status {
            ring: self.ring,
            synced: self.is_synced(),
            sessions: self.sessions.len(),
            requests_waiting: self.sessions.requests.len() as u32,
            groups: self.groups().collect(),
        }
    }

    /// Makes the group layer break a rule on purpose.
    #[cfg(feature = "mutations")]
    pub fn set_mutation(&mut self, mutation: Option<totem::Mutation>) {
        self.mutation = mutation;
        self.changes.mutation = mutation;
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
