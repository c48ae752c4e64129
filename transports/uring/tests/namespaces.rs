//! UDP between network namespaces joined by veth pairs and a bridge, MTU 1500: the whole suite, bursts
//! that stay merged on the way, and an MTU that falls. Needs root; without it the tests say so and
//! pass, except under `CI=true`, where skipping is failing.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frame::{Class, Pool, PoolConfig};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use synchrotron_uring::{Config, Multicast, Peer, UdpTransport};
use transport::conformance::{Lab, Node};
use transport::{Burst, Dest, Event, Queue, SendError, Transport};

/// Hosts of a switch: as many as the suite uses nodes.
const HOSTS: usize = 4;

const MTU: usize = 1500;

/// So that tests of one process do not collide.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// One test at a time: a child between fork and exec keeps every socket of this process open for a
/// moment, so running `ip` in one test can keep a port busy that another has just given up.
static TURN: Mutex<()> = Mutex::new(());

/// Namespaces joined by a bridge; removed when dropped.
struct Switch {
    _turn: MutexGuard<'static, ()>,
    prefix: String,
    v4: bool,
    multicast: bool,
}

fn ip(args: &str) {
    let out = Command::new("ip").args(args.split(' ')).output().expect("`ip` runs");
    assert!(out.status.success(), "ip {args}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A switch, or `None` with the reason printed.
fn switch(v4: bool, multicast: bool) -> Option<Switch> {
    if !rustix::process::geteuid().is_root() {
        let reason = "namespaces need root";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        println!("skipped: {reason}");
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let made =
        Switch { _turn: turn, prefix: format!("su{}x{serial}", std::process::id()), v4, multicast };
    let p = &made.prefix;
    ip(&format!("netns add {p}s"));
    ip(&format!("-n {p}s link add br0 mtu {MTU} type bridge mcast_snooping 0"));
    ip(&format!("-n {p}s link set br0 up"));
    for i in 0..HOSTS {
        ip(&format!("netns add {p}h{i}"));
        ip(&format!("-n {p}h{i} link set lo up"));
        ip(&format!(
            "-n {p}h{i} link add eth0 mtu {MTU} type veth peer name p{i} mtu {MTU} netns {p}s"
        ));
        ip(&format!("-n {p}s link set p{i} master br0"));
        ip(&format!("-n {p}s link set p{i} up"));
        ip(&format!("-n {p}h{i} addr add 10.78.0.{}/24 dev eth0", i + 1));
        ip(&format!("-n {p}h{i} addr add fd78::{}/64 dev eth0 nodad", i + 1));
        ip(&format!("-n {p}h{i} link set eth0 up"));
    }
    Some(made)
}

impl Drop for Switch {
    fn drop(&mut self) {
        let hosts = (0..HOSTS).map(|i| format!("{}h{i}", self.prefix));
        for name in hosts.chain([format!("{}s", self.prefix)]) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

impl Switch {
    fn address(&self, host: u16) -> IpAddr {
        if self.v4 {
            Ipv4Addr::new(10, 78, 0, host as u8 + 1).into()
        } else {
            Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, host + 1).into()
        }
    }

    fn group(&self) -> IpAddr {
        if self.v4 {
            Ipv4Addr::new(239, 192, 8, 8).into()
        } else {
            // Link-local, which needs the interface to be named on every call.
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x7878).into()
        }
    }

    /// Runs `f` with this thread inside a host's namespace; sockets made there stay there.
    fn inside<R>(&self, host: usize, f: impl FnOnce() -> R) -> R {
        let enter = |path: String| {
            let file = File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            (file, path)
        };
        let (home, _) = enter("/proc/thread-self/ns/net".into());
        let (there, path) = enter(format!("/run/netns/{}h{host}", self.prefix));
        let go =
            |ns: &File| move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network));
        go(&there).unwrap_or_else(|e| panic!("enter {path}: {e}"));
        let result = f();
        go(&home).expect("back home");
        result
    }
}

impl Lab for Switch {
    type Transport = UdpTransport;

    fn open(&self, pools: &[PoolConfig]) -> Vec<Node<UdpTransport>> {
        let peer = |host| Peer {
            data: SocketAddr::new(self.address(host), 7001),
            token: SocketAddr::new(self.address(host), 7002),
        };
        let peers: Vec<Peer> = (0..pools.len() as u16).map(peer).collect();
        let group = self.group();
        let multicast =
            self.multicast.then_some(Multicast { group, port: 7000, interface: None, hops: 1 });
        let node = |(me, pool): (usize, &PoolConfig)| {
            let pool = Pool::heap(*pool);
            let config =
                Config { multicast: multicast.clone(), ..Config::new(me as u16, peers.clone()) };
            let open = || UdpTransport::new(config, pool.clone()).expect("a namespace has UDP");
            let transport = self.inside(me, open);
            assert_eq!(transport.warnings(), []);
            assert_eq!(transport.caps().multicast, self.multicast);
            Node { transport: Some(transport), pool }
        };
        pools.iter().enumerate().map(node).collect()
    }
}

#[test]
fn ipv4_over_a_bridge() {
    let Some(lab) = switch(true, true) else { return };
    transport::conformance_in_turn!(lab);
}

#[test]
fn ipv6_over_a_bridge() {
    let Some(lab) = switch(false, true) else { return };
    transport::conformance_in_turn!(lab);
}

#[test]
fn unicast_over_a_bridge() {
    let Some(lab) = switch(true, false) else { return };
    transport::conformance_in_turn!(lab);
}

fn burst(pool: &Pool, bytes: usize, segment_bytes: usize) -> Burst {
    let mut slot = pool.alloc(Class::Large).expect("a slot");
    slot.truncate(bytes);
    Burst { bytes: slot, segment_bytes }
}

/// Sizes of the bursts that `node` receives until `datagrams` have come.
fn sizes(node: &mut Node<UdpTransport>, datagrams: usize) -> Vec<usize> {
    let start = Instant::now();
    let mut sizes: Vec<usize> = Vec::new();
    let transport = node.transport.as_mut().expect("there");
    while sizes.iter().sum::<usize>() < datagrams {
        assert!(start.elapsed() < Duration::from_secs(5), "only {sizes:?} of {datagrams} came");
        transport.wait(Some(10_000_000));
        transport.poll(16, Queue::Data, &mut |event| {
            if let Event::Received { burst, .. } = event {
                sizes.push(burst.bytes.len().div_ceil(burst.segment_bytes));
            }
        });
    }
    sizes
}

#[test]
fn a_burst_passes_the_bridge_in_one_piece() {
    for v4 in [true, false] {
        let Some(lab) = switch(v4, true) else { return };
        let mut nodes = lab.network(3, lab.pool());
        let caps = nodes[0].transport.as_ref().expect("there").caps();
        assert_eq!(caps.datagram_bytes, MTU - if v4 { 28 } else { 48 });
        let count = caps.burst_bytes / caps.datagram_bytes;
        for to in [Dest::Peer(1), Dest::All] {
            let bytes = count * caps.datagram_bytes;
            let burst = burst(&nodes[0].pool, bytes, caps.datagram_bytes);
            let transport = nodes[0].transport.as_mut().expect("there");
            transport.send(to, Queue::Data, burst).expect("room");
            transport.flush();
            assert_eq!(sizes(&mut nodes[1], count), [count], "{to:?}: one reception for all");
        }
    }
}

#[test]
fn the_datagram_limit_follows_the_mtu() {
    let Some(lab) = switch(true, true) else { return };
    let mut nodes = lab.network(2, lab.pool());
    ip(&format!("-n {}h0 link set eth0 mtu 1280", lab.prefix));
    let pool = nodes[0].pool.clone();
    let start = Instant::now();
    let sender = nodes[0].transport.as_mut().expect("there");
    // The first burst of the old size meets the new limit, and gets through all the same.
    sender.send(Dest::Peer(1), Queue::Data, burst(&pool, 14_720, 1472)).expect("room");
    while sender.caps().datagram_bytes == 1472 {
        assert!(start.elapsed() < Duration::from_secs(5), "the limit did not fall");
        lab.inside(0, || {
            sender.flush();
            sender.poll(16, Queue::Data, &mut |_| {});
        });
    }
    sender.flush();
    assert_eq!(sender.caps().datagram_bytes, 1280 - 28);
    assert!(sender.counters().mtu_fell == 1 && sender.counters().sends_over_mtu == 1);
    assert_eq!(sender.counters().datagrams_fragmented, 10);
    assert_eq!(sizes(&mut nodes[1], 10).iter().sum::<usize>(), 10);
    // So does what was made before the limit fell and is sent after.
    let sender = nodes[0].transport.as_mut().expect("there");
    sender.send(Dest::Peer(1), Queue::Data, burst(&pool, 2944, 1472)).expect("still taken");
    sender.flush();
    assert_eq!(sizes(&mut nodes[1], 2).iter().sum::<usize>(), 2);
    let sender = nodes[0].transport.as_mut().expect("there");
    let too_big = sender.send(Dest::Peer(1), Queue::Data, burst(&pool, 1473, 1473));
    assert_eq!(too_big, Err(SendError::TooBig { bytes: 1473, segment_bytes: 1473 }));
    // What fits is sent in one piece as ever.
    sender.send(Dest::Peer(1), Queue::Data, burst(&pool, 12_520, 1252)).expect("fits again");
    sender.flush();
    assert_eq!(sizes(&mut nodes[1], 10), [10]);
    let sender = nodes[0].transport.as_ref().expect("there");
    assert_eq!((sender.counters().datagrams_fragmented, sender.counters().sends_failed), (12, 0));
}
