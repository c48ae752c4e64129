//! Gather: who forms the next ring (Amir et al. 1995 sec. 4.2), with the `hears` matrix.

use alloc::vec::Vec;

use wire::NodeSet;
use wire::join::Join;

use crate::Tuning;
use crate::clique::group_of;
use crate::ctx::Ctx;
use crate::timers::Timer;

/// Joins sent before those not heard from are left out.
const JOINS_PER_CONSENSUS: u64 = 4;
/// What one more node adds to the interval: it has to read everybody's Joins, perhaps on a core it
/// shares.
const NODE_SHARE_NS: u64 = 100_000;
/// Agreement may fail so often before those that do not agree are left out.
const DISAGREEMENTS_MAX: u32 = 3;
/// An agreed ring's representative may be silent for so many consensus timeouts.
const SILENCE_MAX: u32 = 8;
/// The gap between two Joins that tell of changes doubles with each Join, so often: from a quarter of the interval to
/// all of it. And so does the interval between Joins that say nothing new, to four times what it is at first: all
/// that they repair is the loss of others, and all nodes together must find the time to read what all of them send.
const DOUBLINGS: u32 = 2;

#[derive(Clone, Copy)]
struct Peer {
    /// Whether a Join came in this gather.
    heard: bool,
    proc: NodeSet,
    fail: NodeSet,
    /// Its row of the matrix: its own word, or the union of what others pass on.
    hears: NodeSet,
}

const UNHEARD: Peer =
    Peer { heard: false, proc: NodeSet::EMPTY, fail: NodeSet::EMPTY, hears: NodeSet::EMPTY };

/// A share of a timeout, and more the more nodes would send at once.
fn share_ns(timeout_ns: u64, nodes: usize) -> u64 {
    (timeout_ns / 8).clamp(1_000_000, 50_000_000) + nodes as u64 * NODE_SHARE_NS
}

/// How long a node with this timeout waits for the Joins of so many, when nothing else is configured.
pub(crate) fn usual_consensus_ns(timeout_ns: u64, nodes: usize) -> u64 {
    share_ns(timeout_ns, nodes) * JOINS_PER_CONSENSUS
}

/// How long it waits.
pub(crate) fn consensus_ns(timeout_ns: u64, nodes: usize, tuning: &Tuning) -> u64 {
    let configured = tuning.consensus_us.map(|us| us.saturating_mul(1000));
    configured.unwrap_or_else(|| usual_consensus_ns(timeout_ns, nodes))
}

/// One gather.
pub(crate) struct Gather {
    pub(crate) proc: NodeSet,
    pub(crate) fail: NodeSet,
    pub(crate) hears: NodeSet,
    pub(crate) started_ns: u64,
    peers: Vec<Peer>,
    /// Whoever else there is had a whole consensus timeout to show itself.
    settled: bool,
    disagreements: u32,
    silences: u32,
    last_join_ns: u64,
    /// Joins sent in this gather.
    joins: u32,
    /// Those of them since it changed who is to be in the ring.
    repeats: u32,
    /// Steps towards agreement that may still put the consensus timeout off: each node can be heard, and agree, once.
    steps: usize,
}

/// What a Join changed.
#[derive(Clone, Copy, Default)]
pub(crate) struct News {
    /// What this node proposes, or that it hears all of it: the others have to know.
    pub(crate) tell: bool,
    /// Agreement came nearer.
    pub(crate) step: bool,
}

/// What a consensus timeout found out.
pub(crate) enum Timeout {
    /// Somebody is left out now: propose again.
    Changed,
    /// Nothing changed: wait on.
    Wait,
}

impl Gather {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            proc: NodeSet::EMPTY,
            fail: NodeSet::EMPTY,
            hears: NodeSet::EMPTY,
            started_ns: 0,
            peers: alloc::vec![UNHEARD; nodes],
            settled: false,
            disagreements: 0,
            silences: 0,
            last_join_ns: 0,
            joins: 0,
            repeats: 0,
            steps: 0,
        }
    }

    /// Starts with these sets.
    pub(crate) fn start(&mut self, now_ns: u64, proc: NodeSet, fail: NodeSet, ctx: &mut Ctx) {
        self.proc = proc;
        self.proc.insert(ctx.me_pos);
        self.fail = fail;
        self.fail.remove(ctx.me_pos);
        self.hears = NodeSet::single(ctx.me_pos);
        self.started_ns = now_ns;
        self.peers.fill(UNHEARD);
        // Who knows why all the others are gone need not wait for them.
        self.settled = ctx.nodes.len() == 1 || !self.fail.is_empty();
        self.disagreements = 0;
        self.silences = 0;
        self.joins = 0;
        self.repeats = 0;
        self.steps = 2 * self.peers.len();
        ctx.timers.set(Timer::Join, now_ns);
        ctx.after(Timer::Consensus, now_ns, self.consensus_ns(ctx));
    }

    /// Between two Joins. Everybody sends as often as the least patient node expects: who came from
    /// a slow ring (or from none) would be left out for ever by those whose ring was fast. And the more nodes there
    /// may be, the more seldom: who starts knows of nobody yet, but all have to read what it sends.
    fn join_interval_ns(ctx: &Ctx) -> u64 {
        share_ns(ctx.timeout_min_ns(), ctx.nodes.len())
    }

    /// How long this node waits for the others: as long as the rotations it measured suggest, or as long as it
    /// is told to, but long enough for every node to have its say.
    fn consensus_ns(&self, ctx: &Ctx) -> u64 {
        let timeout_ns = ctx.timeout_ns().max(ctx.timeout_min_ns());
        let least_ns = Self::join_interval_ns(ctx) * JOINS_PER_CONSENSUS;
        consensus_ns(timeout_ns, self.proc.len(), &ctx.tuning).max(least_ns)
    }

    /// Something changed: tell the others soon, but not for every single change.
    pub(crate) fn join_soon(&self, now_ns: u64, ctx: &mut Ctx) {
        let doublings = self.joins.saturating_sub(1).min(DOUBLINGS);
        // Where there are few, what all of them send is read in less time than that.
        let read_ns = ctx.nodes.len() as u64 * NODE_SHARE_NS;
        let gap_ns = (Self::join_interval_ns(ctx) >> DOUBLINGS).min(read_ns) << doublings;
        let jitter_ns = ctx.random(gap_ns / 2);
        let at_ns = now_ns.max(self.last_join_ns.saturating_add(gap_ns)).saturating_add(jitter_ns);
        ctx.timers.set_earlier(Timer::Join, at_ns);
    }

    /// The Join timer fired: what to send.
    pub(crate) fn join_sent(&mut self, now_ns: u64, ctx: &mut Ctx) {
        self.last_join_ns = now_ns;
        let interval_ns = Self::join_interval_ns(ctx) << self.repeats.min(DOUBLINGS);
        self.joins += 1;
        self.repeats += 1;
        let jitter_ns = ctx.random(interval_ns / 4);
        ctx.after(Timer::Join, now_ns, interval_ns + jitter_ns);
    }

    /// Who is to be in the ring.
    pub(crate) fn wanted(&self) -> NodeSet {
        self.proc.minus(&self.fail)
    }

    /// Whether a Join of this node came in this gather.
    pub(crate) fn heard(&self, pos: usize) -> bool {
        self.peers[pos].heard
    }

    /// Rows of the matrix that say more than "hears everybody", for the others.
    pub(crate) fn rows(&self, me: usize) -> impl Iterator<Item = (usize, NodeSet)> + '_ {
        let wanted = self.wanted();
        self.proc
            .iter()
            .filter(move |pos| *pos != me)
            .map(|pos| (pos, self.peers[pos].hears))
            .filter(move |(_, hears)| !hears.is_empty() && !wanted.is_subset(hears))
    }

    /// A row passed on by somebody else.
    pub(crate) fn on_row(&mut self, pos: usize, hears: NodeSet) {
        let peer = &mut self.peers[pos];
        if !peer.heard {
            peer.hears = peer.hears.union(&hears);
        }
    }

    /// A Join of `pos`.
    pub(crate) fn on_join(&mut self, pos: usize, join: &Join, ctx: &mut Ctx) -> News {
        if self.fail.contains(pos) {
            ctx.counters.joins_ignored += 1;
            return News::default();
        }
        let before = (self.proc, self.fail);
        let (heard, agreed) = (self.hears.contains(pos), self.agrees(pos));
        self.hears.insert(pos);
        self.proc = self.proc.union(&join.proc);
        self.proc.insert(pos);
        if join.fail.contains(ctx.me_pos) {
            self.fail.insert(pos);
        } else {
            self.fail = self.fail.union(&join.fail.intersection(&self.proc.union(&join.proc)));
        }
        self.peers[pos] = Peer { heard: true, proc: join.proc, fail: join.fail, hears: join.hears };
        let proposes = (self.proc, self.fail) != before;
        // What is heard meanwhile is of use to nobody: agreement needs all of it.
        let hears_all = !heard && self.wanted().is_subset(&self.hears);
        let step = !heard || !agreed && self.agrees(pos);
        News { tell: proposes || hears_all, step }
    }

    /// Leaves a node out of this gather.
    pub(crate) fn leave_out(&mut self, pos: usize) -> bool {
        let new = self.proc.contains(pos) && !self.fail.contains(pos);
        self.fail.insert(pos);
        new
    }

    /// Whether all agree on the sets and hear each other.
    pub(crate) fn agreed(&self, me: usize) -> bool {
        let wanted = self.wanted();
        if wanted.len() == 1 {
            return self.settled;
        }
        wanted.is_subset(&self.hears)
            && wanted.iter().filter(|pos| *pos != me).all(|pos| self.agrees(pos))
    }

    /// Whether a node proposes the same as this one and hears all of it.
    fn agrees(&self, pos: usize) -> bool {
        let peer = &self.peers[pos];
        peer.heard
            && peer.proc == self.proc
            && peer.fail == self.fail
            && self.wanted().is_subset(&peer.hears)
    }

    /// Agreement comes nearer: whoever is slow gets more time. On cores that nodes share, all of them read what all
    /// of them send, and that takes longer than any timeout of a ring that moves.
    pub(crate) fn step(&mut self, now_ns: u64, ctx: &mut Ctx) {
        if self.steps > 0 {
            self.steps -= 1;
            ctx.after(Timer::Consensus, now_ns, self.consensus_ns(ctx));
        }
    }

    /// The sets changed: agreement starts again.
    pub(crate) fn restart_consensus(&mut self, now_ns: u64, ctx: &mut Ctx) {
        self.silences = 0;
        self.repeats = 0;
        self.steps = 2 * self.peers.len();
        ctx.after(Timer::Consensus, now_ns, self.consensus_ns(ctx));
    }

    /// The consensus timer fired.
    pub(crate) fn on_timeout(&mut self, now_ns: u64, ctx: &mut Ctx) -> Timeout {
        ctx.after(Timer::Consensus, now_ns, self.consensus_ns(ctx));
        self.settled = true;
        let wanted = self.wanted();
        let me = ctx.me_pos;
        if self.agreed(me) {
            self.silences += 1;
            let representative = wanted.first().filter(|first| *first != me);
            if let Some(silent) = representative.filter(|_| self.silences > SILENCE_MAX) {
                self.fail.insert(silent);
                return Timeout::Changed;
            }
            return Timeout::Wait;
        }
        let group =
            group_of(me, wanted, |pos| if pos == me { self.hears } else { self.peers[pos].hears });
        if group != wanted {
            self.fail = self.fail.union(&wanted.minus(&group));
            return Timeout::Changed;
        }
        self.disagreements += 1;
        if self.disagreements <= DISAGREEMENTS_MAX {
            return Timeout::Wait;
        }
        self.disagreements = 0;
        let stubborn: NodeSet = wanted
            .iter()
            .filter(|pos| *pos != me)
            .filter(|pos| self.peers[*pos].proc != self.proc || self.peers[*pos].fail != self.fail)
            .collect();
        self.fail = self.fail.union(&stubborn);
        Timeout::Changed
    }
}
