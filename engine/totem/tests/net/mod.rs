//! A small network in virtual time: latency, jitter, loss, cuts, pauses, crashes; and checks of
//! what was delivered.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod check;
pub mod scenario;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet, VecDeque};

use frame::{Class, Pool, PoolConfig};
use totem::{
    Config, Configuration, ConfigurationKind, Dest, Output, Payload, Source, State, TokenTimeout,
    Totem, Tuning,
};
use wire::data::DATA_HEADER_BYTES;
use wire::trace::Trace;
use wire::{Kind, NodeId, RingId};

pub const MS: u64 = 1_000_000;
pub const PAYLOAD: usize = 600;

/// What one node told its upper layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Message { ring: RingId, seq: u64, origin: u32, body: Vec<u8>, transitional: bool },
    Configuration { kind: ConfigurationKind, ring: RingId, members: Vec<u32> },
}

/// Messages waiting at a node.
pub struct Queue {
    pool: Pool,
    pub waiting: VecDeque<(Vec<u8>, bool)>,
}

impl Source for Queue {
    fn backlog_bytes(&self) -> u64 {
        self.waiting.iter().map(|(body, _)| body.len() as u64).sum()
    }

    fn next(&mut self, room: usize) -> Option<Payload> {
        let (body, safe) = self.waiting.front()?;
        assert!(body.len() <= room);
        let mut frame = self.pool.alloc(Class::Small)?;
        let len = DATA_HEADER_BYTES + body.len();
        frame.truncate(len);
        frame[DATA_HEADER_BYTES..].copy_from_slice(body);
        let safe = *safe;
        self.waiting.pop_front();
        Some(Payload { frame, safe })
    }
}

pub struct Node {
    pub id: u32,
    pub totem: Totem,
    pub queue: Queue,
    pub told: Vec<Told>,
    pub traces: Vec<(u64, Trace)>,
    pub left: bool,
    /// Nodes it knows to be gone for good.
    pub gone: Vec<u32>,
    pub paused_until: u64,
    pub stored: u64,
    pub pool: Pool,
    pub sent: u64,
    /// Bodies handed to this boot.
    pub bodies: Vec<Vec<u8>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Frame { to: u32, from: u32, boot: u32, bytes: Vec<u8> },
    Unreachable { to: u32, peer: u32 },
    Persisted { to: u32, boot: u32, seq: u64 },
}

pub struct Net {
    pub now: u64,
    pub ids: Vec<u32>,
    pub nodes: BTreeMap<u32, Node>,
    /// What earlier boots were told, by (node, boot).
    pub past: Vec<(u32, Vec<Told>)>,
    boots: BTreeMap<u32, u32>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    random: u64,
    pub latency_ns: u64,
    pub jitter_ns: u64,
    /// What it takes to read a frame, on cores that all nodes share: when each of them is free. None: no time at all.
    pub cores: Vec<u64>,
    pub cost_ns: u64,
    pub loss_per_mille: u64,
    /// Of data frames alone.
    pub data_loss_per_mille: u64,
    pub data_lost: u64,
    pub duplicate_per_mille: u64,
    pub persist_ns: u64,
    pub answer_unreachable: bool,
    pub cut: HashSet<(u32, u32)>,
    pub timeout: TokenTimeout,
    pub tuning: Tuning,
    pub config_version: BTreeMap<u32, u64>,
    pub next_body: u64,
    stored: BTreeMap<u32, u64>,
    pub packets: u64,
    /// Nodes that say that they have no room.
    pub no_room: HashSet<u32>,
    /// Slots of each node's pool; its free ones are its credit.
    pub slots: u32,
    /// Bodies that asked for safe delivery.
    pub safe: HashSet<Vec<u8>>,
    #[cfg(feature = "mutations")]
    pub mutation: Option<totem::Mutation>,
}

impl Net {
    pub fn new(count: u32, seed: u64) -> Self {
        Self {
            now: 1_000 * MS,
            ids: (1..=count).collect(),
            nodes: BTreeMap::new(),
            past: Vec::new(),
            boots: BTreeMap::new(),
            events: BinaryHeap::new(),
            order: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            latency_ns: 20_000,
            jitter_ns: 5_000,
            cores: Vec::new(),
            cost_ns: 0,
            loss_per_mille: 0,
            data_loss_per_mille: 0,
            data_lost: 0,
            duplicate_per_mille: 0,
            persist_ns: MS,
            answer_unreachable: false,
            cut: HashSet::new(),
            timeout: TokenTimeout::Auto { min_us: 20_000, max_us: 100_000 },
            tuning: Tuning::default(),
            config_version: BTreeMap::new(),
            next_body: 0,
            stored: BTreeMap::new(),
            packets: 0,
            no_room: HashSet::new(),
            slots: 6000,
            safe: HashSet::new(),
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }

    pub fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound.max(1)
    }

    pub fn start(&mut self, id: u32) {
        let boot = self.boots.entry(id).or_insert(0);
        *boot += 1;
        let seed = u64::from(*boot) * 1000 + u64::from(id);
        let small_count = self.slots;
        let pool = Pool::heap(PoolConfig {
            small_bytes: 1216,
            small_count,
            large_bytes: 4096,
            large_count: 1,
        });
        let config = Config {
            me: NodeId(id),
            nodes: self.ids.iter().map(|id| NodeId(*id)).collect(),
            payload_bytes_max: PAYLOAD,
            token_timeout: self.timeout,
            config_version: self.config_version.get(&id).copied().unwrap_or(1),
            config_hash: 7,
            ring_seq_stored: self.stored.get(&id).copied().unwrap_or(0),
            seed,
            tuning: self.tuning.clone(),
        };
        #[allow(unused_mut, reason = "mutated only with the feature")]
        let mut totem = Totem::new(config, pool.clone(), self.now);
        #[cfg(feature = "mutations")]
        totem.set_mutation(self.mutation);
        let queue = Queue { pool: pool.clone(), waiting: VecDeque::new() };
        let node = Node {
            id,
            totem,
            queue,
            told: Vec::new(),
            traces: Vec::new(),
            left: false,
            gone: Vec::new(),
            paused_until: 0,
            stored: 0,
            pool,
            sent: 0,
            bodies: Vec::new(),
        };
        self.nodes.insert(id, node);
        self.drain(id);
    }

    pub fn start_all(&mut self) {
        for id in self.ids.clone() {
            self.start(id);
        }
    }

    pub fn crash(&mut self, id: u32) {
        if let Some(node) = self.nodes.remove(&id) {
            self.past.push((id, node.told));
        }
    }

    pub fn pause(&mut self, id: u32, ns: u64) {
        let until = self.now + ns;
        self.node(id).paused_until = until;
    }

    pub fn node(&mut self, id: u32) -> &mut Node {
        self.nodes.get_mut(&id).expect("node runs")
    }

    /// Cuts every path between the two sides.
    pub fn split(&mut self, left: &[u32], right: &[u32]) {
        for a in left {
            for b in right {
                self.cut.insert((*a, *b));
                self.cut.insert((*b, *a));
            }
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Sends a message whose body is unique.
    pub fn send(&mut self, id: u32, safe: bool) -> Vec<u8> {
        self.next_body += 1;
        let mut body = self.next_body.to_le_bytes().to_vec();
        let extra = self.random(PAYLOAD as u64 - 8) as usize;
        body.resize(8 + extra, 0xa5);
        if safe {
            self.safe.insert(body.clone());
        }
        let now = self.now;
        let node = self.node(id);
        node.queue.waiting.push_back((body.clone(), safe));
        node.bodies.push(body.clone());
        node.totem.wake(now, &mut node.queue);
        self.drain(id);
        body
    }

    /// Puts a message of `len` bytes into a node's queue without waking it.
    pub fn queue(&mut self, id: u32, len: usize, safe: bool) {
        self.next_body += 1;
        let mut body = self.next_body.to_le_bytes().to_vec();
        body.resize(len.max(8), 0x5a);
        let node = self.node(id);
        node.bodies.push(body.clone());
        node.queue.waiting.push_back((body, safe));
    }

    pub fn wake(&mut self, id: u32) {
        let now = self.now;
        let node = self.node(id);
        node.totem.wake(now, &mut node.queue);
        self.drain(id);
    }

    /// Somebody sent to `peer`, where nobody listens.
    pub fn hint(&mut self, id: u32, peer: u32) {
        let now = self.now;
        self.node(id).totem.unreachable(now, NodeId(peer));
        self.drain(id);
    }

    pub fn leave(&mut self, id: u32) {
        let now = self.now;
        let node = self.node(id);
        node.totem.leave(now, &mut node.queue);
        self.drain(id);
    }

    fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn drain(&mut self, id: u32) {
        let now = self.now;
        let Some(mut node) = self.nodes.remove(&id) else { return };
        while let Some(output) = node.totem.poll_output() {
            match output {
                Output::Send { to, lane: _, frame } => {
                    node.sent += 1;
                    assert!(frame.len() <= PAYLOAD + 2 * DATA_HEADER_BYTES || frame.len() <= 1152);
                    let targets: Vec<u32> = match to {
                        Dest::All => self.ids.iter().copied().filter(|to| *to != id).collect(),
                        Dest::Node(node) => vec![node.0],
                    };
                    for target in targets {
                        self.carry(id, target, to, &frame);
                    }
                }
                Output::Deliver(d) => node.told.push(Told::Message {
                    ring: d.ring,
                    seq: d.seq,
                    origin: d.origin.0,
                    body: d.payload.to_vec(),
                    transitional: d.transitional,
                }),
                Output::Configuration(Configuration { kind, ring, members }) => {
                    node.told.push(Told::Configuration {
                        kind,
                        ring,
                        members: members.iter().map(|node| node.0).collect(),
                    });
                }
                Output::Persist { ring_seq } => {
                    let boot = self.boots[&id];
                    self.push(
                        now + self.persist_ns,
                        Event::Persisted { to: id, boot, seq: ring_seq },
                    );
                }
                Output::Trace(trace) => node.traces.push((now, trace)),
                Output::Gone { node: gone } => node.gone.push(gone.0),
                Output::Newer { .. } => {}
                Output::Left => node.left = true,
            }
        }
        // What is free but for a reserve for Recovery and for what is on the way.
        let free = u64::from(node.pool.free(Class::Small).saturating_sub(200));
        let free = if self.no_room.contains(&id) { 0 } else { free };
        node.totem.set_free_bytes(free * 1216);
        self.nodes.insert(id, node);
    }

    fn carry(&mut self, from: u32, to: u32, dest: Dest, bytes: &[u8]) {
        self.packets += 1;
        if self.cut.contains(&(from, to)) || self.random(1000) < self.loss_per_mille {
            return;
        }
        let is_data = Kind::of(bytes) == Some(Kind::Data);
        if is_data && self.data_loss_per_mille > 0 && self.random(1000) < self.data_loss_per_mille {
            self.data_lost += 1;
            return;
        }
        let at = self.now + self.latency_ns + self.random(self.jitter_ns);
        if !self.nodes.contains_key(&to) {
            if dest != Dest::All && self.answer_unreachable {
                self.push(at, Event::Unreachable { to: from, peer: to });
            }
            return;
        }
        let boot = self.boots[&to];
        let copies = 1 + u64::from(self.random(1000) < self.duplicate_per_mille);
        for _ in 0..copies {
            let mut later = at + self.random(self.jitter_ns);
            if let Some(core) = self.cores.iter_mut().min() {
                *core = later.max(*core) + self.cost_ns;
                later = *core;
            }
            self.push(later, Event::Frame { to, from, boot, bytes: bytes.to_vec() });
        }
    }

    /// The next moment at which something happens.
    fn next(&self) -> Option<(u64, Option<u32>)> {
        let event = self.events.peek().map(|Reverse((at, _, _))| (*at, None));
        let timers = self.nodes.values().filter_map(|node| {
            let (at, _) = node.totem.next_timeout()?;
            // Nobody works while all cores are busy with what came before.
            let free = self.cores.iter().min().copied().unwrap_or(0);
            Some((at.max(node.paused_until).max(self.now).max(free), Some(node.id)))
        });
        timers.chain(event).min_by_key(|(at, who)| (*at, who.is_some()))
    }

    pub fn run_until(&mut self, end: u64) {
        while let Some((at, who)) = self.next() {
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            match who {
                Some(id) => {
                    let now = self.now;
                    let node = self.node(id);
                    node.totem.timeout(now, &mut node.queue);
                    self.drain(id);
                }
                None => {
                    let Some(Reverse((_, _, event))) = self.events.pop() else { break };
                    self.happen(event);
                }
            }
        }
        self.now = self.now.max(end);
    }

    pub fn run(&mut self, ns: u64) {
        self.run_until(self.now + ns);
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        let to = match &event {
            Event::Frame { to, .. }
            | Event::Unreachable { to, .. }
            | Event::Persisted { to, .. } => *to,
        };
        let boot_now = self.boots.get(&to).copied();
        let Some(node) = self.nodes.get_mut(&to) else { return };
        if now < node.paused_until {
            let at = node.paused_until;
            self.push(at, event);
            return;
        }
        match event {
            Event::Frame { from, boot, bytes, .. } => {
                if boot_now != Some(boot) {
                    return;
                }
                let Some(mut slot) = node.pool.alloc(Class::Small) else { return };
                slot.truncate(bytes.len());
                slot.copy_from_slice(&bytes);
                node.totem.receive(now, NodeId(from), slot.freeze(), &mut node.queue);
            }
            Event::Unreachable { peer, .. } => node.totem.unreachable(now, NodeId(peer)),
            Event::Persisted { boot, seq, .. } => {
                if boot_now != Some(boot) {
                    return;
                }
                self.stored.insert(to, seq);
                node.totem.persisted(now, seq);
            }
        }
        self.drain(to);
    }

    /// Whether exactly these nodes are on one installed ring.
    pub fn one_ring(&self, ids: &[u32]) -> bool {
        let mut rings = HashSet::new();
        ids.iter().all(|id| {
            let Some(node) = self.nodes.get(id) else { return false };
            let status = node.totem.status();
            rings.insert(status.ring);
            let members: Vec<u32> = status.members.iter().map(|node| node.0).collect();
            status.state == State::Operational && members == ids
        }) && rings.len() == 1
    }

    /// Runs until these nodes are on one ring.
    pub fn run_until_ring(&mut self, ids: &[u32], limit: u64) -> u64 {
        let start = self.now;
        while !self.one_ring(ids) {
            assert!(self.now - start < limit, "no ring of {ids:?}:\n{}", self.describe());
            self.run(MS / 4);
        }
        self.now - start
    }

    pub fn describe(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for node in self.nodes.values() {
            let s = node.totem.status();
            let ids: Vec<u32> = s.members.iter().map(|node| node.0).collect();
            let _ = writeln!(
                text,
                "{}: {:?} ring {} {:?} seq {} aru {} stable {} delivered {} holding {} waiting {} {:?} free {}",
                node.id,
                s.state,
                s.ring,
                ids,
                s.seq,
                s.aru,
                s.stable,
                s.delivered,
                s.holding,
                node.queue.waiting.len(),
                node.totem.next_timeout(),
                node.pool.free(Class::Small)
            );
            for (at, trace) in node.traces.iter().rev().take(12).rev() {
                let _ =
                    writeln!(text, "    {} us {} {:?}", at / 1000, trace.code.text(), trace.args);
            }
        }
        text
    }

    pub fn bodies(&self, id: u32) -> Vec<Vec<u8>> {
        self.nodes[&id]
            .told
            .iter()
            .filter_map(|told| match told {
                Told::Message { body, .. } => Some(body.clone()),
                Told::Configuration { .. } => None,
            })
            .collect()
    }

    /// Everything told by all boots of all nodes.
    pub fn histories(&self) -> Vec<(u32, &[Told])> {
        let past = self.past.iter().map(|(id, told)| (*id, told.as_slice()));
        past.chain(self.nodes.values().map(|node| (node.id, node.told.as_slice()))).collect()
    }
}
