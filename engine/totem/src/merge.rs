//! Rings that meet: probes, refusals, and patience with nodes that some of us cannot hear.

use alloc::vec::Vec;

use wire::join::Compat;
use wire::probe::{Ping, PingAbout, Probe, Refuse, RefuseReason};
use wire::trace::{Code, Level};
use wire::{NodeId, NodeSet, WireError};

use crate::cause::{Cause, Evidence};
use crate::ctx::Ctx;
use crate::gather::Gather;
use crate::machine::Totem;
use crate::membership::PROTOCOL;
use crate::timers::Timer;
use crate::{Dest, Lane, Mutation, Output, State};

/// A refusal is said to a peer at most this often.
const REFUSE_INTERVAL_NS: u64 = 1_000_000_000;
/// How long a node stays shut out the first time; doubled every time it fails again.
const SHUT_OUT_NS: u64 = 500_000_000;
/// And at most.
const SHUT_OUT_MAX_NS: u64 = 60_000_000_000;
/// After a ring was formed nobody from outside makes its members gather for this many times the time that it took:
/// nodes that start one after the other would keep them gathering.
const CALM_FACTOR: u64 = 2;
/// But not longer.
const CALM_NS_MAX: u64 = 1_000_000_000;

#[derive(Clone, Copy, Default)]
pub(crate) struct Other {
    refused_ns: Option<u64>,
    /// Left out although it could be heard, and not let in since: until then it is not even tried.
    shut_until_ns: Option<u64>,
    /// Length of the last shut-out, and its start.
    shut_ns: u64,
    failed_ns: u64,
}

/// What is remembered of nodes outside the ring.
pub(crate) struct Others {
    pub(crate) nodes: Vec<Other>,
    /// Who answered my last probe, and who answered since.
    pub(crate) hear_me: NodeSet,
    pub(crate) answering: NodeSet,
    strangers_ns: Option<u64>,
    newer_ns: Option<u64>,
    calm_until_ns: u64,
}

impl Others {
    pub(crate) fn new(nodes: usize) -> Self {
        let nodes = alloc::vec![Other::default(); nodes];
        Self {
            nodes,
            hear_me: NodeSet::EMPTY,
            answering: NodeSet::EMPTY,
            strangers_ns: None,
            newer_ns: None,
            calm_until_ns: 0,
        }
    }

    /// Whether one of these nodes was left out although it could be heard. Such a node comes back
    /// only when both representatives know that all members of the other ring hear them and are
    /// heard.
    fn any_shut_out(&self, nodes: &NodeSet) -> bool {
        nodes.iter().any(|pos| self.nodes[pos].shut_until_ns.is_some())
    }

    /// Whether a Join of a node outside the ring may cause a gather: if it never failed to fit in,
    /// or if it invites this node (which it does only with proof).
    pub(crate) fn admits(&self, pos: usize, invites_me: bool) -> bool {
        invites_me || self.nodes[pos].shut_until_ns.is_none()
    }

    /// Whether those outside have to wait.
    pub(crate) fn is_calm(&self, now_ns: u64) -> bool {
        now_ns < self.calm_until_ns
    }

    /// Whether `probe` and the answers to my own probes prove that the two rings fit together, and
    /// it is time for an attempt.
    fn proved(&self, now_ns: u64, probe: &Probe, members: &NodeSet) -> bool {
        let due = |pos: usize| self.nodes[pos].shut_until_ns.is_none_or(|until| now_ns >= until);
        members.is_subset(&probe.hears)
            && probe.members.is_subset(&self.hear_me)
            && probe.members.iter().all(due)
    }

    /// `pos` answered my probe.
    pub(crate) fn heard_my_probe(&mut self, pos: usize) {
        self.answering.insert(pos);
    }

    /// A ring was installed: whoever was heard in the gather and had to be left out is shut out for
    /// a while; whoever is in has proved itself.
    pub(crate) fn ring_installed(
        &mut self,
        now_ns: u64,
        gather: &Gather,
        members: &NodeSet,
        evidence: Evidence,
        ctx: &Ctx,
    ) {
        self.hear_me = NodeSet::EMPTY;
        self.answering = NodeSet::EMPTY;
        // A lone node waited for others.
        self.calm_until_ns = match members.len() {
            1 => 0,
            _ => {
                let took_ns = now_ns.saturating_sub(gather.started_ns);
                now_ns.saturating_add((took_ns * CALM_FACTOR).min(CALM_NS_MAX))
            }
        };
        for pos in 0..self.nodes.len() {
            let other = &mut self.nodes[pos];
            if members.contains(pos) {
                other.shut_until_ns = None;
                continue;
            }
            let tried = evidence.cause == Cause::Merge && ctx.nodes[pos].0 == evidence.peer;
            let failed = gather.fail.contains(pos) && (gather.heard(pos) || tried);
            if failed {
                let calm_ns = other.failed_ns.saturating_add(other.shut_ns.saturating_mul(8));
                let again = other.shut_ns != 0 && now_ns < calm_ns;
                other.shut_ns = if again { other.shut_ns * 2 } else { SHUT_OUT_NS };
                other.shut_ns = other.shut_ns.min(SHUT_OUT_MAX_NS);
                other.failed_ns = now_ns;
                other.shut_until_ns = Some(now_ns.saturating_add(other.shut_ns));
            }
        }
    }

    /// Whether `pos` may be told now why it is refused.
    fn may_refuse(&mut self, now_ns: u64, pos: usize) -> bool {
        let last = &mut self.nodes[pos].refused_ns;
        let may = last.is_none_or(|last| now_ns >= last.saturating_add(REFUSE_INTERVAL_NS));
        if may {
            *last = Some(now_ns);
        }
        may
    }
}

impl Totem {
    /// Shows the ring to others, if there are nodes outside it.
    pub(crate) fn send_probe(&mut self, now_ns: u64) {
        let members = &self.ring.members;
        if self.state != State::Operational || members.len() == self.ctx.nodes.len() {
            return;
        }
        self.others.hear_me = core::mem::replace(&mut self.others.answering, NodeSet::EMPTY);
        let probe = Probe {
            compat: self.compat(),
            ring: self.ring.ring,
            members: members.set,
            hears: self.others.hear_me,
        };
        let nodes = self.ctx.nodes.len();
        self.ctx.counters.probes_sent += 1;
        self.ctx.send_control(Dest::All, Lane::Data, |out| probe.emit(out, nodes));
        let interval_ns = self.ctx.tuning.probe_interval_us * 1000;
        let jitter_ns = self.ctx.random(interval_ns / 4);
        self.ctx.after(Timer::Probe, now_ns, interval_ns + jitter_ns);
    }

    /// Another ring's representative shows itself.
    pub(crate) fn on_probe(
        &mut self,
        now_ns: u64,
        pos: usize,
        frame: &[u8],
    ) -> Result<(), WireError> {
        if !self.compatible(now_ns, pos, &Probe::parse_compat(frame)?) {
            return Ok(());
        }
        let probe = Probe::parse(frame, self.ctx.nodes.len())?;
        let members = self.ring.members.set;
        if self.state != State::Operational || members.contains(pos) {
            return Ok(());
        }
        if self.others.is_calm(now_ns) {
            self.ctx.counters.joins_ignored += 1;
            return Ok(());
        }
        let mut theirs = probe.members.minus(&members);
        theirs.insert(pos);
        if self.others.any_shut_out(&theirs) {
            // It has to learn that it is heard.
            let answer = Ping { about: PingAbout::Probe, answer: true, nonce: 0 };
            let to = Dest::Node(self.ctx.nodes[pos]);
            self.ctx.send_control(to, Lane::Data, |out| answer.emit(out));
            if !self.others.proved(now_ns, &probe, &members) {
                self.ctx.counters.joins_ignored += 1;
                return Ok(());
            }
        }
        let evidence = Evidence::of(Cause::Merge, self.ctx.nodes[pos].0);
        let mut proc = members.union(&probe.members);
        proc.insert(pos);
        self.enter_gather(now_ns, evidence, proc, NodeSet::EMPTY);
        Ok(())
    }

    /// Whether a peer's protocol and configuration go with ours; if not, it is told why.
    pub(crate) fn compatible(&mut self, now_ns: u64, pos: usize, theirs: &Compat) -> bool {
        if self.ctx.mutated(Mutation::MixConfigurations) {
            return true;
        }
        let ours = self.compat();
        let reason = if theirs.protocol_min > PROTOCOL || theirs.protocol_max < PROTOCOL {
            Some((RefuseReason::Protocol, theirs.protocol_max.into(), PROTOCOL.into()))
        } else if theirs.config_version < ours.config_version {
            Some((RefuseReason::OlderConfig, theirs.config_version, ours.config_version))
        } else if theirs.config_version > ours.config_version {
            // We are the older one: it refuses us and says so.
            self.note_newer(now_ns, pos, theirs.config_version, theirs.config_hash);
            return false;
        } else if theirs.config_hash != ours.config_hash {
            Some((RefuseReason::OtherConfig, theirs.config_hash, ours.config_hash))
        } else {
            None
        };
        let Some((reason, theirs, ours)) = reason else { return true };
        self.ctx.counters.refused += 1;
        if self.others.may_refuse(now_ns, pos) {
            let node = self.ctx.nodes[pos];
            let config_hash = self.config.config_hash;
            let refuse = Refuse { reason, theirs, ours, config_hash };
            self.ctx.send_control(Dest::Node(node), Lane::Data, |out| refuse.emit(out));
            let args = [node.0.into(), reason as u64, theirs, ours];
            self.ctx.trace(Level::Warn, Code::Refused, &args);
        }
        false
    }

    /// A peer has a newer configuration: the owner may find the same in its file.
    fn note_newer(&mut self, now_ns: u64, pos: usize, config_version: u64, config_hash: u64) {
        self.ctx.counters.newer_configurations += 1;
        let speaks = self.state == State::Operational && self.ring.members.am_representative();
        let last = self.others.newer_ns;
        let too_soon = last.is_some_and(|last| now_ns < last.saturating_add(REFUSE_INTERVAL_NS));
        if !speaks || too_soon {
            return;
        }
        self.others.newer_ns = Some(now_ns);
        let node = self.ctx.nodes[pos];
        self.ctx.out.push_back(Output::Newer { node, config_version, config_hash });
    }

    /// A frame of a node that is not in the list (or of this very node).
    pub(crate) fn refuse_unlisted(&mut self, now_ns: u64, from: NodeId) {
        self.ctx.counters.refused += 1;
        let last = self.others.strangers_ns;
        if last.is_some_and(|last| now_ns < last.saturating_add(REFUSE_INTERVAL_NS)) {
            return;
        }
        self.others.strangers_ns = Some(now_ns);
        let reason = RefuseReason::Unlisted;
        let (theirs, ours) = (from.0.into(), self.ctx.nodes.len() as u64);
        let refuse = Refuse { reason, theirs, ours, config_hash: self.config.config_hash };
        if from != self.ctx.me {
            self.ctx.send_control(Dest::Node(from), Lane::Data, |out| refuse.emit(out));
        }
        let args = [from.0.into(), reason as u64, refuse.theirs, refuse.ours];
        self.ctx.trace(Level::Warn, Code::Refused, &args);
    }

    pub(crate) fn on_refuse(
        &mut self,
        now_ns: u64,
        pos: usize,
        frame: &[u8],
    ) -> Result<(), WireError> {
        let refuse = Refuse::parse(frame)?;
        self.ctx.counters.refused_by_peers += 1;
        // Its representative need not know us, nor hold a key that we hold; this member does.
        let is_newer = refuse.ours > self.config.config_version;
        if refuse.reason == RefuseReason::OlderConfig && is_newer {
            self.note_newer(now_ns, pos, refuse.ours, refuse.config_hash);
        }
        if self.others.may_refuse(now_ns, pos) {
            let node = self.ctx.nodes[pos].0.into();
            let args = [node, refuse.reason as u64, refuse.theirs, refuse.ours];
            self.ctx.trace(Level::Warn, Code::RefusedByPeer, &args);
        }
        Ok(())
    }
}
