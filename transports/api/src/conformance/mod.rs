//! The suite every [`Transport`] must pass: one function per rule, one macro line per implementation.
//!
//! ```text
//! transport::conformance!(memory, MemoryLab);
//! ```
//!
//! All nodes of a test live on one thread and are pumped in turn, so nothing here depends on how
//! threads are scheduled. Deadlines are far beyond what any implementation needs; they only end a
//! test that has failed.

mod flood;
mod rules;
mod waits;

use std::time::{Duration, Instant};

use frame::{Class, FrameMut, Pool, PoolConfig};

pub use flood::*;
pub use rules::*;
pub use waits::*;

use crate::{Burst, Dest, Event, Queue, Transport};

/// When a test gives up.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long nothing must come for a test to believe that nothing will.
const QUIET: Duration = Duration::from_millis(30);

/// One node under test: its transport and the pool it receives into.
pub struct Node<T> {
    /// The transport; `None` once the node is gone.
    pub transport: Option<T>,
    /// Its slots.
    pub pool: Pool,
}

/// Makes networks of one implementation.
pub trait Lab {
    /// The implementation.
    type Transport: Transport;

    /// Whether the sender learns that a peer is gone.
    const NOTICES_ABSENCE: bool = true;

    /// A network of one node per pool configuration, each with a pool of its own.
    fn open(&self, pools: &[PoolConfig]) -> Vec<Node<Self::Transport>>;

    /// A network of `nodes` nodes with equal pools.
    fn network(&self, nodes: u16, pool: PoolConfig) -> Vec<Node<Self::Transport>> {
        self.open(&vec![pool; nodes.into()])
    }

    /// A pool configuration that suffices for a node with nothing special about it.
    fn pool(&self) -> PoolConfig {
        PoolConfig { small_bytes: 2048, small_count: 256, large_bytes: 65536, large_count: 160 }
    }
}

/// What a node received.
#[derive(Debug, Default)]
pub struct Log {
    /// Datagrams in order, with the queue of each.
    pub datagrams: Vec<(Queue, Vec<u8>)>,
    /// Peers reported as unreachable.
    pub unreachable: Vec<u16>,
    /// Keys of descriptors reported as readable.
    pub ready: Vec<u64>,
}

impl Log {
    /// Takes an event apart.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Received { queue, burst } => {
                assert!(burst.segment_bytes > 0, "a burst has segments of at least one byte");
                assert!(!burst.bytes.is_empty(), "a reception has at least one byte");
                for datagram in burst.bytes.chunks(burst.segment_bytes) {
                    self.datagrams.push((queue, datagram.to_vec()));
                }
            }
            Event::Unreachable { peer } => self.unreachable.push(peer),
            Event::Ready { key } => self.ready.push(key),
        }
    }
}

impl<T: Transport> Node<T> {
    fn transport(&mut self) -> &mut T {
        self.transport.as_mut().expect("the node is there")
    }

    /// Sends bytes as one burst, which must be taken.
    fn send(&mut self, to: Dest, queue: Queue, bytes: &[u8], segment_bytes: usize) {
        let burst = self.burst(bytes, segment_bytes);
        self.transport().send(to, queue, burst).expect("the queue has room");
    }

    fn burst(&self, bytes: &[u8], segment_bytes: usize) -> Burst {
        Burst { bytes: filled(&self.pool, bytes), segment_bytes }
    }

    /// Polls everything there is into `log`.
    fn drain(&mut self, log: &mut Log) {
        let transport = self.transport();
        transport.flush();
        let ready = log.ready.len();
        // A descriptor not yet read may go on being reported.
        while transport.poll(16, Queue::Token, &mut |event| log.take(event)) > 0
            && log.ready.len() == ready
        {}
    }
}

/// A slot with these bytes.
fn filled(pool: &Pool, bytes: &[u8]) -> FrameMut {
    let class =
        if bytes.len() <= pool.slot_bytes(Class::Small) { Class::Small } else { Class::Large };
    let mut slot = pool.alloc(class).expect("the pool has a free slot");
    slot.truncate(bytes.len());
    slot.copy_from_slice(bytes);
    slot
}

/// `len` bytes that tell datagrams and positions apart.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + seed * 31 + (i >> 8)) as u8).collect()
}

/// Pumps all nodes that are there until `done` says so; returns false at the deadline.
fn pump<T: Transport>(
    nodes: &mut [Node<T>],
    logs: &mut [Log],
    mut done: impl FnMut(&[Log]) -> bool,
) -> bool {
    let start = Instant::now();
    loop {
        for (node, log) in nodes.iter_mut().zip(logs.iter_mut()) {
            if node.transport.is_some() {
                node.drain(log);
            }
        }
        if done(logs) {
            return true;
        }
        if start.elapsed() > DEADLINE {
            return false;
        }
    }
}

/// Pumps until nothing came for a while.
fn settle<T: Transport>(nodes: &mut [Node<T>], logs: &mut [Log]) {
    let count = |logs: &[Log]| -> usize {
        logs.iter().map(|l| l.datagrams.len() + l.unreachable.len() + l.ready.len()).sum()
    };
    let (mut last, mut since) = (count(logs), Instant::now());
    pump(nodes, logs, |logs| {
        if count(logs) != last {
            (last, since) = (count(logs), Instant::now());
        }
        since.elapsed() > QUIET
    });
}

fn logs(nodes: u16) -> Vec<Log> {
    (0..nodes).map(|_| Log::default()).collect()
}

/// Every slot of the pool is free or lent to the driver.
fn assert_all_slots_home(pool: &Pool, what: &str) {
    let s = pool.stats();
    assert_eq!(
        s.small_free + s.large_free + s.lent,
        s.small_total + s.large_total,
        "slots leaked {what}: {s:?}"
    );
}

/// Makes a test of every rule for one implementation: `conformance!(name, lab)`, where `lab` is an
/// expression of a type that implements [`Lab`](crate::conformance::Lab). [`conformance_in_turn!`](
/// crate::conformance_in_turn) runs them in one test.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $lab:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::each_conformance_rule!(test_of, $lab);
        }
    };
}

/// Runs every rule on one lab, printing each one's name: for labs that are dear to make or that not
/// every host can make.
#[macro_export]
macro_rules! conformance_in_turn {
    ($lab:expr) => {
        $crate::each_conformance_rule!(run, $lab);
    };
}

/// The list of all rules.
#[doc(hidden)]
#[macro_export]
macro_rules! each_conformance_rule {
    ($what:ident, $lab:expr) => {
        $crate::each_conformance_rule!(@ $what, $lab;
            delivers_to_one_peer, keeps_bursts_intact, keeps_queues_apart, prefers_a_queue,
            reaches_all_others, tells_of_absent_peers, an_absent_peer_harms_no_other,
            refuses_what_is_too_big, refuses_when_full, reports_its_limits,
            wakes_for_datagrams, rings_for_datagrams, wakes_for_descriptors, forgets_descriptors, ends_waits_in_time,
            budget_is_kept, survives_an_empty_pool, floods_without_leaks, gives_everything_back,
            counts_what_it_does);
    };
    (@ test_of, $lab:expr; $($rule:ident),*) => {
        $(
            #[test]
            fn $rule() {
                $crate::conformance::$rule(&$lab);
            }
        )*
    };
    (@ run, $lab:expr; $($rule:ident),*) => {
        $(
            println!("rule {}", stringify!($rule));
            $crate::conformance::$rule(&$lab);
        )*
    };
}
