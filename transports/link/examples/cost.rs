//! What sealing and opening a datagram costs here, for every way to protect it.
//!
//! `cargo run --release -p synchrotron-link --example cost`. Prints the minimum over batches: on shared
//! machines everything above it is somebody else's noise.

use std::time::Instant;

use frame::{Class, FrameMut, Pool, PoolConfig};
use synchrotron_link::{Config, Link, Output, Provider, Security};
use wire::{BootId, NodeId};

/// Datagrams sealed, then opened, in one batch: fewer than the replay window has.
const BATCH: usize = 256;

/// Batches; the fastest counts.
const BATCHES: usize = 400;

fn main() {
    println!("{:<10} {:>6} {:>9} {:>9}", "", "bytes", "seal ns", "open ns");
    for security in securities() {
        for body_bytes in [64, 256, 1400, 8192] {
            let (seal_ns, open_ns) = measure(&security, body_bytes);
            let name = name(&security);
            println!("{name:<10} {body_bytes:>6} {seal_ns:>9.1} {open_ns:>9.1}");
        }
    }
}

fn securities() -> Vec<Security> {
    let sealed =
        |provider: &Provider| Security::Aes256Gcm { key: [7; 32], epoch: 0, provider: *provider };
    Provider::ALL.iter().map(sealed).chain([Security::Off]).collect()
}

fn name(security: &Security) -> &'static str {
    match security {
        Security::Off => "crc-32c",
        Security::Aes256Gcm { provider, .. } => provider.name(),
    }
}

/// Nanoseconds to seal and to open one datagram, headers, copy and replay window included.
fn measure(security: &Security, body_bytes: usize) -> (f64, f64) {
    let small_count = BATCH as u32 + 8;
    let pool = Pool::heap(PoolConfig {
        small_bytes: body_bytes + 128,
        small_count,
        large_bytes: 4096,
        large_count: 0,
    });
    let (mut a, mut b) = (link(1, security), link(2, security));
    let (body, mut now_ns) = (vec![0x5a; body_bytes], 0);
    introduce(&pool, &mut a, &mut b);
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..BATCHES {
        now_ns += 1;
        let mut slots: Vec<_> =
            (0..BATCH).map(|_| pool.alloc(Class::Small).expect("one slot each")).collect();
        let start = Instant::now();
        for slot in &mut slots {
            let len = a.seal(&body, slot).expect("the body fits");
            slot.truncate(len);
        }
        let sealed = Instant::now();
        let opened = slots.into_iter().filter_map(|slot| b.open(now_ns, slot)).count();
        let done = sealed.elapsed();
        assert_eq!(opened, BATCH, "every datagram is good");
        let per_datagram = |took: std::time::Duration| took.as_nanos() as f64 / BATCH as f64;
        best.0 = best.0.min(per_datagram(sealed - start));
        best.1 = best.1.min(per_datagram(done));
    }
    best
}

fn link(me: u32, security: &Security) -> Link {
    Link::new(Config {
        me: NodeId(me),
        peers: vec![NodeId(1), NodeId(2)],
        cluster_name: "cost",
        security: security.clone(),
        boot: BootId([me as u8; 16]),
        seed: 1,
    })
}

/// Lets both prove their boots.
fn introduce(pool: &Pool, a: &mut Link, b: &mut Link) {
    let mut hello = pool.alloc(Class::Small).expect("the pool is empty");
    let len = a.seal(b"hello", &mut hello).expect("a short body fits");
    hello.truncate(len);
    b.open(0, hello);
    for _ in 0..2 {
        carry(pool, b, a);
        carry(pool, a, b);
    }
}

fn carry(pool: &Pool, from: &mut Link, to: &mut Link) {
    while let Some(output) = from.poll_output() {
        if let Output::Send { datagram, .. } = output {
            to.open(0, received(pool, &datagram));
        }
    }
}

fn received(pool: &Pool, bytes: &[u8]) -> FrameMut {
    let mut slot = pool.alloc(Class::Small).expect("handshakes are few");
    slot[..bytes.len()].copy_from_slice(bytes);
    slot.truncate(bytes.len());
    slot
}
