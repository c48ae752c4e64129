//! Early repair: a frame names its sender's previous one, so on a FIFO path a gap is seen at once
//! and asked for directly, one round trip instead of rotations. Nothing depends on it; the token's
//! list is the backstop.

use alloc::vec::Vec;

use wire::repair::Ask;
use wire::{NodeId, RingId};

use crate::ctx::Ctx;
use crate::ordering::Ordering;
use crate::timers::Timer;
use crate::window::Window;
use crate::{Dest, Lane};

/// Gaps watched at a time; more losses than this are the token's business.
const GAPS_MAX: usize = 32;
/// Frames of one gap: a whole burst.
const SPAN_MAX: u64 = 64;
/// Direct requests per gap.
const TRIES_MAX: u8 = 3;
/// Answers remembered, to answer by multicast when several miss the same.
const ANSWERS_MAX: usize = 8;

struct Gap {
    origin: NodeId,
    from: u64,
    to: u64,
    due_ns: u64,
    tries: u8,
}

struct Answered {
    from: u64,
    to: u64,
    asker: NodeId,
    at_ns: u64,
}

/// Gaps seen and requests answered.
pub(crate) struct Repair {
    gaps: Vec<Gap>,
    answered: Vec<Answered>,
}

impl Repair {
    pub(crate) fn new() -> Self {
        Self { gaps: Vec::with_capacity(GAPS_MAX), answered: Vec::with_capacity(ANSWERS_MAX) }
    }

    pub(crate) fn clear(&mut self) {
        self.gaps.clear();
        self.answered.clear();
    }

    /// `origin`'s frame `missing` should be here and is not.
    pub(crate) fn note(
        &mut self,
        now_ns: u64,
        origin: NodeId,
        missing: u64,
        aru: u64,
        window: &Window,
        ctx: &mut Ctx,
    ) {
        let known = |gap: &Gap| gap.origin == origin && (gap.from..=gap.to).contains(&missing);
        if self.gaps.len() == GAPS_MAX || self.gaps.iter().any(known) {
            return;
        }
        let mut from = missing;
        while from - 1 > aru && !window.has(from - 1) && missing - from + 1 < SPAN_MAX {
            from -= 1;
        }
        let due_ns = now_ns.saturating_add(ctx.tuning.repair_slack_us * 1000);
        self.gaps.push(Gap { origin, from, to: missing, due_ns, tries: 0 });
        ctx.timers.set_earlier(Timer::Repair, due_ns);
    }

    /// Asks for what is still missing.
    pub(crate) fn fire(
        &mut self,
        now_ns: u64,
        ring: RingId,
        aru: u64,
        window: &Window,
        ctx: &mut Ctx,
    ) {
        // An answer takes a round trip, of which a rotation is an upper bound.
        let patience_ns = ctx.rotation.last_ns().clamp(1_000_000, 20_000_000);
        let mut next_ns = u64::MAX;
        self.gaps.retain_mut(|gap| {
            gap.from = gap.from.max(aru + 1);
            while gap.from <= gap.to && window.has(gap.from) {
                gap.from += 1;
            }
            while gap.to >= gap.from && window.has(gap.to) {
                gap.to -= 1;
            }
            if gap.from > gap.to || gap.tries == TRIES_MAX {
                return false;
            }
            if gap.due_ns <= now_ns {
                gap.tries += 1;
                gap.due_ns = now_ns + patience_ns;
                let ask = Ask { ring, from: gap.from, to: gap.to };
                ctx.send_control(Dest::Node(gap.origin), Lane::Data, |out| ask.emit(out));
                ctx.counters.repairs_asked += 1;
            }
            next_ns = next_ns.min(gap.due_ns);
            true
        });
        if next_ns != u64::MAX {
            ctx.timers.set(Timer::Repair, next_ns);
        }
    }

    /// Whom to answer: nobody (asked the same just now), the asker, or all (another asked it too).
    fn address(&mut self, now_ns: u64, asker: NodeId, ask: &Ask) -> Option<Dest> {
        const RECENT_NS: u64 = 1_000_000;
        let overlaps = |a: &&mut Answered| {
            a.from <= ask.to && ask.from <= a.to && now_ns < a.at_ns.saturating_add(RECENT_NS)
        };
        if let Some(last) = self.answered.iter_mut().find(overlaps) {
            let same = last.asker == asker;
            last.asker = asker;
            last.at_ns = now_ns;
            return (!same).then_some(Dest::All);
        }
        if self.answered.len() == ANSWERS_MAX {
            self.answered.remove(0);
        }
        self.answered.push(Answered { from: ask.from, to: ask.to, asker, at_ns: now_ns });
        Some(Dest::Node(asker))
    }
}

impl Ordering {
    /// A member missed frames of mine.
    pub(crate) fn answer_ask(&mut self, now_ns: u64, asker: NodeId, ask: &Ask, ctx: &mut Ctx) {
        let to = ask.to.min(ask.from.saturating_add(SPAN_MAX - 1)).min(self.mine_last);
        let Some(dest) = self.repair.address(now_ns, asker, ask) else { return };
        for seq in ask.from..=to {
            // What is numbered but not sent yet needs no repair.
            if seq >= self.unsent {
                break;
            }
            if let Some(slot) = self.window.get(seq)
                && slot.origin == ctx.me
            {
                ctx.counters.repairs_sent += 1;
                ctx.send(dest, Lane::Data, slot.frame.clone());
            }
        }
    }

    /// A gap has lasted long enough.
    pub(crate) fn fire_repair(&mut self, now_ns: u64, ctx: &mut Ctx) {
        self.repair.fire(now_ns, self.ring, self.aru, &self.window, ctx);
    }
}
