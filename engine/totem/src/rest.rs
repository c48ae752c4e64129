//! Keeping the token, resting, beacons, wishes. An idle ring is quiet, a lone sender needs no
//! network hop.

use wire::NodeId;
use wire::beacon::{Answer, Beacon, Want, Wish};

use crate::ctx::Ctx;
use crate::lease::lease_ns;
use crate::ordering::Ordering;
use crate::timers::Timer;
use crate::{Dest, Lane, Mutation};

/// How long the token waits at each member while none of them may number anything.
const BLOCKED_NS: u64 = 500_000;

impl Ordering {
    /// After numbering: keep the token, let it rest, or pass it on.
    pub(crate) fn conclude(&mut self, now_ns: u64, backlog: u64, ctx: &mut Ctx) {
        const RETRY_NS: u64 = 1_000_000;
        self.settle();
        let Some(held) = &mut self.held else { return };
        let token = &held.token;
        if self.members.is_alone() {
            self.unsent = self.mine_last + 1;
            held.resting = true;
            self.deliver(ctx);
            self.release();
            if backlog > 0 {
                // Nothing could be taken although something waits: memory is short, so do not spin.
                let pause_ns = if self.high > self.departed_seq { 0 } else { RETRY_NS };
                ctx.after(Timer::Hold, now_ns, pause_ns);
            }
            self.departed_seq = self.high;
            return;
        }
        let all_here = self.aru == token.seq && token.ranges.is_empty();
        let may_keep = !self.recovering
            && self.watch.rotations == 0
            && held.lone
            && all_here
            && self.wants.is_empty()
            && self.mine_last == token.seq;
        let is_stable = self.stable == token.seq;
        if may_keep && is_stable && backlog == 0 {
            if !held.resting {
                held.resting = true;
                self.rest(now_ns, ctx);
            }
        } else if may_keep && !is_stable && held.keeping && held.bytes > 0 {
            self.keep(now_ns, backlog, ctx);
        } else if held.lone && held.bytes == 0 && backlog > 0 && !self.recovering {
            // Something waits and nobody may number anything (no credit, no slot): a token that
            // spins would take the time that whoever is slow needs.
            held.keeping = false;
            self.rested = true;
            ctx.after(Timer::Hold, now_ns, BLOCKED_NS);
        } else {
            let detour = self.next_detour(ctx);
            self.depart(now_ns, detour, backlog, ctx);
        }
        self.deliver(ctx);
        self.release();
    }

    /// Keeps the token, whose holder goes on numbering: sends what was numbered, and asks the members what they have
    /// when half of the window (a quarter where frames are lost) was used since the last question, when it is used up,
    /// or when somebody waits for a safe frame.
    fn keep(&mut self, now_ns: u64, backlog: u64, ctx: &mut Ctx) {
        let Some(held) = &mut self.held else { return };
        held.resting = false;
        self.rested = true;
        ctx.timers.clear(Timer::Beacon);
        let hold_ns = hold_ns(ctx);
        ctx.timers.set_earlier(Timer::Hold, now_ns.saturating_add(hold_ns));
        let unasked_bytes = held.bytes - self.asked.bytes();
        let window_bytes = self.flow.kept_bytes_where(self.asked.is_lossy());
        let much = unasked_bytes >= window_bytes / self.asked.parts();
        let safe = self.safe_high > self.asked.told() && !self.asked.is_waiting();
        let ask = (much || backlog > 0 || safe) && held.token.seq > self.asked.seq();
        self.send_rest(ctx);
        if ask {
            self.send_beacon(now_ns, ctx);
            // From the next answer on, if so.
            self.should_go_round(now_ns, ctx);
        }
    }

    /// The hold timer: whether the token is kept all the same. What was sent last was not asked for yet, or some
    /// member has not answered; it is asked (again) before the token goes round.
    pub(crate) fn keep_on(&mut self, now_ns: u64, ctx: &mut Ctx) -> bool {
        let Some(held) = &self.held else { return false };
        let keeps = held.keeping && !held.resting && held.bytes > 0 && held.token.seq > self.stable;
        if !keeps || !self.wants.is_empty() || !self.asked.try_again() {
            return false;
        }
        self.send_rest(ctx);
        self.send_beacon(now_ns, ctx);
        let hold_ns = hold_ns(ctx);
        ctx.after(Timer::Hold, now_ns, hold_ns);
        true
    }

    /// Whom to send the token to out of turn: the one member that asked, unless several did or this
    /// visit is a detour itself; then everybody gets his turn.
    fn next_detour(&self, ctx: &Ctx) -> Option<NodeId> {
        let held = self.held.as_ref()?;
        let only = self.wants.first().filter(|_| self.wants.len() == 1)?;
        let quiet = held.regular && held.token.ranges.is_empty() && self.safe_high <= self.stable;
        ctx.nodes.get(only).copied().filter(|node| quiet && self.members.contains(*node))
    }

    fn rest(&mut self, now_ns: u64, ctx: &mut Ctx) {
        ctx.counters.rests += 1;
        self.rested = true;
        ctx.timers.clear(Timer::Hold);
        if let Some(held) = &mut self.held {
            held.stable_bytes = held.bytes;
        }
        self.watch(now_ns, ctx);
    }

    /// Shows all members that the token is here; they answer.
    pub(crate) fn send_beacon(&mut self, now_ns: u64, ctx: &mut Ctx) {
        let Some(held) = &self.held else { return };
        let (visit, timeout_ns, members) = (held.token.visit, ctx.timeout_ns(), self.members.len());
        let others = self.members.set.iter().filter(|pos| *pos != ctx.me_pos);
        let lease_ns = lease_ns(timeout_ns, members, &ctx.tuning);
        let (number, proven) = self.life.beacon(now_ns, visit, others, lease_ns);
        self.asked.ask(number, held.token.seq, held.bytes, self.stable);
        self.life.show(now_ns, timeout_ns, members, &ctx.tuning);
        self.emit_beacon(ctx, Dest::All, Some((number, proven)), false);
    }

    /// Tells one member that the token is here.
    pub(crate) fn send_receipt(&mut self, ctx: &mut Ctx, to: NodeId) {
        self.emit_beacon(ctx, Dest::Node(to), None, false);
    }

    pub(crate) fn emit_beacon(
        &mut self,
        ctx: &mut Ctx,
        to: Dest,
        numbers: Option<(u64, u64)>,
        again: bool,
    ) {
        let Some(held) = &self.held else { return };
        let (number, proven) = numbers.unwrap_or_default();
        let beacon = Beacon {
            ring: self.ring,
            visit: held.token.visit,
            seq: held.token.seq,
            stable: self.stable,
            answer: numbers.is_some(),
            kept: !held.resting,
            again,
            number,
            proven,
            timeout_us: (ctx.timeout_ns() / 1000) as u32,
        };
        ctx.counters.beacons_sent += 1;
        ctx.send_control(to, Lane::Data, |out| beacon.emit(out));
    }

    /// A beacon of this ring.
    pub(crate) fn on_beacon(
        &mut self,
        now_ns: u64,
        from: NodeId,
        beacon: &Beacon,
        backlog: u64,
        ctx: &mut Ctx,
    ) {
        if beacon.visit <= self.visit || self.held.is_some() || beacon.seq < self.aru {
            return;
        }
        if self.kept.as_ref().is_some_and(|kept| beacon.visit >= kept.visit) {
            self.drop_kept(ctx);
        }
        self.set_stable(beacon.stable);
        self.rested = true;
        self.holder = Some(from);
        self.heard_beacon(now_ns, beacon, ctx);
        if beacon.answer {
            self.answer_beacon(now_ns, beacon, ctx);
            self.answer(now_ns, from, beacon, ctx);
        }
        self.deliver(ctx);
        self.release();
        if backlog > 0 {
            self.ask_for_token(now_ns, ctx);
        }
    }

    /// What answering a beacon proves, and what it commits to. Until the next visit the holder's
    /// timeout may differ from ours: each side goes by the safer one.
    fn answer_beacon(&mut self, now_ns: u64, beacon: &Beacon, ctx: &Ctx) {
        let (members, mine_ns) = (self.members.len(), ctx.timeout_ns());
        let theirs_ns = u64::from(beacon.timeout_us) * 1000;
        let (visit, number, proven) = (beacon.visit, beacon.number, beacon.proven);
        let (least_ns, most_ns) = (mine_ns.min(theirs_ns), mine_ns.max(theirs_ns));
        let lease_ns = lease_ns(least_ns, members, &ctx.tuning);
        self.life.answer(now_ns, visit, number, proven, lease_ns);
        self.life.show(now_ns, most_ns, members, &ctx.tuning);
    }

    /// A member answered: it lives, has everything up to what it says, and gets what it misses. `true` if more is known
    /// to be everywhere now and the token is kept here.
    ///
    /// That needs no rotation: what a member has it keeps until all have it, so its highest answer holds, whatever
    /// came in between.
    pub(crate) fn on_answer(
        &mut self,
        now_ns: u64,
        pos: usize,
        answer: &Answer,
        missing: &[(u64, u64)],
        ctx: &mut Ctx,
    ) -> bool {
        if let Some(heard) = self.heard_ns.get_mut(pos) {
            *heard = now_ns;
        }
        if !self.members.set.contains(pos) {
            return false;
        }
        self.heard_answer(now_ns, answer, ctx);
        self.life.answered(pos, answer.visit, answer.number);
        self.asked.answered(pos, answer.aru, answer.credit);
        self.answer_missing(now_ns, ctx.nodes[pos], answer, missing, ctx);
        if self.held.as_ref().is_some_and(|held| held.resting) {
            self.all_answered(ctx);
        }
        let Some(held) = self.held.as_mut().filter(|held| !held.resting) else { return false };
        let others = || self.members.set.iter().filter(|pos| *pos != ctx.me_pos);
        let least = match ctx.mutated(Mutation::AskOne) {
            true => self.asked.most_aru(others()),
            false => self.asked.least_aru(others()),
        };
        let known = self.stable;
        let stable = known.max(least.min(self.aru));
        if stable == known {
            return false;
        }
        held.credit = Some(self.asked.least_credit(others()));
        if let Some(bytes) = self.asked.settle(stable) {
            let more = bytes - held.stable_bytes;
            held.stable_bytes = bytes;
            held.token.in_flight = held.token.in_flight.saturating_sub(more);
            self.mine_in_flight = self.mine_in_flight.saturating_sub(more);
            self.flow.regain_kept();
        }
        self.set_stable(stable);
        // All of them take in what is sent, whoever lowered the aru when the token last went round.
        self.stuck = None;
        true
    }

    /// There is something to send and the token rests elsewhere: wake it with one packet.
    pub(crate) fn ask_for_token(&mut self, now_ns: u64, ctx: &mut Ctx) {
        if ctx.timers.is_set(Timer::Want) {
            return;
        }
        if self.holder.is_none() {
            return;
        }
        ctx.counters.wants_sent += 1;
        self.wish(Wish::Token, ctx);
        // A lost wish is repeated well before anyone despairs.
        ctx.after(Timer::Want, now_ns, (ctx.timeout_ns() / 8).min(5_000_000));
    }

    /// A member wants something of the token's holder; `true` if it is here and should go.
    pub(crate) fn on_want(&mut self, from: NodeId, want: &Want, ctx: &mut Ctx) -> bool {
        let Some(pos) = ctx.pos(want.node).filter(|pos| self.members.set.contains(*pos)) else {
            ctx.counters.malformed += 1;
            return false;
        };
        if want.node == ctx.me {
            return false;
        }
        match want.wish {
            Wish::Token => {}
            Wish::Sign => {
                if self.held.is_some() {
                    self.send_receipt(ctx, from);
                }
                return false;
            }
            Wish::Rotation => {
                self.go_round();
                return self.held.is_some();
            }
        }
        if self.held.is_some() {
            self.wants.insert(pos);
            return true;
        }
        // The token went out of turn to somebody who keeps it: pass the wish on, once.
        if from == want.node
            && let Some(holder) = self.holder.filter(|holder| *holder != want.node)
        {
            ctx.send_control(Dest::Node(holder), Lane::Data, |out| want.emit(out));
        }
        false
    }
}

/// How long what was sent while the token is kept may wait for the question whether all have it.
pub(crate) fn hold_ns(ctx: &Ctx) -> u64 {
    (ctx.tuning.hold_us_max * 1000).min(ctx.timeout_ns() / 4)
}
