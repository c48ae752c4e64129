//! One node with what waits for it.

use std::collections::VecDeque;
use std::rc::Rc;

use frame::{Class, Pool, PoolConfig};
use link::{Provider, Security};
use node::{Config, Input, Lane, Node};
use totem::{TokenTimeout, Tuning};
use wire::{BootId, NodeId};

use crate::clients::Program;
use crate::{Cores, Load, Plan};

/// Bytes of IPv4 and UDP headers.
const HEADERS_BYTES: usize = 28;

/// As the engine sets up its memory: room beside the datagram in a small slot, slots of each class.
const SLOT_HEADROOM_BYTES: usize = 128;
const SMALL_SLOTS: u32 = 4096;
const LARGE_SLOTS: u32 = 256;

/// Most bytes and datagrams of a GSO burst, as the UDP transport gives them.
const BURST_BYTES: usize = 65_000;
const BURST_SEGMENTS: usize = 64;

/// The engine's bounds of `token_timeout = "auto"`.
const TOKEN_TIMEOUT: TokenTimeout = TokenTimeout::Auto { min_us: 30_000, max_us: 1_000_000 };

/// The only session of a node.
const SESSION: u32 = 1;

/// Datagrams on their way: one buffer, shared by all receivers.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) lane: Lane,
    pub(crate) bytes: Rc<[u8]>,
    pub(crate) segment_bytes: usize,
}

impl Packet {
    pub(crate) fn datagrams(&self) -> usize {
        self.bytes.len().div_ceil(self.segment_bytes.max(1))
    }
}

/// A node, its program and its queues.
pub(crate) struct Machine {
    pub(crate) node: Node,
    pub(crate) program: Program,
    pool: Pool,
    tokens: VecDeque<Packet>,
    data: VecDeque<Packet>,
    pub(crate) other: VecDeque<Input>,
    /// Messages of the program that the node was told of.
    told: u64,
    /// When it is looked at next.
    pub(crate) look_at_ns: Option<u64>,
    /// Whether it had nothing to do.
    pub(crate) idle: bool,
    /// When its program has read what it got.
    pub(crate) reader_free_ns: u64,
    /// Messages its program got.
    pub(crate) received: u64,
    /// Members of the program's group.
    pub(crate) members: usize,
}

impl Machine {
    pub(crate) fn new(plan: &Plan, me: u32) -> anyhow::Result<Self> {
        let small_bytes = (plan.mtu_bytes + SLOT_HEADROOM_BYTES).next_multiple_of(1024);
        let pool = Pool::heap(PoolConfig {
            small_bytes,
            small_count: SMALL_SLOTS,
            large_bytes: 65_536,
            large_count: LARGE_SLOTS,
        });
        let tuning = Tuning::default();
        let window_bytes =
            tuning.global_window_bytes.min(u64::from(SMALL_SLOTS) * plan.mtu_bytes as u64 / 4);
        let mut boot = [0; 16];
        boot[..4].copy_from_slice(&me.to_le_bytes());
        let config = Config {
            me: NodeId(me),
            nodes: (1..=u32::from(plan.nodes)).map(NodeId).collect(),
            cluster_name: "model",
            security: security(plan.encrypted),
            boot: BootId(boot),
            seed: u64::from(me),
            datagram_bytes: plan.mtu_bytes - HEADERS_BYTES,
            burst_segments: BURST_SEGMENTS,
            burst_bytes: BURST_BYTES,
            links: node::Links::ONE,
            token_timeout: TOKEN_TIMEOUT,
            config_version: 1,
            config_hash: 1,
            stored: node::Stored::default(),
            tuning: Tuning {
                global_window_bytes: window_bytes,
                personal_window_bytes_max: tuning.personal_window_bytes_max.min(window_bytes),
                ..tuning
            },
            limits: groups::Limits::default(),
            quorum: None,
            expected_votes_tracked: 0,
        };
        let node = Node::new(config, pool.clone(), 0)?;
        let name = b"model".to_vec();
        let other = [
            Input::Open { session: SESSION, pid: 1 },
            Input::Join { session: SESSION, request: 1, name },
        ];
        Ok(Self {
            node,
            program: program(plan, me),
            pool,
            tokens: VecDeque::new(),
            data: VecDeque::new(),
            other: other.into(),
            told: 0,
            look_at_ns: None,
            idle: true,
            reader_free_ns: 0,
            received: 0,
            members: 0,
        })
    }

    /// Puts a packet into its queue.
    pub(crate) fn receive(&mut self, packet: Packet) {
        match packet.lane {
            Lane::Token => self.tokens.push_back(packet),
            Lane::Data => self.data.push_back(packet),
        }
    }

    /// What the node is to handle now, and the datagrams in it if it came from the network.
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<(Input, usize)> {
        self.program.advance(now_ns);
        if let Some(input) = self.other.pop_front() {
            return Some((input, 0));
        }
        let (first, second) = match self.node.token_first() {
            true => (&mut self.tokens, &mut self.data),
            false => (&mut self.data, &mut self.tokens),
        };
        while let Some(packet) = first.pop_front().or_else(|| second.pop_front()) {
            let small = packet.bytes.len() <= self.pool.slot_bytes(Class::Small);
            let class = if small { Class::Small } else { Class::Large };
            // No slot: lost, as on a real socket.
            let Some(mut slot) = self.pool.alloc(class) else { continue };
            slot.truncate(packet.bytes.len());
            slot.copy_from_slice(&packet.bytes);
            let (queue, segment_bytes) = (packet.lane, packet.segment_bytes);
            let input = Input::Received { link: 0, queue, bytes: slot, segment_bytes };
            return Some((input, packet.datagrams()));
        }
        if self.node.next_timeout().is_some_and(|(at_ns, _)| at_ns <= now_ns) {
            return Some((Input::Timeout, 0));
        }
        if self.program.made > self.told {
            self.told = self.program.made;
            return Some((Input::Submitted, 0));
        }
        None
    }

    /// When there is something to do again, if nothing comes before.
    pub(crate) fn wake_ns(&self) -> Option<u64> {
        let timer = self.node.next_timeout().map(|(at_ns, _)| at_ns);
        [timer, self.program.next_ns()].into_iter().flatten().min()
    }
}

fn program(plan: &Plan, me: u32) -> Program {
    let sends = me <= u32::from(plan.senders);
    let every_ns = match plan.load {
        _ if !sends => f64::INFINITY,
        // Where processors are shared, sending takes its time off them instead.
        Load::Flood if plan.cores == Cores::Own => plan.costs.message_submit_ns.max(1.0),
        Load::Flood => 1.0,
        Load::Rate(rate) => 1e9 / rate,
    };
    Program::new(SESSION, plan.message_bytes, every_ns, plan.load == Load::Flood)
}

fn security(encrypted: bool) -> Security {
    if !encrypted {
        return Security::Off;
    }
    Security::Aes256Gcm { key: [7; 32], epoch: 0, provider: Provider::fastest() }
}
