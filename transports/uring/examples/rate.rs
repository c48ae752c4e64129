//! What the transport costs: datagrams per second, CPU per datagram, and the time of a wake-up.
//!
//! `rate [SEGMENT_BYTES]` on loopback, or `rate SEGMENT_BYTES NETNS_A IP_A NETNS_B IP_B` between two
//! network namespaces. One thread sends from core 0, another receives on core 1, never more than a
//! window ahead, so nothing is lost; every other core should be idle.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use frame::{Class, Pool, PoolConfig};
use rustix::thread::{CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_setaffinity};
use synchrotron_uring::{Config, Peer, UdpTransport};
use transport::{Burst, Dest, Event, Queue, Transport};

/// Datagrams sent.
static SENT: AtomicU64 = AtomicU64::new(0);
/// Datagrams received.
static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// Bursts the sender may be ahead: a third of the socket buffer.
const WINDOW_BURSTS: u64 = 12;

const FLOOD: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5000;

#[derive(Clone)]
struct Host {
    netns: Option<String>,
    core: usize,
    me: u16,
    peers: Vec<Peer>,
    segment_bytes: usize,
}

impl Host {
    /// Pins this thread, moves it into the namespace and opens the transport there.
    fn open(&self) -> (UdpTransport, Pool) {
        let mut cores = CpuSet::new();
        cores.set(self.core);
        let _ = sched_setaffinity(None, &cores);
        if let Some(name) = &self.netns {
            let ns = File::open(format!("/run/netns/{name}")).expect("the namespace");
            move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter it");
        }
        let pool = Pool::heap(PoolConfig::default());
        let config = Config {
            datagram_bytes_max: self.segment_bytes,
            ..Config::new(self.me, self.peers.clone())
        };
        let transport = UdpTransport::new(config, pool.clone()).expect("UDP works");
        for warning in transport.warnings() {
            eprintln!("node {}: {warning}", self.me);
        }
        (transport, pool)
    }
}

/// CPU time this thread has used.
fn cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Sleeps a little; returns the CPU ns of that, which are not the transport's.
fn rest() -> u64 {
    let before = cpu_ns();
    std::thread::sleep(Duration::from_micros(20));
    cpu_ns() - before
}

/// Sends full bursts for a while; returns CPU ns.
fn flood(host: &Host) -> u64 {
    let (mut node, pool) = host.open();
    let caps = node.caps();
    let segment = host.segment_bytes.min(caps.datagram_bytes);
    let count = (caps.burst_bytes / segment).min(caps.burst_segments);
    let (start, mut cpu) = (Instant::now(), cpu_ns());
    while start.elapsed() < FLOOD {
        let ahead = SENT.load(Ordering::Relaxed) - RECEIVED.load(Ordering::Acquire);
        if ahead > WINDOW_BURSTS * count as u64 {
            cpu += rest();
            continue;
        }
        let Some(mut slot) = pool.alloc(Class::Large) else {
            node.poll(64, Queue::Data, &mut |_| {});
            continue;
        };
        slot.truncate(count * segment);
        let burst = Burst { bytes: slot, segment_bytes: segment };
        if node.send(Dest::Peer(1), Queue::Data, burst).is_ok() {
            SENT.fetch_add(count as u64, Ordering::Relaxed);
        }
        node.flush();
        node.poll(64, Queue::Data, &mut |_| {});
    }
    cpu_ns() - cpu
}

/// Receives until the flood is over; returns (CPU ns, datagrams, receptions).
fn sink(host: &Host) -> (u64, u64, u64) {
    let (mut node, _) = host.open();
    let (mut cpu, mut last) = (cpu_ns(), Instant::now());
    while last.elapsed() < Duration::from_millis(500) || RECEIVED.load(Ordering::Relaxed) == 0 {
        let mut got = 0;
        node.flush();
        node.poll(64, Queue::Data, &mut |event| {
            if let Event::Received { burst, .. } = event {
                got += burst.bytes.len().div_ceil(burst.segment_bytes) as u64;
            }
        });
        if got > 0 {
            if RECEIVED.fetch_add(got, Ordering::Release) == 0 {
                cpu = cpu_ns();
            }
            last = Instant::now();
        }
        if got == 0 {
            cpu += rest();
        }
    }
    let c = node.counters();
    (cpu_ns() - cpu, c.datagrams_received, c.bursts_received)
}

/// Answers tokens until the partner falls silent.
fn echo(host: &Host, sleep: bool) {
    let (mut node, _) = host.open();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_secs(1) {
        if sleep {
            node.wait(Some(200_000_000));
        }
        let mut reply = None;
        node.poll(1, Queue::Token, &mut |event| {
            if let Event::Received { burst, .. } = event {
                reply = Some(burst);
            }
        });
        if let Some(burst) = reply {
            let _ = node.send(Dest::Peer(0), Queue::Token, burst);
            last = Instant::now();
        }
        node.flush();
    }
}

/// Half round trips in ns, sorted.
fn ping(host: &Host, sleep: bool) -> Vec<u64> {
    let (mut node, pool) = host.open();
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let mut slot = pool.alloc(Class::Small).expect("a slot");
        slot.truncate(64);
        let start = Instant::now();
        let burst = Burst { bytes: slot, segment_bytes: 64 };
        node.send(Dest::Peer(1), Queue::Token, burst).expect("room");
        node.flush();
        let mut back = false;
        while !back && start.elapsed() < Duration::from_secs(1) {
            if sleep {
                node.wait(Some(1_000_000_000));
            }
            node.poll(8, Queue::Token, &mut |e| back |= matches!(e, Event::Received { .. }));
        }
        times.push(start.elapsed().as_nanos() as u64 / 2);
    }
    times.sort_unstable();
    times
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let segment_bytes = args.first().map_or(1400, |s| s.parse().expect("bytes"));
    let ip = |i: usize| -> IpAddr {
        args.get(i).map_or([127, 0, 0, 1].into(), |s| s.parse().expect("an address"))
    };
    let peer =
        |ip, port| Peer { data: SocketAddr::new(ip, port), token: SocketAddr::new(ip, port + 1) };
    let peers = vec![peer(ip(2), 27001), peer(ip(4), 27003)];
    let host = |me: u16| Host {
        netns: args.get(1 + 2 * usize::from(me)).cloned(),
        core: me.into(),
        me,
        peers: peers.clone(),
        segment_bytes,
    };
    let (a, b) = (host(0), host(1));

    let receiver = {
        let b = b.clone();
        std::thread::spawn(move || sink(&b))
    };
    std::thread::sleep(Duration::from_millis(200));
    let sender = {
        let a = a.clone();
        std::thread::spawn(move || flood(&a))
    };
    let sent_cpu = sender.join().expect("no panic");
    let (cpu, datagrams, bursts) = receiver.join().expect("no panic");
    println!(
        "flood: {:.0} k datagrams/s of {segment_bytes} bytes ({:.2} GB/s), CPU {} + {} ns each, {:.1} per reception",
        datagrams as f64 / FLOOD.as_secs_f64() / 1e3,
        datagrams as f64 * segment_bytes as f64 / FLOOD.as_secs_f64() / 1e9,
        sent_cpu / datagrams.max(1),
        cpu / datagrams.max(1),
        datagrams as f64 / bursts.max(1) as f64,
    );
    for (name, sleep) in [("sleeping", true), ("spinning", false)] {
        let echoing = {
            let b = b.clone();
            std::thread::spawn(move || echo(&b, sleep))
        };
        std::thread::sleep(Duration::from_millis(200));
        let a = a.clone();
        let times = std::thread::spawn(move || ping(&a, sleep)).join().expect("no panic");
        echoing.join().expect("no panic");
        let us = |q: usize| times[(times.len() - 1) * q / 1000] as f64 / 1e3;
        println!("{name}: one way p50 {:.1} us, p99 {:.1}, p99.9 {:.1}", us(500), us(990), us(999));
    }
}
