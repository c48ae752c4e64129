//! Two nodes, the datagrams between them, and the clock.

use std::collections::VecDeque;

use frame::{Class, Pool, PoolConfig, PoolStats};
use groups::{Clients, Event, GroupHandle, Pulled, PulledKind};
use link::Security;
use node::{Config, Dest, Lane, Node, Output};
use totem::{TokenTimeout, Tuning};
use wire::link::{BODY_BYTES_MAX, CRC_BYTES, LINK_HEADER_BYTES, LinkHeader};
use wire::run::{ALIGN, RECORD_HEADER_BYTES};
use wire::{BootId, NodeId};

/// Every datagram takes this long.
const LATENCY_NS: u64 = 20_000;

const DATAGRAM_BYTES: usize = 1472;

/// How long after the network healed there must be one ring.
const HEAL_NS: u64 = 5_000_000_000;

/// Most outputs one input may cause: some windows' worth of datagrams, views of a few sessions.
const OUTPUTS_MAX: usize = 10_000;

/// Most datagrams and timers in the time a program takes. A ring of two that spins without end makes
/// some 25 datagrams per virtual millisecond.
const EVENTS_MAX: usize = 100_000;

thread_local! {
    /// The nodes' memory is used again by the next program: what was left in it must not matter.
    static POOLS: [Pool; 2] = [0, 1].map(|_| {
        Pool::heap(PoolConfig {
            small_bytes: 1536,
            small_count: 512,
            large_bytes: 65536,
            large_count: 8,
        })
    });
}

/// Messages waiting on a node: session, group, length.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<(u32, GroupHandle, usize, bool)>,
}

impl Clients for Queue {
    fn pending_bytes(&self) -> u64 {
        self.waiting.iter().map(|(.., len, _)| (len + RECORD_HEADER_BYTES) as u64).sum()
    }

    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        let &(session, group, len, safe) = self.waiting.front()?;
        let len = len.min(buf.len().checked_sub(RECORD_HEADER_BYTES + ALIGN)?);
        let bytes = (RECORD_HEADER_BYTES + len).next_multiple_of(ALIGN);
        buf[..bytes].fill(0);
        buf[..4].copy_from_slice(&(len as u32).to_le_bytes());
        self.waiting.pop_front();
        Some(Pulled { session, group, kind: PulledKind::Messages, count: 1, bytes, safe })
    }
}

struct Side {
    node: Node,
    pool: Pool,
    clients: Queue,
    groups: Vec<(u32, GroupHandle)>,
    stored: node::Stored,
    sessions: u32,
    boots: u8,
}

struct Datagram {
    at_ns: u64,
    to: usize,
    lane: Lane,
    bytes: Vec<u8>,
}

/// Two nodes on one network.
pub(super) struct World {
    now_ns: u64,
    sides: [Side; 2],
    flying: VecDeque<Datagram>,
    /// The last datagram that arrived, to be repeated.
    last: Option<(usize, Lane, Vec<u8>)>,
    events: usize,
    /// Bytes were made up that pass for a node's own.
    tampered: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let start_ns = 1_000_000;
        let sides = [0, 1].map(|at| Side::start(at, 1, node::Stored::default(), 0, start_ns));
        let mut world = Self {
            now_ns: start_ns,
            sides,
            flying: VecDeque::new(),
            last: None,
            events: 0,
            tampered: false,
        };
        for at in 0..2 {
            world.drain(at);
            world.session(at, 0, 0);
            world.session(at, 1, 0);
        }
        world
    }

    /// Whether both nodes are members of one ring and have told each other all.
    pub(super) fn is_one_ring(&self) -> bool {
        let joined = |side: &Side| {
            let status = side.node.status();
            status.groups.synced && status.totem.members[..] == [id(0), id(1)]
        };
        self.sides.iter().all(joined)
    }

    /// The body of the datagram that arrives next, if it is one of the layer above the link.
    pub(super) fn next_body(&self) -> Option<Vec<u8>> {
        let bytes = &self.flying.front()?.bytes;
        let header = LinkHeader::parse(bytes).ok()?;
        let frame = header.kind == wire::link::LinkKind::Frame;
        frame.then(|| bytes[LINK_HEADER_BYTES..][..header.body_len.into()].to_vec())
    }

    /// Lets the next `count` datagrams and timers happen.
    pub(super) fn pass(&mut self, count: usize) {
        for _ in 0..count {
            self.step(u64::MAX);
        }
    }

    /// Lets everything happen for so long.
    pub(super) fn run(&mut self, for_ns: u64) {
        let until_ns = self.now_ns + for_ns;
        while self.step(until_ns) {}
        self.now_ns = until_ns;
    }

    /// Both nodes stand still for so long: their timers are late.
    pub(super) fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
    }

    pub(super) fn lose(&mut self) {
        self.flying.pop_front();
    }

    /// The next datagram arrives after the one that follows it.
    pub(super) fn hold_back(&mut self) {
        if self.flying.len() > 1 {
            self.flying.swap(0, 1);
        }
    }

    /// The last datagram arrives once more.
    pub(super) fn repeat(&mut self) {
        if let Some((to, lane, bytes)) = self.last.clone() {
            self.arrive(to, lane, &bytes);
        }
    }

    /// Changes the body of the next datagram; length and checksum are made to fit.
    pub(super) fn change(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        let Some(datagram) = self.flying.front_mut() else { return };
        let Ok(header) = LinkHeader::parse(&datagram.bytes) else { return };
        let end = LINK_HEADER_BYTES + usize::from(header.body_len);
        let Some(body) = datagram.bytes.get(LINK_HEADER_BYTES..end) else { return };
        let mut body = body.to_vec();
        edit(&mut body);
        self.tampered = true;
        datagram.bytes = seal(header, &body);
    }

    /// A datagram of the other node that it never sent, numbered after the last one that arrived.
    pub(super) fn forge(&mut self, to: usize, token: bool, body: &[u8]) {
        let Some((_, _, bytes)) = self.last.as_ref().filter(|last| last.0 == to) else { return };
        let Ok(header) = LinkHeader::parse(bytes) else { return };
        let header = LinkHeader { counter: header.counter.wrapping_add(1), ..header };
        self.tampered = true;
        let lane = if token { Lane::Token } else { Lane::Data };
        self.arrive(to, lane, &seal(header, body));
    }

    /// Bytes that were never a datagram, as one or as a burst of short ones.
    pub(super) fn raw(&mut self, to: usize, bytes: &[u8], segment_bytes: usize) {
        let Some(input) = self.sides[to].received(Lane::Data, bytes, segment_bytes) else { return };
        self.input(to, input);
    }

    /// A message of the first session to its group.
    pub(super) fn say(&mut self, at: usize, len: usize, safe: bool) {
        let side = &mut self.sides[at];
        if let Some((session, group)) = side.groups.first() {
            side.clients.waiting.push_back((*session, *group, len, safe));
            self.input(at, node::Input::Submitted);
        }
    }

    /// Opens, joins, leaves or closes.
    pub(super) fn session(&mut self, at: usize, what: u8, name: u8) {
        let side = &mut self.sides[at];
        let session = side.sessions;
        let input = match what {
            0 => {
                side.sessions += 1;
                node::Input::Open { session: session + 1, pid: 7 }
            }
            1 => node::Input::Join { session, request: 1, name: vec![b'g', name & 3] },
            2 => {
                let group = side.groups.pop().map_or(GroupHandle(99), |(_, group)| group);
                node::Input::Leave { session, request: 2, group }
            }
            _ => {
                side.groups.retain(|(of, _)| *of != session);
                node::Input::Close { session }
            }
        };
        self.input(at, input);
    }

    pub(super) fn unreachable(&mut self, at: usize) {
        let peer = id(1 - at);
        self.input(at, node::Input::Unreachable { link: 0, peer });
    }

    /// A node's process dies and comes back with what it had stored.
    pub(super) fn restart(&mut self, at: usize) {
        let side = &self.sides[at];
        let (boots, stored, sessions) = (side.boots.wrapping_add(1), side.stored, side.sessions);
        self.sides[at] = Side::start(at, boots, stored, sessions, self.now_ns);
        self.drain(at);
        self.session(at, 0, 0);
        self.session(at, 1, 0);
    }

    /// Takes the nodes apart: every slot must come back. Before that they must be one ring again; but who
    /// holds the key (here: anybody) and lies may well keep them apart.
    pub(super) fn end(mut self) {
        let limit_ns = self.now_ns + HEAL_NS;
        while !self.tampered && !self.is_one_ring() {
            assert!(
                self.now_ns < limit_ns,
                "no ring {} ms after the network healed",
                HEAL_NS / 1_000_000
            );
            self.run(HEAL_NS / 100);
        }
        for Side { node, pool, .. } in self.sides {
            drop(node);
            let PoolStats { small_free, small_total, large_free, large_total, lent } = pool.stats();
            let free = (small_free, large_free, lent);
            assert_eq!(free, (small_total, large_total, 0), "slots that nobody has");
        }
    }

    /// The next datagram or timer up to a time; `false` when there is none.
    fn step(&mut self, until_ns: u64) -> bool {
        let timer = |at: usize| self.sides[at].node.next_timeout().map(|(due_ns, _)| (due_ns, at));
        let timer = [timer(0), timer(1)].into_iter().flatten().min();
        let arrival_ns = self.flying.front().map(|datagram| datagram.at_ns);
        let arrives =
            arrival_ns.is_some_and(|at_ns| timer.is_none_or(|(due_ns, _)| at_ns <= due_ns));
        if arrives && arrival_ns.is_some_and(|at_ns| at_ns <= until_ns) {
            let Some(Datagram { at_ns, to, lane, bytes }) = self.flying.pop_front() else {
                return false;
            };
            self.now_ns = self.now_ns.max(at_ns);
            self.arrive(to, lane, &bytes);
            self.last = Some((to, lane, bytes));
            return true;
        }
        let Some((due_ns, at)) = timer.filter(|(due_ns, _)| !arrives && *due_ns <= until_ns) else {
            return false;
        };
        self.now_ns = self.now_ns.max(due_ns);
        self.input(at, node::Input::Timeout);
        true
    }

    fn arrive(&mut self, to: usize, lane: Lane, bytes: &[u8]) {
        // No slot free: the kernel would drop it too.
        let Some(input) = self.sides[to].received(lane, bytes, bytes.len()) else { return };
        self.input(to, input);
    }

    fn input(&mut self, at: usize, input: node::Input) {
        self.events += 1;
        assert!(self.events < EVENTS_MAX, "the ring does not come to rest");
        let Side { node, clients, .. } = &mut self.sides[at];
        node.handle(self.now_ns, input, clients);
        self.drain(at);
    }

    /// Does what a node wants done.
    fn drain(&mut self, at: usize) {
        for outputs in 0.. {
            assert!(outputs < OUTPUTS_MAX, "one input, outputs without end");
            let side = &mut self.sides[at];
            let Some(output) = side.node.poll_output() else { return };
            match output {
                Output::Send { to, lane, bytes, segment_bytes, .. } => {
                    assert!(segment_bytes <= DATAGRAM_BYTES, "{segment_bytes} bytes");
                    assert!(to != Dest::Node(id(at)), "sent to itself: {:02x?}", &bytes[..]);
                    for datagram in bytes.chunks(segment_bytes) {
                        let (at_ns, bytes) = (self.now_ns + LATENCY_NS, datagram.to_vec());
                        self.flying.push_back(Datagram { at_ns, to: 1 - at, lane, bytes });
                    }
                }
                Output::Persist(stored) => {
                    side.stored = stored;
                    let input = node::Input::Persisted(stored);
                    side.node.handle(self.now_ns, input, &mut side.clients);
                }
                Output::Event(Event::Joined { session, group, .. }) => {
                    side.groups.push((session, group));
                }
                Output::Event(_) | Output::Change(_) | Output::Trace(_) | Output::Left => {}
            }
        }
    }
}

impl Side {
    fn start(at: usize, boots: u8, stored: node::Stored, sessions: u32, now_ns: u64) -> Self {
        let pool = POOLS.with(|pools| pools[at].clone());
        let config = Config {
            me: id(at),
            nodes: vec![id(0), id(1)],
            cluster_name: "fuzz",
            security: Security::Off,
            boot: BootId([boots << 1 | at as u8; 16]),
            seed: at as u64 + 1,
            datagram_bytes: DATAGRAM_BYTES,
            burst_segments: 44,
            burst_bytes: 65000,
            links: node::Links::ONE,
            token_timeout: TokenTimeout::Auto { min_us: 2_000, max_us: 20_000 },
            config_version: 1,
            config_hash: 1,
            stored,
            tuning: Tuning { window_frames: 256, ..Tuning::default() },
            limits: groups::Limits { sessions_max: 64, memberships_max: 64 },
            quorum: None,
            expected_votes_tracked: 0,
        };
        let node = Node::new(config, pool.clone(), now_ns).expect("the configuration is good");
        let (clients, groups) = (Queue::default(), Vec::new());
        Self { node, pool, clients, groups, stored, sessions, boots }
    }

    /// What a transport would give.
    fn received(&self, queue: Lane, bytes: &[u8], segment_bytes: usize) -> Option<node::Input> {
        let class = if queue == Lane::Token { Class::Small } else { Class::Large };
        let mut slot = self.pool.alloc(class)?;
        slot.truncate(bytes.len());
        let len = slot.len();
        slot.copy_from_slice(&bytes[..len]);
        Some(node::Input::Received { link: 0, queue, bytes: slot, segment_bytes })
    }
}

fn id(at: usize) -> NodeId {
    NodeId(at as u32 + 1)
}

/// A datagram whose checksum fits.
fn seal(header: LinkHeader, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(BODY_BYTES_MAX)];
    let header = LinkHeader { body_len: body.len() as u16, ..header };
    let mut bytes = Vec::with_capacity(LINK_HEADER_BYTES + body.len() + CRC_BYTES);
    bytes.extend_from_slice(&header.to_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}
