//! A member's half of the questions of who keeps the token: it answers every beacon at once and names what it misses,
//! and answers once more as soon as it has everything that the beacon spoke of.

use alloc::collections::VecDeque;

use wire::NodeId;
use wire::beacon::{Answer, Beacon, MISSING_MAX};

use crate::asked::MARKS;
use crate::ctx::Ctx;
use crate::ordering::Ordering;
use crate::{Dest, Lane};

/// A beacon that was answered while frames of it were missing.
struct Question {
    holder: NodeId,
    seq: u64,
    visit: u64,
    number: u64,
}

/// Those beacons, the lowest first; as many as the holder has on the way.
pub(crate) struct Questions {
    open: VecDeque<Question>,
    /// What the first of them spoke of, `u64::MAX` if there is none.
    first_seq: u64,
}

impl Questions {
    pub(crate) fn new() -> Self {
        Self { open: VecDeque::with_capacity(MARKS), first_seq: u64::MAX }
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.first_seq = u64::MAX;
    }

    fn push(&mut self, question: Question) {
        if let Some(last) = self.open.back_mut()
            && last.seq >= question.seq
        {
            *last = question;
        } else {
            if self.open.len() == MARKS {
                self.open.pop_front();
            }
            self.open.push_back(question);
        }
        self.note_first();
    }

    /// The last one that everything up to `aru` answers.
    fn take(&mut self, aru: u64) -> Option<Question> {
        let mut last = None;
        while self.open.front().is_some_and(|question| question.seq <= aru) {
            last = self.open.pop_front();
        }
        self.note_first();
        last
    }

    fn note_first(&mut self) {
        self.first_seq = self.open.front().map_or(u64::MAX, |question| question.seq);
    }
}

impl Ordering {
    /// Answers a beacon: what is here, and what is not although something later is. What lies past the last
    /// frame received may still be on its way: another link can be slower than the beacon's.
    pub(crate) fn answer(&mut self, now_ns: u64, from: NodeId, beacon: &Beacon, ctx: &mut Ctx) {
        let mut missing = [(0, 0); MISSING_MAX];
        let mut count = 0;
        let (seq, visit, number) = (beacon.seq, beacon.visit, beacon.number);
        if self.aru < seq {
            self.questions.push(Question { holder: from, seq, visit, number });
            if self.repair.may_name() {
                self.window.ranges(self.aru + 1, seq.min(self.high), false, |from, to| {
                    missing[count] = (from, to);
                    count += 1;
                    count < MISSING_MAX
                });
            }
            self.repair.named(now_ns, &missing[..count], ctx);
            if self.high < seq {
                self.repair.note(now_ns, from, (self.high + 1, seq), ctx);
            }
        }
        let (aru, credit, again) = (self.aru, ctx.free_bytes, beacon.again);
        let answer = Answer { ring: self.ring, visit, aru, number, credit, again };
        send_answer(from, &answer, &missing[..count], ctx);
    }

    /// Something was received: says so to who asked, if it was the last that was missing.
    #[inline]
    pub(crate) fn answer_late(&mut self, ctx: &mut Ctx) {
        if self.aru < self.questions.first_seq {
            return;
        }
        if let Some(question) = self.questions.take(self.aru)
            && question.visit > self.visit
        {
            let (aru, credit, number) = (self.aru, ctx.free_bytes, question.number);
            let (visit, again) = (question.visit, true);
            let answer = Answer { ring: self.ring, visit, aru, number, credit, again };
            send_answer(question.holder, &answer, &[], ctx);
        }
    }
}

fn send_answer(to: NodeId, answer: &Answer, missing: &[(u64, u64)], ctx: &mut Ctx) {
    ctx.counters.answers_sent += 1;
    ctx.send_control(Dest::Node(to), Lane::Data, |out| answer.emit(missing, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_closed_once() {
        let mut questions = Questions::new();
        let question = |seq, number| Question { holder: NodeId(1), seq, visit: 7, number };
        questions.push(question(10, 1));
        questions.push(question(20, 2));
        questions.push(question(20, 3));
        assert_eq!(questions.first_seq, 10);
        assert_eq!(questions.take(15).map(|question| question.number), Some(1));
        assert!(questions.take(19).is_none());
        assert_eq!(questions.take(30).map(|question| question.number), Some(3), "asked again");
        assert_eq!((questions.first_seq, questions.open.len()), (u64::MAX, 0));
        (1..=9).for_each(|seq| questions.push(question(seq, seq)));
        assert_eq!((questions.open.len(), questions.first_seq), (MARKS, 6));
    }
}
