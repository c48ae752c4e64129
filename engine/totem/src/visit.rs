//! A visit of the token: answer, number, settle, pass on (Amir et al. 1995 sec. 3.2; Babay and Amir
//! 2016).

use frame::{Frame, FrameMut};
use wire::Kind;
use wire::NodeId;
use wire::data::{DATA_HEADER_BYTES, DataHeader, FLAG_HELD};
use wire::token::{Facts, Ranges, Token};

use crate::ctx::Ctx;
use crate::flow::Flow;
use crate::ordering::Ordering;
use crate::timers::Timer;
use crate::window::Slot;
use crate::{Dest, Lane, Mutation};

/// How long after an empty pool the next attempt to send the token is made.
const RETRY_NS: u64 = 1_000_000;
/// A member that stops `aru` for this many timeouts receives nothing ...
const STUCK_TIMEOUTS: u64 = 8;
/// ... but a member that is short of memory for a moment is no such case.
const STUCK_MIN_NS: u64 = 1_000_000_000;

/// The token while it is here.
pub(crate) struct Held {
    pub(crate) token: Token,
    /// `aru` and its setter as the token brought them: what the others allow.
    pub(crate) came: (u64, Option<NodeId>),
    /// Whether this is the member's turn.
    pub(crate) regular: bool,
    /// Nobody else numbered a frame since my last visit.
    pub(crate) lone: bool,
    /// Bytes numbered in this visit.
    pub(crate) bytes: u64,
    /// Those of them that are known to be everywhere, by the members' answers.
    pub(crate) stable_bytes: u64,
    /// What the members can take in, by their answers in this visit; `None`: what the token says.
    pub(crate) credit: Option<u64>,
    /// Whether frames are numbered with the intent to keep the token.
    pub(crate) keeping: bool,
    /// The token came to rest: all is stable.
    pub(crate) resting: bool,
}

impl Held {
    /// Bytes numbered in this visit that are not known to be everywhere.
    pub(crate) fn unstable_bytes(&self) -> u64 {
        self.bytes - self.stable_bytes
    }
}

/// A copy of the token sent on, until the successor shows progress.
pub(crate) struct Kept {
    pub(crate) to: NodeId,
    pub(crate) visit: u64,
    pub(crate) frame: Frame,
    /// How often it was sent again.
    pub(crate) tries: u32,
}

/// Where frames to be numbered come from.
pub(crate) trait Feed {
    /// Bytes waiting, zero if and only if `next` gives nothing.
    fn backlog_bytes(&self) -> u64;
    /// The next frame (header room first) and its flags.
    fn next(&mut self, room: usize) -> Option<(FrameMut, u8)>;
}

impl Ordering {
    /// Whether a received token may be used.
    pub(crate) fn accepts(
        &mut self,
        now_ns: u64,
        from: NodeId,
        token: &Token,
        ctx: &mut Ctx,
    ) -> bool {
        if token.visit <= self.visit {
            ctx.counters.tokens_old += 1;
            if self.held.is_some() {
                // My predecessor does not know that the token arrived.
                self.send_receipt(ctx, from);
            }
            return false;
        }
        let base = self.window.base().max(token.stable.min(self.aru));
        let impossible = self.held.is_some()
            || token.seq < self.high
            || token.seq - base > self.window.capacity()
            || !self.members.contains(token.regular_next)
            || !self.members.contains(from)
            // The network may bring it to anybody.
            || token.to != ctx.me
            || token.visit - self.visit > u64::from(u32::MAX) / 4;
        if impossible {
            ctx.counters.tokens_refused += 1;
            return false;
        }
        self.alive(now_ns, ctx);
        true
    }

    /// The token arrives: take over what it knows, answer what we can.
    pub(crate) fn arrive(&mut self, now_ns: u64, mut token: Token, ctx: &mut Ctx) {
        let regular = !token.detour;
        ctx.counters.token_visits += 1;
        ctx.counters.detours += u64::from(!regular);
        ctx.timers.clear(Timer::TokenLoss);
        ctx.timers.clear(Timer::Doubt);
        ctx.timers.clear(Timer::Want);
        self.drop_kept(ctx);
        self.visit = token.visit;
        self.holder = None;
        self.token_first = false;
        self.high = self.high.max(token.seq);
        self.set_stable(token.stable);
        if regular {
            self.begin_rotation(now_ns, &mut token, ctx);
        }
        self.answer_ranges(&mut token, ctx);
        let lone = !regular || token.seq == self.departed_seq;
        let came = (token.aru, token.aru_setter);
        self.asked.clear();
        self.held = Some(Held {
            token,
            came,
            regular,
            lone,
            bytes: 0,
            stable_bytes: 0,
            credit: None,
            keeping: false,
            resting: false,
        });
        self.deliver(ctx);
    }

    fn begin_rotation(&mut self, now_ns: u64, token: &mut Token, ctx: &mut Ctx) {
        let rotation_ns = now_ns.saturating_sub(self.regular_ns);
        token.in_flight = token.in_flight.saturating_sub(self.mine_in_flight);
        if self.regular_ns != 0 && !self.rested {
            ctx.counters.token_rotations += 1;
            ctx.counters.token_rotation_ns += rotation_ns;
            ctx.rotation.record(now_ns, rotation_ns);
            self.flow.adapt(token, self.mine_in_flight, rotation_ns, ctx.timeout_ns());
        }
        self.rested = false;
        self.watch.rotations = self.watch.rotations.saturating_sub(1);
        self.mine_in_flight = 0;
        self.regular_ns = now_ns;
        if self.members.am_representative() {
            token.in_force = token.collecting;
            token.collecting = Facts::NONE;
        }
        ctx.set_timeout_us(token.in_force.timeout_us);
        self.life.visit(now_ns, ctx.timeout_ns(), self.members.len(), &ctx.tuning);
    }

    /// Sends what others miss and we have; the rest stays in the list.
    fn answer_ranges(&mut self, token: &mut Token, ctx: &mut Ctx) {
        if token.ranges.is_empty() {
            return;
        }
        let asked = core::mem::replace(&mut token.ranges, Ranges::NONE);
        if ctx.mutated(Mutation::ForgetRetransmit) {
            return;
        }
        let mut budget = self.flow.personal_bytes() as usize;
        for (from, to) in asked.as_slice() {
            // What was released here is everywhere: nobody misses it any more.
            let mut seq = (*from).max(self.window.base() + 1);
            while seq <= *to && budget > 0 {
                match self.window.get(seq) {
                    Some(slot) => {
                        budget = budget.saturating_sub(slot.frame.len());
                        ctx.counters.retransmissions += 1;
                        ctx.send(Dest::All, Lane::Data, slot.frame.clone());
                    }
                    None => token.ranges.add(seq, seq),
                }
                seq += 1;
            }
            if seq <= *to {
                token.ranges.add(seq, *to);
            }
        }
    }

    /// Numbers what the feed has, as far as the windows allow. Needs the token.
    pub(crate) fn number(&mut self, ctx: &mut Ctx, feed: &mut impl Feed) {
        let alone = self.members.is_alone();
        // More may have become stable since: its places are free.
        self.release();
        let Some(held) = &mut self.held else { return };
        let free = ctx.free_bytes;
        let mut allowed = if held.resting || held.keeping {
            let lossy = self.asked.is_lossy();
            self.flow.allowed_kept(&held.token, held.unstable_bytes(), held.credit, free, lossy)
        } else {
            self.flow.allowed(&held.token, free)
        };
        if self.recovering {
            // What the old ring pins is only released when the new one is installed: a little must
            // always be possible, from the reserve that credit leaves.
            allowed = allowed.max(self.flow.recovery_bytes());
        }
        if alone {
            allowed = self.flow.personal_bytes().min(free);
        }
        // Nobody has asked for the token, nothing forces it on: what is sent now says that I keep
        // it.
        held.keeping = held.lone
            && self.watch.rotations == 0
            && !self.recovering
            && !alone
            && self.wants.is_empty()
            && held.token.ranges.is_empty();
        let frames = self.window.capacity() / 2;
        let mut bytes = 0;
        // What is stable counts, and that each has a place here: what was not delivered yet keeps its own.
        while bytes < allowed
            && held.token.seq - self.stable < frames
            && self.window.covers(held.token.seq + 1)
        {
            let Some((frame, flags)) = feed.next(ctx.payload_bytes_max) else { break };
            let flags = flags | if held.keeping { FLAG_HELD } else { 0 };
            let len = frame.len() as u64;
            // A short frame pins a slot as well as a long one.
            let charge = len.max(self.flow.least_charge());
            if frame.len() < DATA_HEADER_BYTES
                || frame.len() > DATA_HEADER_BYTES + wire::data::PAYLOAD_BYTES_LIMIT
            {
                ctx.counters.malformed += 1;
                continue;
            }
            bytes += charge;
            held.token.seq += 1;
            let seq = held.token.seq;
            let header = DataHeader {
                kind: Kind::Data as u8,
                flags,
                payload_len: ((len as usize - DATA_HEADER_BYTES) as u16).into(),
                origin: ctx.me.0.into(),
                ring_seq: self.ring.seq.into(),
                ring_rep: self.ring.rep.0.into(),
                round: (held.token.visit as u32).into(),
                seq: seq.into(),
                prev: self.mine_last.into(),
            };
            self.mine_last = seq;
            let slot = numbered(frame, &header, ctx.me);
            if flags & wire::data::FLAG_SAFE != 0 {
                self.safe_high = seq;
            }
            self.window.insert(seq, slot);
            self.high = seq;
            if self.aru + 1 == seq {
                self.aru = seq;
            }
            ctx.counters.frames_sent += 1;
            ctx.counters.payload_bytes_sent += len - DATA_HEADER_BYTES as u64;
        }
        held.bytes += bytes;
        if !alone {
            // What others counted came with the token.
            held.token.in_flight = held.token.in_flight.saturating_add(bytes);
            self.mine_in_flight += bytes;
        }
    }

    /// The aru rule (Amir et al. 1995 sec. 3.2): lower it to mine; raise it only on my turn, if I
    /// lowered it or nobody did. Then what is stable: twice in a row the aru I send on covers it.
    ///
    /// What was lowered at a detour is raised only at the regular visit after the next one: by then
    /// everybody else has seen it lowered in its turn. Raised at once, it would hide the dip from
    /// those who come later, and they would take for stable what some member never had.
    ///
    /// It may be asked any number of times while the token is held, so it starts from what the token
    /// brought: who lowers it at first and catches up meanwhile is back at what the member before it
    /// allowed, not beyond.
    pub(crate) fn settle(&mut self) {
        let Some(held) = &mut self.held else { return };
        let token = &mut held.token;
        let me = self.members.me();
        (token.aru, token.aru_setter) = held.came;
        if self.aru < token.aru {
            token.aru = self.aru;
            token.aru_setter = Some(me);
            self.lowered_out_of_turn |= !held.regular;
        } else if self.lowered_out_of_turn && token.aru_setter == Some(me) {
            // Not yet.
        } else if held.regular && token.aru_setter.is_none_or(|setter| setter == me) {
            token.aru = self.aru;
            token.aru_setter = (token.aru != token.seq).then_some(me);
        }
        if held.regular {
            let stable = token.aru.min(self.aru_sent);
            self.set_stable(stable);
        }
        if self.members.is_alone() {
            self.stable = self.aru;
        }
    }

    /// Lets the token go: to the next member in turn, or out of turn to `detour`.
    pub(crate) fn depart(
        &mut self,
        now_ns: u64,
        detour: Option<NodeId>,
        backlog: u64,
        ctx: &mut Ctx,
    ) {
        self.settle();
        let Some(mut held) = self.held.take() else { return };
        let token = &mut held.token;
        let mut next = *token;
        let missing = self.add_gaps(&mut next);
        next.stable = self.stable.max(next.stable);
        if held.regular {
            next.regular_next = self.members.successor();
            let facts = &mut next.collecting;
            facts.credit = facts.credit.min(ctx.free_bytes);
            facts.backlog = facts.backlog.saturating_add(backlog);
            facts.timeout_us = facts.timeout_us.max(ctx.wanted_timeout_us() as u32);
            let sends = u16::from(backlog > 0 || held.bytes > 0);
            facts.senders = facts.senders.saturating_add(sends);
            let numbered = next.seq.saturating_sub(self.prev_token_seq);
            let overrun = u16::from(Flow::is_heavy(missing, numbered));
            facts.losers = facts.losers.saturating_add(overrun);
        }
        let to = detour.filter(|node| *node != next.regular_next);
        next.detour = to.is_some();
        let to = to.unwrap_or(next.regular_next);
        next.to = to;
        next.visit += 1;
        let Some(frame) = ctx.control(|out| next.emit(out)) else {
            // No slot, not even a spare one: keep the token and try again shortly, but only to pass it on. What
            // pins the slots may be this very ring, or the old one that only the next one lets go: for the others
            // the token is lost after a timeout, so it is for its holder.
            held.lone = false;
            self.held = Some(held);
            ctx.after(Timer::Hold, now_ns, RETRY_NS);
            if !ctx.timers.is_set(Timer::TokenLoss) {
                ctx.after(Timer::TokenLoss, now_ns, ctx.timeout_ns());
            }
            return;
        };
        self.life.show(now_ns, ctx.timeout_ns(), self.members.len(), &ctx.tuning);
        self.send_early(ctx);
        ctx.send(Dest::Node(to), Lane::Token, frame.clone());
        self.send_rest(ctx);
        if held.regular {
            self.aru_sent = next.aru;
            self.lowered_out_of_turn = false;
            self.prev_token_seq = next.seq;
            self.watch_stuck(now_ns, &next, ctx);
        }
        self.departed_seq = next.seq;
        self.wants = wire::NodeSet::EMPTY;
        self.holder = next.detour.then_some(to);
        self.kept = Some(Kept { to, visit: next.visit, frame, tries: 0 });
        ctx.timers.clear(Timer::Hold);
        ctx.timers.clear(Timer::Beacon);
        ctx.after(Timer::TokenRetransmit, now_ns, ctx.retransmit_ns(0));
        ctx.after(Timer::TokenLoss, now_ns, ctx.timeout_ns());
    }

    /// Asks for what I miss, but only what was sent for certain: numbers of the previous round.
    /// What is newer may not have left its sender yet. Returns how many frames that is.
    fn add_gaps(&self, token: &mut Token) -> u64 {
        let to = self.prev_token_seq.min(token.seq);
        let mut missing = 0;
        if self.aru < to {
            self.window.ranges(self.aru + 1, to, false, |from, to| {
                missing += to - from + 1;
                token.ranges.add(from, to);
                !token.ranges.is_full()
            });
        }
        missing
    }

    /// Sends numbered frames until only the accelerated window is left: they go before the token.
    fn send_early(&mut self, ctx: &mut Ctx) {
        let mut late = ctx.tuning.accelerated_window_bytes as usize;
        let mut first_late = self.mine_last + 1;
        while first_late > self.unsent {
            let Some(slot) = self.window.get(first_late - 1) else { break };
            if slot.frame.len() > late {
                break;
            }
            late -= slot.frame.len();
            first_late -= 1;
        }
        self.send_until(first_late, ctx);
    }

    /// Sends every numbered frame that is left.
    pub(crate) fn send_rest(&mut self, ctx: &mut Ctx) {
        self.send_until(self.mine_last + 1, ctx);
    }

    fn send_until(&mut self, end: u64, ctx: &mut Ctx) {
        for seq in self.unsent..end {
            if let Some(slot) = self.window.get(seq)
                && slot.origin == ctx.me
                && !self.members.is_alone()
            {
                ctx.send(Dest::All, Lane::Data, slot.frame.clone());
            }
        }
        self.unsent = self.unsent.max(end);
    }

    /// Notes since when one member stops the ring's `aru`.
    fn watch_stuck(&mut self, now_ns: u64, token: &Token, ctx: &Ctx) {
        self.stuck = match (token.aru_setter, self.stuck) {
            (Some(setter), Some((who, aru, since)))
                if setter == who && aru == token.aru && setter != ctx.me =>
            {
                Some((who, aru, since))
            }
            (Some(setter), _) if setter != ctx.me => Some((setter, token.aru, now_ns)),
            _ => None,
        };
    }

    /// The member that has received nothing for too long, if there is one.
    pub(crate) fn not_receiving(&self, now_ns: u64, ctx: &Ctx) -> Option<(NodeId, u64)> {
        let (who, _, since_ns) = self.stuck?;
        let limit_ns = ctx.timeout_ns().saturating_mul(STUCK_TIMEOUTS).max(STUCK_MIN_NS);
        let age_ns = now_ns.saturating_sub(since_ns);
        (age_ns > limit_ns).then_some((who, age_ns))
    }

    /// The successor has shown no progress: send the same token again.
    pub(crate) fn retransmit_token(&mut self, now_ns: u64, ctx: &mut Ctx) {
        let Some(kept) = &mut self.kept else { return };
        ctx.counters.token_retransmits += 1;
        kept.tries += 1;
        let tries = kept.tries;
        ctx.send(Dest::Node(kept.to), Lane::Token, kept.frame.clone());
        ctx.after(Timer::TokenRetransmit, now_ns, ctx.retransmit_ns(tries));
    }

    pub(crate) fn drop_kept(&mut self, ctx: &mut Ctx) {
        if self.kept.take().is_some() {
            ctx.timers.clear(Timer::TokenRetransmit);
        }
    }
}

/// A frame with its header in place: from here on it never changes.
fn numbered(mut frame: FrameMut, header: &DataHeader, me: NodeId) -> Slot {
    header.emit(&mut frame);
    Slot { frame: frame.freeze(), origin: me, flags: header.flags }
}
