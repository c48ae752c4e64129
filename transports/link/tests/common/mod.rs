//! Link layers that talk to each other without a network.
#![allow(dead_code, reason = "every test file uses another part")]

use frame::{Class, FrameMut, Pool, PoolConfig};
use synchrotron_link as link;

use link::{Config, KEY_BYTES, Link, Opened, Output, Provider, Security};
use wire::trace::Trace;
use wire::{BootId, NodeId};

pub(crate) const KEY: [u8; KEY_BYTES] = [0x42; KEY_BYTES];
pub(crate) const OTHER_KEY: [u8; KEY_BYTES] = [0x43; KEY_BYTES];
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// Every way to protect a datagram in this build.
pub(crate) fn all_securities() -> Vec<Security> {
    let sealed = Provider::ALL.iter().map(|provider| gcm(KEY, 0, *provider));
    sealed.chain([Security::Off]).collect()
}

pub(crate) fn gcm(key: [u8; KEY_BYTES], epoch: u8, provider: Provider) -> Security {
    Security::Aes256Gcm { key, epoch, provider }
}

/// Encryption with the usual key.
pub(crate) fn sealed() -> Security {
    gcm(KEY, 0, Provider::AesGcm)
}

/// A link layer of node `me` in a cluster of nodes 1 to 3. `boot` numbers its starts.
pub(crate) fn node(me: u32, boot: u8, security: Security) -> Link {
    node_of("test", me, boot, security)
}

pub(crate) fn node_of(cluster_name: &str, me: u32, boot: u8, security: Security) -> Link {
    let mut id = [boot; 16];
    id[0] = me as u8;
    Link::new(Config {
        me: NodeId(me),
        peers: (1..=3).map(NodeId).collect(),
        cluster_name,
        security,
        boot: BootId(id),
        seed: u64::from(me) << 32 | u64::from(boot),
    })
}

pub(crate) fn pool() -> Pool {
    Pool::heap(PoolConfig { small_bytes: 2048, small_count: 64, large_bytes: 4096, large_count: 1 })
}

/// A received datagram.
pub(crate) fn datagram(pool: &Pool, bytes: &[u8]) -> FrameMut {
    let mut slot = pool.alloc(Class::Small).expect("tests leave slots free");
    slot[..bytes.len()].copy_from_slice(bytes);
    slot.truncate(bytes.len());
    slot
}

/// Seals a body into a datagram of its own.
pub(crate) fn seal(from: &mut Link, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; body.len() + from.overhead_bytes()];
    let len = from.seal(body, &mut out).expect("the body fits");
    assert_eq!(len, out.len());
    out
}

/// What came out of a machine.
#[derive(Default)]
pub(crate) struct Drained {
    pub(crate) sends: Vec<(NodeId, Vec<u8>)>,
    pub(crate) traces: Vec<Trace>,
}

pub(crate) fn drain(from: &mut Link) -> Drained {
    let mut drained = Drained::default();
    while let Some(output) = from.poll_output() {
        match output {
            Output::Send { to, datagram } => drained.sends.push((to, datagram.to_vec())),
            Output::Trace(trace) => drained.traces.push(trace),
        }
    }
    drained
}

/// Opens bytes and copies the body.
pub(crate) fn open(
    at: &mut Link,
    now_ns: u64,
    pool: &Pool,
    bytes: &[u8],
) -> Option<(u32, Vec<u8>)> {
    let opened = at.open(now_ns, datagram(pool, bytes));
    opened.map(|Opened { from, body }| (from.0, body.to_vec()))
}

/// Carries handshakes between `a` and `b` until both are silent. Returns what was handed up.
pub(crate) fn settle(now_ns: u64, pool: &Pool, a: &mut Link, b: &mut Link) -> Vec<(u32, Vec<u8>)> {
    let mut up = Vec::new();
    for _ in 0..16 {
        let (from_a, from_b) = (drain(a).sends, drain(b).sends);
        if from_a.is_empty() && from_b.is_empty() {
            return up;
        }
        for (_, bytes) in from_a {
            up.extend(open(b, now_ns, pool, &bytes));
        }
        for (_, bytes) in from_b {
            up.extend(open(a, now_ns, pool, &bytes));
        }
    }
    panic!("handshakes do not end");
}

/// Two nodes that know each other.
pub(crate) fn pair(pool: &Pool, security: &Security) -> (Link, Link) {
    let (mut a, mut b) = (node(1, 1, security.clone()), node(2, 1, security.clone()));
    let hello = seal(&mut a, b"hello");
    assert_eq!(open(&mut b, 0, pool, &hello), None);
    assert_eq!(settle(0, pool, &mut a, &mut b), [(1, b"hello".to_vec())]);
    (a, b)
}

/// The boot `at` believes `node` to have.
pub(crate) fn boot_of(at: &Link, node: u32) -> Option<BootId> {
    at.peers().find(|peer| peer.node == NodeId(node)).expect("a listed node").boot
}
