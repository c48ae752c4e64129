//! One run from its seed to its verdict.

use std::collections::BTreeMap;

use crate::check::{self, Checker, Finding};
use crate::clients::Phase;
use crate::event::Event;
use crate::history::{GroupId, History, LifeId, SlotAccount};
use crate::host::Running;
use crate::scenario::{DRAIN_NS, LIVENESS_NS, MS, NEVER, NEW_KEY_NS, Scenario};
use crate::tracer::Tracer;
use crate::world::{Counts, Spoil, World};

/// How often the world looks whether all is well after healing.
const LOOK_NS: u64 = 5 * MS;

/// How long everything rests before the slots are counted: longer than any slow reader reads and
/// than a resting ring needs to find its last frames stable.
const REST_NS: u64 = 400 * MS;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Nodes configured.
    pub nodes: u32,
    /// Broken promises; empty if all is well.
    pub findings: Vec<Finding>,
    /// Events processed.
    pub events: u64,
    /// Messages delivered, at all nodes together.
    pub delivered: u64,
    /// Regular configurations installed, at all nodes together.
    pub configurations: u64,
    /// Virtual time from healing until all was well.
    pub recovery_ns: u64,
    /// What the nodes counted, all lives together: shows what a run has put them through.
    pub counters: Counts,
    /// What was seen, for tests.
    pub history: History,
}

impl Outcome {
    /// Whether a promise other than liveness was broken.
    pub fn broke_promise(&self) -> bool {
        self.findings.iter().any(|f| f.checker != Checker::Liveness)
    }
}

/// Runs a scenario.
pub fn run(scenario: Scenario, tracer: Tracer, spoil: Spoil) -> Outcome {
    let (seed, nodes, chaos_ns) = (scenario.seed, scenario.nodes, scenario.chaos_ns);
    let mut world = World::new(scenario, tracer, spoil);
    for host in 0..world.hosts.len() {
        let at_ns = world.rng.below(20 * MS);
        world.schedule(at_ns, Event::Restart { host });
    }
    if world.scenario.fault_ns != NEVER {
        let first = 5 * MS + world.fault_rng.around(world.scenario.fault_ns);
        world.schedule(first, Event::Fault);
    }
    world.plan_link_faults();
    world.plan_new_key();
    world.run_until(chaos_ns);
    world.heal();
    let rolls = world.scenario.encrypted;
    let bound = world.now_ns
        + LIVENESS_NS
        + DRAIN_NS * u64::from(nodes)
        + if rolls { NEW_KEY_NS } else { 0 };
    let mut missing = world.missing();
    while !missing.is_empty() && world.now_ns < bound {
        world.run_until(world.now_ns + LOOK_NS);
        missing = world.missing();
    }
    world.history.ended_ns = world.now_ns;
    let recovery_ns = world.now_ns - world.history.healed_ns;
    if missing.is_empty() {
        world.at_rest = true;
        world.run_until(world.now_ns + REST_NS);
        world.history.expected_members = Some(world.expected_members());
    }
    world.say_states();
    world.history.missing = missing;
    world.finish();
    let findings = check::check(&world.history);
    let entries = || world.history.lives.iter().flat_map(|l| &l.entries);
    let count = |f: fn(&crate::history::What) -> bool| entries().filter(|e| f(&e.what)).count();
    Outcome {
        seed,
        nodes,
        findings,
        events: world.events,
        delivered: count(|w| matches!(w, crate::history::What::Delivered(_))) as u64,
        configurations: count(|w| matches!(w, crate::history::What::Regular { .. })) as u64,
        recovery_ns,
        counters: world.counters,
        history: world.history,
    }
}

impl World {
    /// The cluster's key is replaced at some time.
    fn plan_new_key(&mut self) {
        if let (Some(at_ns), true) = (self.scenario.new_key_ns, self.scenario.encrypted) {
            self.schedule(at_ns, Event::NewKey);
        }
    }

    /// What is not well yet.
    fn missing(&mut self) -> Vec<String> {
        let live = self.fellows();
        if live.is_empty() {
            return Vec::new();
        }
        let members: Vec<_> = live.iter().map(|h| self.hosts[*h].id).collect();
        let running = || live.iter().filter_map(|h| self.hosts[*h].running.as_ref());
        let rings: Vec<_> = running().map(|r| r.ring.as_ref()).collect();
        let mut missing = Vec::new();
        let one = rings.first().copied().flatten();
        let same = one.is_some_and(|ring| ring.1 == members) && rings.iter().all(|r| *r == one);
        if !same {
            missing.push(format!("not one ring of {members:?}: {rings:?}"));
            return missing;
        }
        if let Some(ring) = one.map(|(ring, _)| *ring) {
            self.send_fresh(ring);
        }
        let running = || live.iter().filter_map(|h| self.hosts[*h].running.as_ref());
        let fresh: Vec<_> = running().filter(|r| !r.leaving).map(|r| r.fresh).collect();
        // Also those that the list does not name any more.
        for r in self.hosts.iter().filter_map(|h| h.running.as_ref()).filter(|r| r.leaving) {
            let node = self.history.life(r.life).node;
            missing.push(format!("node {node} was told to leave and is still there"));
        }
        let all = live.len() == self.files.goal().nodes.len();
        for r in running() {
            self.missing_on(r, all, &mut missing);
            if fresh.iter().any(|m| m.is_none_or(|m| !r.fresh_seen.contains(&m))) {
                let node = self.history.life(r.life).node;
                missing.push(format!("node {node} does not have every fresh message"));
            }
        }
        // Who stays out has programs as well, and may have to wait for what it owed before it counts its own votes.
        for (_, host) in self.hosts.iter().enumerate().filter(|(index, _)| !live.contains(index)) {
            if let Some(r) = &host.running {
                self.missing_answers(r, &mut missing);
            }
        }
        missing
    }

    /// What is not well yet on one node; whether all nodes are there decides whether it must be quorate.
    fn missing_on(&self, r: &Running, all: bool, missing: &mut Vec<String>) {
        let node = self.history.life(r.life).node;
        if r.synced != r.ring.as_ref().map(|(ring, _)| *ring) {
            missing.push(format!("node {node} is not synchronised: {:?}", r.synced));
        }
        // With some of the nodes there may be too few votes.
        let counted = self.scenario.ballot.is_some() && all;
        if counted && self.hosts[node.0 as usize - 1].told.is_none() {
            missing.push(format!("node {node} is not quorate"));
        }
        if !self.files.get(r.standing.file).is_like(self.files.goal()) {
            let (has, goal) = (self.files.get(r.standing.file), self.files.goal());
            missing.push(format!("node {node} has {has:?} and not {goal:?}"));
        }
        if r.standing.is_under_way() {
            missing.push(format!("node {node} is in the middle of a reload"));
        }
        self.missing_answers(r, missing);
        let waiting: usize = r.processes.sessions.iter().map(|s| s.queue.len()).sum();
        if waiting != 0 {
            missing.push(format!("node {node} has {waiting} messages it does not take"));
        }
        if let Some(message) = r.undelivered.first() {
            let what = self.history.describe(*message);
            missing.push(format!("node {node} has not delivered {what}"));
        }
    }

    /// What the programs on a node asked for and were not told or shown yet.
    fn missing_answers(&self, r: &Running, missing: &mut Vec<String>) {
        let node = self.history.life(r.life).node;
        if !r.joins.is_empty() || !r.leaves.is_empty() {
            missing.push(format!("node {node} owes answers: {:?} {:?}", r.joins, r.leaves));
        }
        for session in &r.processes.sessions {
            let phases = session.groups.values();
            if phases.clone().any(|phase| matches!(phase, Phase::Granted(_))) {
                missing.push(format!("node {node} has not shown {} as a member", session.id));
            }
        }
    }

    /// The last word of every node, for the trace.
    fn say_states(&self) {
        for r in self.hosts.iter().filter_map(|h| h.running.as_ref()) {
            let node = self.history.life(r.life).node;
            self.tracer.line(self.now_ns, || {
                let s = r.node.status();
                let p = s.pool;
                format!(
                    "n{node} {:?} ring {} high {} aru {} stable {} delivered {}; \
                     free slots {}/{} small, {}/{} large, {} with readers; {:?}",
                    s.totem.state,
                    s.totem.ring,
                    s.totem.seq,
                    s.totem.aru,
                    s.totem.stable,
                    s.totem.delivered,
                    p.small_free,
                    p.small_total,
                    p.large_free,
                    p.large_total,
                    r.readers.len(),
                    r.node.next_timeout(),
                )
            });
        }
    }

    /// Who is a member of what.
    fn expected_members(&self) -> BTreeMap<GroupId, Vec<(LifeId, u32)>> {
        let mut expected: BTreeMap<GroupId, Vec<(LifeId, u32)>> = BTreeMap::new();
        for r in self.hosts.iter().filter_map(|h| h.running.as_ref()) {
            for session in &r.processes.sessions {
                for (group, phase) in &session.groups {
                    if matches!(phase, Phase::Member(_)) {
                        expected.entry(*group).or_default().push((r.life, session.id));
                    }
                }
            }
        }
        expected
    }

    /// Takes the slot accounts of all nodes that still run.
    fn finish(&mut self) {
        let rested = self.history.missing.is_empty();
        for host in 0..self.hosts.len() {
            let Some(r) = self.hosts[host].running.take() else { continue };
            let idle = if rested { Running::slots_in_use(&r.pool) } else { 0 };
            let life = r.life;
            let dropped = self.close_life(r);
            self.history.slots.push(SlotAccount { life, idle, dropped });
        }
    }
}
