//! The machine: its parts, its inputs, its timers.

use frame::{Frame, Pool};
use wire::trace::{Code, Level};
use wire::{NodeId, NodeSet};

use crate::cause::{Cause, Evidence};
use crate::ctx::Ctx;
use crate::detector::Detector;
use crate::feed::{Upper, leave_frame};
use crate::gather::Gather;
use crate::lease::lease_ns;
use crate::merge::Others;
use crate::ordering::Ordering;
use crate::recovery::{Recovery, RecoveryFeed};
use crate::timers::Timer;
use crate::visit::Feed;
use crate::{Config, Counters, Lease, Output, Owed, Source, State, Status};

/// Ring sequence numbers are stored in blocks of this many, so that nobody waits for a disk when a
/// ring is formed.
const PERSIST_BLOCK: u64 = 64;

/// The Totem protocol of one node. Mutate once (any method that takes the time), then drain
/// [`Totem::poll_output`], then wait until [`Totem::next_timeout`].
pub struct Totem {
    pub(crate) ctx: Ctx,
    pub(crate) config: Config,
    pub(crate) state: State,
    /// The ring installed last; its frames stay until the next one is installed.
    pub(crate) ring: Ordering,
    /// The ring that is being formed.
    pub(crate) forming: Ordering,
    pub(crate) gather: Gather,
    pub(crate) recovery: Recovery,
    pub(crate) others: Others,
    pub(crate) detector: Detector,
    /// Whose old frames this node promised to deliver (Moser et al. 1994, obligation set).
    pub(crate) obliged: NodeSet,
    /// Highest ring sequence number heard of.
    pub(crate) highest_ring_seq: u64,
    persisted: u64,
    persist_asked: u64,
    pub(crate) last_gather: Evidence,
    /// By position.
    pub(crate) owed: alloc::vec::Vec<Owed>,
    pub(crate) leaving: bool,
    /// The leave was numbered on the installed ring.
    pub(crate) leave_numbered: bool,
    /// A configuration waits in the outputs: the layer above has not seen it, so it must not be
    /// asked for frames of the ring it announces (see [`Source`]).
    pub(crate) unseen_configuration: bool,
    /// When the machine was called last.
    began_ns: u64,
}

impl Totem {
    /// A machine that starts to gather at once, alone.
    ///
    /// # Panics
    /// If the configuration is impossible: `nodes` not ascending, without `me`, or more than
    /// `wire::NODES_MAX`; `payload_bytes_max` below [`crate::PAYLOAD_BYTES_MIN`].
    pub fn new(config: Config, pool: Pool, now_ns: u64) -> Self {
        assert!(config.nodes.is_sorted_by(|a, b| a < b), "node list must ascend");
        assert!(config.nodes.contains(&config.me), "node list must contain this node");
        assert!(config.nodes.len() <= wire::NODES_MAX, "too many nodes");
        assert!(config.payload_bytes_max >= crate::PAYLOAD_BYTES_MIN, "payload too small");
        let mut ctx = Ctx::new(&config, pool);
        let me = ctx.me_pos;
        let nodes = config.nodes.len();
        let stored = config.ring_seq_stored;
        ctx.trace(Level::Info, Code::Started, &[config.me.0.into()]);
        let mut totem = Self {
            state: State::Gather,
            ring: Ordering::new(&config),
            forming: Ordering::new(&config),
            gather: Gather::new(nodes),
            recovery: Recovery::new(),
            others: Others::new(nodes),
            detector: Detector::new(),
            obliged: NodeSet::EMPTY,
            highest_ring_seq: stored,
            persisted: stored,
            persist_asked: stored,
            last_gather: Evidence::of(Cause::Start, 0),
            owed: config.nodes.iter().map(|node| nothing_owed(*node)).collect(),
            leaving: false,
            leave_numbered: false,
            unseen_configuration: false,
            began_ns: 0,
            config,
            ctx,
        };
        totem.ask_to_persist();
        let cause = Evidence::of(Cause::Start, 0);
        totem.enter_gather(now_ns, cause, NodeSet::single(me), NodeSet::EMPTY);
        totem
    }

    /// A plaintext frame of an authenticated peer.
    pub fn receive(&mut self, now_ns: u64, from: NodeId, frame: Frame, source: &mut dyn Source) {
        self.begin(now_ns);
        if self.state != State::Left {
            self.dispatch(now_ns, from, frame, source);
        }
        self.finish(now_ns, source);
    }

    /// A hint that nobody listens at a peer any more.
    pub fn unreachable(&mut self, now_ns: u64, peer: NodeId) {
        self.begin(now_ns);
        let Some(pos) = self.ctx.pos(peer).filter(|pos| *pos != self.ctx.me_pos) else { return };
        let concerns = match self.state {
            State::Left => false,
            State::Operational => self.ring.members.set.contains(pos),
            State::Gather => self.gather.wanted().contains(pos),
            State::Commit | State::Recovery => self.forming.members.set.contains(pos),
        };
        if concerns && self.detector.on_hint(now_ns, pos, &mut self.ctx) {
            self.peer_is_dead(now_ns, pos);
        }
    }

    /// Fires every timer that is due.
    pub fn timeout(&mut self, now_ns: u64, source: &mut dyn Source) {
        self.begin(now_ns);
        while let Some(timer) = self.ctx.timers.pop_due(now_ns) {
            self.fire(now_ns, timer, source);
            if timer == Timer::Hold {
                // A lone node comes back for more: once per call, so that inputs get their turn.
                break;
            }
        }
        self.finish(now_ns, source);
    }

    /// The source has something new.
    pub fn wake(&mut self, now_ns: u64, source: &mut dyn Source) {
        self.begin(now_ns);
        if self.state == State::Operational {
            if self.ring.held.as_ref().is_some_and(|held| held.resting || held.keeping) {
                self.work(now_ns, source);
            } else if self.ring.held.is_none() && source.backlog_bytes() > 0 {
                self.ring.ask_for_token(now_ns, &mut self.ctx);
            }
        }
        self.finish(now_ns, source);
    }

    /// Ring sequence numbers up to `ring_seq` are stored.
    pub fn persisted(&mut self, now_ns: u64, ring_seq: u64) {
        self.begin(now_ns);
        self.persisted = self.persisted.max(ring_seq);
        if self.state == State::Gather {
            self.check_consensus(now_ns);
        }
    }

    /// Announces the leave in order; [`Output::Left`] follows when everybody knows (or nobody
    /// answers).
    pub fn leave(&mut self, now_ns: u64, source: &mut dyn Source) {
        self.begin(now_ns);
        if self.leaving || self.state == State::Left {
            return;
        }
        self.leaving = true;
        let limit_ns = self.ctx.timeout_ns().saturating_mul(3);
        self.ctx.after(Timer::Leave, now_ns, limit_ns);
        if self.state == State::Operational && self.ring.held.is_some() {
            self.work(now_ns, source);
        } else if self.state == State::Operational {
            self.ring.ask_for_token(now_ns, &mut self.ctx);
        }
        self.finish(now_ns, source);
    }

    /// How many bytes this node can take in before it would have to drop frames. Keep a reserve
    /// back: to form a ring anew, frames must be built and received while those of the old ring are
    /// still kept.
    pub fn set_free_bytes(&mut self, bytes: u64) {
        self.ctx.free_bytes = bytes;
    }

    /// When to call [`Totem::timeout`], and which timer asks for it.
    pub fn next_timeout(&self) -> Option<(u64, Timer)> {
        self.ctx.timers.next()
    }

    /// Whether [`Totem::poll_output`] has something.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.ctx.out.is_empty()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.ctx.out.pop_front()
    }

    /// Which receive queue to read first: the token's once the predecessor's next round was seen,
    /// else data's (Babay and Amir 2016).
    pub fn token_first(&self) -> bool {
        self.state != State::Operational || self.ring.token_first
    }

    /// Numbers since the start.
    pub fn counters(&self) -> &Counters {
        &self.ctx.counters
    }

    /// A snapshot.
    pub fn status(&self) -> Status {
        let ring = &self.ring;
        Status {
            state: self.state,
            ring: ring.ring,
            members: ring.members.ids.clone(),
            seq: ring.high,
            aru: ring.aru,
            stable: ring.stable,
            delivered: ring.delivered,
            personal_window_bytes: ring.flow.personal_bytes(),
            global_window_bytes: ring.flow.global_bytes(),
            free_bytes: self.ctx.free_bytes,
            token_timeout_us: self.ctx.timeout_ns() / 1000,
            rotation_p50_us: self.ctx.rotation.percentile_us(500),
            rotation_p999_us: self.ctx.rotation.percentile_us(999),
            holding: ring.held.is_some(),
            resting: ring.held.as_ref().is_some_and(|held| held.resting),
            last_gather: self.last_gather,
            lease_until_ns: ring.life.until_ns,
            persisted: self.persisted,
        }
    }

    /// Until when this node may act for its ring. A ring of one needs nobody's proof.
    pub fn lease(&self, now_ns: u64) -> Lease {
        let ring = &self.ring;
        let members = ring.members.len();
        let alone = self.state == State::Operational && ring.members.is_alone();
        let until_ns = match alone {
            true => {
                let lease_ns = lease_ns(self.ctx.timeout_ns(), members, &self.ctx.tuning);
                now_ns.saturating_add(lease_ns)
            }
            false if self.ctx.mutated(crate::Mutation::EndlessLease) => u64::MAX,
            false => ring.life.until_ns,
        };
        Lease { ring: ring.ring, until_ns }
    }

    /// What nodes of former rings may still do on the strength of this node's signs of life there.
    pub fn owed(&self) -> impl Iterator<Item = Owed> + '_ {
        self.owed.iter().filter(|owed| owed.until_ns > 0).copied()
    }

    /// Until when anybody may act on the strength of this node's signs of life, in any ring.
    pub fn owed_until_ns(&self) -> u64 {
        let rings = [self.ring.life.owed_ns, self.forming.life.owed_ns];
        rings.into_iter().chain(self.owed.iter().map(|owed| owed.until_ns)).max().unwrap_or(0)
    }

    /// The ring is over: what was shown in it is owed from now on.
    pub(crate) fn note_owed(&mut self) {
        let ring = &self.ring;
        if ring.life.owed_ns == 0 || self.ctx.mutated(crate::Mutation::OweNothing) {
            return;
        }
        for pos in ring.members.set.iter().filter(|pos| *pos != self.ctx.me_pos) {
            let owed = &mut self.owed[pos];
            owed.until_ns = owed.until_ns.max(ring.life.owed_ns);
            owed.ring_seq = owed.ring_seq.max(ring.ring.seq);
        }
    }

    /// A node is gone for good.
    pub(crate) fn gone(&mut self, pos: usize) {
        let node = self.ctx.nodes[pos];
        self.ctx.out.push_back(Output::Gone { node });
    }

    /// Makes one deliberate bug (for tests of the checkers).
    #[cfg(feature = "mutations")]
    pub fn set_mutation(&mut self, mutation: Option<crate::Mutation>) {
        self.ctx.mutation = mutation;
    }

    /// Highest ring sequence number that may be used.
    pub(crate) fn persisted_seq(&self) -> u64 {
        self.persisted
    }

    /// A higher ring sequence number was heard of.
    pub(crate) fn learn_ring_seq(&mut self, seq: u64) {
        self.highest_ring_seq = self.highest_ring_seq.max(seq);
        self.ask_to_persist();
    }

    fn ask_to_persist(&mut self) {
        if self.persist_asked < self.highest_ring_seq.saturating_add(PERSIST_BLOCK / 2) {
            self.persist_asked = self.highest_ring_seq.saturating_add(PERSIST_BLOCK);
            self.ctx.out.push_back(Output::Persist { ring_seq: self.persist_asked });
        }
    }

    fn begin(&mut self, now_ns: u64) {
        self.unseen_configuration = false;
        // The frames of one burst come with one time: the first has told whether there was a pause.
        if core::mem::replace(&mut self.began_ns, now_ns) == now_ns {
            return;
        }
        if let Some(paused_ns) = self.detector.own_pause(now_ns, &mut self.ctx) {
            self.ring.heard_ns.iter_mut().for_each(|heard| *heard += paused_ns);
            self.ring.stuck = None;
        }
    }

    /// What every input may lead to.
    fn finish(&mut self, now_ns: u64, source: &mut dyn Source) {
        if self.state == State::Recovery {
            self.check_recovery(now_ns, source);
        }
        if self.state == State::Operational && !self.ring.leavers.is_empty() {
            self.members_left(now_ns);
        }
        let elsewhere = self.ring.held.is_none() && self.ring.holder.is_some();
        if self.state == State::Operational
            && elsewhere
            && !self.ctx.timers.is_set(Timer::Want)
            && source.backlog_bytes() > 0
        {
            // Somebody keeps the token and may not know that we have something too.
            self.ring.ask_for_token(now_ns, &mut self.ctx);
        }
        let idle =
            self.state == State::Gather && self.leaving && !self.ctx.timers.is_set(Timer::Leave);
        if idle {
            self.become_left();
        }
    }

    fn fire(&mut self, now_ns: u64, timer: Timer, source: &mut dyn Source) {
        match timer {
            Timer::TokenLoss => self.token_lost(now_ns),
            Timer::TokenRetransmit => self.current().retransmit(now_ns),
            Timer::Hold if self.ring.keep_on(now_ns, &mut self.ctx) => {}
            Timer::Hold => {
                // Kept long enough: what was sent becomes stable only if the token goes round.
                if let Some(held) = &mut self.ring.held {
                    held.lone = false;
                }
                self.work(now_ns, source);
            }
            Timer::Beacon => {
                if let Some((silent, age_ns)) = self.ring.fire_beacon(now_ns, &mut self.ctx) {
                    self.evict(now_ns, Cause::Unanswered, silent, Timer::Beacon, age_ns);
                } else if self.ring.held.as_ref().is_some_and(|held| held.resting)
                    && self.ring.should_go_round(now_ns, &self.ctx)
                {
                    self.work(now_ns, source);
                }
            }
            Timer::Want => {
                if self.state == State::Operational
                    && (source.backlog_bytes() > 0 || self.leaving && !self.leave_numbered)
                {
                    self.ring.ask_for_token(now_ns, &mut self.ctx);
                }
            }
            Timer::Repair => {
                let (ring, ctx) = self.current().parts();
                ring.fire_repair(now_ns, ctx);
            }
            Timer::Join => self.send_join(now_ns),
            Timer::Consensus => self.consensus_timeout(now_ns),
            Timer::Probe => self.send_probe(now_ns),
            Timer::Ping => self.detector.fire(now_ns, &mut self.ctx),
            Timer::Leave => self.become_left(),
            Timer::Doubt => {
                let (ring, ctx) = self.current().parts();
                ring.doubt(now_ns, ctx);
            }
        }
    }

    /// The ring whose token and frames are live.
    pub(crate) fn current(&mut self) -> Current<'_> {
        let forming = matches!(self.state, State::Commit | State::Recovery);
        let ring = if forming { &mut self.forming } else { &mut self.ring };
        Current { ring, ctx: &mut self.ctx }
    }

    /// The token is here: number what there is, then keep it or pass it on.
    pub(crate) fn work(&mut self, now_ns: u64, source: &mut dyn Source) {
        match self.state {
            State::Operational => self.work_operational(now_ns, source),
            State::Recovery => {
                let mut feed = RecoveryFeed {
                    recovery: &mut self.recovery,
                    old: &self.ring,
                    pool: self.ctx.pool.clone(),
                    sent: 0,
                };
                self.forming.number(&mut self.ctx, &mut feed);
                self.ctx.counters.recovered_sent += feed.sent;
                let backlog = feed.backlog_bytes();
                self.recovery.digest(&mut self.forming, &mut self.ring, &mut self.ctx);
                self.forming.conclude(now_ns, backlog, &mut self.ctx);
            }
            State::Gather | State::Commit | State::Left => {}
        }
    }

    fn work_operational(&mut self, now_ns: u64, source: &mut dyn Source) {
        let announce = self.leaving && !self.leave_numbered;
        let leave = if announce { leave_frame(&mut self.ctx) } else { None };
        let closed = self.leave_numbered || self.unseen_configuration;
        let mut feed = Upper { source, leave, closed };
        self.ring.number(&mut self.ctx, &mut feed);
        let backlog = feed.backlog_bytes();
        self.leave_numbered |= feed.closed && !closed;
        self.ring.conclude(now_ns, backlog, &mut self.ctx);
        if let Some((stuck, age_ns)) = self.ring.not_receiving(now_ns, &self.ctx) {
            self.evict(now_ns, Cause::NotReceiving, stuck, Timer::TokenLoss, age_ns);
        }
    }
}

fn nothing_owed(node: NodeId) -> Owed {
    Owed { node, until_ns: 0, ring_seq: 0 }
}

/// A ring and what it needs.
pub(crate) struct Current<'a> {
    pub(crate) ring: &'a mut Ordering,
    pub(crate) ctx: &'a mut Ctx,
}

impl<'a> Current<'a> {
    fn parts(self) -> (&'a mut Ordering, &'a mut Ctx) {
        (self.ring, self.ctx)
    }

    fn retransmit(self, now_ns: u64) {
        self.ring.retransmit_token(now_ns, self.ctx);
    }
}
