//! The world: virtual time, a queue of what will happen, and the hosts it happens to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use frame::Pool;
use groups::Limits;
use link::Security;
use node::{Config, Lane, Node};
use wire::{BootId, NodeId, RingId};

use crate::clients::Processes;
use crate::clock::Clock;
use crate::history::{End, Entry, GroupId, History, Life, LifeId, Receipts, What};
use crate::holdings::Holdings;
use crate::host::{Host, Running};
use crate::link_faults::LinkStep;
use crate::network::{Arrival, Burst, Network};
use crate::recorder::Recorder;
use crate::reload::{File, FileId, Files, Kind, Question, Standing};
use crate::rng::Rng;
use crate::scenario::{MS, Scenario};
use crate::socket::Sockets;
use crate::tamper::{Tamper, Tamperer};
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

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Datagrams reach a host.
    Arrive { to: usize, from: usize, link: u8, lane: Lane, unicast: bool, burst: Burst },
    /// A host's loop runs.
    Turn { host: usize },
    /// A unicast was answered with "nobody there".
    Unreachable { host: usize, life: LifeId, link: u8, peer: NodeId },
    /// A number is on the disk.
    Durable { host: usize, life: LifeId, ring_seq: u64 },
    /// The node learns that a number is on the disk.
    Persisted { host: usize, life: LifeId, ring_seq: u64 },
    /// The clients of a node do something.
    Clients { host: usize, life: LifeId },
    /// The next fault is due.
    Fault,
    /// A link fails, or one that failed comes back.
    LinkFault(LinkStep),
    /// The cluster gets another key.
    NewKey,
    /// A configuration file arrives at a host.
    File { host: usize, file: FileId },
    /// A node is asked for a reload.
    Ask { host: usize, life: LifeId },
    /// Whoever asked for it loses patience.
    GiveUp { host: usize, life: LifeId, number: u64 },
    /// A node reads its configuration file.
    Read { host: usize, life: LifeId, question: Box<Question> },
    /// Something breaks in the middle of a reload.
    Shake,
    /// The operator looks after the healed cluster.
    Tend,
    /// A storm ends.
    Calm,
    /// Slots that were held by something else are free again.
    Feed { host: usize, life: LifeId },
    /// A node is started again.
    Restart { host: usize },
}

struct Item {
    at_ns: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
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
            Event::Durable { host, life, ring_seq } => {
                if self.life_of(host) == Some(life) {
                    self.write_disk(host, ring_seq);
                }
            }
            Event::Persisted { host, life, ring_seq } => {
                self.control(host, life, node::Input::Persisted { ring_seq });
            }
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

    pub(crate) fn write_disk(&mut self, host: usize, ring_seq: u64) {
        if self.spoil.tamper != Some(Tamper::ForgetDisk) {
            let h = &mut self.hosts[host];
            h.stored = h.stored.max(ring_seq);
        }
    }

    /// Starts the node of a host.
    pub(crate) fn start(&mut self, index: usize) {
        let file = self.hosts[index].file;
        let configured = self.files.get(file).clone();
        // Who is not in its own list does not start.
        if self.hosts[index].running.is_some() || !configured.names(self.hosts[index].id) {
            return;
        }
        let life = LifeId(self.history.lives.len() as u32);
        let pool = Pool::heap(self.scenario.pool);
        let (seed, boot) = (self.rng.next(), boot_id(&mut self.rng));
        let host = &self.hosts[index];
        let config = self.config(host, &configured, seed, boot);
        let local_ns = host.clock.local(self.now_ns);
        let node =
            Node::new(config, pool.clone(), local_ns).expect("scenarios are valid configurations");
        #[cfg(feature = "mutations")]
        let node = {
            let mut node = node;
            node.set_mutation(self.spoil.mutation);
            node
        };
        let id = host.id;
        self.history.lives.push(Life {
            node: id,
            started_ns: self.now_ns,
            end: None,
            entries: Vec::new(),
        });
        self.tracer.line(self.now_ns, || format!("n{id} l{} start", life.0));
        let next_session = self.rng.next() as u32 >> 1;
        let mut recorder = Recorder::new(id);
        recorder.is_forgetful = self.spoil.tamper == Some(Tamper::ForgetBeginnings);
        self.hosts[index].running = Some(Running {
            life,
            node,
            pool,
            standing: Standing::new(file),
            processes: Processes::default(),
            recorder,
            tamperer: Tamperer::new(self.spoil.tamper),
            controls: Default::default(),
            readers: Default::default(),
            hog: Vec::new(),
            asked: BTreeMap::new(),
            joins: BTreeMap::new(),
            leaves: Default::default(),
            undelivered: Default::default(),
            ring: None,
            synced: None,
            next_request: 0,
            next_session,
            leaving: false,
            fresh: None,
            fresh_view: Vec::new(),
            fresh_seen: Default::default(),
        });
        let File { version, hash, .. } = configured;
        self.record(life, What::Configured { version, hash });
        self.drain(index);
        self.want_turn(index, self.now_ns);
        if self.healed {
            self.begin_fresh(index);
        } else {
            let step = self.client_rng.around(self.scenario.load.step_ns);
            self.schedule(self.now_ns + step, Event::Clients { host: index, life });
        }
    }

    fn config(&self, host: &Host, file: &File, seed: u64, boot: BootId) -> Config<'static> {
        let s = &self.scenario;
        let security = if s.encrypted {
            let (epoch, provider) = (file.key, link::Provider::AesGcm);
            Security::Aes256Gcm { key: key(epoch), epoch, provider }
        } else {
            Security::Off
        };
        Config {
            me: host.id,
            nodes: file.nodes.clone(),
            cluster_name: "sim",
            security,
            boot,
            seed,
            datagram_bytes: s.datagram_bytes,
            burst_segments: crate::network::SEGMENTS_MAX,
            burst_bytes: s.burst_bytes,
            links: s.links,
            token_timeout: file.token_timeout(),
            config_version: file.version,
            config_hash: file.hash,
            ring_seq_stored: host.stored,
            tuning: s.tuning.clone(),
            limits: Limits::default(),
            quorum: s.ballot.as_ref().map(|ballot| ballot.options(&file.nodes)),
            expected_votes_tracked: 0,
        }
    }

    /// Ends the life of a host's node at once. What the disk was about to write may or may not be there.
    pub(crate) fn kill(&mut self, index: usize, end: End) {
        let Some(gone) = self.hosts[index].running.take() else { return };
        self.history.lives[gone.life.0 as usize].end = Some((self.now_ns, end));
        let id = self.hosts[index].id;
        self.tracer.line(self.now_ns, || format!("n{id} l{} {end:?}", gone.life.0));
        self.close_life(gone);
        let host = &mut self.hosts[index];
        host.sockets.clear();
        host.turn_ns = None;
        host.busy_until = 0;
        host.paused_until = 0;
        host.doom = None;
        host.dying = false;
        host.claim = None;
        host.told = None;
    }

    /// Adds a node's counters to the run's.
    fn count(&mut self, node: &Node) {
        let c = node.counters();
        let all = [
            ("node", c.node.fields().collect::<Vec<_>>()),
            ("link", c.link.fields().collect()),
            ("totem", c.totem.fields().collect()),
            ("groups", c.groups.fields().collect()),
            ("links", c.paths.fields().collect()),
        ];
        for (layer, fields) in all {
            for (name, value) in fields {
                *self.counters.entry((layer, name)).or_default() += value;
            }
        }
    }

    /// Drops a node and everything around it and counts what is left in its pool.
    pub(crate) fn close_life(&mut self, gone: Running) -> u64 {
        self.count(&gone.node);
        let Running {
            pool, life, node, recorder, readers, hog, processes, controls, tamperer, ..
        } = gone;
        drop((node, recorder, readers, hog, processes, controls));
        let left = Running::slots_in_use(&pool);
        // What was leaked on purpose is still there when the account is taken.
        drop(tamperer);
        if self.history.life(life).end.is_some() {
            let account = crate::history::SlotAccount { life, idle: 0, dropped: left };
            self.history.slots.push(account);
        }
        left
    }
}

pub(crate) fn key(epoch: u8) -> [u8; link::KEY_BYTES] {
    [0x42 ^ epoch; link::KEY_BYTES]
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
        stored: 0,
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

fn boot_id(rng: &mut Rng) -> BootId {
    let mut boot = [0; 16];
    boot[..8].copy_from_slice(&rng.next().to_le_bytes());
    boot[8..].copy_from_slice(&rng.next().to_le_bytes());
    BootId(boot)
}
