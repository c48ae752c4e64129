//! The membership protocol up to Commit (Amir et al. 1995 sec. 4); what follows stands in
//! `install`.

use wire::commit::Commit;
use wire::join::{Compat, Join};
use wire::token::Token;
use wire::trace::{Code, Level};
use wire::{NodeId, NodeSet, RingId, WireError};

use crate::cause::{Cause, Evidence};
use crate::gather::Timeout;
use crate::machine::Totem;
use crate::members::Members;
use crate::timers::Timer;
use crate::visit::Kept;
use crate::{Dest, Lane, Mutation, Output, Source, State};

/// A ring's number may be so far above the highest that was heard of. A node that lost its number starts from the
/// clock's milliseconds, of which these are 8900 years, and no cluster forms as many rings while a node is away.
/// Whoever wrote the highest number there is would leave none for the rings to come, on every disk.
const RING_SEQ_AHEAD_MAX: u64 = 1 << 48;

/// The version of the ring protocol that this crate speaks.
pub(crate) const PROTOCOL: u8 = 1;

impl Totem {
    /// Starts to agree on members anew.
    pub(crate) fn enter_gather(
        &mut self,
        now_ns: u64,
        evidence: Evidence,
        proc: NodeSet,
        fail: NodeSet,
    ) {
        evidence.count(&mut self.ctx.counters);
        let timer = evidence.timer.map_or(u64::MAX, |timer| timer as u64);
        let args = [evidence.cause as u64, evidence.peer.into(), timer, evidence.last_seen_us];
        self.ctx.trace(Level::Info, Code::Gather, &args);
        self.last_gather = evidence;
        self.state = State::Gather;
        self.note_owed();
        self.ring.stop();
        self.forming.stop();
        let leave_ns = self.ctx.timers.at(Timer::Leave);
        self.ctx.timers.clear_all();
        self.ctx.timers.set(Timer::Leave, leave_ns);
        self.leave_numbered = false;
        self.gather.start(now_ns, proc, fail, &mut self.ctx);
        self.check_consensus(now_ns);
    }

    /// What this node says of itself to nodes of other rings.
    pub(crate) fn compat(&self) -> Compat {
        Compat {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            config_version: self.config.config_version,
            config_hash: self.config.config_hash,
        }
    }

    pub(crate) fn send_join(&mut self, now_ns: u64) {
        if self.state != State::Gather {
            return;
        }
        let join = Join {
            compat: self.compat(),
            ring_seq: self.highest_ring_seq,
            last_ring: self.ring.ring,
            proc: self.gather.proc,
            fail: self.gather.fail,
            hears: self.gather.hears,
        };
        let (nodes, me) = (self.ctx.nodes.len(), self.ctx.me_pos);
        if nodes > 1 {
            self.ctx.counters.joins_sent += 1;
            let gather = &self.gather;
            self.ctx
                .send_control(Dest::All, Lane::Data, |out| join.emit(out, nodes, gather.rows(me)));
        }
        self.gather.join_sent(now_ns, &mut self.ctx);
    }

    pub(crate) fn on_join(
        &mut self,
        now_ns: u64,
        pos: usize,
        frame: &[u8],
    ) -> Result<(), WireError> {
        self.ctx.counters.joins_received += 1;
        if !self.compatible(now_ns, pos, &Join::parse_compat(frame)?) {
            return Ok(());
        }
        let nodes = self.ctx.nodes.len();
        let join = Join::parse(frame, nodes, |_, _| {})?;
        self.check_ring_seq("join", join.ring_seq)?;
        let news = match self.state {
            State::Gather => true,
            State::Operational => self.join_restarts(now_ns, pos, &join),
            // Who was to be in the ring that is being formed and knows of it has given it up.
            State::Commit | State::Recovery => {
                self.forming.members.set.contains(pos) && join.ring_seq >= self.forming.ring.seq
            }
            State::Left => false,
        };
        if !news {
            self.ctx.counters.joins_ignored += 1;
            return Ok(());
        }
        if self.leaving && join.fail.contains(self.ctx.me_pos) {
            self.become_left();
            return Ok(());
        }
        match self.state {
            State::Operational => {
                let evidence = Evidence::of(Cause::Join, self.ctx.nodes[pos].0);
                let proc = self.ring.members.set.union(&join.proc);
                self.enter_gather(now_ns, evidence, proc, NodeSet::EMPTY);
            }
            State::Commit | State::Recovery => {
                let evidence = Evidence::of(Cause::Formation, self.ctx.nodes[pos].0);
                let proc = self.forming.members.set;
                self.enter_gather(now_ns, evidence, proc, NodeSet::EMPTY);
            }
            State::Gather | State::Left => {}
        }
        self.learn_ring_seq(join.ring_seq);
        let gather = &mut self.gather;
        let (mut rows, mut count) = (NodeSet::single(pos), 0);
        Join::parse(frame, nodes, |row, hears| {
            rows.insert(row);
            count += 1;
            gather.on_row(row, hears);
        })?;
        if count < Join::rows_max(nodes) {
            // All rows fitted: whoever was heard and has no row hears all that the sender wants.
            let all = join.proc.minus(&join.fail);
            join.hears.minus(&rows).iter().for_each(|row| gather.on_row(row, all));
        }
        let wanted = gather.wanted();
        let news = gather.on_join(pos, &join, &mut self.ctx);
        if news.tell {
            gather.join_soon(now_ns, &mut self.ctx);
        }
        if self.gather.wanted() != wanted {
            self.gather.restart_consensus(now_ns, &mut self.ctx);
        } else if news.step {
            self.gather.step(now_ns, &mut self.ctx);
        }
        self.check_consensus(now_ns);
        Ok(())
    }

    /// Refuses a ring's number that no honest node says.
    fn check_ring_seq(&self, what: &'static str, seq: u64) -> Result<(), WireError> {
        if seq > self.highest_ring_seq.saturating_add(RING_SEQ_AHEAD_MAX) {
            return Err(WireError::BadField { what, field: "ring number", found: seq });
        }
        Ok(())
    }

    /// Whether a Join heard on an installed ring starts a gather.
    fn join_restarts(&self, now_ns: u64, pos: usize, join: &Join) -> bool {
        let members = self.ring.members.set;
        if members.contains(pos) {
            // Older ones were sent on the way to this very ring.
            return join.ring_seq >= self.ring.ring.seq;
        }
        // Who leaves some of us out is not ready for all of us: it will form a ring and be merged.
        join.fail.intersection(&members).is_empty()
            && !self.others.is_calm(now_ns)
            && self.others.admits(pos, join.proc.contains(self.ctx.me_pos))
    }

    /// All agree: the representative starts the commit token.
    pub(crate) fn check_consensus(&mut self, now_ns: u64) {
        let me = self.ctx.me_pos;
        if self.state != State::Gather || !self.gather.agreed(me) {
            return;
        }
        let wanted = self.gather.wanted();
        if wanted.first() != Some(me) {
            return;
        }
        let reuse = self.ctx.mutated(Mutation::ReuseRingSeq) && self.ring.ring.seq > 0;
        let seq = if reuse { self.ring.ring.seq } else { self.highest_ring_seq + 1 };
        if seq > self.persisted_seq() {
            // Rings are never formed with a number that a crash could forget.
            self.learn_ring_seq(self.highest_ring_seq);
            return;
        }
        let ring = RingId { seq, rep: self.ctx.me };
        self.enter_commit(now_ns, &Commit { ring, hop: 0, members: wanted });
        if wanted.len() == 1 {
            self.enter_recovery(now_ns);
            self.install_alone(now_ns);
        }
    }

    pub(crate) fn on_commit(
        &mut self,
        now_ns: u64,
        frame: &[u8],
        source: &mut dyn Source,
    ) -> Result<(), WireError> {
        let commit = &Commit::parse(frame, self.ctx.nodes.len())?;
        self.check_ring_seq("commit", commit.ring.seq)?;
        self.ctx.counters.commits_received += 1;
        let me = self.ctx.me_pos;
        match self.state {
            State::Gather if commit.members.contains(me) => {
                let rep = commit.members.first().and_then(|pos| self.ctx.nodes.get(pos));
                let agreed = commit.members == self.gather.wanted()
                    && commit.ring.seq > self.ring.ring.seq
                    && rep == Some(&commit.ring.rep)
                    && commit.ring.rep != self.ctx.me;
                self.learn_ring_seq(commit.ring.seq);
                if agreed {
                    self.enter_commit(now_ns, commit);
                } else {
                    // Those in Commit know by the number that this node does not agree.
                    self.gather.join_soon(now_ns, &mut self.ctx);
                }
            }
            State::Commit if commit.ring == self.forming.ring => {
                let whole = commit.hop as usize == commit.members.len();
                if whole && commit.ring.rep == self.ctx.me {
                    self.enter_recovery(now_ns);
                    self.forming.drop_kept(&mut self.ctx);
                    let timeout_us = self.ctx.timeout_ns() / 1000;
                    let token = Token::first(commit.ring, timeout_us as u32);
                    self.take_token(now_ns, token, source);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// This node agrees to the ring and passes the commit token on.
    fn enter_commit(&mut self, now_ns: u64, commit: &Commit) {
        let members = Members::new(commit.members, &self.ctx.nodes, self.ctx.me);
        let args = [commit.ring.seq, commit.ring.rep.0.into(), members.len() as u64];
        self.ctx.trace(Level::Debug, Code::Commit, &args);
        self.state = State::Commit;
        self.learn_ring_seq(commit.ring.seq);
        self.ctx.timers.clear(Timer::Join);
        self.ctx.timers.clear(Timer::Consensus);
        let some_are_new = !members.set.is_subset(&self.ring.members.set);
        self.ctx.begin_ring(now_ns, members.len(), some_are_new);
        let to = members.successor();
        let alone = members.is_alone();
        self.forming.reset(commit.ring, members);
        self.forming.watch.begin_ring(self.ctx.rotation.is_trusted());
        self.ctx.after(Timer::TokenLoss, now_ns, self.ctx.timeout_ns());
        if alone {
            return;
        }
        let next = Commit { hop: commit.hop + 1, ..*commit };
        let nodes = self.ctx.nodes.len();
        if let Some(frame) = self.ctx.control(|out| next.emit(out, nodes)) {
            self.ctx.send(Dest::Node(to), Lane::Token, frame.clone());
            self.forming.kept = Some(Kept { to, visit: 0, frame, tries: 0 });
            self.ctx.after(Timer::TokenRetransmit, now_ns, self.ctx.retransmit_ns(0));
        }
    }

    pub(crate) fn token_lost(&mut self, now_ns: u64) {
        let last_seen_us = self.ctx.timeout_ns() / 1000;
        let successor = self.current().ring.kept.as_ref().map_or(0, |kept| kept.to.0);
        let (cause, proc) = match self.state {
            State::Operational => (Cause::TokenLoss, self.ring.members.set),
            State::Commit | State::Recovery => (Cause::Formation, self.forming.members.set),
            State::Gather | State::Left => return,
        };
        let timer = Some(Timer::TokenLoss);
        let evidence = Evidence { cause, peer: successor, timer, last_seen_us };
        self.enter_gather(now_ns, evidence, proc, NodeSet::EMPTY);
    }

    pub(crate) fn consensus_timeout(&mut self, now_ns: u64) {
        if self.state != State::Gather {
            return;
        }
        if let Timeout::Changed = self.gather.on_timeout(now_ns, &mut self.ctx) {
            self.ctx.timers.set(Timer::Join, now_ns);
        }
        self.check_consensus(now_ns);
    }

    /// A member is known to be gone or of no use: form the ring without it.
    pub(crate) fn evict(
        &mut self,
        now_ns: u64,
        cause: Cause,
        node: NodeId,
        timer: Timer,
        age_ns: u64,
    ) {
        if self.state != State::Operational {
            return;
        }
        let last_seen_us = age_ns / 1000;
        let evidence = Evidence { cause, peer: node.0, timer: Some(timer), last_seen_us };
        let fail = self.ctx.pos(node).map_or(NodeSet::EMPTY, NodeSet::single);
        self.enter_gather(now_ns, evidence, self.ring.members.set, fail);
    }

    pub(crate) fn peer_is_dead(&mut self, now_ns: u64, pos: usize) {
        self.gone(pos);
        let evidence = Evidence::of(Cause::PeerDead, self.ctx.nodes[pos].0);
        let proc = match self.state {
            State::Operational => self.ring.members.set,
            State::Commit | State::Recovery => self.forming.members.set,
            State::Gather => {
                if self.gather.leave_out(pos) {
                    self.gather.join_soon(now_ns, &mut self.ctx);
                    self.gather.restart_consensus(now_ns, &mut self.ctx);
                    self.check_consensus(now_ns);
                }
                return;
            }
            State::Left => return,
        };
        self.enter_gather(now_ns, evidence, proc, NodeSet::single(pos));
    }

    /// Members have left in order (perhaps this node).
    pub(crate) fn members_left(&mut self, now_ns: u64) {
        let leavers = self.ring.leavers;
        if leavers.contains(self.ctx.me_pos) {
            self.become_left();
            return;
        }
        for pos in leavers.iter() {
            let args = [self.ctx.nodes[pos].0.into()];
            self.ctx.trace(Level::Info, Code::PeerLeaving, &args);
            self.gone(pos);
        }
        let peer = leavers.first().map_or(0, |pos| self.ctx.nodes[pos].0);
        let evidence = Evidence::of(Cause::PeerLeft, peer);
        self.enter_gather(now_ns, evidence, self.ring.members.set, leavers);
    }

    pub(crate) fn become_left(&mut self) {
        if self.state == State::Left {
            return;
        }
        self.state = State::Left;
        self.ring.stop();
        self.forming.stop();
        self.ctx.timers.clear_all();
        self.ctx.out.push_back(Output::Left);
        self.ctx.trace(Level::Info, Code::Stopped, &[self.ctx.me.0.into()]);
    }
}
