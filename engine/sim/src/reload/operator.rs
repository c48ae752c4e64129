//! The operator: writes files, forgets some hosts, gets some wrong, asks for reloads, and puts it all right in
//! the end. Lists change by one node at a time, and only where the operator sees a quorum under the list
//! before: no protocol could keep two quorums apart otherwise.

use groups::votequorum::TieBreaker;
use node::Input;

use crate::event::Event;
use crate::history::{End, LifeId};
use crate::scenario::MS;
use crate::world::World;

use super::files::File;

/// How often the operator looks after the cluster once it is healed.
const TEND_NS: u64 = 400 * MS;

/// What the operator changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The bounds of the token timeout.
    Timeout,
    /// The node list.
    Nodes,
    /// The cluster key.
    Key,
}

impl World {
    /// Files are changed and a reload is asked for, or the last one once more.
    pub(crate) fn reload(&mut self) {
        let kind = match self.fault_rng.below(10) {
            0..=3 => Kind::Timeout,
            4..=7 => Kind::Nodes,
            _ => Kind::Key,
        };
        self.reload_kind(kind);
    }

    /// The same with a kind of change.
    pub(crate) fn reload_kind(&mut self, kind: Kind) {
        let fellows: Vec<usize> = self.fellows();
        let fellows: Vec<(usize, LifeId)> = fellows
            .into_iter()
            .filter(|h| self.hosts[*h].running.as_ref().is_some_and(|r| !r.leaving))
            .filter_map(|h| Some((h, self.life_of(h)?)))
            .collect();
        if fellows.is_empty() {
            return;
        }
        let (host, life) = *self.fault_rng.pick(&fellows);
        if !self.stands_on_goal(host) || self.fault_rng.chance(100_000) {
            if self.fault_rng.chance(700_000) {
                self.mend_files();
            }
            self.hosts[host].file = self.files.goal;
            self.ask_soon(host, life, 20);
            return;
        }
        // What was wanted last is everywhere before the next is: no host is more than one file behind.
        self.mend_files();
        let patience_ms = self.new_goal(host, kind);
        self.hosts[host].file = self.files.goal;
        self.ask_soon(host, life, patience_ms);
        let again = self.fault_rng.chance(500_000);
        if again {
            let at_ns = self.now_ns + self.fault_rng.between(50, 800) * MS;
            self.schedule(at_ns, Event::Ask { host, life });
        }
        if self.fault_rng.chance(200_000) {
            let (other, life) = *self.fault_rng.pick(&fellows);
            self.hosts[other].file = self.files.goal;
            self.ask_soon(other, life, patience_ms);
        }
        self.shake();
    }

    /// Something else breaks while the reload is under way.
    fn shake(&mut self) {
        if self.fault_rng.chance(300_000) {
            let at_ns = self.now_ns + self.fault_rng.below(60 * self.scenario.latency_ns + MS);
            self.schedule(at_ns, Event::Shake);
        }
    }

    fn ask_soon(&mut self, host: usize, life: LifeId, within_ms: u64) {
        let at_ns = self.now_ns + self.fault_rng.below(within_ms * MS);
        self.schedule(at_ns, Event::Ask { host, life });
    }

    /// Whether a host's node has the configuration that all are to have.
    pub(crate) fn stands_on_goal(&self, host: usize) -> bool {
        let standing = self.hosts[host].running.as_ref().map(|r| r.standing.file);
        standing.is_some_and(|file| self.files.get(file).is_like(self.files.goal()))
    }

    /// Writes another file to most hosts. Gives how many milliseconds may pass before it is worth asking.
    fn new_goal(&mut self, asked: usize, kind: Kind) -> u64 {
        let mut file = self.files.goal().clone();
        let (mut raised, mut patience_ms) = (true, 20);
        let changed = match kind {
            Kind::Nodes if self.may_change_nodes(asked) => {
                patience_ms = 300;
                self.change_nodes(asked, &mut file)
            }
            // A node that never gets the key keeps the others on the old one.
            Kind::Key if self.scenario.encrypted && self.scenario.stale.is_none() => {
                file.key += 1;
                true
            }
            Kind::Nodes | Kind::Key | Kind::Timeout => false,
        };
        if !changed {
            let min_us = *self.fault_rng.pick(&[10_000, 20_000, 50_000]);
            // Where votes are counted, a node that restarts owes as much as its last life's upper bound says, so
            // that bound falls far; and all members of a ring must have the same.
            let counted = self.scenario.ballot.is_some();
            let max_us: &[u64] = if counted { &[60_000, 300_000] } else { &[200_000, 300_000] };
            file.timeout_us = (min_us, *self.fault_rng.pick(max_us));
            raised = self.fault_rng.chance(700_000) || counted;
        }
        if raised {
            file.version += 1;
            file.hash = self.files.fresh_hash();
        }
        self.tracer.line(self.now_ns, || format!("! the operator wants {file:?}"));
        self.files.goal = self.files.write(file.clone());
        self.distribute(&file);
        patience_ms
    }

    /// Most hosts get the new file at once, some later, some a wrong one, some none.
    fn distribute(&mut self, file: &File) {
        for host in 0..self.hosts.len() {
            if !file.names(self.hosts[host].id) || self.is_stale(host) {
                continue;
            }
            match self.fault_rng.below(100) {
                0..=79 => self.hosts[host].file = self.files.goal,
                80..=89 => {
                    let at_ns = self.now_ns + self.fault_rng.between(1, 300) * MS;
                    self.schedule(at_ns, Event::File { host, file: self.files.goal });
                }
                90..=94 => {
                    let hash = self.files.fresh_hash();
                    self.hosts[host].file = self.files.write(File { hash, ..file.clone() });
                }
                _ => {}
            }
        }
    }

    /// A file arrives, unless another is wanted by now.
    pub(crate) fn file_arrives(&mut self, host: usize, file: super::FileId) {
        if file == self.files.goal {
            self.hosts[host].file = file;
        }
    }

    fn is_stale(&self, host: usize) -> bool {
        self.scenario.stale.is_some_and(|stale| stale.host == host)
    }

    /// Every host that is named has the file that it is to have.
    fn mend_files(&mut self) {
        for host in 0..self.hosts.len() {
            if self.files.goal().names(self.hosts[host].id) && !self.is_stale(host) {
                self.hosts[host].file = self.files.goal;
            }
        }
    }

    /// Where every node has one vote and half of them are no quorum, a majority of one list and one of the next
    /// have a node in common.
    fn may_change_nodes(&self, asked: usize) -> bool {
        match &self.scenario.ballot {
            None => true,
            Some(ballot) => {
                let equal = ballot.votes.iter().all(|votes| *votes == 1);
                let plain = !ballot.wait_for_all && ballot.tie_breaker == TieBreaker::Off;
                equal
                    && plain
                    && ballot.last_man_window_ms.is_none()
                    && self.hosts[asked].told.is_some()
            }
        }
    }

    /// A node more or a node less; whoever is to go is stopped first. False if there is none.
    fn change_nodes(&mut self, asked: usize, file: &mut File) -> bool {
        let may = |h: &usize| *h != asked && !self.is_stale(*h);
        let listed = |h: &usize| file.names(self.hosts[*h].id);
        let (out, others): (Vec<usize>, Vec<usize>) =
            (0..self.hosts.len()).filter(may).partition(|h| !listed(h));
        let add = others.is_empty() || file.nodes.len() <= 2 || self.fault_rng.chance(600_000);
        if add && !out.is_empty() {
            let host = *self.fault_rng.pick(&out);
            let id = self.hosts[host].id;
            file.nodes.push(id);
            file.nodes.sort_unstable();
            // Before or after the others know of it.
            let at_ns = self.now_ns + self.fault_rng.below(300 * MS);
            self.schedule(at_ns, Event::Restart { host });
            return true;
        }
        if file.nodes.len() <= 2 || others.is_empty() {
            return false;
        }
        let host = *self.fault_rng.pick(&others);
        let id = self.hosts[host].id;
        file.nodes.retain(|node| *node != id);
        if let Some(life) = self.life_of(host) {
            let leaves = self.running(host, life).is_some_and(|r| !r.leaving);
            if leaves && self.fault_rng.chance(700_000) {
                if let Some(r) = self.running(host, life) {
                    r.leaving = true;
                }
                self.close_all(host, life);
                self.control(host, life, Input::Shutdown);
            } else {
                self.kill(host, End::Crash);
            }
        }
        true
    }

    /// Whether a node does not have what it is to have, and nobody who has it can tell it so: whoever its own list
    /// does not name, and whoever holds another key, it does not understand.
    fn is_untold(&self, host: usize) -> bool {
        let Some(r) = &self.hosts[host].running else { return false };
        let mine = self.files.get(r.standing.file);
        let tells = |other: usize| {
            let Some(r) = &self.hosts[other].running else { return false };
            let same_key = self.files.get(r.standing.file).key == mine.key;
            self.stands_on_goal(other)
                && mine.names(self.hosts[other].id)
                && (same_key || !self.scenario.encrypted)
        };
        !self.stands_on_goal(host) && !self.fellows().into_iter().any(tells)
    }

    /// Members that are to be members no longer are stopped: their ring could not take over a list without
    /// them.
    fn stop_unlisted(&mut self, fellows: &[usize]) {
        for host in self.live() {
            let id = self.hosts[host].id;
            let ring_of = |h: usize| self.hosts[h].running.as_ref().and_then(|r| r.ring.clone());
            let is_member = |h: &usize| ring_of(*h).is_some_and(|(_, all)| all.contains(&id));
            if !self.files.goal().names(id) && fellows.iter().any(is_member) {
                self.kill(host, End::Crash);
            }
        }
    }

    /// From now on the operator makes no mistakes, and looks until all is well.
    pub(crate) fn begin_to_tend(&mut self) {
        let reloads = self.files.next_number > 1;
        if reloads && self.fault_rng.chance(300_000) {
            self.reload();
        }
        self.mend_files();
        self.tend();
    }

    /// Whoever was started with a wrong file of the version that counts is started anew; one node is asked
    /// for what all are to have if none has it. The others follow by themselves.
    pub(crate) fn tend(&mut self) {
        let fellows = self.fellows();
        for host in fellows.iter().copied() {
            let Some(r) = &self.hosts[host].running else { continue };
            let (stands, goal) = (self.files.get(r.standing.file), self.files.goal());
            if stands.version == goal.version && stands.hash != goal.hash {
                self.kill(host, End::Crash);
                self.start(host);
            }
        }
        self.stop_unlisted(&fellows);
        let untold: Vec<usize> = fellows.iter().copied().filter(|h| self.is_untold(*h)).collect();
        if !untold.is_empty() {
            let host = *self.fault_rng.pick(&untold);
            if let Some(life) = self.life_of(host) {
                self.ask_for_reload(host, life);
            }
        }
        self.schedule(self.now_ns + TEND_NS, Event::Tend);
    }
}
