//! Reload, as a host does it: a node that is asked reads its own file and answers; what is committed is
//! taken over where the commit stands in the order. Files belong to hosts and outlive nodes.

mod files;
mod operator;

pub(crate) use files::{File, FileId, Files};
pub(crate) use operator::Kind;

use groups::cfg::{Abort, Event, Place, Request};
use node::Input;
use wire::NodeId;
use wire::cfg::{ChangeId, Target};

use crate::event::Event as WorldEvent;
use crate::history::{LifeId, ReloadStep, What};
use crate::host::Doom;
use crate::life::key;
use crate::scenario::MS;
use crate::tamper::Tamper;
use crate::world::World;

/// What a node was asked to check.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) change: ChangeId,
    pub(crate) target: Target,
    pub(crate) members: Vec<NodeId>,
}

/// Where a node stands with its configuration.
#[derive(Debug)]
pub(crate) struct Standing {
    /// What it runs with.
    pub(crate) file: FileId,
    /// The change under way.
    question: Option<ChangeId>,
    /// What it found good, until that is committed or given up.
    checked: Option<(ChangeId, FileId)>,
    /// The change it asked for last, and who has answered.
    asked: Option<(ChangeId, usize)>,
}

impl Standing {
    pub(crate) fn new(file: FileId) -> Self {
        Self { file, question: None, checked: None, asked: None }
    }

    /// Whether a change is under way as far as this node knows.
    pub(crate) fn is_under_way(&self) -> bool {
        self.question.is_some()
    }
}

impl World {
    /// Something happened to a change of the configuration.
    pub(crate) fn change(&mut self, host: usize, life: LifeId, event: Event) {
        match event {
            Event::Check { change, target, members } => {
                if let Some(r) = self.running(host, life) {
                    r.standing.question = Some(change);
                }
                // A file on a slow disk; the node goes on meanwhile.
                let at_ns = self.now_ns + self.rng.below(2 * self.scenario.disk_ns);
                let question = Box::new(Question { change, target, members });
                self.schedule(at_ns, WorldEvent::Read { host, life, question });
            }
            Event::Answered { change, answer, .. } if answer.good => {
                self.maybe_doom(host, life, change);
            }
            Event::Answered { .. } | Event::Killed { .. } => {}
            Event::Committed { change, at } => self.committed(host, life, change, at),
            Event::Aborted { change, why } => self.aborted(host, life, change, why),
            Event::Newer { config_version, config_hash, .. } => {
                self.newer(host, life, (config_version, config_hash));
            }
        }
    }

    /// A node reads its file and says what it found.
    pub(crate) fn read_file(&mut self, host: usize, life: LifeId, question: &Question) {
        let (id, found) = (self.hosts[host].id, self.hosts[host].file);
        let Question { change, target, members } = question;
        let encrypted = self.scenario.encrypted;
        let Some(r) = self.hosts[host].running.as_mut().filter(|r| r.life == life) else { return };
        let running = self.files.get(r.standing.file);
        let answer = self.files.get(found).answer(id, running, *target, members, encrypted);
        if r.standing.question != Some(*change) {
            // It ended meanwhile; whoever asked it would answer all the same, and nobody would listen.
            let request = Request::Answer { change: *change, answer };
            return self.control(host, life, Input::Change(request));
        }
        r.standing.checked = answer.good.then_some((*change, found));
        if answer.good {
            let file = self.files.get(found);
            let (token_timeout, nodes) = (file.token_timeout(), file.nodes.len());
            let consensus_us = self.scenario.tuning.consensus_us;
            self.control(host, life, Input::Expect { token_timeout, consensus_us, nodes });
        }
        let step = ReloadStep::Answered { good: answer.good };
        self.record(life, What::Reload { change: *change, step });
        let request = Request::Answer { change: *change, answer };
        self.control(host, life, Input::Change(request));
    }

    /// The node that asked knows all answers: its next multicast is the commit. Sometimes it is its last, or
    /// the network falls apart in the middle of it.
    fn maybe_doom(&mut self, host: usize, life: LifeId, change: ChangeId) {
        let Some(r) = self.running(host, life) else { return };
        let members = r.ring.as_ref().map_or(0, |(_, members)| members.len());
        let Some((_, answered)) = r.standing.asked.as_mut().filter(|(own, _)| *own == change)
        else {
            return;
        };
        *answered += 1;
        if *answered == members && !self.healed && self.fault_rng.chance(150_000) {
            let crash = self.fault_rng.chance(400_000);
            self.hosts[host].doom = Some(if crash { Doom::Crash } else { Doom::Partition });
        }
    }

    fn committed(&mut self, host: usize, life: LifeId, change: ChangeId, at: Place) {
        let checked = self.running(host, life).and_then(|r| {
            r.standing.question = None;
            r.standing.checked.take()
        });
        match checked.filter(|(good, _)| *good == change) {
            Some((_, file)) => self.take_over(host, life, change, at, file),
            None => self.record(life, What::Reload { change, step: ReloadStep::Unchecked }),
        }
    }

    fn take_over(&mut self, host: usize, life: LifeId, change: ChangeId, at: Place, file: FileId) {
        let local_ns = self.hosts[host].clock.local(self.now_ns);
        let new = self.files.get(file).clone();
        let reconfiguration = self.reconfiguration(at.ring, &new);
        let Some(r) = self.hosts[host].running.as_mut().filter(|r| r.life == life) else { return };
        let old_key = self.files.get(r.standing.file).key;
        r.standing.file = file;
        r.node.reconfigure(local_ns, reconfiguration).expect("it was checked");
        if self.scenario.encrypted && old_key != new.key {
            let rolled = r.node.rotate_key(local_ns, &key(new.key), new.key);
            rolled.expect("encrypted, and a new number");
        }
        self.count_reload("taken_over");
        let step = ReloadStep::TakenOver { at, version: new.version, hash: new.hash, key: new.key };
        self.record(life, What::Reload { change, step });
        self.want_turn(host, self.now_ns);
    }

    fn aborted(&mut self, host: usize, life: LifeId, change: ChangeId, why: Abort) {
        let Some(r) = self.running(host, life) else { return };
        r.standing.question.take_if(|under_way| *under_way == change);
        let checked = r.standing.checked.take_if(|(good, _)| *good == change);
        let step = match why {
            Abort::Refused { .. } => ReloadStep::Refused,
            Abort::NewRing => ReloadStep::NewRing,
            // The other one goes on.
            Abort::Busy { .. } => return,
        };
        let ring = r.ring.as_ref().map(|(ring, _)| *ring);
        self.record(life, What::Reload { change, step });
        self.count_reload(if why == Abort::NewRing { "ended_by_a_ring" } else { "refused" });
        if let (Some(Tamper::TakeOverRefused), Some((_, file)), Some(ring)) =
            (self.spoil.tamper, checked, ring)
        {
            let at = Place { ring, seq: 1, transitional: false };
            self.take_over(host, life, change, at, file);
        }
    }

    /// A ring with a newer configuration was met: if the file here says the same, this ring can follow.
    fn newer(&mut self, host: usize, life: LifeId, theirs: (u64, u64)) {
        let found = self.files.get(self.hosts[host].file);
        let deaf = self.spoil.tamper == Some(Tamper::IgnoreNewer);
        if (found.version, found.hash) == theirs && !deaf {
            self.count_reload("followed");
            let at_ns = self.now_ns + self.rng.below(self.scenario.disk_ns);
            self.schedule(at_ns, WorldEvent::Ask { host, life });
        }
    }

    /// A node is asked for a reload.
    pub(crate) fn ask_for_reload(&mut self, host: usize, life: LifeId) {
        let (id, found) = (self.hosts[host].id, self.files.get(self.hosts[host].file));
        let target = found.target(self.scenario.encrypted);
        let Some(r) = self.hosts[host].running.as_mut().filter(|r| r.life == life) else { return };
        if r.leaving || found.version < self.files.get(r.standing.file).version {
            return;
        }
        let number = self.files.next_number;
        self.files.next_number += 1;
        r.standing.asked = Some((ChangeId { node: id, number }, 0));
        self.count_reload("asked");
        self.tracer.line(self.now_ns, || format!("n{id} is asked for reload {number}: {target:?}"));
        self.control(host, life, Input::Change(Request::Prepare { number, target }));
        if !self.healed && self.fault_rng.chance(60_000) {
            let at_ns = self.now_ns + self.fault_rng.below(20 * MS);
            self.schedule(at_ns, WorldEvent::GiveUp { host, life, number });
        }
    }

    /// Whoever asked for a reload loses patience.
    pub(crate) fn give_up_reload(&mut self, host: usize, life: LifeId, number: u64) {
        let request = Request::Abort { number, text: "given up".to_owned() };
        self.control(host, life, Input::Change(request));
    }

    fn count_reload(&mut self, what: &'static str) {
        *self.counters.entry(("reload", what)).or_default() += 1;
    }
}
