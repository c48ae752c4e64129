//! Connections: two to every peer, made from the lower to the higher position in the node list.
//!
//! The lower node asks, again and again with growing pauses, until the higher one accepts. One that has
//! just started knocks at the lower ones, so that they ask at once. A request from a peer that seems to be
//! connected replaces its connection: it has started anew, or has seen an error that we have not. Nothing
//! here disturbs other peers' connections or the datagrams.

use rdma_sys::{ibv_ah_attr, ibv_qp_attr_mask, ibv_qp_state};

use crate::cm::Id;
use crate::error::Error;
use crate::hello::{Hello, Purpose};
use crate::objects::{AddressHandle, QueuePair};
use crate::peer::{RETRY_NS_MAX, RETRY_NS_MIN, State, lane};
use crate::sends::SendQueue;
use crate::transport::{Closing, VerbsTransport};

/// How long a stopped queue pair is kept, for what is under way in it to be completed as flushed.
const CLOSING_NS: u64 = 20_000_000;

/// Time to the first repetition of an unacknowledged message, as verbs count it: 4.096 us times two to this
/// power, 16.8 ms. With seven repetitions a path that is dead for 134 ms breaks the connection.
const ACK_TIMEOUT: u8 = 12;

/// How often an unacknowledged message is repeated: as often as can be.
const RETRIES: u8 = 7;

/// How long a sender waits when we had no buffer: code 8, 0.16 ms. (0 would mean 655 ms.)
const NO_BUFFER_TIMER: u8 = 8;

impl VerbsTransport {
    pub(crate) fn hello(&self, purpose: Purpose) -> Hello {
        let datagrams = self.device.as_ref().and_then(|device| device.datagrams.as_ref());
        let datagram_qp = datagrams.map_or(0, |queue| queue.pair().number());
        Hello { purpose, from: self.config.me, datagram_qp, start: self.start }
    }

    pub(crate) fn ask(&mut self, at: u16, lane: usize, now_ns: u64) {
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

    fn new_queue(&mut self, at: u16, lane: usize) -> Result<SendQueue, Error> {
        self.generation = self.generation.wrapping_add(1);
        let number = u32::from(self.generation) << 16 | (1 + 2 * u32::from(at) + lane as u32);
        let Some(device) = &self.device else { return Err(Error::step("find the device")) };
        let (pair, inline_bytes) = device.connection_pair(lane == 0)?;
        let (entries, key) = (device.connection_sends, device.registration.key());
        Ok(SendQueue::new(pair, number, entries, inline_bytes, key))
    }

    /// The way is known: asks.
    pub(crate) fn found(&mut self, at: u16, lane: usize, now_ns: u64) -> Result<(), Error> {
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
    pub(crate) fn answered(
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
    pub(crate) fn requested(&mut self, id: Id, hello: Option<Hello>, now_ns: u64) {
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

    pub(crate) fn up(&mut self, at: u16, lane: usize, now_ns: u64) {
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

    pub(crate) fn attempt_failed(&mut self, at: u16, lane: usize, now_ns: u64) {
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
        self.staged.unreachable(at);
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
