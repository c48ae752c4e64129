//! What a [`crate::VerbsTransport`] is told at start.

use std::net::{IpAddr, SocketAddr};

/// Everything a transport needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's position in `peers`.
    pub me: u16,
    /// IP addresses of all nodes' RDMA ports (RoCE, or IPoIB), in the order of the node list, this one
    /// included. The port is where connections are accepted, in the connection manager's own space.
    pub peers: Vec<SocketAddr>,
    /// The multicast group for [`transport::Dest::All`]; `None`: one datagram for every peer.
    pub multicast: Option<IpAddr>,
    /// Name the device must have, e.g. "mlx5_0"; `None`: whichever has this node's address.
    pub device: Option<String>,
    /// Port of the device that must have the address; `None`: whichever has.
    pub port: Option<u8>,
    /// Index in the port's table of GIDs; `None`: what the connection manager chooses for the address.
    pub gid_index: Option<u8>,
    /// Partition the address must belong to, InfiniBand only; `None`: whichever it belongs to.
    pub pkey: Option<u16>,
    /// Upper limit of a datagram in bytes. Datagrams over the port's MTU go to every peer by its connection.
    /// `None`: the port's MTU.
    pub datagram_bytes_max: Option<usize>,
    /// Receives posted for datagrams, each a small slot: a whole window of the ring must find room.
    pub datagram_buffers: u32,
    /// Receives posted for bursts sent to this node alone, each a large slot, shared by all connections.
    pub burst_buffers: u32,
    /// Receives posted for tokens, each a small slot, shared by all connections.
    pub token_buffers: u32,
}

impl Config {
    /// A configuration with the defaults for everything but the addresses: 512 datagrams, 64 bursts and
    /// four tokens for each peer.
    pub fn new(me: u16, peers: Vec<SocketAddr>) -> Self {
        let token_buffers = (4 * peers.len() as u32).max(16);
        Self {
            me,
            peers,
            multicast: None,
            device: None,
            port: None,
            gid_index: None,
            pkey: None,
            datagram_bytes_max: None,
            datagram_buffers: 512,
            burst_buffers: 64,
            token_buffers,
        }
    }

    /// This node's address.
    pub(crate) fn my_address(&self) -> SocketAddr {
        self.peers[usize::from(self.me)]
    }

    /// Checks what no call will check for us.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(mine) = self.peers.get(usize::from(self.me)) else {
            return Err(format!("position {} is not among {} peers", self.me, self.peers.len()));
        };
        if self.peers.iter().any(|peer| peer.is_ipv4() != mine.is_ipv4()) {
            return Err("the node list mixes IPv4 and IPv6 addresses".into());
        }
        if mine.ip().is_unspecified() || mine.port() == 0 {
            return Err("this node's own address and port must be definite ones".into());
        }
        if let Some(group) = self.multicast {
            if !group.is_multicast() {
                return Err(format!("{group} is not a multicast address"));
            }
            if group.is_ipv4() != mine.is_ipv4() {
                return Err(format!("group {group} and the nodes differ in IP version"));
            }
        }
        Ok(())
    }
}

/// Something the host gives less of than was asked for; the transport works with what it got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The device's queues are shorter than wanted: bursts may find no room under load.
    #[error("{device}: room for {got} {what}, wanted {wanted}")]
    Queue {
        /// The device.
        device: String,
        /// What the queue holds.
        what: &'static str,
        /// Entries wanted.
        wanted: u32,
        /// Entries there are.
        got: u32,
    },
    /// The port's MTU is smaller than datagrams may be.
    #[error(
        "{device}: datagrams of more than {mtu_bytes} bytes (the port's MTU) go to every peer by itself"
    )]
    LargeDatagrams {
        /// The device.
        device: String,
        /// The port's MTU.
        mtu_bytes: usize,
    },
}
