//! A cluster of group layers over a total order kept in memory. Every component (partition) has a
//! log; nodes read it at their own pace. A change of components follows extended virtual synchrony:
//! nodes that go on together first read the same part of their old log, which holds at least all
//! that one of them sent or has read.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod clients;
pub mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use clients::Queue;
use frame::{Frame, Pool, PoolConfig};
use groups::{Config, Event, GroupStatus, Groups, Limits};
use totem::{Configuration, ConfigurationKind, Delivered, Source};
use wire::data::DATA_HEADER_BYTES;
use wire::{MemberId, NodeId, RingId};

/// Payload bytes of a frame, as on Ethernet.
pub const ROOM: usize = 1300;

/// One frame of a component's log.
#[derive(Clone)]
pub struct Entry {
    pub origin: NodeId,
    pub payload: Vec<u8>,
}

/// The order of one component.
pub struct Log {
    pub ring: RingId,
    pub members: Rc<[NodeId]>,
    pub entries: Vec<Entry>,
}

/// One node that runs.
pub struct Node {
    pub id: NodeId,
    pub groups: Groups,
    pub clients: Queue,
    pub pool: Pool,
    /// Which log it reads, if any.
    pub log: Option<usize>,
    /// How much of it it has read.
    pub read: usize,
    pub events: Vec<Event>,
}

/// What every node sees after a frame, without what is local.
pub type Table = Vec<(Vec<u8>, u32, Vec<MemberId>, Vec<MemberId>)>;

/// All nodes, all logs, and what was seen at each point of each.
pub struct World {
    pub nodes: BTreeMap<NodeId, Node>,
    pub logs: Vec<Log>,
    pub tables: BTreeMap<(RingId, u64), Table>,
    next_ring: u64,
    next_boot: u64,
    pub limits: Limits,
    /// Every frame numbered, in the order in which they were.
    pub sent: Vec<Entry>,
}

pub fn table_of(groups: &[GroupStatus]) -> Table {
    let entry = |g: &GroupStatus| (g.name.clone(), g.number, g.members.clone(), g.waiting.clone());
    groups.iter().map(entry).collect()
}

impl World {
    pub fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            logs: Vec::new(),
            tables: BTreeMap::new(),
            next_ring: 1,
            next_boot: 1,
            limits: Limits::default(),
            sent: Vec::new(),
        }
    }

    /// A world of nodes 1 to `count` in one component, the barrier over.
    pub fn with_nodes(count: u32) -> Self {
        let mut world = Self::new();
        for id in 1..=count {
            world.start(NodeId(id));
        }
        world.reform(&[(1..=count).map(NodeId).collect()]);
        world.settle();
        world.drain();
        world
    }

    /// Starts a node (alone, without a ring).
    pub fn start(&mut self, id: NodeId) {
        let config =
            PoolConfig { small_bytes: 2048, small_count: 64, large_bytes: 4096, large_count: 1 };
        let pool = Pool::heap(config);
        let config = Config { me: id, boot: self.next_boot, limits: self.limits };
        self.next_boot += 1;
        let groups = Groups::new(config, pool.clone());
        let clients = Queue::default();
        let (log, read, events) = (None, 0, Vec::new());
        self.nodes.insert(id, Node { id, groups, clients, pool, log, read, events });
    }

    /// The node's process is gone.
    pub fn crash(&mut self, id: NodeId) {
        self.nodes.remove(&id);
    }

    pub fn node(&mut self, id: u32) -> &mut Node {
        self.nodes.get_mut(&NodeId(id)).expect("the node runs")
    }

    /// Lets a node number one frame, if it has one.
    pub fn send(&mut self, id: NodeId) -> bool {
        let Some(node) = self.nodes.get_mut(&id) else { return false };
        let Some(log) = node.log else { return false };
        let built = node.groups.source(&mut node.clients).next(ROOM);
        node.take_events();
        let Some(built) = built else { return false };
        let payload = built.frame[DATA_HEADER_BYTES..].to_vec();
        assert!(payload.len() <= ROOM && payload.len().is_multiple_of(8));
        let entry = Entry { origin: id, payload };
        self.sent.push(entry.clone());
        self.logs[log].entries.push(entry);
        true
    }

    /// Lets a node read one frame of its log.
    pub fn read(&mut self, id: NodeId) -> bool {
        self.read_as(id, false)
    }

    fn read_as(&mut self, id: NodeId, transitional: bool) -> bool {
        let Some(node) = self.nodes.get_mut(&id) else { return false };
        let Some(log) = node.log.map(|at| &self.logs[at]) else { return false };
        let Some(entry) = log.entries.get(node.read) else { return false };
        node.read += 1;
        let seq = node.read as u64;
        let payload = frame_of(&node.pool, &entry.payload);
        let (ring, origin) = (log.ring, entry.origin);
        node.groups.deliver(0, Delivered { ring, seq, origin, payload, transitional });
        node.take_events();
        if node.groups.is_synced() {
            let table = table_of(&node.groups.status().groups);
            let known = self.tables.entry((ring, seq)).or_insert_with(|| table.clone());
            assert_eq!(*known, table, "node {id} disagrees at {ring} {seq}");
        }
        true
    }

    /// Makes new components. Nodes not named have no ring any more (they are cut off by being
    /// crashed).
    pub fn reform(&mut self, components: &[Vec<NodeId>]) {
        for members in components {
            let ring = RingId { seq: self.next_ring, rep: members[0] };
            self.next_ring += 1;
            let members: Rc<[NodeId]> = members.clone().into();
            let mut old_logs: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
            for id in members.iter() {
                let node = &self.nodes[id];
                if let Some(log) = node.log {
                    old_logs.entry(log).or_default().push(*id);
                }
            }
            for (log, together) in old_logs {
                self.leave_log(log, &together, ring);
            }
            let log = self.logs.len();
            self.logs.push(Log { ring, members: members.clone(), entries: Vec::new() });
            for id in members.iter() {
                let node = self.nodes.get_mut(id).expect("members run");
                (node.log, node.read) = (Some(log), 0);
                let kind = ConfigurationKind::Regular;
                let members = members.clone();
                node.groups.configuration(0, &Configuration { kind, ring, members });
                node.take_events();
            }
        }
    }

    /// `together` go on from an old log: they read the same part of it, its end in the transitional
    /// configuration.
    fn leave_log(&mut self, log: usize, together: &[NodeId], ring: RingId) {
        let entries = &self.logs[log].entries;
        let own = entries.iter().rposition(|e| together.contains(&e.origin)).map_or(0, |at| at + 1);
        let read = together.iter().map(|id| self.nodes[id].read).max().unwrap_or(0);
        let regular = read.min(own);
        let cut = read.max(own);
        for id in together {
            while self.nodes[id].read < regular && self.read(*id) {}
            let node = self.nodes.get_mut(id).expect("members run");
            let kind = ConfigurationKind::Transitional;
            let members: Rc<[NodeId]> = together.into();
            node.groups.configuration(0, &Configuration { kind, ring, members });
            node.take_events();
            while self.nodes[id].read < cut && self.read_as(*id, true) {}
        }
    }

    /// Everybody sends all it has and reads all there is.
    pub fn settle(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        loop {
            let mut moved = false;
            for &id in &ids {
                while self.send(id) {
                    moved = true;
                }
                while self.read(id) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Forgets the events so far.
    pub fn drain(&mut self) {
        for node in self.nodes.values_mut() {
            node.events.clear();
        }
    }

    /// Nodes by component.
    pub fn components(&self) -> BTreeSet<Vec<NodeId>> {
        let logs: BTreeSet<usize> = self.nodes.values().filter_map(|n| n.log).collect();
        let of = |log| self.nodes.values().filter(move |n| n.log == Some(log)).map(|n| n.id);
        logs.into_iter().map(|log| of(log).collect()).collect()
    }
}

impl Node {
    pub fn take_events(&mut self) {
        while let Some(event) = self.groups.poll_event() {
            self.events.push(event);
        }
    }

    pub fn views(&self) -> Vec<&groups::View> {
        let events = self.events.iter();
        events
            .filter_map(|e| if let Event::View(view) = e { Some(&**view) } else { None })
            .collect()
    }

    /// What was delivered in one piece: sender's session and message.
    pub fn messages(&self) -> Vec<(u32, Vec<u8>)> {
        let mut all = Vec::new();
        for event in &self.events {
            let Event::Messages(run) = event else { continue };
            let session = run.sender.session;
            all.extend(reader::messages(&run.body, run.count).into_iter().map(|m| (session, m)));
        }
        all
    }
}

/// A frame with these bytes.
pub fn frame_of(pool: &Pool, bytes: &[u8]) -> Frame {
    let mut frame = pool.alloc(frame::Class::Small).expect("a slot is free");
    frame[..bytes.len()].copy_from_slice(bytes);
    frame.truncate(bytes.len());
    frame.freeze()
}
