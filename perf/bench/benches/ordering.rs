//! The ordering step: two machines on a network that is a queue, without link layer and without time of their own.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frame::{Class, Frame, Pool, PoolConfig};
use totem::{Config, Dest, Output, Payload, Source, TokenTimeout, Totem, Tuning};
use wire::NodeId;
use wire::data::DATA_HEADER_BYTES;

/// Frames ordered in a step: a full burst of Ethernet frames.
const FRAMES: u64 = 45;

/// Bytes of a frame's payload.
const PAYLOAD_BYTES: usize = 1320;

/// How long a frame is on its way.
const HOP_NS: u64 = 1_000;

/// Steps without anything to do before it counts as stuck.
const IDLE_STEPS_MAX: u32 = 100_000;

/// Frames that wait for the machine.
struct Waiting {
    left: u64,
    pool: Pool,
}

impl Source for Waiting {
    fn backlog_bytes(&self) -> u64 {
        self.left * PAYLOAD_BYTES as u64
    }

    fn next(&mut self, room: usize) -> Option<Payload> {
        if self.left == 0 || room < PAYLOAD_BYTES {
            return None;
        }
        let mut frame = self.pool.alloc(Class::Small)?;
        frame.truncate(DATA_HEADER_BYTES + PAYLOAD_BYTES);
        self.left -= 1;
        Some(Payload { frame, safe: false })
    }
}

struct Machine {
    totem: Totem,
    source: Waiting,
    delivered: u64,
    members: usize,
}

struct World {
    now_ns: u64,
    machines: Vec<Machine>,
    /// To whom, from whom.
    network: VecDeque<(usize, NodeId, Frame)>,
}

impl World {
    fn new() -> Self {
        let machines = (1..=2).map(|me| {
            let pool = Pool::heap(PoolConfig {
                small_bytes: 2048,
                small_count: 4096,
                large_bytes: 65_536,
                large_count: 1,
            });
            let config = Config {
                me: NodeId(me),
                nodes: vec![NodeId(1), NodeId(2)],
                payload_bytes_max: 1400,
                token_timeout: TokenTimeout::Fixed { us: 100_000 },
                config_version: 1,
                config_hash: 1,
                ring_seq_stored: 0,
                seed: me.into(),
                tuning: Tuning::default(),
            };
            let totem = Totem::new(config, pool.clone(), 0);
            Machine { totem, source: Waiting { left: 0, pool }, delivered: 0, members: 0 }
        });
        let mut world = Self { now_ns: 0, machines: machines.collect(), network: VecDeque::new() };
        world.run_until(|world| world.machines.iter().all(|machine| machine.members == 2));
        world
    }

    /// Orders a burst of the first machine's frames and delivers it at both.
    fn step(&mut self) {
        let goal = self.machines[0].delivered + FRAMES;
        self.machines[0].source.left = FRAMES;
        let Machine { totem, source, .. } = &mut self.machines[0];
        totem.wake(self.now_ns, source);
        self.run_until(|world| world.machines.iter().all(|machine| machine.delivered >= goal));
    }

    fn run_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        let mut idle = 0;
        loop {
            (0..self.machines.len()).for_each(|at| self.drain(at));
            if is_done(self) {
                return;
            }
            if let Some((to, from, frame)) = self.network.pop_front() {
                self.now_ns += HOP_NS;
                let Machine { totem, source, .. } = &mut self.machines[to];
                totem.receive(self.now_ns, from, frame, source);
                continue;
            }
            idle += 1;
            assert!(idle < IDLE_STEPS_MAX, "the ring is stuck");
            let due = self.machines.iter().filter_map(|machine| machine.totem.next_timeout());
            self.now_ns = due.map(|(at_ns, _)| at_ns).min().expect("somebody waits for something");
            for Machine { totem, source, .. } in &mut self.machines {
                if totem.next_timeout().is_some_and(|(at_ns, _)| at_ns <= self.now_ns) {
                    totem.timeout(self.now_ns, source);
                }
            }
        }
    }

    /// Does what a machine wants done.
    fn drain(&mut self, at: usize) {
        let (me, other) = (NodeId(at as u32 + 1), 1 - at);
        let Self { now_ns, machines, network } = self;
        loop {
            let Some(output) = machines[at].totem.poll_output() else { return };
            match output {
                Output::Send { to, frame, .. } if to != Dest::Node(me) => {
                    // A network copies.
                    let mut copy = machines[other].source.pool.alloc(Class::Small).expect("a slot");
                    copy[..frame.len()].copy_from_slice(&frame);
                    copy.truncate(frame.len());
                    network.push_back((other, me, copy.freeze()));
                }
                Output::Deliver(_) => machines[at].delivered += 1,
                Output::Configuration(configuration) => {
                    machines[at].members = configuration.members.len();
                    let Machine { totem, source, .. } = &mut machines[at];
                    totem.wake(*now_ns, source);
                }
                Output::Persist { ring_seq } => machines[at].totem.persisted(*now_ns, ring_seq),
                _ => {}
            }
        }
    }
}

fn ordering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ordering");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function(
        "45 frames of 1320 bytes numbered, copied, delivered at two nodes",
        |bencher| {
            let mut world = World::new();
            bencher.iter(|| world.step());
        },
    );
    group.finish();
}

criterion_group!(benches, ordering);
criterion_main!(benches);
