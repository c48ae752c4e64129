//! How fast two transports are with each other in the RDMA lab, beside `ib_send_lat` and `ib_send_bw` of the same
//! boot: `pace 1 &` echoes, `pace 0` asks and prints one JSON object (`cargo xtask rdma-lab --figures`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use frame::{Class, Pool, PoolConfig};
use serde_json::{Map, Value, json};
use synchrotron_verbs::{Config, Counters, VerbsTransport};
use transport::{Burst, Dest, Event, Queue, Transport};

/// Bytes of a token, as `ib_send_lat` is given them: what a ring's token has with its seal.
const TOKEN_BYTES: usize = 128;

/// Round trips, and those before them that are not counted.
const ROUNDS: usize = 4000;
const WARM_UP: usize = 400;

/// Datagrams of one measurement.
const DATAGRAMS: usize = 15_000;

/// Datagrams under way: fewer than receives posted for them.
const WINDOW: usize = 384;

/// Datagrams after which the receiver says how many it has.
const CREDIT: usize = 64;

/// When what has not been acknowledged is lost, or the other side is given up.
const LOST: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(30);

/// First bytes of tokens.
const PING: u8 = b'P';
const CREDITS: u8 = b'C';
const QUIT: u8 = b'Q';

struct Node {
    transport: VerbsTransport,
    pool: Pool,
    me: u16,
}

impl Node {
    fn open(me: u16, multicast: bool) -> Self {
        let sizes = PoolConfig {
            small_bytes: 5120,
            small_count: 4096,
            large_bytes: 65536,
            large_count: 256,
        };
        let pool = Pool::heap(sizes);
        let peer = |at: u8| SocketAddr::new(Ipv4Addr::new(10, 77, 0, at + 1).into(), 5405);
        let group = IpAddr::from(Ipv4Addr::new(239, 192, 77, 9));
        let config = Config {
            multicast: multicast.then_some(group),
            ..Config::new(me, vec![peer(0), peer(1)])
        };
        let transport = VerbsTransport::new(config, pool.clone()).expect("the lab's device");
        let mut node = Self { transport, pool, me };
        let start = Instant::now();
        while node.transport.peers_connected() == 0 || node.transport.in_group() != multicast {
            assert!(start.elapsed() < PATIENCE, "not connected: {:?}", node.transport.counters());
            node.turn(&mut |_| {});
        }
        node
    }

    fn turn(&mut self, sink: &mut dyn FnMut(Event)) {
        self.transport.flush();
        self.transport.poll(64, Queue::Token, sink);
    }

    fn token(&mut self, first: u8, number: u64) {
        let mut bytes = self.pool.alloc(Class::Small).expect("a slot");
        bytes.truncate(TOKEN_BYTES);
        bytes[0] = first;
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let burst = Burst { bytes, segment_bytes: TOKEN_BYTES };
        self.transport.send(Dest::Peer(1 - self.me), Queue::Token, burst).expect("there is room");
    }
}

/// A token's first byte and number.
fn read(burst: &Burst) -> (u8, u64) {
    let number = burst.bytes[8..16].try_into().map(u64::from_le_bytes);
    (burst.bytes[0], number.unwrap_or(0))
}

/// Echoes tokens and counts datagrams until told to end.
fn serve(mut node: Node) {
    let (mut got, mut told, mut last) = (0, 0, Instant::now());
    loop {
        let (mut echoes, mut quit) = (Vec::new(), false);
        node.turn(&mut |event| {
            let Event::Received { queue, burst } = event else { return };
            match queue {
                Queue::Token => match read(&burst) {
                    (QUIT, _) => quit = true,
                    (_, number) => echoes.push(number),
                },
                Queue::Data => got += burst.bytes.len().div_ceil(burst.segment_bytes),
            }
        });
        if quit {
            return;
        }
        for number in echoes {
            node.token(PING, number);
        }
        if got >= told + CREDIT || (got > told && last.elapsed() > LOST / 10) {
            (told, last) = (got, Instant::now());
            node.token(CREDITS, got as u64);
        }
    }
}

/// Half round trips in nanoseconds, sorted.
fn latencies(node: &mut Node) -> Vec<u64> {
    let mut all = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        node.token(PING, round as u64);
        let mut back = false;
        while !back {
            assert!(start.elapsed() < PATIENCE, "no answer to token {round}");
            node.turn(&mut |event| {
                let Event::Received { queue: Queue::Token, burst } = event else { return };
                back |= read(&burst) == (PING, round as u64);
            });
        }
        if round >= WARM_UP {
            all.push(start.elapsed().as_nanos() as u64 / 2);
        }
    }
    all.sort_unstable();
    all
}

/// Sends datagrams in bursts, never more under way than the window; returns seconds and how many were lost.
fn stream(node: &mut Node, to: Dest, before: &mut usize) -> (f64, usize) {
    let caps = node.transport.caps();
    let per_burst = caps.burst_segments.min(caps.burst_bytes / caps.datagram_bytes);
    let (mut sent, mut back, mut lost) = (0, 0, 0);
    let (start, mut progress) = (Instant::now(), Instant::now());
    while back + lost < DATAGRAMS {
        if sent < DATAGRAMS && sent + per_burst <= back + lost + WINDOW {
            let mut bytes = node.pool.alloc(Class::Large).expect("a slot");
            let datagrams = per_burst.min(DATAGRAMS - sent);
            bytes.truncate(datagrams * caps.datagram_bytes);
            let burst = Burst { bytes, segment_bytes: caps.datagram_bytes };
            if node.transport.send(to, Queue::Data, burst).is_ok() {
                sent += datagrams;
            }
        }
        let known = back;
        node.turn(&mut |event| {
            let Event::Received { queue: Queue::Token, burst } = event else { return };
            if let (CREDITS, number) = read(&burst) {
                back = number as usize - *before;
            }
        });
        if back != known {
            progress = Instant::now();
        } else if progress.elapsed() > LOST {
            assert!(start.elapsed() < PATIENCE, "stuck at {back} of {sent}");
            lost = sent - back;
            progress = Instant::now();
        }
    }
    *before += back;
    (start.elapsed().as_secs_f64(), lost)
}

/// Counters of one phase for each datagram of it.
fn per_datagram(from: &Counters, to: &Counters) -> Value {
    let from: Map<String, Value> = from.fields().map(|(n, v)| (n.into(), v.into())).collect();
    let wanted = ["send_requests", "send_doorbells", "send_completions"];
    let each = to.fields().filter(|(name, _)| wanted.contains(name)).map(|(name, value)| {
        let grown = value - from[name].as_u64().unwrap_or(0);
        (name.to_owned(), json!(grown as f64 / DATAGRAMS as f64))
    });
    Value::Object(each.collect())
}

fn ask(mut node: Node) -> Value {
    let caps = node.transport.caps();
    let latency = latencies(&mut node);
    let at_us = |share: f64| latency[((latency.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let mut before = 0;
    let mut streams = Map::new();
    for (name, to) in [("datagrams", Dest::All), ("connection", Dest::Peer(1))] {
        let counters = *node.transport.counters();
        let (seconds, lost) = stream(&mut node, to, &mut before);
        let arrived = (DATAGRAMS - lost) * caps.datagram_bytes;
        let result = json!({
            "datagram_bytes": caps.datagram_bytes,
            "mib_per_s": arrived as f64 / seconds / 1024.0 / 1024.0,
            "lost": lost,
            "per_datagram": per_datagram(&counters, node.transport.counters()),
        });
        streams.insert(name.into(), result);
    }
    node.token(QUIT, 0);
    let end = Instant::now();
    while end.elapsed() < LOST {
        node.turn(&mut |_| {});
    }
    json!({
        "token_bytes": TOKEN_BYTES,
        "one_way_us": { "p50": at_us(0.5), "p99": at_us(0.99), "min": at_us(0.0) },
        "streams": streams,
    })
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let me = args.get(1).and_then(|arg| arg.parse().ok()).filter(|me| *me < 2);
    let me: u16 = me.expect("usage: pace 0|1 [multicast]");
    let node = Node::open(me, args.iter().any(|arg| arg == "multicast"));
    if me == 0 { println!("{}", ask(node)) } else { serve(node) }
}
