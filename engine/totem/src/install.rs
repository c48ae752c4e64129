//! From Recovery to Operational: what is left of the old ring is delivered, the new ring is
//! installed (Moser et al. 1994, steps 5 and 6).

use wire::NodeSet;
use wire::token::Token;
use wire::trace::{Code, Level};

use crate::cause::{Cause, Evidence};
use crate::machine::Totem;
use crate::members::Members;
use crate::timers::Timer;
use crate::{Configuration, ConfigurationKind, Mutation, Output, Source, State};

impl Totem {
    pub(crate) fn enter_recovery(&mut self, now_ns: u64) {
        let (ring, members) = (self.forming.ring, self.forming.members.set);
        let args = [ring.seq, ring.rep.0.into(), members.len() as u64];
        self.ctx.trace(Level::Debug, Code::Recovery, &args);
        self.state = State::Recovery;
        self.ring.sealed = true;
        self.recovery.start(now_ns, &self.ring, members, self.obliged, &self.ctx);
        self.ctx.after(Timer::TokenLoss, now_ns, self.ctx.timeout_ns());
    }

    /// Whether Recovery is over (or has become impossible).
    pub(crate) fn check_recovery(&mut self, now_ns: u64, source: &mut dyn Source) {
        if self.state != State::Recovery {
            return;
        }
        if self.recovery.is_broken() {
            let members = self.forming.members.set;
            let evidence = Evidence::of(Cause::Formation, 0);
            self.enter_gather(now_ns, evidence, members, NodeSet::EMPTY);
            return;
        }
        if self.recovery.has_all(&self.forming) {
            // From here on the others may install the ring and count on this node to deliver the
            // same.
            self.obliged = self.recovery.obliged;
        }
        if self.recovery.is_done(&self.forming) {
            self.install(now_ns);
            if source.backlog_bytes() > 0 && self.ring.held.is_none() {
                self.ring.ask_for_token(now_ns, &mut self.ctx);
            }
        }
    }

    /// A ring of one needs no token to travel.
    pub(crate) fn install_alone(&mut self, now_ns: u64) {
        let timeout_us = self.ctx.wanted_timeout_us() as u32;
        let token = Token::first(self.forming.ring, timeout_us);
        self.recovery.recover_alone(self.ctx.me_pos, self.obliged);
        self.forming.arrive(now_ns, token, &mut self.ctx);
        self.install(now_ns);
        self.ring.conclude(now_ns, 1, &mut self.ctx);
    }

    /// Delivers what is left of the old ring and installs the new one (Moser et al. 1994, steps 5
    /// and 6).
    fn install(&mut self, now_ns: u64) {
        let first = self.ring.ring.seq == 0;
        self.ring.recovering = false;
        self.ring.deliver(&mut self.ctx);
        if !first {
            let together = Members::new(self.recovery.together, &self.ctx.nodes, self.ctx.me);
            self.configure(ConfigurationKind::Transitional, &together);
            self.deliver_transitional();
        }
        core::mem::swap(&mut self.ring, &mut self.forming);
        self.forming.window.reset();
        self.forming.stop();
        let members = self.ring.members.clone();
        self.configure(ConfigurationKind::Regular, &members);
        self.ring.recovering = false;
        self.ring.delivered = self.recovery.total.unwrap_or(0);
        self.obliged = NodeSet::EMPTY;
        self.state = State::Operational;
        self.ctx.counters.configurations += 1;
        let ring = self.ring.ring;
        let took_us = now_ns.saturating_sub(self.gather.started_ns) / 1000;
        let args = [ring.seq, ring.rep.0.into(), members.len() as u64, took_us];
        self.ctx.trace(Level::Info, Code::Operational, &args);
        self.others.ring_installed(now_ns, &self.gather, &members.set, self.last_gather, &self.ctx);
        if members.am_representative() && members.len() < self.ctx.nodes.len() {
            let interval_ns = self.ctx.tuning.probe_interval_us * 1000;
            let jitter_ns = self.ctx.random(interval_ns);
            self.ctx.after(Timer::Probe, now_ns, jitter_ns);
        }
        self.ring.deliver(&mut self.ctx);
    }

    fn configure(&mut self, kind: ConfigurationKind, members: &Members) {
        let ring = match kind {
            ConfigurationKind::Transitional => self.forming.ring,
            ConfigurationKind::Regular => self.ring.ring,
        };
        let members = members.ids.clone();
        self.unseen_configuration = true;
        self.ctx.out.push_back(Output::Configuration(Configuration { kind, ring, members }));
    }

    /// The rest of the old ring: everything up to the first gap; after it only frames of those who
    /// come along (or must be served), because what others sent may depend on what is missing.
    fn deliver_transitional(&mut self) {
        let serve = self.recovery.obliged.union(&self.recovery.together);
        let mut gap = false;
        for seq in self.ring.delivered + 1..=self.ring.high {
            self.ring.delivered = seq;
            let origin = self.ring.window.get(seq).map(|slot| slot.origin);
            let Some(origin) = origin else {
                gap = true;
                self.ctx.counters.old_frames_lost += 1;
                continue;
            };
            let served = self.ctx.pos(origin).is_some_and(|pos| serve.contains(pos));
            let skip = self.ctx.mutated(Mutation::DeliverDifferentRecovered)
                && self.ctx.me.0.is_multiple_of(2)
                && seq.is_multiple_of(2);
            if gap && !served || skip {
                self.ctx.counters.old_frames_lost += 1;
                continue;
            }
            self.ring.hand_over(seq, true, &mut self.ctx);
        }
        let leavers = core::mem::replace(&mut self.ring.leavers, NodeSet::EMPTY);
        let me = self.ctx.me_pos;
        for pos in leavers.iter().filter(|pos| *pos != me) {
            self.gone(pos);
        }
    }
}
