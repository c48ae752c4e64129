//! What protecting a datagram costs: AES-256-GCM by every provider of this build, and the checksum where encryption is
//! off, header, counter and replay window included.
#![forbid(unsafe_code)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use frame::{Class, FrameMut, Pool, PoolConfig};
use link::{Config, Link, Output, Provider, Security};
use wire::{BootId, NodeId};

/// Bytes of the bodies: a token, a full Ethernet frame.
const BODIES: [usize; 2] = [64, 1400];

fn node(me: u32, security: &Security) -> Link {
    Link::new(Config {
        me: NodeId(me),
        peers: vec![NodeId(1), NodeId(2)],
        cluster_name: "bench",
        security: security.clone(),
        boot: BootId([me as u8; 16]),
        seed: me.into(),
    })
}

fn pool() -> Pool {
    Pool::heap(PoolConfig {
        small_bytes: 2048,
        small_count: 64,
        large_bytes: 65_536,
        large_count: 1,
    })
}

fn slot(pool: &Pool, bytes: &[u8]) -> FrameMut {
    let mut slot = pool.alloc(Class::Small).expect("a free slot");
    slot[..bytes.len()].copy_from_slice(bytes);
    slot.truncate(bytes.len());
    slot
}

fn sealed(from: &mut Link, pool: &Pool, body: &[u8]) -> FrameMut {
    let mut slot = pool.alloc(Class::Small).expect("a free slot");
    let len = from.seal(body, &mut slot).expect("it fits");
    slot.truncate(len);
    slot
}

/// Two that have answered each other's questions.
fn pair(pool: &Pool, security: &Security) -> (Link, Link) {
    let (mut a, mut b) = (node(1, security), node(2, security));
    let hello = sealed(&mut a, pool, b"hello");
    let mut came = b.open(0, hello).is_some();
    for _ in 0..8 {
        for at_b in [true, false] {
            let (from, to) = if at_b { (&mut b, &mut a) } else { (&mut a, &mut b) };
            while let Some(output) = from.poll_output() {
                if let Output::Send { datagram, .. } = output {
                    came |= to.open(0, slot(pool, &datagram)).is_some();
                }
            }
        }
    }
    assert!(came, "the two do not know each other");
    (a, b)
}

fn securities() -> Vec<(&'static str, Security)> {
    let sealed = Provider::ALL.iter().map(|provider| {
        let security = Security::Aes256Gcm { key: [7; 32], epoch: 0, provider: *provider };
        (provider.name(), security)
    });
    sealed.chain([("CRC-32C", Security::Off)]).collect()
}

fn datagrams(criterion: &mut Criterion) {
    for bytes in BODIES {
        let mut group = criterion.benchmark_group(format!("datagram of {bytes} bytes"));
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, security) in securities() {
            let pool = pool();
            let (mut a, mut b) = pair(&pool, &security);
            let (body, mut out) = (vec![7; bytes], vec![0; 2048]);
            group.bench_function(format!("{name}, sealed"), |bencher| {
                bencher.iter(|| a.seal(&body, &mut out).expect("it fits"));
            });
            group.bench_function(format!("{name}, opened"), |bencher| {
                bencher.iter_batched(
                    || sealed(&mut a, &pool, &body),
                    |datagram| b.open(0, datagram).expect("fresh and whole"),
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, datagrams);
criterion_main!(benches);
