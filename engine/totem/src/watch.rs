//! While the token stays at one member the network is quiet: who is still there? All are asked with beacons, seldom;
//! who does not answer one is asked again by itself, often, and so is a holder that is not heard of. How late
//! answers and beacons come is measured: the timeout covers it as it covers rotations (docs/adr/0018).

use wire::NodeId;
use wire::beacon::{Answer, Beacon, Want, Wish};

use crate::ctx::Ctx;
use crate::lease::{beacon_interval_ns, question_interval_ns, rest_timeout_ns};
use crate::ordering::Ordering;
use crate::rest::hold_ns;
use crate::rotation::TRUST_AT;
use crate::timers::Timer;
use crate::{Dest, Lane};

/// Rotations of a ring with new members before its token may stay anywhere: those the timeout is derived from, and
/// the few that begin before the first regular visit or in Recovery.
pub(crate) const ROTATIONS_NEW: u32 = TRUST_AT + 4;
/// Rotations in which the members agree on another timeout: one collects what each asks for, one tells all, and the
/// first begins somewhere on the way.
const ROTATIONS_AGREE: u32 = 3;
/// Less than this says nothing that the slack of the timeout would not cover.
const LATE_MIN_NS: u64 = 1_000_000;
/// A timeout is too short when it lacks one part in so many.
const SHORT_SHARE: u64 = 8;
/// A member says so at most so often: the rotations that it asks for take a while.
const SHORT_NS: u64 = 100_000_000;

/// The last beacon that was heard.
#[derive(Clone, Copy, Default)]
struct Sign {
    visit: u64,
    at_ns: u64,
    /// How long after it the next one is due.
    next_ns: u64,
}

/// What a member knows of the others while the token stays.
#[derive(Default)]
pub(crate) struct Watch {
    /// Regular visits here before the token may stay here.
    pub(crate) rotations: u32,
    sign: Sign,
    /// When the holder asks all again.
    beacon_ns: u64,
    /// When this node may ask for a longer timeout again.
    short_ns: u64,
}

impl Watch {
    /// A new ring, of members for which the timeout is derived from measurements or not yet.
    pub(crate) fn begin_ring(&mut self, is_measured: bool) {
        let rotations = if is_measured { ROTATIONS_AGREE } else { ROTATIONS_NEW };
        *self = Self { rotations, ..Self::default() };
    }
}

impl Ordering {
    /// The token comes to rest here.
    pub(crate) fn watch(&mut self, now_ns: u64, ctx: &mut Ctx) {
        self.heard_ns.iter_mut().for_each(|heard| *heard = now_ns);
        self.ask_all(now_ns, ctx);
    }

    fn ask_all(&mut self, now_ns: u64, ctx: &mut Ctx) {
        self.send_beacon(now_ns, ctx);
        let timeout_ns = ctx.timeout_ns();
        let interval_ns = beacon_interval_ns(timeout_ns, self.members.len(), &ctx.tuning);
        self.watch.beacon_ns = now_ns.saturating_add(interval_ns);
        ctx.after(Timer::Beacon, now_ns, interval_ns.min(question_interval_ns(timeout_ns)));
    }

    /// The beacon timer: the member that has not answered for too long, if there is one. Else all are asked, or those
    /// that did not answer the last beacon.
    pub(crate) fn fire_beacon(&mut self, now_ns: u64, ctx: &mut Ctx) -> Option<(NodeId, u64)> {
        if !self.held.as_ref().is_some_and(|held| held.resting) || self.members.is_alone() {
            return None;
        }
        let limit_ns = rest_timeout_ns(ctx.timeout_ns(), self.members.len(), &ctx.tuning);
        let members = self.members.set;
        let others = || members.iter().filter(|pos| *pos != ctx.me_pos);
        let age_ns = |pos: usize| now_ns.saturating_sub(self.heard_ns[pos]);
        let silent = others().filter(|pos| age_ns(*pos) > limit_ns).max_by_key(|pos| age_ns(*pos));
        if let Some(pos) = silent {
            return Some((ctx.nodes[pos], age_ns(pos)));
        }
        if now_ns >= self.watch.beacon_ns {
            self.ask_all(now_ns, ctx);
        } else {
            self.ask_again(now_ns, ctx);
        }
        None
    }

    /// Asks those that did not answer the last beacon.
    fn ask_again(&mut self, now_ns: u64, ctx: &mut Ctx) {
        let (members, me) = (self.members.set, ctx.me_pos);
        let others = || members.iter().filter(|pos| *pos != me);
        let numbers = self.life.asked(others());
        let mut at_ns = self.watch.beacon_ns;
        for pos in others() {
            if !self.life.has_answered(pos) {
                ctx.counters.beacons_again += 1;
                self.emit_beacon(ctx, Dest::Node(ctx.nodes[pos]), Some(numbers), true);
                let question_ns = question_interval_ns(ctx.timeout_ns());
                at_ns = at_ns.min(now_ns.saturating_add(question_ns));
            }
        }
        ctx.timers.set(Timer::Beacon, at_ns);
    }

    /// The token rests here and a member answered: when all have, nobody need be asked before the next beacon.
    pub(crate) fn all_answered(&self, ctx: &mut Ctx) {
        let mut others = self.members.set.iter().filter(|pos| *pos != ctx.me_pos);
        if others.all(|pos| self.life.has_answered(pos)) {
            ctx.timers.set(Timer::Beacon, self.watch.beacon_ns);
        }
    }

    /// A beacon came: how late, and how long may it be until the next.
    pub(crate) fn heard_beacon(&mut self, now_ns: u64, beacon: &Beacon, ctx: &mut Ctx) {
        // Until the next visit the holder's timeout may differ from ours.
        let timeout_ns = ctx.timeout_ns().max(u64::from(beacon.timeout_us) * 1000);
        let members = self.members.len();
        let interval_ns = beacon_interval_ns(timeout_ns, members, &ctx.tuning);
        let next_ns = if beacon.kept { hold_ns(ctx) } else { interval_ns };
        if beacon.answer {
            let Sign { visit, at_ns, next_ns: due_ns } = self.watch.sign;
            if visit == beacon.visit && !beacon.again {
                let late_ns = now_ns.saturating_sub(at_ns).saturating_sub(due_ns);
                note_late(now_ns, late_ns, ctx);
            }
            self.watch.sign = Sign { visit: beacon.visit, at_ns: now_ns, next_ns };
        }
        if beacon.kept {
            // It goes on numbering, and shows itself often.
            ctx.after(Timer::TokenLoss, now_ns, timeout_ns);
            ctx.timers.clear(Timer::Doubt);
        } else {
            let rest_ns = rest_timeout_ns(timeout_ns, members, &ctx.tuning);
            ctx.after(Timer::TokenLoss, now_ns, rest_ns);
            let doubt_ns = interval_ns + question_interval_ns(timeout_ns);
            ctx.after(Timer::Doubt, now_ns, doubt_ns);
        }
        if is_short(timeout_ns, ctx) && now_ns >= self.watch.short_ns {
            self.watch.short_ns = now_ns.saturating_add(SHORT_NS);
            ctx.counters.rotations_wanted += 1;
            self.wish(Wish::Rotation, ctx);
        }
    }

    /// Nothing was heard of the resting token's holder for longer than it should take.
    pub(crate) fn doubt(&mut self, now_ns: u64, ctx: &mut Ctx) {
        if self.held.is_none() && self.holder.is_some() {
            ctx.counters.signs_wanted += 1;
            self.wish(Wish::Sign, ctx);
            ctx.after(Timer::Doubt, now_ns, question_interval_ns(ctx.timeout_ns()));
        }
    }

    /// Tells the holder what this node wants of it.
    pub(crate) fn wish(&mut self, wish: Wish, ctx: &mut Ctx) {
        if let Some(holder) = self.holder {
            let want = Want { ring: self.ring, node: ctx.me, wish };
            ctx.send_control(Dest::Node(holder), Lane::Data, |out| want.emit(out));
        }
    }

    /// An answer came: how late.
    pub(crate) fn heard_answer(&mut self, now_ns: u64, answer: &Answer, ctx: &mut Ctx) {
        if !answer.again
            && let Some(asked_ns) = self.life.asked_ns(answer.visit, answer.number)
        {
            note_late(now_ns, now_ns.saturating_sub(asked_ns), ctx);
        }
    }

    /// Whether the token that is kept here should go round for a while: the members agree on the timeout only as it
    /// does, and what they go by should be neither too short nor old.
    pub(crate) fn should_go_round(&mut self, now_ns: u64, ctx: &Ctx) -> bool {
        let is_old =
            ctx.measures() && now_ns.saturating_sub(self.regular_ns) >= ctx.rotation.span_ns();
        let should = is_old || is_short(ctx.timeout_ns(), ctx);
        if should {
            self.go_round();
        }
        should
    }

    /// The token may not stay here before it went round for a while.
    pub(crate) fn go_round(&mut self) {
        self.watch.rotations = self.watch.rotations.max(ROTATIONS_AGREE);
    }
}

/// Whether the timeout in force is shorter than this node's measurements ask for.
fn is_short(timeout_ns: u64, ctx: &Ctx) -> bool {
    ctx.wanted_timeout_us().saturating_mul(1000) > timeout_ns + timeout_ns / SHORT_SHARE
}

/// A sign of life came so much later than it should.
fn note_late(now_ns: u64, late_ns: u64, ctx: &mut Ctx) {
    if late_ns >= LATE_MIN_NS {
        ctx.rotation.survived_pause(now_ns, late_ns);
    }
}
