//! Counting votes, and what follows from them for this node.

use super::api::News;
use super::decide::{Extremes, has_winning_device, highest_expected, votes_needed};
use super::machine::Votequorum;
use super::table::{Entry, NodeFlags};

impl Votequorum {
    /// Votes needed and votes there are. `expected` overrides what the nodes expect, if not zero.
    pub(super) fn calculate(&self, may_decrease: bool, expected: u32) -> (u32, u32) {
        let mut total = self.table.votes();
        let mut nodes = self.table.members().count();
        if self.us().flags.contains(NodeFlags::DEVICE_VOTES) {
            total = total.saturating_add(self.device.votes);
            nodes += 1;
        }
        let expected = if expected > 0 { expected } else { highest_expected(&self.table) };
        let mut needed = votes_needed(expected, total);
        if !may_decrease {
            needed = needed.max(self.needed);
        }
        // Each of two nodes goes on alone; fencing decides which of them survives.
        if self.two_node && nodes <= 2 {
            needed = 1;
        }
        (needed, total)
    }

    /// Decides anew. `by_members`: from now on only those who are here are expected.
    pub(super) fn recalculate(&mut self, may_decrease: bool, by_members: bool) {
        let mut total = self.table.votes();
        let mut members = self.table.members().count() as u32;
        if self.device.votes > 0 {
            total = total.saturating_add(self.device.votes);
            members += 1;
        }
        if !by_members {
            members = 0;
        }
        if total > self.us().expected_votes {
            self.us_mut().expected_votes = total;
            self.news(News::ExpectedVotes { votes: total });
        }
        let expected = self.us().expected_votes;
        if self.tracks() && expected > self.tracked {
            self.tracked = expected;
            self.news(News::Track { votes: expected });
        }
        let floor = self.start.allow_downscale && may_decrease && members > 0;
        let expected = if floor { members.max(self.expected_floor) } else { members };
        let (needed, total) = self.calculate(may_decrease, expected);
        self.needed = needed;
        self.expect(members);
        self.decide(total);
    }

    /// All members expect this many votes, if not zero.
    pub(super) fn expect(&mut self, votes: u32) {
        if votes > 0 {
            self.table.members_mut().for_each(|entry| entry.expected_votes = votes);
        }
    }

    fn decide(&mut self, total: u32) {
        let expected = self.us().expected_votes;
        if self.wait_for_all && self.waiting {
            if total != expected {
                return;
            }
            self.set_waiting(false);
        }
        let mut quorate = self.needed <= total;
        if quorate {
            self.extremes = Extremes::of(&self.table, self.me);
        }
        // Half of the votes are here, with who breaks ties, and the others cannot have more than half.
        let lost = self.previous.len() as i64 - self.members.len() as i64;
        let holds = |entry: &Entry| entry.flags.contains(NodeFlags::BREAKS_TIE);
        let tie = total == expected / 2 && lost < i64::from(self.needed);
        if tie && self.table.members().any(|(_, entry)| holds(entry)) {
            quorate = true;
        }
        if !quorate && self.device.master_wins && has_winning_device(&self.table) {
            quorate = true;
        }
        let changed = self.quorate != quorate;
        self.quorate = quorate;
        if !quorate && changed {
            self.expect_all();
        }
        if changed && !self.in_sync {
            self.note_whole();
        }
        self.us_mut().flags.set(NodeFlags::QUORATE, quorate);
        if self.wait_for_all {
            self.set_waiting(!quorate);
        }
        if changed && !self.in_sync {
            self.tell_quorum();
        }
    }

    /// Who lost its quorum does not expect fewer votes any more only because it was one of the last men
    /// standing: those who still are may go on without it.
    pub(super) fn expect_all(&mut self) {
        if self.last_man_standing {
            let floor = self.expected_floor;
            let us = self.us_mut();
            us.expected_votes = us.expected_votes.max(floor);
        }
    }

    /// The ring in force is what the next split is a split of, if it has a quorum.
    pub(super) fn note_whole(&mut self) {
        self.wholes.clear();
        if self.quorate {
            self.wholes.push(self.members.clone());
        }
    }
}
