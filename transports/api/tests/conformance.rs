//! The network in memory, bare and wrapped, passes the suite.

use frame::{Pool, PoolConfig};
use synchrotron_transport as transport;
use transport::conformance::{Lab, Node};
use transport::lossy::{Faults, Lossy};
use transport::memory::{Memory, Network};
use transport::pcap::Pcap;

struct MemoryLab;

impl Lab for MemoryLab {
    type Transport = Memory;

    fn open(&self, pools: &[PoolConfig]) -> Vec<Node<Memory>> {
        let network = Network::new(pools.len() as u16);
        let node = |(me, config): (usize, &PoolConfig)| {
            let pool = Pool::heap(*config);
            Node { transport: Some(network.attach(me as u16, pool.clone())), pool }
        };
        pools.iter().enumerate().map(node).collect()
    }
}

struct LossyLab;

impl Lab for LossyLab {
    type Transport = Lossy<Memory>;

    fn open(&self, pools: &[PoolConfig]) -> Vec<Node<Lossy<Memory>>> {
        let count = pools.len() as u16;
        let nodes = MemoryLab.open(pools).into_iter().enumerate();
        let wrap = |(me, node): (usize, Node<Memory>)| {
            let pool = node.pool.clone();
            let transport = node.transport.map(|inner| {
                Lossy::new(inner, pool.clone(), me as u16, count, Faults::default(), 1)
            });
            Node { transport, pool }
        };
        nodes.map(wrap).collect()
    }
}

struct PcapLab;

impl Lab for PcapLab {
    type Transport = Pcap<Memory, std::io::Sink>;

    fn open(&self, pools: &[PoolConfig]) -> Vec<Node<Self::Transport>> {
        let wrap = |node: Node<Memory>| Node {
            transport: node.transport.map(|t| Pcap::new(t, std::io::sink()).expect("a sink")),
            pool: node.pool,
        };
        MemoryLab.open(pools).into_iter().map(wrap).collect()
    }
}

transport::conformance!(memory, MemoryLab);
transport::conformance!(lossy_without_faults, LossyLab);
transport::conformance!(pcap, PcapLab);
