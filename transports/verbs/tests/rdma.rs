//! The whole suite over the soft-RoCE devices of the RDMA lab, which alone has them: built with the feature
//! `lab` only, and run there by `cargo xtask rdma-lab` and `cargo xtask test`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use frame::{Pool, PoolConfig};
use synchrotron_verbs::{Config, VerbsTransport};
use transport::conformance::{Lab, Node};
use transport::{Queue, Transport};

/// When a connection that must come up is given up.
const DEADLINE: Duration = Duration::from_secs(20);

struct RdmaLab {
    v4: bool,
    multicast: bool,
}

impl RdmaLab {
    fn config(&self, me: u16, nodes: u16) -> Config {
        let ip = |at: u16| -> IpAddr {
            if self.v4 {
                Ipv4Addr::new(10, 77, 0, at as u8 + 1).into()
            } else {
                Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, at + 1).into()
            }
        };
        let group: IpAddr = if self.v4 {
            Ipv4Addr::new(239, 192, 77, 7).into()
        } else {
            Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 0x7777).into()
        };
        let peers = (0..nodes).map(|at| SocketAddr::new(ip(at), 5405)).collect();
        Config { multicast: self.multicast.then_some(group), ..Config::new(me, peers) }
    }
}

/// Polls all nodes until each is connected with all others.
fn connect(nodes: &mut [Node<VerbsTransport>], multicast: bool) {
    let (others, start) = (nodes.len() - 1, Instant::now());
    let ready = |t: &VerbsTransport| t.peers_connected() == others && (t.in_group() || !multicast);
    loop {
        let mut all = true;
        for node in nodes.iter_mut() {
            let transport = node.transport.as_mut().expect("there");
            transport.flush();
            transport.poll(16, Queue::Data, &mut |_| {});
            all &= ready(transport);
        }
        if all {
            return;
        }
        let states: Vec<_> =
            nodes.iter().filter_map(|n| n.transport.as_ref()).map(|t| *t.counters()).collect();
        assert!(start.elapsed() < DEADLINE, "not connected: {states:#?}");
    }
}

impl Lab for RdmaLab {
    type Transport = VerbsTransport;

    fn open(&self, pools: &[PoolConfig]) -> Vec<Node<VerbsTransport>> {
        let node = |(me, pool): (usize, &PoolConfig)| {
            let pool = Pool::heap(*pool);
            let config = self.config(me as u16, pools.len() as u16);
            let transport = VerbsTransport::new(config, pool.clone());
            let transport = transport.unwrap_or_else(|error| panic!("node {me}: {error}"));
            Node { transport: Some(transport), pool }
        };
        let mut nodes: Vec<_> = pools.iter().enumerate().map(node).collect();
        // No group of RoCE v2 over IPv6 could be joined in the lab; then what goes to all is sent to each.
        connect(&mut nodes, self.multicast && self.v4);
        nodes
    }

    fn pool(&self) -> PoolConfig {
        PoolConfig { small_bytes: 5120, small_count: 512, large_bytes: 65536, large_count: 160 }
    }
}

#[test]
fn ipv4_multicast() {
    transport::conformance_in_turn!(RdmaLab { v4: true, multicast: true });
}

#[test]
fn ipv4_unicast() {
    transport::conformance_in_turn!(RdmaLab { v4: true, multicast: false });
}

#[test]
fn ipv6_multicast() {
    transport::conformance_in_turn!(RdmaLab { v4: false, multicast: true });
}
