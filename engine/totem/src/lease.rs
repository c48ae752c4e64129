//! Signs of life as a lease: how long this node may act for its ring, and until when others may act
//! that count on this node.
//!
//! Every member of a ring shows itself when it lets the token go, answers a beacon, or sends one. A
//! *proof* is a time of this node's clock after which every member has shown itself. Whoever has
//! one may act for the ring until proof + lease. Whoever showed itself remembers that others may act
//! on the strength of it for as long, and an allowance longer: it *owes* them that time. A new ring
//! without them may act once everybody in it owes nothing to anybody outside. No two clocks are compared,
//! only lengths of time, and the allowance covers the difference of their rates.
//!
//! Both sides go by the shortest timeout that the one with the proof saw, and by the longest that
//! the one that showed itself saw, so that they agree even while the timeout changes.

use wire::{NodeId, RingId};

use crate::gather::{consensus_ns, usual_consensus_ns};
use crate::{TokenTimeout, Tuning};

/// Beacons per timeout, unless that is too often (per member) or needlessly seldom.
const BEACONS: u64 = 4;
/// Seldom enough for a quiet network, often enough that a lease need not be long because of it.
const BEACON_NS_MAX: u64 = 300_000_000;
/// How often in a timeout somebody is asked again who gave no sign of life when it was due: all of this may be lost
/// but one.
const QUESTIONS: u64 = 8;
/// Not more often, however short the timeout.
const QUESTION_NS_MIN: u64 = 250_000;
/// In a resting ring a proof is at most this many beacons old: one is answered, the next says so, and
/// the one after that says so of the next.
const PROOF_BEACONS: u64 = 3;
/// What is owed is longer than a lease by one in so many: half of it for clocks that run apart (4 %
/// on three nodes), half for telling programs that the lease ended.
const ALLOWANCE_SHARE: u64 = 4;
/// Beacons that are remembered.
const SEEN: usize = 8;

/// Time between two beacons of a resting ring.
pub(crate) fn beacon_interval_ns(timeout_ns: u64, members: usize, tuning: &Tuning) -> u64 {
    let per_node_ns = tuning.rest_interval_per_node_us * 1000 * members as u64;
    (timeout_ns / BEACONS).max(per_node_ns).min(BEACON_NS_MAX)
}

/// How long a resting ring may be silent: until the next beacon is due, and the timeout, in which whoever is silent
/// is asked again.
pub(crate) fn rest_timeout_ns(timeout_ns: u64, members: usize, tuning: &Tuning) -> u64 {
    beacon_interval_ns(timeout_ns, members, tuning) + timeout_ns
}

/// Time between two questions to somebody who is silent.
pub(crate) fn question_interval_ns(timeout_ns: u64) -> u64 {
    (timeout_ns / QUESTIONS).max(QUESTION_NS_MIN)
}

/// How long after a proof this node may act: until the loss of the ring is noticed, however old the
/// proof was then, and the next ring is formed: agreement, and what may go wrong on the way.
pub(crate) fn lease_ns(timeout_ns: u64, members: usize, tuning: &Tuning) -> u64 {
    rest_timeout_ns(timeout_ns, members, tuning)
        + PROOF_BEACONS * beacon_interval_ns(timeout_ns, members, tuning)
        + consensus_ns(timeout_ns, members, tuning)
        + usual_consensus_ns(timeout_ns, members)
}

/// How long after this node showed itself others may act on it.
pub(crate) fn owed_ns(timeout_ns: u64, members: usize, tuning: &Tuning) -> u64 {
    let lease_ns = lease_ns(timeout_ns, members, tuning);
    lease_ns + lease_ns / ALLOWANCE_SHARE
}

/// The longest time that a node can owe anything, nanoseconds, in rings of at most so many nodes whose timeouts
/// keep to these bounds: what must have passed after its end before anybody may count on it again.
pub fn owed_ns_max(token_timeout: TokenTimeout, nodes: usize, tuning: &Tuning) -> u64 {
    owed_ns(token_timeout.max_us().saturating_mul(1000), nodes, tuning)
}

/// Until when this node may act for its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The ring.
    pub ring: RingId,
    /// Its end, nanoseconds of the machine's clock.
    pub until_ns: u64,
}

/// What a node outside the ring may still do on the strength of this node's signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// To whom.
    pub node: NodeId,
    /// Until when, nanoseconds of the machine's clock.
    pub until_ns: u64,
    /// Sequence number of the last ring in which this node was with it.
    pub ring_seq: u64,
}

/// A beacon that was answered, or sent.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    number: u64,
    /// When it was answered here (or sent, by the holder).
    at_ns: u64,
    /// It was sent after this time of this node's clock; zero when nothing is known.
    after_ns: u64,
}

/// One ring's signs of life.
#[derive(Debug)]
pub(crate) struct Life {
    /// End of the lease.
    pub(crate) until_ns: u64,
    /// End of what is owed to the other members.
    pub(crate) owed_ns: u64,
    /// When my last regular visit began, and the one before, with the timeout in force then. A visit
    /// proves that every member showed itself after the previous one.
    visits: [(u64, u64); 2],
    /// The last beacons of the rest that goes on.
    seen: [Seen; SEEN],
    /// The visit in which the token rests.
    rest: u64,
    /// Number of the last beacon of this rest (the holder's).
    number: u64,
    /// Highest beacon of this rest that each member answered (the holder's), by position.
    pub(crate) answered: alloc::vec::Vec<u64>,
}

impl Life {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            until_ns: 0,
            owed_ns: 0,
            visits: [(0, 0); 2],
            seen: [Seen::default(); SEEN],
            rest: 0,
            number: 0,
            answered: alloc::vec![0; nodes],
        }
    }

    /// A new ring: nothing is proven and nothing owed.
    pub(crate) fn reset(&mut self) {
        let answered = core::mem::take(&mut self.answered);
        *self = Self { answered, ..Self::new(0) };
        self.rest(0);
    }

    /// A regular visit begins, with this timeout in force.
    pub(crate) fn visit(&mut self, now_ns: u64, timeout_ns: u64, members: usize, tuning: &Tuning) {
        self.visits = [(now_ns, timeout_ns), self.visits[0]];
        let [(_, now_timeout_ns), (since_ns, then_timeout_ns)] = self.visits;
        if since_ns > 0 {
            let timeout_ns = now_timeout_ns.min(then_timeout_ns);
            self.prove(since_ns, lease_ns(timeout_ns, members, tuning));
        }
    }

    /// Every member showed itself after `since_ns`.
    fn prove(&mut self, since_ns: u64, lease_ns: u64) {
        self.until_ns = self.until_ns.max(since_ns.saturating_add(lease_ns));
    }

    /// This node shows itself.
    pub(crate) fn show(&mut self, now_ns: u64, timeout_ns: u64, members: usize, tuning: &Tuning) {
        let owed_ns = now_ns.saturating_add(owed_ns(timeout_ns, members, tuning));
        self.owed_ns = self.owed_ns.max(owed_ns);
    }

    /// The token comes to rest in this visit, here or elsewhere.
    fn rest(&mut self, visit: u64) {
        self.rest = visit;
        self.number = 0;
        self.seen = [Seen::default(); SEEN];
        self.answered.fill(0);
    }

    fn remember(&mut self, seen: Seen) {
        if let Some(place) = self.seen.iter_mut().min_by_key(|place| place.number) {
            *place = seen;
        }
    }

    /// The holder sends a beacon that is to be answered: its number, and the highest one that all
    /// `others` (positions) have answered by now.
    pub(crate) fn beacon(
        &mut self,
        now_ns: u64,
        visit: u64,
        others: impl Iterator<Item = usize>,
        lease_ns: u64,
    ) -> (u64, u64) {
        if visit != self.rest {
            self.rest(visit);
        }
        let proven = others.map(|pos| self.answered[pos]).min().unwrap_or(0);
        if let Some(seen) = self.seen.iter().find(|seen| proven > 0 && seen.number == proven) {
            let since_ns = seen.at_ns;
            self.prove(since_ns, lease_ns);
        }
        self.number += 1;
        self.remember(Seen { number: self.number, at_ns: now_ns, after_ns: now_ns });
        (self.number, proven)
    }

    /// The last beacon that was sent, and the highest one that all `others` (positions) have answered: to ask again.
    pub(crate) fn asked(&self, others: impl Iterator<Item = usize>) -> (u64, u64) {
        (self.number, others.map(|pos| self.answered[pos]).min().unwrap_or(0))
    }

    /// Whether a member answered the holder's last beacon.
    pub(crate) fn has_answered(&self, pos: usize) -> bool {
        self.answered[pos] >= self.number
    }

    /// When the holder asked all with this beacon, if it is one of the last.
    pub(crate) fn asked_ns(&self, visit: u64, number: u64) -> Option<u64> {
        let of_number = |seen: &&Seen| visit == self.rest && number > 0 && seen.number == number;
        self.seen.iter().find(of_number).map(|seen| seen.at_ns)
    }

    /// A member answered the holder's beacon.
    pub(crate) fn answered(&mut self, pos: usize, visit: u64, number: u64) {
        if visit == self.rest
            && number <= self.number
            && let Some(answered) = self.answered.get_mut(pos)
        {
            *answered = number.max(*answered);
        }
    }

    /// A member answers a beacon which says that all members answered number `proven` or a later
    /// one.
    ///
    /// This node is one of them, so the beacon was sent after the earliest of its own answers that
    /// this can be about. And what all answered is a beacon that was itself sent after some time: from
    /// then on all have shown themselves.
    pub(crate) fn answer(
        &mut self,
        now_ns: u64,
        visit: u64,
        number: u64,
        proven: u64,
        lease_ns: u64,
    ) {
        if visit != self.rest {
            self.rest(visit);
        }
        let known = |seen: &&Seen| seen.number > 0 && proven > 0;
        let mine = self.seen.iter().filter(known).filter(|seen| seen.number >= proven);
        let after_ns = mine.map(|seen| seen.at_ns).min().unwrap_or(0);
        let all = self.seen.iter().filter(known).filter(|seen| seen.number <= proven);
        let since_ns = all.map(|seen| seen.after_ns).max().unwrap_or(0);
        if since_ns > 0 {
            self.prove(since_ns, lease_ns);
        }
        if self.seen.iter().all(|seen| seen.number != number) {
            self.remember(Seen { number, at_ns: now_ns, after_ns });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const T: u64 = 40 * MS;

    fn lease(timeout_ns: u64) -> u64 {
        lease_ns(timeout_ns, 3, &Tuning::default())
    }

    #[test]
    fn a_lease_outlasts_noticing_a_loss_and_is_shorter_than_what_is_owed() {
        let tuning = Tuning::default();
        for (timeout_ns, members) in
            [(MS, 2), (10 * MS, 3), (T, 32), (1000 * MS, 1024), (9650 * MS, 16)]
        {
            let rest_ns = rest_timeout_ns(timeout_ns, members, &tuning);
            let lease_ns = lease_ns(timeout_ns, members, &tuning);
            assert!(
                rest_ns > timeout_ns
                    && lease_ns > rest_ns + usual_consensus_ns(timeout_ns, members)
            );
            assert!(owed_ns(timeout_ns, members, &tuning) >= lease_ns / 100 * 124);
        }
    }

    #[test]
    fn a_visit_proves_life_since_the_one_before_by_the_shorter_timeout() {
        let (mut life, tuning) = (Life::new(3), Tuning::default());
        life.visit(100 * MS, T, 3, &tuning);
        assert_eq!(life.until_ns, 0);
        life.visit(130 * MS, 2 * T, 3, &tuning);
        assert_eq!(life.until_ns, 100 * MS + lease(T));
        life.visit(131 * MS, 2 * T, 3, &tuning);
        assert_eq!(life.until_ns, 130 * MS + lease(2 * T));
        life.reset();
        assert_eq!((life.until_ns, life.owed_ns, life.answered.len()), (0, 0, 3));
    }

    #[test]
    fn the_holders_beacon_proves_life_once_all_answered_it_or_a_later_one() {
        let mut life = Life::new(3);
        let beacon =
            |life: &mut Life, ms: u64| life.beacon(ms * MS, 7, [1, 2].into_iter(), lease(T));
        assert_eq!(beacon(&mut life, 10), (1, 0));
        life.answered(1, 7, 1);
        life.answered(2, 6, 1);
        life.answered(2, 7, 9);
        assert_eq!(
            (beacon(&mut life, 20), life.until_ns),
            ((2, 0), 0),
            "2 answered another rest's"
        );
        life.answered(2, 7, 2);
        assert_eq!((beacon(&mut life, 30), life.until_ns), ((3, 1), 10 * MS + lease(T)));
        life.answered(1, 7, 3);
        assert_eq!((beacon(&mut life, 40), life.until_ns), ((4, 2), 20 * MS + lease(T)));
    }

    #[test]
    fn a_members_proof_is_older_than_any_answer_it_rests_on() {
        let mut life = Life::new(3);
        let answer = |life: &mut Life, ms: u64, number: u64, proven: u64| {
            life.answer(ms * MS, 7, number, proven, lease(T));
            life.until_ns.saturating_sub(lease(T)) / MS
        };
        assert_eq!(answer(&mut life, 10, 1, 0), 0);
        assert_eq!(answer(&mut life, 20, 2, 1), 0, "when 1 was sent nobody here knows");
        assert_eq!(answer(&mut life, 30, 3, 2), 10, "2 was sent after the answer to 1");
        assert_eq!(answer(&mut life, 40, 4, 2), 10, "somebody missed 3");
        assert_eq!(answer(&mut life, 50, 5, 4), 20, "4 was sent after the answer to 2");
        assert_eq!(answer(&mut life, 51, 3, 2), 20, "an old one again");
        life.answer(60 * MS, 8, 6, 5, lease(T));
        assert_eq!(life.until_ns, 20 * MS + lease(T), "another rest");
    }
}
