//! The engine thread's half: reads submit rings, delivers, keeps what readers still need.
//!
//! One thread owns it; no call blocks, and on the path of messages none allocates or makes a system
//! call, but for one `write` per sleeping client and batch. Order of calls in one turn of the
//! engine's loop: [`Server::poll`], then [`Server::pull`] and [`Server::deliver`] as the protocol
//! has it, then [`Server::publish`] once, then [`Server::reclaim`].

mod api;
mod backlog;
mod deliver;
mod eviction;
mod intake;
mod kept;
mod pressure;
mod reclaim;
mod session;
mod spill;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use frame::Pool;

pub use api::{Counters, Delivery, Messages, Pulled, Request, SessionStatus};
use backlog::Spare;
use intake::Control;
pub(crate) use intake::{Broken, Intake};
use session::{Life, Session};

use crate::access::Trust;
use crate::config::{Config, ReaderLimits};
use crate::delivery::DeliveryRing;
use crate::hello::Cause;
use crate::link::{Arrival, Link};
use crate::park::Parking;

/// Bytes a session may send before it is the next one's turn; at least one full buffer of `pull`,
/// so that one round always finds somebody who may send.
const QUANTUM_BYTES: i64 = 65_536;

/// What messages that are not sent cost their sender of its turn at least, in bytes: telling it is an item that
/// every reader of the delivery ring has to step over, and a message may have no bytes at all.
const REFUSAL_BYTES: usize = 512;

/// Control records read from one session in one `poll`; more wait for the next.
const CONTROLS_PER_POLL: usize = 16;

/// New and gone sessions handled in one `poll`.
const ARRIVALS_PER_POLL: usize = 16;

/// The local members of one group.
#[derive(Default)]
struct Group {
    /// Places in `Server::sessions`.
    members: Vec<usize>,
}

/// Sessions of one engine.
pub struct Server {
    config: Config,
    link: Arc<Link>,
    pool: Pool,
    ring: DeliveryRing,
    sessions: Vec<Option<Box<Session>>>,
    by_id: HashMap<u32, usize>,
    /// Places of live sessions, in the order of their turns.
    order: Vec<usize>,
    /// Whose turn it is, as a place in `order`.
    turn: usize,
    /// A tree: handles are small and few, and every run looks its group up.
    groups: BTreeMap<u32, Group>,
    /// Bytes that `pull` could have.
    pending: u64,
    /// The most that a buffer of `pull` had lately: what a frame has room for.
    frame_bytes: usize,
    parking: Parking,
    backlog_total: usize,
    /// See `pressure`.
    room_bytes: u64,
    spare: Spare,
    /// Whether `reclaim` has more to look at than the delivery ring.
    attention: bool,
    requests: VecDeque<Request>,
    /// Sessions to evict once the current call has finished with its tables.
    doomed: Vec<(usize, Cause)>,
    /// Bytes of views under construction.
    scratch: Vec<u8>,
    now_ns: u64,
    counters: Counters,
}

impl Server {
    /// Sets the bounds for slow readers anew, as [`Config`] has them: descriptors they may lag behind,
    /// bytes of backlog for one and for all, and nanoseconds of patience while memory is short.
    pub fn set_limits(&mut self, limits: ReaderLimits) {
        let config = self.config.clone();
        self.config = Config {
            lag_slots: limits.lag_slots,
            backlog_bytes_max: limits.backlog_bytes_max,
            backlog_bytes_total_max: limits.backlog_bytes_total_max,
            lease_ns: limits.lease_ns,
            ..config
        }
        .checked();
    }

    pub(crate) fn new(
        config: Config,
        link: Arc<Link>,
        pool: Pool,
        ring: DeliveryRing,
        parking: Parking,
    ) -> Self {
        let sessions_max = config.sessions_max;
        Self {
            config,
            link,
            pool,
            ring,
            sessions: Vec::with_capacity(sessions_max),
            by_id: HashMap::with_capacity(sessions_max),
            order: Vec::with_capacity(sessions_max),
            turn: 0,
            groups: BTreeMap::new(),
            pending: 0,
            frame_bytes: 0,
            parking,
            backlog_total: 0,
            room_bytes: u64::MAX,
            spare: Spare::default(),
            attention: false,
            requests: VecDeque::with_capacity(64),
            doomed: Vec::with_capacity(sessions_max),
            scratch: Vec::with_capacity(4096),
            now_ns: 0,
            counters: Counters::default(),
        }
    }

    /// Takes new sessions, notices those that are gone, reads control records, and gives what they
    /// ask to `out`. Returns how many requests there were.
    pub fn poll(&mut self, now_ns: u64, out: &mut dyn FnMut(Request)) -> usize {
        self.now_ns = now_ns;
        for _ in 0..ARRIVALS_PER_POLL {
            match self.link.next_arrival() {
                Some(Arrival::Open(new)) => self.open(*new),
                Some(Arrival::Gone { session }) => self.gone(session),
                None => break,
            }
        }
        for at in 0..self.order.len() {
            let place = self.order[at];
            if self.read_controls(place).is_err() {
                self.doom(place, Cause::Protocol);
            }
        }
        self.finish_drained();
        self.evict_doomed();
        let count = self.requests.len();
        self.requests.drain(..).for_each(out);
        count
    }

    /// Bytes that wait to be pulled, as of the last `poll`; zero if and only if `pull` gives nothing.
    pub fn pending_bytes(&self) -> u64 {
        self.pending
    }

    /// Writes one run's body into `buf`: consecutive messages of one session to one group, or a fragment of
    /// one that does not fit. Sessions take turns by bytes. `None`: nothing waits or nothing fits.
    pub fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        // Frames may shrink (path MTU): forget the largest room, but not so fast that the last of
        // many runs in a frame finds it forgotten.
        self.frame_bytes = buf.len().max(self.frame_bytes - self.frame_bytes / 512);
        let mut pulled = None;
        for _ in 0..=2 * self.order.len() {
            let Some(&place) = self.order.get(self.turn) else { break };
            let Some(session) = self.sessions[place].as_mut() else { break };
            if session.ready_bytes == 0 || session.deficit <= 0 {
                self.next_turn();
                continue;
            }
            match self.pull_from(place, buf) {
                Ok(Some(taken)) => {
                    pulled = Some(taken);
                    break;
                }
                Ok(None) => self.next_turn(),
                Err(Broken) => self.doom(place, Cause::Protocol),
            }
        }
        self.evict_doomed();
        pulled
    }

    /// From here on there may be receivers that have not seen the beginning of messages under way:
    /// those are sent again from their first byte. (Those who saw it forget it when they see it
    /// again.)
    pub fn restart_messages(&mut self) {
        for at in 0..self.order.len() {
            let place = self.order[at];
            let Some(session) = self.sessions[place].as_mut() else { continue };
            session.intake.restart();
            let restarts = session.intake.gathered_bytes() > 0 && !session.is_evicted();
            if restarts && self.update_ready(place).is_err() {
                self.doom(place, Cause::Protocol);
            }
        }
        self.evict_doomed();
    }

    /// Whether the engine may go to sleep: nothing has happened that [`Server::poll`] should see
    /// first. Tells clients that they must ring from now on. After sleeping, and also after the
    /// answer "no", call [`Server::awake`].
    pub fn may_sleep(&mut self) -> bool {
        self.parking.arm();
        let mut quiet = self.link.is_quiet() && self.requests.is_empty();
        for place in &self.order {
            let Some(session) = self.sessions[*place].as_mut() else { continue };
            // Bytes already seen wait for the ring, not for us: only news count.
            let seen = session.seen_bytes;
            quiet &= session.is_evicted() || session.intake.available() == Ok(seen);
        }
        quiet
    }

    /// Clients need not ring any more; rings so far are forgotten.
    pub fn awake(&mut self) {
        self.parking.disarm();
        self.link.engine_bell.clear();
    }

    /// Readable when a client has rung while the engine sleeps.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.link.engine_bell.event_fd()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = SessionStatus> + '_ {
        self.sessions.iter().flatten().map(|s| SessionStatus {
            session: s.id,
            pid: s.pid,
            uid: s.uid,
            gid: s.gid,
            groups: s.groups.len(),
            shared: s.trust == crate::access::Trust::Shared,
            on_delivery_ring: s.shared,
            backlog_bytes: s.backlog.bytes(),
            submitted_bytes: s.seen_bytes,
            evicted: s.is_evicted(),
        })
    }

    /// Bytes copied away for slow readers and not read yet.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog_total
    }

    fn open(&mut self, new: crate::link::NewSession) {
        let request =
            Request::Open { session: new.session, pid: new.pid, uid: new.uid, gid: new.gid };
        let id = new.session;
        let mut session = Session::new(new, self.config.message_bytes_max);
        if session.trust == Trust::Shared {
            session.seat.reader = Some(self.ring.add_reader(session.seat.cursor()));
        }
        let place = self.sessions.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() - 1
        });
        self.sessions[place] = Some(Box::new(session));
        self.by_id.insert(id, place);
        self.order.push(place);
        self.counters.opened += 1;
        self.requests.push_back(request);
    }

    /// Reads control records up to the first data record.
    fn read_controls(&mut self, place: usize) -> Result<(), Broken> {
        let Some(session) = self.sessions[place].as_mut() else { return Ok(()) };
        if session.is_evicted() || matches!(session.life, Life::Draining(Cause::Closed)) {
            return Ok(());
        }
        session.seen_bytes = session.intake.available()?;
        for _ in 0..CONTROLS_PER_POLL {
            match session.intake.head()? {
                Some((kind, _)) if !kind.is_data() => {}
                _ => break,
            }
            let id = session.id;
            session.touched = true;
            match session.intake.control()? {
                Control::Join { request, name } => {
                    self.requests.push_back(Request::Join { session: id, request, name });
                }
                Control::Leave { request, group } => {
                    if let Some(membership) = session.membership(group) {
                        membership.leaving = true;
                    }
                    self.requests.push_back(Request::Leave { session: id, request, group });
                }
                Control::Close => {
                    // Nothing after it counts.
                    session.life = Life::Draining(Cause::Closed);
                    self.set_ready(place, 0);
                    self.detach(place);
                    return Ok(());
                }
            }
        }
        self.update_ready(place)
    }

    /// Recomputes what `pull` can have from a session.
    fn update_ready(&mut self, place: usize) -> Result<(), Broken> {
        let Some(session) = self.sessions[place].as_mut() else { return Ok(()) };
        let there = session.intake.available()?;
        let gathered = session.intake.gather()?;
        session.touched |= gathered > 0;
        // What came meanwhile was not seen: it keeps the engine awake.
        session.seen_bytes = there.saturating_sub(gathered);
        let (rest, seen) = (session.intake.gathered_bytes(), session.seen_bytes);
        let ready = match session.intake.head()? {
            Some((kind, _)) if kind.is_data() => seen.max(1) + rest,
            _ => 0,
        };
        self.set_ready(place, ready);
        Ok(())
    }

    fn set_ready(&mut self, place: usize, bytes: usize) {
        let Some(session) = self.sessions[place].as_mut() else { return };
        self.pending = self.pending - session.ready_bytes as u64 + bytes as u64;
        session.ready_bytes = bytes;
        if bytes == 0 {
            session.deficit = 0;
        } else if session.deficit == 0 {
            // It was idle: it may send in the turn that comes, like everybody else.
            session.deficit = QUANTUM_BYTES;
        }
    }

    fn next_turn(&mut self) {
        self.turn += 1;
        if self.turn >= self.order.len() {
            self.turn = 0;
        }
        let next = self.order.get(self.turn).and_then(|place| self.sessions[*place].as_mut());
        if let Some(session) = next.filter(|session| session.ready_bytes > 0) {
            session.deficit = (session.deficit + QUANTUM_BYTES).min(QUANTUM_BYTES);
        }
    }

    /// One run of one session.
    fn pull_from(&mut self, place: usize, buf: &mut [u8]) -> Result<Option<Pulled>, Broken> {
        let frame_bytes = self.frame_bytes;
        loop {
            let Some(session) = self.sessions[place].as_mut() else { return Ok(None) };
            let Some((kind, group)) = session.intake.head()? else { return Ok(None) };
            if !kind.is_data() || session.membership(group).is_some_and(|m| !m.leaving) {
                break;
            }
            let (count, bytes) = session.intake.skip()?;
            // Costs its turn like messages that are sent, so that nobody keeps the engine busy with nothing.
            session.deficit -= bytes.max(REFUSAL_BYTES) as i64;
            session.touched = true;
            let spent = session.deficit <= 0;
            let id = session.id;
            self.counters.not_sent += count;
            self.update_ready(place)?;
            if count > 0 {
                self.not_sent(id, group, count, NOT_A_MEMBER);
            }
            if spent {
                return Ok(None);
            }
        }
        let Some(session) = self.sessions[place].as_mut() else { return Ok(None) };
        let Some(taken) = session.intake.take(buf, frame_bytes)? else {
            return Ok(None);
        };
        session.deficit -= taken.bytes as i64;
        session.touched = true;
        let id = session.id;
        let spent = session.deficit <= 0;
        self.counters.runs_pulled += 1;
        self.counters.messages_pulled += u64::from(taken.count);
        self.counters.bytes_pulled += taken.bytes as u64;
        // What follows in the ring may be broken; what was taken is good all the same.
        if self.update_ready(place).is_err() {
            self.doom(place, Cause::Protocol);
        }
        if spent {
            self.next_turn();
        }
        Ok(Some(Pulled {
            session: id,
            group: taken.group,
            fragment: taken.fragment,
            safe: taken.safe,
            count: taken.count,
            bytes: taken.bytes,
        }))
    }
}

/// Reason of [`Delivery::NotSent`] for messages to a group that their sender is not a member of; the number of
/// the group layer's own refusal for the same.
pub const NOT_A_MEMBER: u8 = 3;
