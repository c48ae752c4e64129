//! Stability without rotations: while a member keeps the token, it asks the others now and then what they have, and
//! they answer all at once (docs/adr/0016).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::change::Moved;

/// Beacons sent without an answer of all before the token goes round instead.
const TRIES: u32 = 3;

/// Questions on the way: a window is asked for in halves or quarters.
pub(crate) const MARKS: usize = 4;

/// A window is asked for in so many parts ...
const PARTS: u64 = 2;
/// ... and in so many where frames are lost: what was sent again needs a second round trip before its part of the
/// window is free, and the rest must last as long.
const PARTS_LOSSY: u64 = 4;
/// Frames are lost there if a member named some within so many questions.
const LOSSY: u64 = 8;

/// Everything numbered up to a beacon.
#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: u64,
    /// `Held::bytes` at that moment.
    bytes: u64,
}

/// What the holder asked and what each member said.
pub(crate) struct Asked {
    /// What each member (by position) has everything up to, as far as it said so in this ring.
    arus: Vec<u64>,
    /// What each member said last that it can take in, bytes.
    credits: Vec<u64>,
    /// Beacons of this visit that not all have answered.
    marks: VecDeque<Mark>,
    /// The last mark.
    last: Mark,
    /// `stable` as the last beacon of this visit had it.
    told: u64,
    /// Hold timers that fired since more became stable.
    tries: u32,
    /// The last beacon of this visit, from one.
    number: u64,
    /// Answers to beacons after this one count when members say that they were overrun.
    overrun: u64,
    /// Up to this beacon the window is asked for in smaller parts.
    lossy: u64,
}

impl Asked {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            arus: alloc::vec![0; nodes],
            credits: alloc::vec![0; nodes],
            marks: VecDeque::with_capacity(MARKS),
            last: Mark { seq: 0, bytes: 0 },
            told: 0,
            tries: 0,
            number: 0,
            overrun: 0,
            lossy: 0,
        }
    }

    /// A new ring.
    pub(crate) fn reset(&mut self) {
        self.arus.fill(0);
        self.clear();
    }

    /// Another node list.
    pub(crate) fn renumber(&mut self, moved: &Moved<'_>) {
        self.arus = moved.all(&self.arus, 0);
        self.credits = moved.all(&self.credits, 0);
    }

    /// Another visit.
    pub(crate) fn clear(&mut self) {
        self.marks.clear();
        self.last = Mark { seq: 0, bytes: 0 };
        self.told = 0;
        self.tries = 0;
        self.number = 0;
        self.overrun = 0;
        self.lossy = 0;
    }

    /// The `number`-th beacon that is to be answered goes out, after everything up to `seq`.
    pub(crate) fn ask(&mut self, number: u64, seq: u64, bytes: u64, stable: u64) {
        self.number = number;
        self.told = stable;
        if seq > self.last.seq {
            self.last = Mark { seq, bytes };
            if self.marks.len() == MARKS {
                // The one after it says more.
                self.marks.pop_front();
            }
            self.marks.push_back(self.last);
        }
    }

    /// Whether a beacon is on the way that not all have answered.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Everything numbered up to here was asked for.
    pub(crate) fn seq(&self) -> u64 {
        self.last.seq
    }

    /// Number of the last beacon of this visit, zero if there was none.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A member named what it misses.
    pub(crate) fn note_missing(&mut self) {
        self.lossy = self.number + LOSSY;
    }

    /// Whether members named something missing lately.
    pub(crate) fn is_lossy(&self) -> bool {
        self.number < self.lossy
    }

    /// In how many parts the window is asked for.
    pub(crate) fn parts(&self) -> u64 {
        if self.is_lossy() { PARTS_LOSSY } else { PARTS }
    }

    /// A member was overrun before it answered beacon `number`: whether that says more than what is known already.
    /// What was on the way when the window shrank does not.
    pub(crate) fn first_overrun(&mut self, number: u64) -> bool {
        let first = number > self.overrun;
        if first {
            self.overrun = self.number;
        }
        first
    }

    /// As [`Asked::seq`], in bytes of this visit.
    pub(crate) fn bytes(&self) -> u64 {
        self.last.bytes
    }

    /// What the others were told to be stable, in this visit.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// The hold timer fired: whether to ask (again) instead of letting the token go.
    pub(crate) fn try_again(&mut self) -> bool {
        self.tries += 1;
        self.tries <= TRIES
    }

    /// A member has everything up to `aru` and room for `credit` bytes.
    pub(crate) fn answered(&mut self, pos: usize, aru: u64, credit: u64) {
        if let (Some(known), Some(room)) = (self.arus.get_mut(pos), self.credits.get_mut(pos)) {
            *known = aru.max(*known);
            *room = credit;
        }
    }

    /// What all of these members have.
    pub(crate) fn least_aru(&self, others: impl Iterator<Item = usize>) -> u64 {
        others.map(|pos| self.arus[pos]).min().unwrap_or(0)
    }

    /// What the furthest of them has: for a deliberate bug.
    pub(crate) fn most_aru(&self, others: impl Iterator<Item = usize>) -> u64 {
        others.map(|pos| self.arus[pos]).max().unwrap_or(0)
    }

    /// What all of these members can take in, bytes.
    pub(crate) fn least_credit(&self, others: impl Iterator<Item = usize>) -> u64 {
        others.map(|pos| self.credits[pos]).min().unwrap_or(0)
    }

    /// Everything up to `stable` is everywhere. Returns how many bytes of this visit are, if that changed.
    pub(crate) fn settle(&mut self, stable: u64) -> Option<u64> {
        self.tries = 0;
        let mut bytes = None;
        while let Some(mark) = self.marks.front().filter(|mark| mark.seq <= stable) {
            bytes = Some(mark.bytes);
            self.marks.pop_front();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_have_is_what_the_last_of_them_has() {
        let mut asked = Asked::new(4);
        asked.ask(1, 10, 1_000, 0);
        asked.ask(2, 20, 2_000, 0);
        asked.answered(1, 20, 500);
        asked.answered(3, 12, 400);
        assert_eq!(asked.least_aru([1, 2, 3].into_iter()), 0, "2 has not answered");
        asked.answered(2, 10, 600);
        assert_eq!(asked.least_aru([1, 2, 3].into_iter()), 10);
        assert_eq!(asked.least_credit([1, 2, 3].into_iter()), 400);
        assert_eq!((asked.settle(10), asked.is_waiting()), (Some(1_000), true));
        assert_eq!((asked.settle(19), asked.settle(25)), (None, Some(2_000)));
        assert!(!asked.is_waiting());
        asked.answered(1, 5, 500);
        assert_eq!(asked.least_aru([1].into_iter()), 20, "an old answer takes nothing back");
    }

    #[test]
    fn asking_again_has_an_end() {
        let mut asked = Asked::new(2);
        assert!((0..TRIES).all(|_| asked.try_again()));
        assert!(!asked.try_again());
        asked.settle(1);
        assert!(asked.try_again());
        for seq in 1..=10 {
            asked.ask(seq, seq, seq, 0);
        }
        assert_eq!((asked.marks.len(), asked.settle(10)), (MARKS, Some(10)));
        assert!(asked.first_overrun(8));
        assert!(!asked.first_overrun(10), "asked before the window was smaller");
        asked.ask(11, 11, 11, 10);
        assert!(asked.first_overrun(11));
    }

    #[test]
    fn losses_make_questions_more_frequent_for_a_while() {
        let mut asked = Asked::new(2);
        assert_eq!(asked.parts(), PARTS);
        asked.ask(1, 1, 1, 0);
        asked.note_missing();
        assert_eq!(asked.parts(), PARTS_LOSSY);
        (2..2 + LOSSY).for_each(|number| asked.ask(number, number, number, 0));
        assert_eq!(asked.parts(), PARTS);
    }
}
