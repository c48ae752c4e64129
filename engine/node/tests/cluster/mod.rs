//! A cluster of whole nodes over a network kept in memory, in virtual time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use frame::{Class, FrameMut, Pool, PoolConfig};
use groups::votequorum::Options;
use groups::{Clients, Event, GroupHandle, Pulled, PulledKind};
use link::{Provider, Security};
use node::{Config, Dest, Input, Lane, Node, Output, Stored};
use totem::{TokenTimeout, Tuning};
use wire::run::{ALIGN, RECORD_HEADER_BYTES};
use wire::{BootId, NodeId};

/// Every packet takes this long.
pub const LATENCY_NS: u64 = 20_000;

pub const DATAGRAM_BYTES: usize = 1472;

/// Messages of a node's sessions, oldest first.
#[derive(Default)]
pub struct Queue {
    pub waiting: VecDeque<(u32, GroupHandle, Vec<u8>, bool)>,
    pub bytes: u64,
}

fn record_bytes(message: &[u8]) -> usize {
    (RECORD_HEADER_BYTES + message.len()).next_multiple_of(ALIGN)
}

impl Queue {
    pub fn push(&mut self, session: u32, group: GroupHandle, message: &[u8], safe: bool) {
        self.bytes += record_bytes(message) as u64;
        self.waiting.push_back((session, group, message.to_vec(), safe));
    }
}

impl Clients for Queue {
    fn pending_bytes(&self) -> u64 {
        self.bytes
    }

    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        let &(session, group, _, safe) = self.waiting.front()?;
        let (mut bytes, mut count) = (0, 0);
        while let Some((s, g, message, f)) = self.waiting.front() {
            let end = bytes + record_bytes(message);
            if (*s, *g, *f) != (session, group, safe) || end > buf.len() {
                break;
            }
            buf[bytes..end].fill(0);
            buf[bytes..bytes + 4].copy_from_slice(&(message.len() as u32).to_le_bytes());
            buf[bytes + 8..bytes + 8 + message.len()].copy_from_slice(message);
            self.bytes -= record_bytes(message) as u64;
            (bytes, count) = (end, count + 1);
            self.waiting.pop_front();
        }
        let kind = PulledKind::Messages;
        (count > 0).then_some(Pulled { session, group, kind, count, bytes, safe })
    }
}

/// One engine.
pub struct Engine {
    pub id: NodeId,
    pub node: Node,
    pub clients: Queue,
    pub pool: Pool,
    pub events: Vec<Event>,
    /// What happened to changes of the configuration.
    pub changes: Vec<groups::cfg::Event>,
    pub left: bool,
    /// Datagrams of the bursts it sent.
    pub bursts: Vec<usize>,
}

/// A burst on its way.
struct Packet {
    from: NodeId,
    to: NodeId,
    lane: Lane,
    bytes: Vec<u8>,
    segment_bytes: usize,
}

pub struct Cluster {
    pub now_ns: u64,
    pub engines: BTreeMap<NodeId, Engine>,
    pub ids: Vec<NodeId>,
    pub security: Security,
    /// Version and hash of the configuration that engines start with.
    pub config: (u64, u64),
    /// Arrival time and number keep packets in order.
    network: BTreeMap<(u64, u64), Packet>,
    packets: u64,
    /// What is on the disk of each.
    pub stored: BTreeMap<NodeId, Stored>,
    boots: u8,
    /// When a silent ring is declared lost, for engines that start.
    pub token_timeout: TokenTimeout,
    /// Whether every engine that starts has one vote.
    pub votes: bool,
    /// Pairs that do not hear each other.
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// One burst in so many is lost; 0: none.
    pub loss: u64,
    random: u64,
}

pub fn encrypted() -> Security {
    Security::Aes256Gcm { key: [7; 32], epoch: 0, provider: Provider::AesGcm }
}

impl Cluster {
    pub fn new(count: u32, security: Security) -> Self {
        let mut cluster = Self::empty(security);
        cluster.ids = (1..=count).map(NodeId).collect();
        for id in cluster.ids.clone() {
            cluster.start(id);
        }
        cluster
    }

    /// A network without nodes.
    pub fn empty(security: Security) -> Self {
        Self {
            now_ns: 1_000_000,
            engines: BTreeMap::new(),
            ids: Vec::new(),
            security,
            config: (1, 1),
            network: BTreeMap::new(),
            packets: 0,
            stored: BTreeMap::new(),
            boots: 0,
            token_timeout: TokenTimeout::Auto { min_us: 2_000, max_us: 50_000 },
            votes: false,
            cut: BTreeSet::new(),
            loss: 0,
            random: 1,
        }
    }

    pub fn start(&mut self, id: NodeId) {
        let security = self.security.clone();
        self.start_with(id, security);
    }

    pub fn start_with(&mut self, id: NodeId, security: Security) {
        self.boots += 1;
        let pool = Pool::heap(PoolConfig {
            small_bytes: 1536,
            small_count: 2048,
            large_bytes: 65536,
            large_count: 64,
        });
        let config = Config {
            me: id,
            nodes: self.ids.clone(),
            cluster_name: "test",
            security,
            boot: BootId([self.boots; 16]),
            seed: id.0.into(),
            datagram_bytes: DATAGRAM_BYTES,
            burst_segments: 64,
            burst_bytes: 65000,
            links: node::Links::ONE,
            token_timeout: self.token_timeout,
            config_version: self.config.0,
            config_hash: self.config.1,
            stored: self.stored.get(&id).copied().unwrap_or_default(),
            tuning: Tuning::default(),
            limits: groups::Limits::default(),
            quorum: self.votes.then(|| Options {
                nodes: self.ids.iter().map(|id| (*id, 1)).collect(),
                ..Options::default()
            }),
            expected_votes_tracked: 0,
        };
        let on_disk = self.stored.entry(id).or_default();
        on_disk.owed_ns = on_disk.owed_ns.max(config.owed_ns_max());
        let node = Node::new(config, pool.clone(), self.now_ns).expect("the configuration is good");
        let engine = Engine {
            id,
            node,
            clients: Queue::default(),
            pool,
            events: Vec::new(),
            changes: Vec::new(),
            left: false,
            bursts: Vec::new(),
        };
        self.engines.insert(id, engine);
        self.drain(id);
    }

    pub fn kill(&mut self, id: NodeId) {
        self.engines.remove(&id);
    }

    pub fn engine(&mut self, id: u32) -> &mut Engine {
        self.engines.get_mut(&NodeId(id)).expect("it runs")
    }

    pub fn input(&mut self, id: NodeId, input: Input) {
        let engine = self.engines.get_mut(&id).expect("it runs");
        engine.node.handle(self.now_ns, input, &mut engine.clients);
        self.drain(id);
    }

    /// Does what a node wants done.
    fn drain(&mut self, id: NodeId) {
        loop {
            let engine = self.engines.get_mut(&id).expect("it runs");
            let Some(output) = engine.node.poll_output() else { return };
            match output {
                Output::Send { to, lane, bytes, segment_bytes, .. } => {
                    let segments = bytes.len().div_ceil(segment_bytes);
                    assert!(segment_bytes <= DATAGRAM_BYTES, "{segment_bytes} bytes");
                    assert!(lane == Lane::Data || segments == 1, "a token travels alone");
                    engine.bursts.push(segments);
                    let bytes = bytes.to_vec();
                    self.send(id, to, lane, &bytes, segment_bytes);
                }
                Output::Event(event) => engine.events.push(event),
                Output::Change(event) => engine.changes.push(event),
                Output::Persist(stored) => {
                    self.stored.insert(id, stored);
                    let input = Input::Persisted(stored);
                    engine.node.handle(self.now_ns, input, &mut engine.clients);
                }
                Output::Trace(_) => {}
                Output::Left => engine.left = true,
            }
        }
    }

    fn send(&mut self, from: NodeId, to: Dest, lane: Lane, bytes: &[u8], segment_bytes: usize) {
        for id in self.ids.clone() {
            let meant = match to {
                Dest::All => id != from,
                Dest::Node(node) => id == node,
            };
            if meant {
                self.packets += 1;
                let packet = Packet { from, to: id, lane, bytes: bytes.to_vec(), segment_bytes };
                self.network.insert((self.now_ns + LATENCY_NS, self.packets), packet);
            }
        }
    }

    /// Puts a datagram on a node's data queue as if somebody had sent it.
    pub fn inject(&mut self, to: u32, bytes: &[u8]) {
        let input = received(&self.engines[&NodeId(to)].pool, Lane::Data, bytes, bytes.len());
        self.input(NodeId(to), input);
    }

    /// The next packet or timer; `false` when the time is over.
    pub fn step(&mut self, until_ns: u64) -> bool {
        let packet = self.network.first_key_value().map(|(key, _)| key.0);
        let timer = |e: &Engine| e.node.next_timeout().map(|(at, _)| (at, e.id));
        let timer = self.engines.values().filter_map(timer).min();
        let packet_first = packet.is_some_and(|at| timer.is_none_or(|(timer, _)| at <= timer));
        if packet_first && packet.is_some_and(|at| at <= until_ns) {
            let Some(((at, _), packet)) = self.network.pop_first() else { return false };
            self.now_ns = self.now_ns.max(at);
            let is_cut = self.cut.contains(&(packet.from, packet.to)) || self.loses();
            if let Some(engine) = self.engines.get(&packet.to).filter(|_| !is_cut) {
                let Packet { lane, bytes, segment_bytes, .. } = &packet;
                let input = received(&engine.pool, *lane, bytes, *segment_bytes);
                self.input(packet.to, input);
            }
            return true;
        }
        match timer {
            Some((at, id)) if at <= until_ns && !packet_first => {
                self.now_ns = self.now_ns.max(at);
                self.input(id, Input::Timeout);
                true
            }
            _ => {
                self.now_ns = until_ns;
                false
            }
        }
    }

    fn loses(&mut self) -> bool {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.loss != 0 && (self.random >> 33).is_multiple_of(self.loss)
    }

    /// No node saw anything that a correct node does not send.
    pub fn assert_nobody_misbehaved(&self) {
        for engine in self.engines.values() {
            let counters = engine.node.counters();
            let groups = counters.groups;
            assert_eq!(groups.peer_malformed, 0);
            assert_eq!(groups.peer_unknown_group, 0);
            assert_eq!(groups.peer_not_member, 0);
            assert_eq!(groups.peer_out_of_place, 0);
            assert_eq!(groups.peer_void, 0);
            assert_eq!(counters.totem.malformed, 0);
            assert_eq!(counters.node.frames_unsent, 0);
        }
    }

    pub fn run_us(&mut self, us: u64) {
        let until_ns = self.now_ns + us * 1000;
        while self.step(until_ns) {}
    }

    /// Runs until all engines are members of one ring and synchronised.
    pub fn run_until_one_ring(&mut self) {
        let limit_ns = self.now_ns + 10_000_000_000;
        loop {
            let ids: Vec<NodeId> = self.engines.keys().copied().collect();
            let done = self.engines.values().all(|engine| {
                let status = engine.node.status();
                status.groups.synced && status.totem.members[..] == ids[..]
            });
            if done {
                return;
            }
            assert!(self.now_ns < limit_ns, "no ring of {ids:?} within 10 s: {}", self.describe());
            self.run_us(1000);
        }
    }

    /// Where every node is, for the message of a failed test.
    fn describe(&self) -> String {
        let engines = self.engines.values();
        engines.map(|e| format!("{:#?}\n{:#?}\n", e.node.status(), e.node.counters())).collect()
    }

    /// Opens a session on a node and joins it to a group.
    pub fn join(&mut self, id: u32, session: u32, name: &[u8]) -> GroupHandle {
        self.input(NodeId(id), Input::Open { session, pid: 1000 + session });
        self.input(NodeId(id), Input::Join { session, request: 1, name: name.to_vec() });
        self.run_us(100_000);
        let joined = self.engine(id).events.iter().rev().find_map(|event| match event {
            Event::Joined { session: s, group, .. } if *s == session => Some(*group),
            _ => None,
        });
        joined.expect("joined within 0.1 s")
    }

    pub fn push(&mut self, id: u32, session: u32, group: GroupHandle, message: &[u8], safe: bool) {
        self.engine(id).clients.push(session, group, message, safe);
        self.input(NodeId(id), Input::Submitted);
    }
}

impl Engine {
    /// What was delivered: sender's session and message.
    pub fn messages(&self) -> Vec<(u32, Vec<u8>)> {
        let mut all = Vec::new();
        for event in &self.events {
            let Event::Messages(run) = event else { continue };
            let mut at = 0;
            for _ in 0..run.count {
                let (range, next) = wire::run::record_at(&run.body, at).expect("a whole record");
                all.push((run.sender.session, run.body[range].to_vec()));
                at = next;
            }
        }
        all
    }

    pub fn last_view(&self) -> &groups::View {
        let views = self.events.iter().rev();
        let mut views =
            views.filter_map(|e| if let Event::View(v) = e { Some(&**v) } else { None });
        views.next().expect("a view")
    }
}

/// What a transport would give: token datagrams in small slots, data bursts in large ones.
fn received(pool: &Pool, queue: Lane, bytes: &[u8], segment_bytes: usize) -> Input {
    let class = if queue == Lane::Token { Class::Small } else { Class::Large };
    let mut slot: FrameMut = pool.alloc(class).expect("a free slot");
    slot.truncate(bytes.len());
    slot.copy_from_slice(bytes);
    Input::Received { link: 0, queue, bytes: slot, segment_bytes }
}
