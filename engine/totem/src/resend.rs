//! Sending frames again, to whom they are missing: at a direct request, and at an answer to a beacon that names them.
//! Each travels to one member; what a third one misses, too, goes to all.

use alloc::collections::VecDeque;

use wire::NodeId;
use wire::beacon::Answer;
use wire::repair::Ask;

use crate::ctx::Ctx;
use crate::ordering::Ordering;
use crate::repair::SPAN_MAX;
use crate::{Dest, Lane, Mutation};

/// What so many members got by themselves goes to all when one more misses it. One frame in a hundred lost at each of
/// 31 members is missed by two a dozen times in a window: to all, each of those would reach 29 that have it.
const SINGLE_MAX: usize = 2;
/// Ranges remembered: a window that lost one frame in a hundred at each of a dozen members.
const SENT_MAX: usize = 64;
/// A direct request for what was sent again so lately crossed it on the way.
const RECENT_NS: u64 = 1_000_000;
/// So does an answer to one of the last beacons before it went out, and to the one after it, which may overtake it:
/// groups and single members are reached through different sockets.
const OVERTAKING: u64 = 1;

/// Frames that were sent again.
struct Sent {
    from: u64,
    to: u64,
    /// To whom; `None` is to all.
    asker: Option<NodeId>,
    at_ns: u64,
    /// The visit, and the last beacon before.
    question: (u64, u64),
}

/// What asks for frames.
#[derive(Clone, Copy)]
enum Request {
    /// A direct request.
    Direct { now_ns: u64 },
    /// The answer to this beacon of this visit.
    Answer { question: (u64, u64) },
}

impl Request {
    /// Whether it was made before its sender can have seen what was sent again.
    fn crossed(self, sent: &Sent) -> bool {
        match self {
            Self::Direct { now_ns } => now_ns < sent.at_ns.saturating_add(RECENT_NS),
            Self::Answer { question: (visit, number) } => {
                sent.question >= (visit, number.saturating_sub(OVERTAKING))
            }
        }
    }
}

/// What was sent again lately.
pub(crate) struct Resends {
    sent: VecDeque<Sent>,
}

impl Resends {
    pub(crate) fn new() -> Self {
        Self { sent: VecDeque::with_capacity(SENT_MAX) }
    }

    pub(crate) fn clear(&mut self) {
        self.sent.clear();
    }

    /// Whom to send a frame to: nobody (the asker gets it already), the asker, or all (others asked for it, too).
    fn address(&self, seq: u64, asker: NodeId, request: Request) -> Option<Dest> {
        let mut others = 0;
        for sent in &self.sent {
            if sent.from <= seq && seq <= sent.to && request.crossed(sent) {
                if sent.asker.is_none_or(|who| who == asker) {
                    return None;
                }
                others += 1;
            }
        }
        Some(if others < SINGLE_MAX { Dest::Node(asker) } else { Dest::All })
    }

    fn note(&mut self, seq: u64, dest: Dest, at_ns: u64, question: (u64, u64)) {
        let asker = match dest {
            Dest::Node(node) => Some(node),
            Dest::All => None,
        };
        if let Some(last) = self.sent.back_mut()
            && (last.to + 1, last.asker, last.question) == (seq, asker, question)
        {
            last.to = seq;
            last.at_ns = at_ns;
            return;
        }
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { from: seq, to: seq, asker, at_ns, question });
    }
}

impl Ordering {
    /// A member missed frames of mine.
    pub(crate) fn answer_ask(&mut self, now_ns: u64, asker: NodeId, ask: &Ask, ctx: &mut Ctx) {
        let to = ask.to.min(ask.from.saturating_add(SPAN_MAX - 1)).min(self.mine_last);
        let request = Request::Direct { now_ns };
        let (me, mut room) = (ctx.me, usize::MAX);
        self.send_again(now_ns, asker, (ask.from, to), request, Some(me), &mut room, ctx);
    }

    /// A member named with its answer what it misses while the token is kept here: it gets it at once, at most as much
    /// as a visit may send.
    pub(crate) fn answer_missing(
        &mut self,
        now_ns: u64,
        asker: NodeId,
        answer: &Answer,
        missing: &[(u64, u64)],
        ctx: &mut Ctx,
    ) {
        let here = self.held.as_ref().is_some_and(|held| held.token.visit == answer.visit);
        if !here || missing.is_empty() || ctx.mutated(Mutation::ForgetRetransmit) {
            return;
        }
        self.asked.note_missing();
        let request = Request::Answer { question: (answer.visit, answer.number) };
        let mut room = self.flow.personal_bytes() as usize;
        let mut frames = 0;
        for (from, to) in missing {
            let (from, to) = ((*from).max(self.window.base() + 1), (*to).min(self.asked.seq()));
            frames += (to + 1).saturating_sub(from);
            self.send_again(now_ns, asker, (from, to), request, None, &mut room, ctx);
        }
        if self.flow.is_overrun(frames) && self.asked.first_overrun(answer.number) {
            self.flow.shrink_kept();
        }
    }

    #[allow(clippy::too_many_arguments, reason = "who asks for what, why, and what limits it")]
    fn send_again(
        &mut self,
        now_ns: u64,
        asker: NodeId,
        (from, to): (u64, u64),
        request: Request,
        origin: Option<NodeId>,
        room: &mut usize,
        ctx: &mut Ctx,
    ) {
        let question = (self.visit, self.asked.number());
        for seq in from..=to {
            // What is numbered but not sent yet is no loss.
            let Some(slot) =
                self.window.get(seq).filter(|slot| slot.origin != ctx.me || seq < self.unsent)
            else {
                continue;
            };
            if origin.is_some_and(|origin| origin != slot.origin) {
                continue;
            }
            let Some(dest) = self.resends.address(seq, asker, request) else { continue };
            let Some(left) = room.checked_sub(slot.frame.len()) else { return };
            *room = left;
            ctx.counters.repairs_sent += 1;
            ctx.send(dest, Lane::Data, slot.frame.clone());
            self.resends.note(seq, dest, now_ns, question);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(2);
    const B: NodeId = NodeId(3);
    const C: NodeId = NodeId(4);

    #[test]
    fn what_a_third_member_misses_goes_to_all_and_then_to_nobody() {
        let mut resends = Resends::new();
        let request = Request::Answer { question: (9, 4) };
        assert_eq!(resends.address(5, A, request), Some(Dest::Node(A)));
        resends.note(5, Dest::Node(A), 0, (9, 4));
        assert_eq!(resends.address(5, A, request), None, "it is on its way");
        assert_eq!(resends.address(5, B, request), Some(Dest::Node(B)));
        resends.note(5, Dest::Node(B), 0, (9, 4));
        assert_eq!(resends.address(5, C, request), Some(Dest::All));
        resends.note(5, Dest::All, 0, (9, 4));
        assert_eq!(resends.address(5, NodeId(5), request), None);
        assert_eq!(resends.address(6, C, request), Some(Dest::Node(C)));
    }

    #[test]
    fn what_is_named_after_it_was_sent_again_was_lost_again() {
        let mut resends = Resends::new();
        resends.note(5, Dest::Node(A), 1_000, (9, 4));
        let named = |number| resends.address(5, A, Request::Answer { question: (9, number) });
        assert_eq!((named(3), named(5)), (None, None), "may have been overtaken");
        assert_eq!(named(6), Some(Dest::Node(A)));
        let direct = |now_ns| resends.address(5, A, Request::Direct { now_ns });
        assert_eq!((direct(500_000), direct(1_001_000)), (None, Some(Dest::Node(A))));
    }
}
