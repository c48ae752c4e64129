//! What the node costs without a network: one node sends, the other receives, in one thread.
//!
//! `cargo run --release -p synchrotron-node --example throughput [seconds]`
//! (`--features link/aws-lc` for the faster cipher)

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use frame::{Class, Pool, PoolConfig};
use groups::{Clients, GroupHandle, Pulled, PulledKind};
use link::{Provider, Security};
use synchrotron_node::{Config, Input, Node, Output};
use totem::{TokenTimeout, Tuning};
use wire::{BootId, NodeId};

const MESSAGE_BYTES: usize = 64;
const RECORD_BYTES: usize = 8 + MESSAGE_BYTES;

/// A client that always has something to send.
struct Flood {
    group: Option<GroupHandle>,
}

impl Clients for Flood {
    fn pending_bytes(&self) -> u64 {
        if self.group.is_some() { 1 << 20 } else { 0 }
    }

    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        let group = self.group?;
        let count = buf.len() / RECORD_BYTES;
        for record in buf.chunks_exact_mut(RECORD_BYTES) {
            record[..8].copy_from_slice(&(MESSAGE_BYTES as u64).to_le_bytes());
        }
        let (bytes, kind) = (count * RECORD_BYTES, PulledKind::Messages);
        let count = count as u16;
        (count > 0).then_some(Pulled { session: 1, group, kind, count, bytes, safe: false })
    }
}

struct Side {
    node: Node,
    pool: Pool,
    clients: Flood,
    inbox: VecDeque<Input>,
    busy: Duration,
    messages: u64,
    runs: u64,
}

fn side(id: u32, security: Security) -> Side {
    let pool = Pool::heap(PoolConfig::default());
    let config = Config {
        me: NodeId(id),
        nodes: vec![NodeId(1), NodeId(2)],
        cluster_name: "throughput",
        security,
        boot: BootId([id as u8; 16]),
        seed: 1,
        datagram_bytes: 1472,
        burst_segments: 64,
        burst_bytes: 65000,
        links: synchrotron_node::Links::ONE,
        token_timeout: TokenTimeout::Fixed { us: 1_000_000 },
        config_version: 1,
        config_hash: 1,
        stored: synchrotron_node::Stored::default(),
        tuning: Tuning::default(),
        limits: groups::Limits::default(),
        quorum: None,
        expected_votes_tracked: 0,
    };
    let node = Node::new(config, pool.clone(), 0).expect("the configuration is good");
    let (clients, inbox, busy) = (Flood { group: None }, VecDeque::new(), Duration::ZERO);
    Side { node, pool, clients, inbox, busy, messages: 0, runs: 0 }
}

/// Lets a side handle what arrived and moves what it sends to the other.
fn turn(me: &mut Side, other: &mut Side, began: Instant) {
    let mut input = me.inbox.pop_front();
    let now_ns = began.elapsed().as_nanos() as u64;
    if input.is_none() && me.node.next_timeout().is_some_and(|(at, _)| at <= now_ns) {
        input = Some(Input::Timeout);
    }
    let Some(input) = input else { return };
    let start = Instant::now();
    me.node.handle(now_ns, input, &mut me.clients);
    me.busy += start.elapsed();
    loop {
        let start = Instant::now();
        let output = me.node.poll_output();
        me.busy += start.elapsed();
        match output {
            None => return,
            Some(Output::Send { lane, bytes, segment_bytes, .. }) => {
                let small = bytes.len() <= other.pool.slot_bytes(Class::Small);
                let class = if small { Class::Small } else { Class::Large };
                let Some(mut slot) = other.pool.alloc(class) else { continue };
                slot.truncate(bytes.len());
                slot.copy_from_slice(&bytes);
                let input = Input::Received { link: 0, queue: lane, bytes: slot, segment_bytes };
                other.inbox.push_back(input);
            }
            Some(Output::Persist(stored)) => me.inbox.push_back(Input::Persisted(stored)),
            Some(Output::Event(groups::Event::Joined { group, session: 1, .. })) => {
                me.clients.group = Some(group);
            }
            Some(Output::Event(groups::Event::Messages(run))) => {
                me.messages += u64::from(run.count);
                me.runs += 1;
            }
            Some(_) => {}
        }
    }
}

fn measure(name: &str, security: Security, length: Duration) {
    let (mut a, mut b) = (side(1, security.clone()), side(2, security));
    let began = Instant::now();
    let join = |session| {
        [
            Input::Open { session, pid: 1 },
            Input::Join { session, request: 1, name: b"flood".to_vec() },
        ]
    };
    a.inbox.extend(join(1));
    b.inbox.extend(join(2));
    let deadline = began + Duration::from_millis(500);
    while Instant::now() < deadline {
        turn(&mut a, &mut b, began);
        turn(&mut b, &mut a, began);
    }
    for side in [&mut a, &mut b] {
        (side.busy, side.messages, side.runs) = (Duration::ZERO, 0, 0);
    }
    let start = Instant::now();
    while start.elapsed() < length {
        turn(&mut a, &mut b, began);
        turn(&mut b, &mut a, began);
    }
    let frames = b.runs as f64;
    println!(
        "{name:8} {:5.2} M messages/s, {:5.0} k frames/s; a frame costs its sender {:4.0} ns, its receiver {:4.0} ns",
        b.messages as f64 / start.elapsed().as_secs_f64() / 1e6,
        frames / start.elapsed().as_secs_f64() / 1e3,
        a.busy.as_nanos() as f64 / frames,
        b.busy.as_nanos() as f64 / frames,
    );
    let counters = b.node.counters();
    println!(
        "         {:.1} messages a frame, {:.1} datagrams a burst, {} visits, {} retransmitted",
        b.messages as f64 / frames,
        counters.node.datagrams_received as f64 / counters.node.data_bursts_received as f64,
        counters.totem.token_visits,
        a.node.counters().totem.retransmissions,
    );
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(2.0);
    let length = Duration::from_secs_f64(seconds);
    measure("off", Security::Off, length);
    for &provider in Provider::ALL {
        let security = Security::Aes256Gcm { key: [7; 32], epoch: 0, provider };
        measure(provider.name(), security, length);
    }
}
