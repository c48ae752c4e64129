//! What all parts of the machine share: identity, memory, outputs, timers, counters.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;

use frame::{Class, Frame, FrameMut, Pool};
use wire::trace::{Code, Level, Trace};
use wire::{CONTROL_BYTES_MAX, NodeId};

use crate::rotation::Rotation;
use crate::timers::{Timer, Timers};
use crate::{Config, Counters, Dest, Lane, Output, TokenTimeout, Tuning};

/// The token is sent again at least so often before the ring is given up.
const RETRANSMITS: u64 = 4;
/// A token is late after two usual rotations and this: one slice of the scheduler's.
const RETRANSMIT_SLACK_NS: u64 = 1_000_000;
/// The first retransmission before any rotation was measured.
const RETRANSMIT_UNKNOWN_NS: u64 = 20_000_000;
/// Slots kept aside so that the token can be sent while the pool is empty.
const SPARE_SLOTS: usize = 4;

pub(crate) struct Ctx {
    pub(crate) me: NodeId,
    /// Position of this node in the node list.
    pub(crate) me_pos: usize,
    pub(crate) nodes: Vec<NodeId>,
    /// Position asked for last: most often the next one's as well.
    recent: Cell<usize>,
    pub(crate) payload_bytes_max: usize,
    pub(crate) tuning: Tuning,
    pub(crate) pool: Pool,
    pub(crate) out: VecDeque<Output>,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) rotation: Rotation,
    /// Free receive room of this node.
    pub(crate) free_bytes: u64,
    token_timeout: TokenTimeout,
    /// The ring's agreed timeout.
    timeout_ns: u64,
    spare: Vec<FrameMut>,
    random: u64,
    #[cfg(feature = "mutations")]
    pub(crate) mutation: Option<crate::Mutation>,
}

impl Ctx {
    pub(crate) fn new(config: &Config, pool: Pool) -> Self {
        let rotation = Rotation::new();
        let mut ctx = Self {
            me: config.me,
            me_pos: config.nodes.binary_search(&config.me).unwrap_or(0),
            nodes: config.nodes.clone(),
            recent: Cell::new(0),
            payload_bytes_max: config.payload_bytes_max,
            tuning: config.tuning.clone(),
            pool,
            out: VecDeque::with_capacity(1024),
            timers: Timers::new(),
            counters: Counters::default(),
            timeout_ns: rotation.timeout_us(config.token_timeout) * 1000,
            rotation,
            free_bytes: u64::MAX,
            token_timeout: config.token_timeout,
            spare: Vec::with_capacity(SPARE_SLOTS),
            random: config.seed ^ (u64::from(config.me.0) << 32) ^ 0x9e37_79b9_7f4a_7c15,
            #[cfg(feature = "mutations")]
            mutation: None,
        };
        ctx.refill_spare();
        ctx
    }

    /// Position of a node in the node list.
    #[inline]
    pub(crate) fn pos(&self, node: NodeId) -> Option<usize> {
        let recent = self.recent.get();
        if self.nodes.get(recent) == Some(&node) {
            return Some(recent);
        }
        let found = self.nodes.binary_search(&node).ok();
        found.inspect(|at| self.recent.set(*at))
    }

    /// The timeout this node asks for, microseconds.
    pub(crate) fn wanted_timeout_us(&self) -> u64 {
        self.rotation.timeout_us(self.token_timeout)
    }

    /// Whether the timeout follows measurements.
    pub(crate) fn measures(&self) -> bool {
        matches!(self.token_timeout, TokenTimeout::Auto { .. })
    }

    /// A ring of so many members is formed. The timeout is the upper bound again if some of them were not in the
    /// last one.
    pub(crate) fn begin_ring(&mut self, now_ns: u64, members: usize, some_are_new: bool) {
        self.rotation.begin_ring(now_ns, members, some_are_new);
        if some_are_new {
            self.timeout_ns = self.wanted_timeout_us().saturating_mul(1000);
        }
    }

    /// The timeout in force, nanoseconds.
    #[inline]
    pub(crate) fn timeout_ns(&self) -> u64 {
        self.timeout_ns
    }

    /// How long to wait for a sign that the token arrived before sending it the `tries`-th time again:
    /// by what a rotation usually takes, not by the timeout, so that a lost token costs little more
    /// than a rotation; then ever longer, so that a busy ring is not flooded with copies.
    pub(crate) fn retransmit_ns(&self, tries: u32) -> u64 {
        let usual_ns = match self.rotation.percentile_us(500) {
            0 => RETRANSMIT_UNKNOWN_NS,
            us => us * 1000 * 2 + RETRANSMIT_SLACK_NS,
        };
        usual_ns.saturating_mul(1 << tries.min(20)).min(self.timeout_ns / (RETRANSMITS + 1))
    }

    /// The shortest timeout the configuration allows, nanoseconds: the same on every node, whatever
    /// each has measured.
    pub(crate) fn timeout_min_ns(&self) -> u64 {
        let us = match self.token_timeout {
            TokenTimeout::Auto { min_us, .. } => min_us,
            TokenTimeout::Fixed { us } => us,
        };
        us.saturating_mul(1000)
    }

    /// Takes over other bounds. What this node asks for counts at once; with the next rotation the
    /// members agree again.
    pub(crate) fn set_token_timeout(&mut self, token_timeout: TokenTimeout) {
        if self.token_timeout != token_timeout {
            self.token_timeout = token_timeout;
            self.timeout_ns = self.wanted_timeout_us().saturating_mul(1000);
        }
    }

    /// Takes over another node list, which this node is in; gives the one before.
    pub(crate) fn set_nodes(&mut self, nodes: Vec<NodeId>) -> Vec<NodeId> {
        self.me_pos = nodes.binary_search(&self.me).unwrap_or(0);
        core::mem::replace(&mut self.nodes, nodes)
    }

    /// Takes over the ring's agreed timeout.
    pub(crate) fn set_timeout_us(&mut self, us: u32) {
        if us > 0 {
            self.timeout_ns = u64::from(us) * 1000;
        }
    }

    /// A number below `bound` (xorshift64*): jitter only.
    pub(crate) fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }

    pub(crate) fn trace(&mut self, level: Level, code: Code, args: &[u64]) {
        self.out.push_back(Output::Trace(Trace::new(level, code, args)));
    }

    #[inline]
    pub(crate) fn send(&mut self, to: Dest, lane: Lane, frame: Frame) {
        self.out.push_back(Output::Send { to, lane, frame });
    }

    /// A slot for one frame of up to `bytes` bytes.
    pub(crate) fn alloc(&mut self, bytes: usize) -> Option<FrameMut> {
        let small = bytes <= self.pool.slot_bytes(Class::Small);
        let slot = if small { self.pool.alloc(Class::Small) } else { None };
        slot.or_else(|| self.pool.alloc(Class::Large)).filter(|slot| slot.len() >= bytes)
    }

    /// Builds a control frame; `None` when there is no slot, not even a spare one.
    pub(crate) fn control(
        &mut self,
        emit: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Frame> {
        let slot = self.alloc(CONTROL_BYTES_MAX).or_else(|| self.spare.pop());
        let Some(mut slot) = slot else {
            self.counters.pool_empty += 1;
            return None;
        };
        let len = emit(&mut slot)?;
        slot.truncate(len);
        self.refill_spare();
        Some(slot.freeze())
    }

    /// Builds and sends a control frame.
    pub(crate) fn send_control(
        &mut self,
        to: Dest,
        lane: Lane,
        emit: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let frame = self.control(emit);
        frame.map(|frame| self.send(to, lane, frame)).is_some()
    }

    /// Sets a timer relative to now.
    #[inline]
    pub(crate) fn after(&mut self, timer: Timer, now_ns: u64, delay_ns: u64) {
        self.timers.set(timer, now_ns.saturating_add(delay_ns));
    }

    #[cfg(feature = "mutations")]
    pub(crate) fn mutated(&self, mutation: crate::Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    #[cfg(not(feature = "mutations"))]
    #[inline(always)]
    #[allow(clippy::unused_self, reason = "same shape with and without the feature")]
    pub(crate) fn mutated(&self, _: crate::Mutation) -> bool {
        false
    }

    fn refill_spare(&mut self) {
        while self.spare.len() < SPARE_SLOTS {
            let Some(slot) = self.pool.alloc(Class::Small) else { return };
            if slot.len() < CONTROL_BYTES_MAX {
                return;
            }
            self.spare.push(slot);
        }
    }
}
