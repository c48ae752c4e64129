//! What a [`crate::UdpTransport`] is told at start.

use std::net::{IpAddr, SocketAddr};

/// Bytes of a UDP header.
const UDP_HEADER_BYTES: usize = 8;

/// Bytes of IP and UDP headers before the payload of a datagram (no options, no extensions).
pub(crate) fn header_bytes(ip: IpAddr) -> usize {
    UDP_HEADER_BYTES + if ip.is_ipv4() { 20 } else { 40 }
}

/// Addresses of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it receives data sent to it alone.
    pub data: SocketAddr,
    /// Where it receives the token.
    pub token: SocketAddr,
}

/// The multicast group all nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// The group's address.
    pub group: IpAddr,
    /// UDP port of the group. Must differ from every node's unicast ports on a host with several nodes.
    pub port: u16,
    /// Name of the interface to join and send on; `None`: the one that has this node's data address.
    pub interface: Option<String>,
    /// Routers a multicast may pass (IP TTL, IPv6 hop limit); 1 stays on the link.
    pub hops: u8,
}

/// Everything a transport needs to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's position in `peers`.
    pub me: u16,
    /// All nodes in the order of the node list, this one included. Positions are the peers' names.
    pub peers: Vec<Peer>,
    /// The group for [`transport::Dest::All`]; `None`: one unicast for every peer.
    pub multicast: Option<Multicast>,
    /// Upper limit of a datagram's payload in bytes; the path MTU may lower it further.
    pub datagram_bytes_max: usize,
    /// Let the kernel segment and merge bursts (GSO, GRO). Off only to compare, or where a card's
    /// driver gets it wrong.
    pub offload: bool,
    /// Keep an idle TCP connection to every peer, on the ports of the data addresses, whose end tells at
    /// once that its process has died.
    pub tethers: bool,
    /// Wanted receive buffer of the data sockets, in bytes as `setsockopt` counts them.
    pub receive_buffer_bytes: usize,
    /// Wanted send buffer of the data socket, in bytes.
    pub send_buffer_bytes: usize,
    /// Most large slots lent to the kernel for data (power of two up to 32768).
    pub data_buffers: u16,
    /// Most small slots lent to the kernel for tokens (power of two up to 32768).
    pub token_buffers: u16,
    /// Most sends the kernel may hold at once (datagrams or GSO bursts).
    pub sends_max: u16,
}

impl Config {
    /// Payload of an Ethernet frame under IPv4 (1500 - 28): fits a default small slot, and nodes on
    /// loopback and on Ethernet then use one size.
    pub const DATAGRAM_BYTES_DEFAULT: usize = 1472;

    /// A configuration with the defaults for everything but the addresses: 1472-byte datagrams, 4 MiB
    /// socket buffers (64 full super-packets), 64 data and 16 token buffers, 256 sends.
    pub fn new(me: u16, peers: Vec<Peer>) -> Self {
        Self {
            me,
            peers,
            multicast: None,
            datagram_bytes_max: Self::DATAGRAM_BYTES_DEFAULT,
            offload: true,
            tethers: true,
            receive_buffer_bytes: 4 << 20,
            send_buffer_bytes: 4 << 20,
            data_buffers: 64,
            token_buffers: 16,
            sends_max: 256,
        }
    }

    /// Checks what no system call will check for us.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(me) = self.peers.get(self.me as usize) else {
            return Err(format!("position {} is not among {} peers", self.me, self.peers.len()));
        };
        let v4 = me.data.is_ipv4();
        let mixed = |a: &SocketAddr| a.is_ipv4() != v4;
        if self.peers.iter().any(|p| mixed(&p.data) || mixed(&p.token)) {
            return Err("the node list mixes IPv4 and IPv6 addresses".into());
        }
        if me.data.ip().is_unspecified() || me.token.ip().is_unspecified() {
            return Err("this node's own address must be a definite one".into());
        }
        if let Some(m) = &self.multicast {
            if !m.group.is_multicast() {
                return Err(format!("{} is not a multicast address", m.group));
            }
            if m.group.is_ipv4() != v4 {
                return Err(format!("group {} and the nodes differ in IP version", m.group));
            }
        }
        for (name, count) in
            [("data_buffers", self.data_buffers), ("token_buffers", self.token_buffers)]
        {
            if !count.is_power_of_two() || count > 32768 {
                return Err(format!("{name} is {count}, not a power of two up to 32768"));
            }
        }
        if self.sends_max == 0 {
            return Err("sends_max is 0; at least 1 is needed".into());
        }
        Ok(())
    }
}

/// Something the host gave less of than was asked for; the transport works with what it got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A socket buffer is smaller than wanted: bursts may be dropped under load.
    #[error("{which} buffer is {got_bytes} bytes, wanted {wanted_bytes}; raise {sysctl}")]
    SocketBuffer {
        /// Which socket and direction, e.g. "data receive".
        which: &'static str,
        /// Bytes asked for.
        wanted_bytes: usize,
        /// Bytes granted.
        got_bytes: usize,
        /// The setting that limits it.
        sysctl: &'static str,
    },
    /// Multicast does not work on this interface; unicasts are sent instead.
    #[error("multicast to {group} does not work here ({reason}); sending to each peer instead")]
    NoMulticast {
        /// The group.
        group: IpAddr,
        /// Which step failed and how.
        reason: String,
    },
    /// The kernel does not segment or merge UDP (GSO before 4.18, GRO before 5.0): every datagram
    /// costs a packet's price.
    #[error("the kernel has no {what} ({reason}); throughput will be several times lower")]
    NoOffload {
        /// "UDP_SEGMENT" or "UDP_GRO".
        what: &'static str,
        /// What it answered.
        reason: String,
    },
    /// No connections can be accepted, so peers notice this node's death only by its silence.
    #[error("cannot listen at TCP {address} ({reason}); deaths are noticed later")]
    NoTethers {
        /// The address.
        address: SocketAddr,
        /// What the kernel answered.
        reason: String,
    },
    /// The ring works without a flag that newer kernels have.
    #[error("io_uring without {missing}: {reason}")]
    ReducedRing {
        /// The flags that are missing.
        missing: &'static str,
        /// What the kernel answered, and since when it is there.
        reason: String,
    },
}
