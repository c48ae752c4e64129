//! UDP on this host's loopback passes the transport suite: IPv4 and IPv6, multicast and unicast only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use frame::{Pool, PoolConfig};
use synchrotron_uring::{Config, Multicast, Peer, UdpTransport, Warning};
use transport::Transport;
use transport::conformance::{Lab, Node};

struct LoopbackLab {
    v4: bool,
    multicast: bool,
    offload: bool,
}

/// Ports nobody uses now. All are held until all are known, so that they differ.
fn free_ports(ip: IpAddr, count: usize) -> Vec<u16> {
    let bind = |_| UdpSocket::bind((ip, 0)).expect("a free port");
    let sockets: Vec<UdpSocket> = (0..count).map(bind).collect();
    sockets.iter().map(|s| s.local_addr().expect("an address").port()).collect()
}

impl LoopbackLab {
    fn ip(&self) -> IpAddr {
        if self.v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
    }

    fn configs(&self, nodes: usize) -> Vec<Config> {
        let ip = self.ip();
        let ports = free_ports(ip, nodes * 2 + 1);
        let peer =
            |p: &[u16]| Peer { data: SocketAddr::new(ip, p[0]), token: SocketAddr::new(ip, p[1]) };
        let peers: Vec<Peer> = ports[1..].chunks(2).map(peer).collect();
        let group: IpAddr = if self.v4 {
            Ipv4Addr::new(239, 192, 7, 7).into()
        } else {
            Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x7777).into()
        };
        let multicast =
            self.multicast.then_some(Multicast { group, port: ports[0], interface: None, hops: 1 });
        let config = |me| Config {
            multicast: multicast.clone(),
            offload: self.offload,
            ..Config::new(me, peers.clone())
        };
        (0..nodes as u16).map(config).collect()
    }
}

impl Lab for LoopbackLab {
    type Transport = UdpTransport;

    fn open(&self, pools: &[PoolConfig]) -> Vec<Node<UdpTransport>> {
        let configs = self.configs(pools.len());
        let node = |(config, pool): (Config, &PoolConfig)| {
            let pool = Pool::heap(*pool);
            let transport = UdpTransport::new(config, pool.clone()).expect("loopback works");
            // What does not work here (IPv6 multicast, where lo has no route for it) is said.
            let fallen_back = self.multicast && !transport.caps().multicast;
            let said = |w: &Warning| matches!(w, Warning::NoMulticast { .. });
            assert_eq!(fallen_back, transport.warnings().iter().any(said));
            assert!(!(fallen_back && self.v4), "{:?}", transport.warnings());
            Node { transport: Some(transport), pool }
        };
        configs.into_iter().zip(pools).map(node).collect()
    }
}

transport::conformance!(ipv4_multicast, LoopbackLab { v4: true, multicast: true, offload: true });
transport::conformance!(ipv4_unicast, LoopbackLab { v4: true, multicast: false, offload: true });
transport::conformance!(ipv6_multicast, LoopbackLab { v4: false, multicast: true, offload: true });
transport::conformance!(ipv6_unicast, LoopbackLab { v4: false, multicast: false, offload: true });
transport::conformance!(without_offload, LoopbackLab { v4: true, multicast: true, offload: false });
