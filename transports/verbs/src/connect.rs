//! Connections: two to every peer, made from the lower to the higher position in the node list.
//!
//! The lower node asks, again and again with growing pauses, until the higher one accepts. One that has
//! just started knocks at the lower ones, so that they ask at once. A request from a peer that seems to be
//! connected replaces its connection: it has started anew, or has seen an error that we have not. Nothing
//! here disturbs other peers' connections or the datagrams.

use rdma_sys::{ibv_ah_attr, ibv_qp_attr_mask, ibv_qp_state, rdma_cm_event_type as event};

use crate::cm::{CmEvent, Id};
use crate::device::{Device, Membership};
use crate::error::Error;
use crate::hello::{Hello, Purpose};
use crate::objects::{AddressHandle, QueuePair};
use crate::receive::Lane;
use crate::sends::SendQueue;
use crate::transport::{Closing, Notice, VerbsTransport};

/// First and longest pause between attempts to connect.
const RETRY_NS_MIN: u64 = 20_000_000;
const RETRY_NS_MAX: u64 = 500_000_000;

/// When an attempt that has come to no end is given up: longer than resolving address and route may take.
const ATTEMPT_NS: u64 = 6_000_000_000;

/// Pause between two knocks at a peer to whom there is no way.
const KNOCK_NS: u64 = 100_000_000;

/// Pause before a group is joined again after the port was away, and after the kernel refused to join.
const REJOIN_NS: u64 = 200_000_000;
const REFUSED_NS: u64 = 10_000_000_000;

/// Pause before the datagram queue pair is started anew.
const REVIVE_NS: u64 = 50_000_000;

/// How long a stopped queue pair is kept, for what is under way in it to be completed as flushed.
const CLOSING_NS: u64 = 20_000_000;

/// Time to the first repetition of an unacknowledged message, as verbs count it: 4.096 us times two to this
/// power, 16.8 ms. With seven repetitions a path that is dead for 134 ms breaks the connection.
const ACK_TIMEOUT: u8 = 12;

/// How often an unacknowledged message is repeated: as often as can be.
const RETRIES: u8 = 7;

/// How long a sender waits when we had no buffer: code 8, 0.16 ms. (0 would mean 655 ms.)
const NO_BUFFER_TIMER: u8 = 8;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// None; the lower node asks at this time.
    Idle { try_at_ns: u64 },
    /// The peer's address is being resolved.
    Resolving,
    /// The way to it is.
    Routing,
    /// It was asked.
    Asking,
    /// It asked us, and we accepted.
    Accepting,
    /// It carries messages.
    Up,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) state: State,
    pub(crate) id: Option<Id>,
    pub(crate) queue: Option<SendQueue>,
    /// When the present state began.
    since_ns: u64,
    retry_ns: u64,
}

impl Connection {
    fn new() -> Self {
        let state = State::Idle { try_at_ns: 0 };
        Self { state, id: None, queue: None, since_ns: 0, retry_ns: RETRY_NS_MIN }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    fn set(&mut self, state: State, now_ns: u64) {
        (self.state, self.since_ns) = (state, now_ns);
    }
}

/// One peer.
pub(crate) struct Peer {
    /// For tokens and for data.
    pub(crate) connections: [Connection; 2],
    /// Where its datagrams go, and the number of its queue pair.
    pub(crate) datagrams: Option<(AddressHandle, u32)>,
    /// The last thing heard is that nobody is there.
    pub(crate) gone: bool,
    /// No way to it was found since our port was down.
    pub(crate) unrouted: bool,
    pub(crate) knock: Knock,
}

/// Our asking a lower node to connect to us.
pub(crate) enum Knock {
    /// To be made at this time.
    Due { at_ns: u64 },
    /// Under way since.
    Made { id: Id, since_ns: u64 },
    /// Made.
    Done,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let connections = [Connection::new(), Connection::new()];
        let knock = Knock::Due { at_ns: 0 };
        Self { connections, datagrams: None, gone: false, unrouted: false, knock }
    }
}

/// Place of a purpose's connection.
fn lane(purpose: Purpose) -> Option<usize> {
    match purpose {
        Purpose::Token => Some(0),
        Purpose::Data => Some(1),
        Purpose::Knock => None,
    }
}

impl VerbsTransport {
    /// Looks after connections and groups: starts what is due, gives up what is stuck.
    pub(crate) fn tend(&mut self, now_ns: u64) {
        let me = self.config.me;
        for at in 0..self.peers.len() as u16 {
            if at == me || self.device.is_none() {
                continue;
            }
            for lane in 0..2 {
                let connection = &self.peers[usize::from(at)].connections[lane];
                match connection.state {
                    State::Up => {}
                    State::Idle { try_at_ns } if me < at && try_at_ns <= now_ns => {
                        self.ask(at, lane, now_ns);
                    }
                    State::Idle { .. } => {}
                    _ if now_ns > connection.since_ns + ATTEMPT_NS => {
                        self.attempt_failed(at, lane, now_ns);
                    }
                    _ => {}
                }
            }
            self.tend_knock(at, now_ns);
        }
        self.tend_group(now_ns);
        self.tend_closing(now_ns);
        self.tend_partings(now_ns);
    }

    /// When something is to be done although nothing comes: a device to find, a peer to ask, a group to join, a
    /// queue to destroy.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        let Some(device) = &self.device else { return Some(self.next_open_ns) };
        let attempt = |connection: &Connection| match connection.state {
            State::Idle { try_at_ns } => Some(try_at_ns),
            State::Up => None,
            _ => Some(connection.since_ns + ATTEMPT_NS),
        };
        let asked = self.peers.iter().skip(usize::from(self.config.me) + 1);
        let attempts = asked.flat_map(|peer| peer.connections.iter().filter_map(attempt));
        let knock = |peer: &Peer| match peer.knock {
            Knock::Due { at_ns } => Some(at_ns),
            Knock::Made { since_ns, .. } => Some(since_ns + ATTEMPT_NS),
            Knock::Done => None,
        };
        let knocks = self.peers.iter().take(usize::from(self.config.me)).filter_map(knock);
        let group = match device.membership {
            Membership::Out { again_at_ns } => again_at_ns,
            _ => None,
        };
        let closing = self.closing.front().map(|closing| closing.until_ns);
        let revival = self.datagrams_failed.then_some(self.next_revive_ns);
        let parting = self.parting_due_ns();
        attempts.chain(knocks).chain(group).chain(closing).chain(revival).chain(parting).min()
    }

    fn tend_knock(&mut self, at: u16, now_ns: u64) {
        if at >= self.config.me {
            return;
        }
        let address = self.config.peers[usize::from(at)];
        let mine = self.config.my_address().ip();
        let Some(device) = &self.device else { return };
        match self.peers[usize::from(at)].knock {
            Knock::Due { at_ns } if at_ns <= now_ns => {
                let id = Id::new(&device.channel, false);
                let started = id.and_then(|id| id.resolve_address(mine, address).map(|()| id));
                match started {
                    Ok(id) => {
                        self.peers[usize::from(at)].knock = Knock::Made { id, since_ns: now_ns };
                    }
                    Err(_) => self.knock_ended(at, now_ns),
                }
            }
            Knock::Made { since_ns, .. } if now_ns > since_ns + ATTEMPT_NS => {
                self.knock_ended(at, now_ns);
            }
            _ => {}
        }
    }

    fn tend_group(&mut self, now_ns: u64) {
        let Some(device) = &mut self.device else { return };
        let Some(group) = self.config.multicast else { return };
        if let Membership::Out { again_at_ns: Some(at_ns) } = device.membership
            && at_ns <= now_ns
        {
            device.membership = match device.groups.join(group) {
                Ok(()) => Membership::Joining,
                Err(_) => Membership::Out { again_at_ns: Some(now_ns + REFUSED_NS) },
            };
        }
    }

    /// Destroys stopped queue pairs whose time is over.
    pub(crate) fn tend_closing(&mut self, now_ns: u64) {
        while self.closing.front().is_some_and(|closing| closing.until_ns <= now_ns) {
            // What it had received or was flushed first: its completions name slots of ours.
            self.collect();
            if let Some(closing) = self.closing.pop_front() {
                closing.queue.close(&mut self.held);
            }
        }
    }

    /// Leaves the group and joins it again soon: the port was away, or has another address.
    pub(crate) fn rejoin(&mut self, now_ns: u64) {
        if let Some(device) = &mut self.device {
            if let Some(datagrams) = &mut device.datagrams {
                datagrams.post(&mut self.held, &mut self.counters);
            }
            device.leave(&self.config, now_ns + REJOIN_NS);
        }
    }

    /// Starts the datagram queue pair anew under its old number: a datagram that could not leave at all, as
    /// with the port down, stops it for good.
    pub(crate) fn revive_datagrams(&mut self, now_ns: u64) {
        if !self.datagrams_failed || now_ns < self.next_revive_ns {
            return;
        }
        self.next_revive_ns = now_ns + REVIVE_NS;
        let pair = |device: &Option<Device>, state| {
            let queue = device.as_ref().and_then(|device| device.datagrams.as_ref());
            queue.is_some_and(|queue| {
                queue.pair().enter(state, "reset the datagram queue pair").is_ok()
            })
        };
        if !pair(&self.device, ibv_qp_state::IBV_QPS_RESET) {
            return;
        }
        self.collect();
        let Some(device) = &mut self.device else { return };
        let Some(datagrams) = &mut device.datagrams else { return };
        datagrams.reset(&mut self.held);
        // SAFETY: the queue pair was reset, and what it had completed before was taken just now.
        unsafe { self.receives.reclaim(Some(Lane::Datagrams)) };
        if crate::device::ready_for_datagrams(&device.groups, datagrams.pair()).is_ok() {
            self.datagrams_failed = false;
            self.counters.datagrams_revived += 1;
            self.refill();
        }
    }

    fn hello(&self, purpose: Purpose) -> Hello {
        let datagrams = self.device.as_ref().and_then(|device| device.datagrams.as_ref());
        let datagram_qp = datagrams.map_or(0, |queue| queue.pair().number());
        Hello { purpose, from: self.config.me, datagram_qp, start: self.start }
    }

    fn ask(&mut self, at: u16, lane: usize, now_ns: u64) {
        let Some(device) = &self.device else { return };
        let (mine, address) = (self.config.my_address().ip(), self.config.peers[usize::from(at)]);
        let id = Id::new(&device.channel, false);
        match id.and_then(|id| id.resolve_address(mine, address).map(|()| id)) {
            Ok(id) => {
                let connection = &mut self.peers[usize::from(at)].connections[lane];
                connection.id = Some(id);
                connection.set(State::Resolving, now_ns);
            }
            Err(_) => self.attempt_failed(at, lane, now_ns),
        }
    }

    /// Whose identifier this is, and for what; knocks are lane 2.
    fn whose(&self, id: usize) -> Option<(u16, usize)> {
        self.peers.iter().enumerate().find_map(|(at, peer)| {
            let is_it =
                |connection: &Connection| connection.id.as_ref().is_some_and(|i| i.key() == id);
            let lane = peer.connections.iter().position(is_it);
            let knock = matches!(&peer.knock, Knock::Made { id: knock, .. } if knock.key() == id);
            Some((at as u16, lane.or(knock.then_some(2))?))
        })
    }

    /// Does what an event of the connection manager asks for.
    pub(crate) fn connection_event(&mut self, told: CmEvent, now_ns: u64) {
        if let Some(request) = told.request {
            self.requested(request, told.hello, now_ns);
            return;
        }
        match told.kind {
            event::RDMA_CM_EVENT_DEVICE_REMOVAL => {
                self.lost = true;
                return;
            }
            event::RDMA_CM_EVENT_MULTICAST_JOIN => {
                let Some((device, group)) = self.device.as_mut().zip(told.group) else { return };
                match device.joined(group, self.config.gid_index) {
                    Ok(()) => self.counters.groups_joined += 1,
                    Err(_) => self.rejoin(now_ns),
                }
                return;
            }
            event::RDMA_CM_EVENT_MULTICAST_ERROR => {
                self.rejoin(now_ns);
                return;
            }
            _ => {}
        }
        let Some((at, lane)) = self.whose(told.id) else { return };
        let ok = told.status == 0;
        if ok && told.kind == event::RDMA_CM_EVENT_ADDR_RESOLVED {
            self.peers[usize::from(at)].unrouted = false;
        }
        if lane == 2 {
            self.knock_event(at, told.kind, now_ns);
            return;
        }
        let state = self.peers[usize::from(at)].connections[lane].state;
        match (state, told.kind) {
            (State::Resolving, event::RDMA_CM_EVENT_ADDR_RESOLVED) if ok => {
                let connection = &mut self.peers[usize::from(at)].connections[lane];
                let asked = connection.id.as_ref().is_some_and(|id| id.resolve_route().is_ok());
                connection.set(State::Routing, now_ns);
                if !asked {
                    self.attempt_failed(at, lane, now_ns);
                }
            }
            (State::Routing, event::RDMA_CM_EVENT_ROUTE_RESOLVED) if ok => {
                if self.found(at, lane, now_ns).is_err() {
                    self.attempt_failed(at, lane, now_ns);
                }
            }
            (State::Asking, event::RDMA_CM_EVENT_CONNECT_RESPONSE) if ok => {
                if self.answered(at, lane, told.hello, now_ns).is_err() {
                    self.attempt_failed(at, lane, now_ns);
                }
            }
            (State::Accepting, event::RDMA_CM_EVENT_ESTABLISHED) if ok => self.up(at, lane, now_ns),
            (State::Up, event::RDMA_CM_EVENT_DISCONNECTED | event::RDMA_CM_EVENT_ADDR_CHANGE) => {
                self.lose(at, lane, now_ns);
            }
            (_, event::RDMA_CM_EVENT_TIMEWAIT_EXIT) | (State::Up, _) => {}
            (_, event::RDMA_CM_EVENT_REJECTED) => {
                // Its host answers, and nobody listens there.
                self.counters.connections_refused += 1;
                self.peers[usize::from(at)].gone = true;
                self.attempt_failed(at, lane, now_ns);
            }
            (_, event::RDMA_CM_EVENT_ADDR_ERROR | event::RDMA_CM_EVENT_ROUTE_ERROR) => {
                self.counters.connections_unresolved += 1;
                self.attempt_failed(at, lane, now_ns);
            }
            _ => self.attempt_failed(at, lane, now_ns),
        }
    }

    fn knock_event(&mut self, at: u16, kind: rdma_sys::rdma_cm_event_type::Type, now_ns: u64) {
        let hello = self.hello(Purpose::Knock);
        let Knock::Made { id, .. } = &self.peers[usize::from(at)].knock else { return };
        let went_on = match kind {
            event::RDMA_CM_EVENT_ADDR_RESOLVED => id.resolve_route().is_ok(),
            // No queue pair stands behind this request; it is always refused.
            event::RDMA_CM_EVENT_ROUTE_RESOLVED => id.connect(hello.datagram_qp, &hello).is_ok(),
            _ => false,
        };
        if !went_on {
            self.knock_ended(at, now_ns);
        }
    }

    /// Our knock was answered or came to nothing; without a way to the peer it is made again.
    fn knock_ended(&mut self, at: u16, now_ns: u64) {
        let peer = &mut self.peers[usize::from(at)];
        let next =
            if peer.unrouted { Knock::Due { at_ns: now_ns + KNOCK_NS } } else { Knock::Done };
        if let Knock::Made { id, .. } = std::mem::replace(&mut peer.knock, next) {
            self.part(at, id, now_ns);
        }
    }

    fn new_queue(&mut self, at: u16, lane: usize) -> Result<SendQueue, Error> {
        self.generation = self.generation.wrapping_add(1);
        let number = u32::from(self.generation) << 16 | (1 + 2 * u32::from(at) + lane as u32);
        let Some(device) = &self.device else { return Err(Error::step("find the device")) };
        let (pair, inline_bytes) = device.connection_pair(lane == 0)?;
        let (entries, key) = (device.connection_sends, device.registration.key());
        Ok(SendQueue::new(pair, number, entries, inline_bytes, key))
    }

    /// The way is known: asks.
    fn found(&mut self, at: u16, lane: usize, now_ns: u64) -> Result<(), Error> {
        let queue = self.new_queue(at, lane)?;
        let hello = self.hello(if lane == 0 { Purpose::Token } else { Purpose::Data });
        let connection = &mut self.peers[usize::from(at)].connections[lane];
        let number = queue.pair().number();
        connection.queue = Some(queue);
        connection.set(State::Asking, now_ns);
        let Some(id) = &connection.id else { return Ok(()) };
        id.connect(number, &hello)
    }

    /// The peer accepted.
    fn answered(
        &mut self,
        at: u16,
        lane: usize,
        hello: Option<Hello>,
        now_ns: u64,
    ) -> Result<(), Error> {
        let stranger = || Error::Config("a stranger answered at a peer's address".into());
        let hello = hello.filter(|hello| hello.from == at).ok_or_else(stranger)?;
        let gid_index = self.config.gid_index;
        let connection = &mut self.peers[usize::from(at)].connections[lane];
        let (Some(id), Some(queue)) = (&connection.id, &connection.queue) else {
            return Err(stranger());
        };
        let address = bring_up(id, queue.pair(), gid_index)?;
        id.establish()?;
        self.learn(at, lane, &hello, &address);
        self.up(at, lane, now_ns);
        Ok(())
    }

    /// Somebody asks for a connection.
    fn requested(&mut self, id: Id, hello: Option<Hello>, now_ns: u64) {
        let known = hello.filter(|hello| {
            usize::from(hello.from) < self.peers.len() && hello.from != self.config.me
        });
        let Some(hello) = known else {
            self.counters.connections_failed += 1;
            id.reject();
            return;
        };
        let at = hello.from;
        if self.peers[usize::from(at)].unrouted {
            // Any answer, even none, is a message that must find a way. The peer asks again.
            self.counters.connections_failed += 1;
            self.part(at, id, now_ns);
            return;
        }
        let Some(lane) = lane(hello.purpose) else {
            id.reject();
            self.hurry(at, now_ns);
            return;
        };
        if at > self.config.me {
            self.counters.connections_failed += 1;
            id.reject();
            return;
        }
        if self.peers[usize::from(at)].connections[lane].is_up() {
            self.lose(at, lane, now_ns);
        } else {
            self.forget(at, lane, now_ns);
        }
        if self.accept(id, at, lane, &hello, now_ns).is_err() {
            self.attempt_failed(at, lane, now_ns);
        }
    }

    /// Makes the next attempts to connect to a peer due, in place of those that have hung for a while: the
    /// peer, or the way to it, has just come back.
    pub(crate) fn hurry(&mut self, at: u16, now_ns: u64) {
        for lane in 0..2 {
            let connection = &self.peers[usize::from(at)].connections[lane];
            let hangs = now_ns > connection.since_ns + RETRY_NS_MAX;
            match connection.state {
                State::Up => continue,
                State::Idle { .. } => {}
                _ if hangs => self.attempt_failed(at, lane, now_ns),
                _ => continue,
            }
            let connection = &mut self.peers[usize::from(at)].connections[lane];
            connection.retry_ns = RETRY_NS_MIN;
            connection.set(State::Idle { try_at_ns: now_ns }, now_ns);
        }
    }

    fn accept(
        &mut self,
        id: Id,
        at: u16,
        lane: usize,
        hello: &Hello,
        now_ns: u64,
    ) -> Result<(), Error> {
        let queue = self.new_queue(at, lane)?;
        let address = bring_up(&id, queue.pair(), self.config.gid_index)?;
        let answer = self.hello(hello.purpose);
        id.accept(queue.pair().number(), &answer)?;
        let connection = &mut self.peers[usize::from(at)].connections[lane];
        connection.id = Some(id);
        connection.queue = Some(queue);
        connection.set(State::Accepting, now_ns);
        self.learn(at, lane, hello, &address);
        Ok(())
    }

    /// Notes where a peer's datagrams go: the way its data connection goes, to the queue pair it names.
    fn learn(&mut self, at: u16, lane: usize, hello: &Hello, address: &ibv_ah_attr) {
        let Some(device) = &mut self.device else { return };
        if lane == 1 && hello.datagram_qp != 0 {
            // Nothing staged may name the handle that is replaced.
            if let Some(datagrams) = &mut device.datagrams {
                datagrams.post(&mut self.held, &mut self.counters);
            }
            let handle = AddressHandle::new(&device.domain, address).ok();
            self.peers[usize::from(at)].datagrams =
                handle.map(|handle| (handle, hello.datagram_qp));
        }
    }

    fn up(&mut self, at: u16, lane: usize, now_ns: u64) {
        self.counters.connections_made += 1;
        let peer = &mut self.peers[usize::from(at)];
        peer.gone = false;
        peer.connections[lane].retry_ns = RETRY_NS_MIN;
        peer.connections[lane].set(State::Up, now_ns);
    }

    /// An established connection has ended: a hint that the peer has, too.
    pub(crate) fn lose(&mut self, at: u16, lane: usize, now_ns: u64) {
        if !self.peers[usize::from(at)].connections[lane].is_up() {
            return;
        }
        self.counters.connections_lost += 1;
        self.peers[usize::from(at)].gone = true;
        self.forget(at, lane, now_ns);
        self.stage_unreachable(at);
    }

    fn attempt_failed(&mut self, at: u16, lane: usize, now_ns: u64) {
        self.counters.connections_failed += 1;
        self.forget(at, lane, now_ns);
    }

    /// Back to having no connection; the next attempt after a pause.
    pub(crate) fn forget(&mut self, at: u16, lane: usize, now_ns: u64) {
        let connection = &mut self.peers[usize::from(at)].connections[lane];
        let pause_ns = connection.retry_ns;
        connection.retry_ns = (2 * pause_ns).min(RETRY_NS_MAX);
        connection.set(State::Idle { try_at_ns: now_ns + pause_ns }, now_ns);
        if let Some(queue) = connection.queue.take() {
            queue.pair().stop();
            self.closing.push_back(Closing { queue, until_ns: now_ns + CLOSING_NS });
        }
        // After the queue pair was stopped: this tells the peer, if there is anything to tell.
        let id = connection.id.take();
        if let Some(id) = id {
            self.part(at, id, now_ns);
        }
    }

    pub(crate) fn stage_unreachable(&mut self, at: u16) {
        self.counters.unreachable += 1;
        // Staged at most once for each peer, so the queue is bounded.
        if !std::mem::replace(&mut self.unreachable[usize::from(at)], true) {
            self.notices.push_back(Notice::Unreachable(at));
        }
    }
}

/// Takes a connection's queue pair to where it sends and receives; returns the way to the peer.
fn bring_up(id: &Id, pair: &QueuePair, gid_index: Option<u8>) -> Result<ibv_ah_attr, Error> {
    let bit = |mask: ibv_qp_attr_mask| mask.0 as i32;
    let (mut attributes, mask) = id.attributes(ibv_qp_state::IBV_QPS_INIT)?;
    pair.modify(&mut attributes, mask, "start a connection's queue pair")?;
    let (mut attributes, mask) = id.attributes(ibv_qp_state::IBV_QPS_RTR)?;
    attributes.min_rnr_timer = NO_BUFFER_TIMER;
    if let Some(index) = gid_index {
        attributes.ah_attr.grh.sgid_index = index;
    }
    let address = attributes.ah_attr;
    let mask = mask | bit(ibv_qp_attr_mask::IBV_QP_MIN_RNR_TIMER);
    pair.modify(&mut attributes, mask, "let a connection's queue pair receive")?;
    let (mut attributes, mask) = id.attributes(ibv_qp_state::IBV_QPS_RTS)?;
    attributes.timeout = ACK_TIMEOUT;
    attributes.retry_cnt = RETRIES;
    attributes.rnr_retry = RETRIES;
    let mask = mask
        | bit(ibv_qp_attr_mask::IBV_QP_TIMEOUT)
        | bit(ibv_qp_attr_mask::IBV_QP_RETRY_CNT)
        | bit(ibv_qp_attr_mask::IBV_QP_RNR_RETRY);
    pair.modify(&mut attributes, mask, "let a connection's queue pair send")?;
    Ok(address)
}
