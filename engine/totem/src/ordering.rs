//! One ring's order: which frames are here, which are known everywhere, which were delivered.
//!
//! Receiving, delivering and releasing stand here; the token's visit in `visit`, resting in `rest`,
//! requests for gaps in `repair` and `question`, answers to them in `resend`.

use frame::Frame;
use wire::data::{DATA_HEADER_BYTES, DataHeader, FLAG_CONTROL, FLAG_HELD, FLAG_SAFE};
use wire::state::ControlKind;
use wire::{NodeId, NodeSet, RingId};

use crate::asked::Asked;
use crate::ctx::Ctx;
use crate::flow::Flow;
use crate::lease::Life;
use crate::members::Members;
use crate::question::Questions;
use crate::repair::Repair;
use crate::resend::Resends;
use crate::timers::Timer;
use crate::visit::{Held, Kept};
use crate::watch::Watch;
use crate::window::{Slot, Window};
use crate::{Config, Delivered, Mutation, Output};

/// One ring as this node sees it (Amir et al. 1995 sec. 3.1).
pub(crate) struct Ordering {
    pub(crate) ring: RingId,
    pub(crate) members: Members,
    pub(crate) window: Window,
    /// Everything up to here was received.
    pub(crate) aru: u64,
    /// Highest number known to be given to a frame.
    pub(crate) high: u64,
    /// Every member has everything up to here.
    pub(crate) stable: u64,
    /// Everything up to here was delivered (or, in Recovery, digested).
    pub(crate) delivered: u64,
    /// Highest frame that asks for safe delivery.
    pub(crate) safe_high: u64,
    /// My last frame.
    pub(crate) mine_last: u64,
    /// Bytes of mine that the token's `in_flight` counts.
    pub(crate) mine_in_flight: u64,
    /// Highest visit seen.
    pub(crate) visit: u64,
    /// `seq` of the token when I last let it go.
    pub(crate) departed_seq: u64,
    /// `seq` of the token when it left my previous regular visit: what may be asked for (Babay and
    /// Amir 2016).
    pub(crate) prev_token_seq: u64,
    /// `aru` I sent at my previous regular visit.
    pub(crate) aru_sent: u64,
    /// I lowered `aru` at a detour since my last regular visit: not everybody has seen that yet.
    pub(crate) lowered_out_of_turn: bool,
    /// When my last regular visit began.
    pub(crate) regular_ns: u64,
    /// What is proven and owed.
    pub(crate) life: Life,
    /// Somebody kept the token since my last regular visit: the time since says nothing about
    /// rotations.
    pub(crate) rested: bool,
    pub(crate) held: Option<Held>,
    pub(crate) kept: Option<Kept>,
    /// Who is known to keep the token.
    pub(crate) holder: Option<NodeId>,
    /// Who asked me for it.
    pub(crate) wants: NodeSet,
    /// Who is there while the token stays.
    pub(crate) watch: Watch,
    /// When each member (by position) last answered.
    pub(crate) heard_ns: alloc::vec::Vec<u64>,
    /// What is asked of the members while the token is kept, and what they answered.
    pub(crate) asked: Asked,
    pub(crate) flow: Flow,
    pub(crate) repair: Repair,
    /// What was sent again to whom.
    pub(crate) resends: Resends,
    /// Beacons that were answered while something was missing.
    pub(crate) questions: Questions,
    /// First frame numbered but not sent yet.
    pub(crate) unsent: u64,
    /// Only Recovery's frames may be sent; the token does not rest.
    pub(crate) recovering: bool,
    /// Nothing but recovered frames may be added any more: what is here was told to the others.
    pub(crate) sealed: bool,
    /// Members whose leave was delivered.
    pub(crate) leavers: NodeSet,
    /// The predecessor has the token or had it after me: read the token's queue first.
    pub(crate) token_first: bool,
    /// A member that stops the ring's `aru`, and since when.
    pub(crate) stuck: Option<(NodeId, u64, u64)>,
}

impl Ordering {
    pub(crate) fn new(config: &Config) -> Self {
        let nobody = Members::new(NodeSet::EMPTY, &config.nodes, config.me);
        Self {
            ring: RingId { seq: 0, rep: config.me },
            members: nobody,
            window: Window::new(config.tuning.window_frames),
            aru: 0,
            high: 0,
            stable: 0,
            delivered: 0,
            safe_high: 0,
            mine_last: 0,
            mine_in_flight: 0,
            visit: 0,
            departed_seq: 0,
            prev_token_seq: 0,
            aru_sent: 0,
            lowered_out_of_turn: false,
            regular_ns: 0,
            life: Life::new(config.nodes.len()),
            rested: false,
            held: None,
            kept: None,
            holder: None,
            wants: NodeSet::EMPTY,
            watch: Watch::default(),
            heard_ns: alloc::vec![0; config.nodes.len()],
            asked: Asked::new(config.nodes.len()),
            flow: Flow::new(&config.tuning, config.payload_bytes_max + DATA_HEADER_BYTES),
            repair: Repair::new(),
            resends: Resends::new(),
            questions: Questions::new(),
            unsent: 1,
            recovering: false,
            sealed: false,
            leavers: NodeSet::EMPTY,
            token_first: false,
            stuck: None,
        }
    }

    /// Starts a new, empty ring. The flow-control window survives: the network is the same.
    pub(crate) fn reset(&mut self, ring: RingId, members: Members) {
        self.ring = ring;
        self.members = members;
        self.window.reset();
        self.aru = 0;
        self.high = 0;
        self.stable = 0;
        self.delivered = 0;
        self.safe_high = 0;
        self.mine_last = 0;
        self.mine_in_flight = 0;
        self.visit = 0;
        self.departed_seq = 0;
        self.prev_token_seq = 0;
        self.aru_sent = 0;
        self.lowered_out_of_turn = false;
        self.regular_ns = 0;
        self.life.reset();
        self.asked.reset();
        self.rested = false;
        self.unsent = 1;
        self.recovering = true;
        self.sealed = false;
        self.leavers = NodeSet::EMPTY;
        self.stop();
    }

    /// The ring is over: nothing is held, kept or asked for any more. Its frames stay.
    pub(crate) fn stop(&mut self) {
        self.held = None;
        self.kept = None;
        self.holder = None;
        self.wants = NodeSet::EMPTY;
        self.repair.clear();
        self.resends.clear();
        self.questions.clear();
        self.token_first = false;
        self.stuck = None;
    }

    /// Takes in a frame of this ring; `true` if it was new.
    pub(crate) fn insert(
        &mut self,
        now_ns: u64,
        header: &DataHeader,
        frame: Frame,
        ctx: &mut Ctx,
    ) -> bool {
        let seq = header.seq.get();
        let origin = NodeId(header.origin.get());
        if seq <= self.window.base() || self.window.has(seq) {
            ctx.counters.frames_duplicate += 1;
            self.repair.came_twice(seq);
            return false;
        }
        if !self.window.covers(seq) {
            ctx.counters.frames_beyond_window += 1;
            return false;
        }
        if !self.members.contains(origin) || origin == ctx.me && seq > self.mine_last {
            // Nobody but me numbers frames in my name (and mine are here already).
            ctx.counters.malformed += 1;
            return false;
        }
        ctx.counters.frames_received += 1;
        self.put(seq, Slot { frame, origin, flags: header.flags });
        let prev = header.prev.get();
        if prev > self.aru && !self.window.has(prev) {
            self.repair.note_before(now_ns, origin, prev, self.aru, &self.window, ctx);
        }
        true
    }

    /// A new frame of another member shows that the token moves (or rests where the frame says).
    pub(crate) fn progress(&mut self, now_ns: u64, header: &DataHeader, ctx: &mut Ctx) {
        let origin = NodeId(header.origin.get());
        // Only the low half of the visit travels; half of that is more than any delay.
        let ahead = header.round.get().wrapping_sub(self.visit as u32) as i32;
        if ahead <= 0 {
            return;
        }
        self.alive(now_ns, ctx);
        if self.kept.as_ref().is_some_and(|kept| ahead >= (kept.visit - self.visit) as i32) {
            self.drop_kept(ctx);
        }
        self.token_first |= origin == self.members.predecessor();
        self.holder = (header.flags & FLAG_HELD != 0).then_some(origin);
        self.rested |= self.holder.is_some();
    }

    /// The ring shows a sign of life.
    #[inline]
    pub(crate) fn alive(&mut self, now_ns: u64, ctx: &mut Ctx) {
        if self.held.is_none() {
            ctx.after(Timer::TokenLoss, now_ns, ctx.timeout_ns());
            ctx.timers.clear(Timer::Doubt);
        }
    }

    #[inline]
    fn put(&mut self, seq: u64, slot: Slot) {
        if slot.flags & FLAG_SAFE != 0 {
            self.safe_high = self.safe_high.max(seq);
        }
        self.window.insert(seq, slot);
        self.high = self.high.max(seq);
        if seq == self.aru + 1 {
            self.aru = seq;
            while self.window.has(self.aru + 1) {
                self.aru += 1;
            }
        }
    }

    /// Puts in a frame of mine, or one that was recovered.
    pub(crate) fn put_known(&mut self, seq: u64, slot: Slot) {
        self.put(seq, slot);
    }

    /// More is known to be everywhere.
    pub(crate) fn set_stable(&mut self, stable: u64) {
        // What every member has, this node has too: more than `aru` can only be a lie.
        self.stable = self.stable.max(stable.min(self.aru));
    }

    /// Delivers what may be delivered: contiguous, and safe frames only once they are stable (Amir
    /// et al. 1995 sec. 3.2).
    pub(crate) fn deliver(&mut self, ctx: &mut Ctx) {
        self.deliver_to(ctx, &mut queue);
    }

    /// As [`Ordering::deliver`], to whoever takes it.
    pub(crate) fn deliver_to(&mut self, ctx: &mut Ctx, to: &mut impl FnMut(&mut Ctx, Delivered)) {
        if self.recovering {
            return;
        }
        while self.delivered < self.high {
            let seq = self.delivered + 1;
            let Some(slot) = self.window.get(seq) else {
                if ctx.mutated(Mutation::DeliverGap) && self.high > seq + 8 {
                    self.delivered = seq;
                    continue;
                }
                break;
            };
            let wait = slot.flags & FLAG_SAFE != 0 && seq > self.safe_limit(ctx);
            if wait {
                break;
            }
            self.delivered = seq;
            self.hand_over_to(seq, false, ctx, to);
        }
    }

    fn safe_limit(&self, ctx: &Ctx) -> u64 {
        if ctx.mutated(Mutation::SafeAsAgreed) {
            return self.high;
        }
        if ctx.mutated(Mutation::SkipStableCheck) {
            return self.aru_sent.max(self.stable);
        }
        self.stable
    }

    /// Delivers one frame, or acts on it if it is the ring's own.
    pub(crate) fn hand_over(&mut self, seq: u64, transitional: bool, ctx: &mut Ctx) {
        self.hand_over_to(seq, transitional, ctx, &mut queue);
    }

    fn hand_over_to(
        &mut self,
        seq: u64,
        transitional: bool,
        ctx: &mut Ctx,
        to: &mut impl FnMut(&mut Ctx, Delivered),
    ) {
        let Some(slot) = self.window.get(seq) else { return };
        if slot.flags & FLAG_CONTROL != 0 {
            let payload = slot.frame.get(DATA_HEADER_BYTES..).unwrap_or(&[]);
            if ControlKind::of(payload) == Some(ControlKind::Leave)
                && let Some(pos) = ctx.pos(slot.origin)
            {
                self.leavers.insert(pos);
            }
            return;
        }
        if ctx.mutated(Mutation::NoSelfDelivery) && slot.origin == ctx.me && seq.is_multiple_of(8) {
            return;
        }
        let delivered = Delivered {
            ring: self.ring,
            seq,
            origin: slot.origin,
            payload: slot.frame.slice(DATA_HEADER_BYTES..slot.frame.len()),
            transitional,
        };
        ctx.counters.frames_delivered += 1;
        if ctx.mutated(Mutation::DuplicateDeliver) && seq.is_multiple_of(8) {
            to(ctx, delivered.clone());
        }
        to(ctx, delivered);
    }

    /// Lets go of frames that everybody has and that were delivered here.
    pub(crate) fn release(&mut self) {
        self.window.release_to(self.stable.min(self.delivered));
    }
}

/// Leaves a frame to be taken out of the outputs.
fn queue(ctx: &mut Ctx, delivered: Delivered) {
    ctx.out.push_back(Output::Deliver(delivered));
}
