//! Watches who is quorate, at every moment of virtual time.
//!
//! A node is quorate as long as its lease lasts by its own clock, even while it stands still: who knows the
//! lease needs no answer. And it is as long as its programs were not told otherwise, unless the node cannot
//! tell them anything because it stands still. At no time may a node be quorate that the newest quorate ring
//! leaves out.

use groups::votequorum::{Options, TieBreaker};
use groups::{Event, QuorumEvent};
use wire::{NodeId, RingId};

use crate::history::LifeId;
use crate::rng::Rng;
use crate::world::World;

/// How votes are counted in a run. Only what is safe by the rules of votequorum itself is drawn: two
/// nodes that may each go on alone, or a last man standing that need not wait for all, are not.
#[derive(Clone, Debug)]
pub struct Ballot {
    /// Votes of each node.
    pub votes: Vec<u32>,
    /// See [`Options`].
    pub wait_for_all: bool,
    /// See [`Options`]: the window, if the feature is on.
    pub last_man_window_ms: Option<u32>,
    /// See [`Options`].
    pub tie_breaker: TieBreaker,
}

impl Ballot {
    /// The ballot of a seed.
    pub(crate) fn draw(rng: &mut Rng, nodes: u32) -> Self {
        let heavy = rng.chance(300_000);
        let votes = (0..nodes).map(|_| if heavy { rng.between(1, 3) as u32 } else { 1 });
        let votes: Vec<u32> = votes.collect();
        let last_man = !heavy && rng.chance(150_000);
        let even = votes.iter().sum::<u32>().is_multiple_of(2);
        let some = NodeId(1 + rng.below(nodes.into()) as u32);
        let list = TieBreaker::List([some, NodeId(1)].into());
        let breakers = [TieBreaker::Lowest, TieBreaker::Highest, list];
        let breaker = rng.pick(&breakers).clone();
        let tie = !heavy && even && rng.chance(300_000);
        Self {
            votes,
            wait_for_all: last_man || rng.chance(150_000),
            last_man_window_ms: last_man.then(|| rng.between(0, 200) as u32),
            tie_breaker: if tie { breaker } else { TieBreaker::Off },
        }
    }

    /// For votequorum, with the nodes of a list.
    pub(crate) fn options(&self, nodes: &[NodeId]) -> Options {
        Options {
            nodes: nodes.iter().map(|node| (*node, self.votes[node.0 as usize - 1])).collect(),
            wait_for_all: Some(self.wait_for_all),
            last_man_standing: self.last_man_window_ms.is_some(),
            last_man_standing_window_ms: self.last_man_window_ms.unwrap_or(0),
            auto_tie_breaker: self.tie_breaker.clone(),
            ..Options::default()
        }
    }
}

/// What a node says of the quorum.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    life: LifeId,
    ring: RingId,
    members: Vec<NodeId>,
    /// Until when in the world's time.
    until_ns: u64,
}

impl World {
    /// Something was said to the programs of a host.
    pub(crate) fn hear_quorum(&mut self, host: usize, life: LifeId, event: &Event) {
        let Event::Quorum(QuorumEvent::Changed { quorate, ring, members, .. }) = event else {
            return;
        };
        if self.scenario.ballot.is_none() {
            return;
        }
        let (now_ns, ring) = (self.now_ns, *ring);
        self.tracer.line(now_ns, || format!("n{} quorate {quorate} in {ring}", host + 1));
        let claim = Claim { life, ring, members: members.clone(), until_ns: u64::MAX };
        self.hosts[host].told = quorate.then_some(claim);
        self.history.quorums += u64::from(*quorate);
        // Who stands still cannot tell its programs anything.
        self.compare(host, |h| h.told.as_ref().filter(|_| h.paused_until < now_ns));
    }

    /// A node has done something: is it quorate, and may it be?
    pub(crate) fn look_at_quorum(&mut self, host: usize) {
        let h = &mut self.hosts[host];
        let Some(r) = h.running.as_ref().filter(|_| self.scenario.ballot.is_some()) else { return };
        let quorum = r.node.groups().quorum();
        let (ring, members) = quorum.view();
        let until_ns = quorum.quorate_until_ns().map_or(0, |until_ns| h.clock.world(until_ns));
        match &mut h.claim {
            Some(claim) if claim.ring == ring && claim.life == r.life => {
                if claim.until_ns == until_ns {
                    return;
                }
                claim.until_ns = until_ns;
            }
            place => {
                let (life, members) = (r.life, members.to_vec());
                *place = Some(Claim { life, ring, members, until_ns });
            }
        }
        self.compare(host, |h| h.claim.as_ref());
    }

    /// Compares a host's claim with those of all others.
    fn compare(&mut self, host: usize, claim: impl Fn(&crate::host::Host) -> Option<&Claim>) {
        let now_ns = self.now_ns;
        let live = |index: usize| {
            let h = &self.hosts[index];
            let life = h.running.as_ref().map(|r| r.life);
            claim(h).filter(|c| c.until_ns > now_ns && Some(c.life) == life)
        };
        let Some(mine) = live(host) else { return };
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            let Some(theirs) = live(other) else { continue };
            let (me, them) = (self.hosts[host].id, self.hosts[other].id);
            let clash = if mine.ring.seq > theirs.ring.seq {
                !mine.members.contains(&them)
            } else if theirs.ring.seq > mine.ring.seq {
                !theirs.members.contains(&me)
            } else {
                mine.ring != theirs.ring
            };
            if clash {
                self.history.quorum_clashes.push(format!(
                    "at {now_ns} node {me} is quorate in {} with {:?} and node {them} in {} with {:?}",
                    mine.ring, mine.members, theirs.ring, theirs.members
                ));
                return;
            }
        }
    }
}
