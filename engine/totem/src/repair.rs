//! Early repair: a frame names its sender's previous one, so on a FIFO path a gap is seen at once
//! and asked for directly, one round trip instead of rotations; a beacon shows whether the last frames
//! are here. Nothing depends on it; the token's list is the backstop. Who is asked: `resend`.

use alloc::vec::Vec;

use wire::beacon::MISSING_MAX;
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
pub(crate) const SPAN_MAX: u64 = 64;
/// Direct requests per gap.
const TRIES_MAX: u8 = 3;
/// Frames named that the last judgement rests on: half a dozen answers' worth; what is older counts half.
const NAMED_MAX: u32 = 256;
/// For each answer that names nothing, so much less counts of what was named in vain: another attempt after a score.
const FORGET_SHARE: u32 = 16;

struct Gap {
    origin: NodeId,
    from: u64,
    to: u64,
    due_ns: u64,
    tries: u8,
}

/// Gaps seen.
pub(crate) struct Repair {
    gaps: Vec<Gap>,
    /// Ranges that the last answers named.
    named: Vec<(u64, u64)>,
    frames_named: u32,
    /// Frames that were named and then came twice: they were only late.
    in_vain: u32,
}

impl Repair {
    pub(crate) fn new() -> Self {
        Self {
            gaps: Vec::with_capacity(GAPS_MAX),
            named: Vec::with_capacity(MISSING_MAX),
            frames_named: 0,
            in_vain: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.gaps.clear();
        self.named.clear();
    }

    /// `origin`'s frame `missing` should be here and is not; nor, perhaps, are those before it.
    pub(crate) fn note_before(
        &mut self,
        now_ns: u64,
        origin: NodeId,
        missing: u64,
        aru: u64,
        window: &Window,
        ctx: &mut Ctx,
    ) {
        let mut from = missing;
        while from - 1 > aru && !window.has(from - 1) && missing - from + 1 < SPAN_MAX {
            from -= 1;
        }
        self.note(now_ns, origin, (from, missing), ctx);
    }

    /// These frames of `origin` should be here and are not.
    pub(crate) fn note(
        &mut self,
        now_ns: u64,
        origin: NodeId,
        (from, to): (u64, u64),
        ctx: &mut Ctx,
    ) {
        let known = |gap: &Gap| gap.origin == origin && (gap.from..=gap.to).contains(&to);
        if self.gaps.len() == GAPS_MAX || self.gaps.iter().any(known) {
            return;
        }
        let due_ns = now_ns.saturating_add(ctx.tuning.repair_slack_us * 1000);
        self.gaps.push(Gap { origin, from, to, due_ns, tries: 0 });
        ctx.timers.set_earlier(Timer::Repair, due_ns);
    }

    /// Whether a gap means a loss, so that an answer to a beacon may name it. Where frames overtake each other (links
    /// used in turn) most of what is named comes by itself; there gaps are asked for when they have lasted.
    /// Each no is forgiven a little, so that after some of them it is tried again.
    pub(crate) fn may_name(&mut self) -> bool {
        let in_order = self.in_vain * 2 <= self.frames_named;
        if !in_order {
            self.in_vain -= (self.in_vain / FORGET_SHARE).max(1);
        }
        in_order
    }

    /// A frame came that was here already.
    pub(crate) fn came_twice(&mut self, seq: u64) {
        if self.named.iter().any(|(from, to)| (*from..=*to).contains(&seq)) {
            self.in_vain = (self.in_vain + 1).min(NAMED_MAX);
        }
    }

    /// An answer to a beacon names these ranges: they need not be asked for before they can be here.
    pub(crate) fn named(&mut self, now_ns: u64, ranges: &[(u64, u64)], ctx: &Ctx) {
        let frames: u64 = ranges.iter().map(|(from, to)| to - from + 1).sum();
        self.frames_named = self.frames_named.saturating_add(frames.min(NAMED_MAX.into()) as u32);
        if self.frames_named > NAMED_MAX {
            self.frames_named /= 2;
            self.in_vain /= 2;
        }
        if !ranges.is_empty() {
            self.named.clear();
            self.named.extend_from_slice(ranges);
        }
        let due_ns = now_ns.saturating_add(patience_ns(ctx));
        for gap in &mut self.gaps {
            if ranges.iter().any(|(from, to)| gap.from <= *to && *from <= gap.to) {
                gap.due_ns = gap.due_ns.max(due_ns);
            }
        }
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
        let patience_ns = patience_ns(ctx);
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
}

impl Ordering {
    /// A gap has lasted long enough.
    pub(crate) fn fire_repair(&mut self, now_ns: u64, ctx: &mut Ctx) {
        self.repair.fire(now_ns, self.ring, self.aru, &self.window, ctx);
    }
}

/// An answer takes a round trip, of which a rotation is an upper bound.
fn patience_ns(ctx: &Ctx) -> u64 {
    ctx.rotation.last_ns().clamp(1_000_000, 20_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_was_named_in_vain_and_is_forgiven() {
        let mut repair = Repair::new();
        assert!(repair.may_name());
        repair.named.push((10, 13));
        repair.frames_named = 4;
        [9, 10, 11, 14].into_iter().for_each(|seq| repair.came_twice(seq));
        assert!(repair.may_name(), "two of four");
        repair.came_twice(13);
        assert!(!repair.may_name());
        assert!(repair.may_name(), "another attempt");
        repair.in_vain = NAMED_MAX;
        let attempts = (0..).take_while(|_| !repair.may_name()).count();
        assert!((16..100).contains(&attempts), "{attempts}");
    }
}
