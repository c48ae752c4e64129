//! The world: virtual time, a queue of what will happen, and the hosts it happens to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use wire::{NodeId, RingId};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::event::{Event, Item};
use crate::history::{Entry, GroupId, History, LifeId, Receipts, What};
use crate::holdings::Holdings;
use crate::host::{Host, Running};
use crate::network::{Arrival, Network};
use crate::reload::{Files, Kind};
use crate::rng::Rng;
use crate::scenario::{MS, Scenario};
use crate::socket::Sockets;
use crate::tamper::Tamper;
use crate::tracer::Tracer;

/// What a run is spoilt with, in tests of the checkers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spoil {
    /// A fault around the nodes.
    pub tamper: Option<Tamper>,
    /// A fault of the ring itself, on every node.
    #[cfg(feature = "mutations")]
    pub mutation: Option<node::Mutation>,
}

/// A run in progress.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now_ns: u64,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) files: Files,
    pub(crate) network: Network,
    pub(crate) history: History,
    /// Chance for what hosts and disks do.
    pub(crate) rng: Rng,
    /// Chance for faults.
    pub(crate) fault_rng: Rng,
    /// Chance for faults of links.
    pub(crate) link_rng: Rng,
    /// Chance for clients.
    pub(crate) client_rng: Rng,
    pub(crate) tracer: Tracer,
    pub(crate) spoil: Spoil,
    pub(crate) healed: bool,
    /// All is well: nobody asks for anything any more.
    pub(crate) at_rest: bool,
    /// The ring on which the fresh messages were sent.
    pub(crate) fresh_ring: Option<RingId>,
    pub(crate) holdings: Holdings,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) events: u64,
    /// What the nodes counted, all lives together.
    pub(crate) counters: Counts,
}

/// Sums of counters by layer and name.
pub type Counts = BTreeMap<(&'static str, &'static str), u64>;

impl World {
    pub(crate) fn new(scenario: Scenario, tracer: Tracer, spoil: Spoil) -> Self {
        let mut rng = Rng::new(scenario.seed ^ 0x5eed);
        let network = Network::new(&scenario, rng.fork());
        let (fault_rng, client_rng) = (rng.fork(), rng.fork());
        let link_rng = Rng::new(scenario.seed ^ 0x11_4c);
        let groups = scenario.load.groups;
        let mut history = History {
            nodes: (1..=scenario.nodes).map(NodeId).collect(),
            groups: (0..groups).map(group_name).collect(),
            ..History::default()
        };
        // The last group is for the fresh messages of the liveness phase.
        history.groups.push(b"fresh".to_vec());
        if !scenario.encrypted {
            history.receipts = Some(Receipts::new());
        }
        let mut files = Files::new(&scenario);
        let hosts =
            history.nodes.iter().map(|id| host(*id, &scenario, &mut files, &mut rng)).collect();
        Self {
            scenario,
            now_ns: 0,
            queue: BinaryHeap::new(),
            order: 0,
            hosts,
            files,
            network,
            history,
            rng,
            fault_rng,
            link_rng,
            client_rng,
            tracer,
            spoil,
            healed: false,
            at_rest: false,
            fresh_ring: None,
            holdings: Holdings::default(),
            arrivals: Vec::new(),
            events: 0,
            counters: Counts::new(),
        }
    }

    /// The group of the fresh messages.
    pub(crate) fn fresh_group(&self) -> GroupId {
        GroupId(self.history.groups.len() as u32 - 1)
    }

    pub(crate) fn schedule(&mut self, at_ns: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Item { at_ns: at_ns.max(self.now_ns), order: self.order, event }));
    }

    /// Lets things happen until a time.
    pub(crate) fn run_until(&mut self, end_ns: u64) {
        while self.queue.peek().is_some_and(|Reverse(item)| item.at_ns <= end_ns) {
            let Some(Reverse(item)) = self.queue.pop() else { break };
            self.now_ns = item.at_ns;
            self.events += 1;
            self.happen(item.event);
        }
        self.now_ns = self.now_ns.max(end_ns);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { to, from, link, lane, unicast, burst } => {
                self.arrive(to, from, (link, lane), unicast, &burst);
            }
            Event::Turn { host } => self.turn(host),
            Event::Unreachable { host, life, link, peer } => {
                self.control(host, life, node::Input::Unreachable { link, peer });
            }
            Event::Durable { host, life, stored } => {
                if self.life_of(host) == Some(life) {
                    self.write_disk(host, stored);
                }
            }
            Event::Persisted { host, life, stored } => self.persisted(host, life, stored),
            Event::Clients { host, life } => self.clients_step(host, life),
            Event::Fault => self.fault(),
            Event::LinkFault(step) => self.link_fault(step),
            Event::NewKey if !self.healed => self.reload_kind(Kind::Key),
            Event::NewKey => {}
            Event::File { host, file } => self.file_arrives(host, file),
            Event::Ask { .. } | Event::Tend if self.at_rest => {}
            Event::Ask { host, life } => self.ask_for_reload(host, life),
            Event::GiveUp { host, life, number } => self.give_up_reload(host, life, number),
            Event::Read { host, life, question } => self.read_file(host, life, &question),
            Event::Shake => self.shake_now(),
            Event::Tend => self.tend(),
            Event::Calm => self.network.faults = self.scenario.network,
            Event::Feed { host, life } => {
                if let Some(r) = self.running(host, life) {
                    r.hog.clear();
                }
            }
            // After healing nobody comes any more: who was to come was started then.
            Event::Restart { .. } if self.healed => {}
            Event::Restart { host } => self.start(host),
        }
    }

    /// The node of a host, if it is still that life.
    pub(crate) fn running(&mut self, host: usize, life: LifeId) -> Option<&mut Running> {
        self.hosts[host].running.as_mut().filter(|r| r.life == life)
    }

    pub(crate) fn life_of(&self, host: usize) -> Option<LifeId> {
        self.hosts[host].running.as_ref().map(|r| r.life)
    }

    /// Nodes that have to be on one ring at the end: those that run, are named in the list that counts, and can
    /// have the same configuration.
    pub(crate) fn fellows(&self) -> Vec<usize> {
        let stale = self.scenario.stale.map(|s| s.host);
        let listed = |h: &usize| self.files.goal().names(self.hosts[*h].id);
        self.live().into_iter().filter(|h| Some(*h) != stale).filter(listed).collect()
    }

    /// Hosts with a node.
    pub(crate) fn live(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|h| self.hosts[*h].running.is_some()).collect()
    }

    /// Something for the loop of a host that came from inside it.
    pub(crate) fn control(&mut self, host: usize, life: LifeId, input: node::Input) {
        if let Some(r) = self.running(host, life) {
            r.controls.push_back(input);
            self.want_turn(host, self.now_ns);
        }
    }

    /// The loop of a host has something to do at a time.
    pub(crate) fn want_turn(&mut self, host: usize, at_ns: u64) {
        let h = &mut self.hosts[host];
        if h.running.is_none() {
            return;
        }
        let at_ns = at_ns.max(h.busy_until).max(h.paused_until).max(self.now_ns);
        if h.turn_ns.is_none_or(|due| due > at_ns) {
            h.turn_ns = Some(at_ns);
            self.schedule(at_ns, Event::Turn { host });
        }
    }

    pub(crate) fn record(&mut self, life: LifeId, what: What) {
        let at_ns = self.now_ns;
        self.tracer.entry(at_ns, life, self.history.life(life).node, &what);
        self.history.lives[life.0 as usize].entries.push(Entry { at_ns, what });
    }
}

fn group_name(index: u64) -> Vec<u8> {
    // Names of all lengths and bytes, zero included.
    let len = [1, 8, 64, 128][index as usize % 4];
    (0..len).map(|i| (index as u8).wrapping_add(i as u8)).collect()
}

fn host(id: NodeId, scenario: &Scenario, files: &mut Files, rng: &mut Rng) -> Host {
    let drift = rng.between(0, 2 * scenario.drift_ppm) as i64 - scenario.drift_ppm as i64;
    Host {
        id,
        clock: Clock::new(rng.below(1_000_000 * MS), drift),
        disk: Disk::default(),
        sockets: Sockets::new(scenario.socket_bytes),
        running: None,
        paused_until: 0,
        file: files.first_of(id, scenario),
        doom: None,
        dying: false,
        answers: true,
        turn_ns: None,
        busy_until: 0,
        claim: None,
        told: None,
    }
}
