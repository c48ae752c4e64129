//! The machine: its state, and what local sessions and the ring ask of it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;

use frame::Pool;
use totem::{Configuration, ConfigurationKind};
use wire::trace::Trace;
use wire::{MemberId, NodeId, RingId};

use crate::barrier::Barrier;
use crate::cfg::Changes;
use crate::local::Sessions;
use crate::open::OpenMessages;
use crate::table::{Group, Table};
use crate::{
    Clients, Config, Counters, Event, GroupHandle, GroupSource, GroupStatus, RefusedReason, Status,
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

    /// Whether something to send came up since the last time this was asked: a reason to wake the
    /// ring.
    pub fn take_wake(&mut self) -> bool {
        core::mem::take(&mut self.wake)
    }

    /// Whether control messages wait to be sent.
    pub fn has_control(&self) -> bool {
        match &self.barrier {
            Some(barrier) => barrier.must_send(),
            None => {
                let waiting = !self.sessions.requests.is_empty() || self.changes.must_send();
                self.ring.is_some() && waiting
            }
        }
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
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
