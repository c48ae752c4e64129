//! The driver that carries datagrams, as the configuration names it, and the slots it needs.

use std::io;
use std::net::UdpSocket;
use std::os::fd::BorrowedFd;

use frame::{Pool, PoolConfig};
use schema::{Config, Multicast};
use transport::{Burst, Caps, Dest, Event, Queue, SendError, Transport};
use uring::UdpTransport;
#[cfg(feature = "verbs")]
use verbs::VerbsTransport;

use crate::clock::monotonic_ns;
use crate::exit::{Exit, Failure};

/// Bytes of an Ethernet packet: what `mtu = "auto"` is at most over UDP.
const MTU_AUTO_BYTES: usize = 1500;

/// The largest MTU of RDMA ports: what `mtu = "auto"` is at most there.
const RDMA_MTU_BYTES: usize = 4096;

/// Room in a slot beside the datagram: what the driver, or an RDMA card, puts before it.
const SLOT_HEADROOM_BYTES: usize = 128;

/// Bytes of a large slot: the largest GSO burst.
const LARGE_SLOT_BYTES: usize = 65_536;

/// How long to wait for the ports of a predecessor that was killed.
const PORTS_WAIT_NS: u64 = 3_000_000_000;

/// How often to look whether they are free.
const PORTS_LOOK: std::time::Duration = std::time::Duration::from_millis(2);

/// One of the drivers built in, for one link.
pub(crate) enum Driver {
    /// The link could not be opened while others could: it loses everything.
    Absent,
    /// The same over UDP, where it is looked for; and what it can do once it is there, as configured.
    Awaited(Caps),
    Udp(Box<UdpTransport>),
    #[cfg(feature = "verbs")]
    Verbs(Box<VerbsTransport>),
}

impl Driver {
    /// Opens the driver that the configuration asks for on one of the links; what the host gives less of goes
    /// to `warnings`.
    pub(crate) fn open(
        config: &Config,
        link: usize,
        pool: &Pool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let opened = match config.driver(link) {
            schema::Driver::Udp => open_udp(config, link, pool, warnings),
            schema::Driver::Verbs(rdma) => open_verbs(config, link, rdma, pool, warnings),
        };
        opened.map_err(|failure| match config.link_count() {
            1 => failure,
            _ => Failure::new(failure.exit, format!("link {link}: {}", failure.message)),
        })
    }

    /// Name of the RDMA device that carries the link, if one does.
    pub(crate) fn device(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "verbs")]
            Self::Verbs(verbs) => verbs.device(),
            _ => None,
        }
    }

    /// What stands for a link that could not be opened, while it is not there.
    pub(crate) fn absent(config: &Config, link: usize) -> Self {
        match config.driver(link) {
            schema::Driver::Udp => {
                let bytes = udp(config, link).datagram_bytes_max;
                Self::Awaited(Caps { datagram_bytes: bytes, token_bytes: bytes, ..ABSENT })
            }
            schema::Driver::Verbs(_) => Self::Absent,
        }
    }

    /// Until when a link that is not there is not used, for a warning.
    pub(crate) fn until(&self) -> &'static str {
        match self {
            Self::Awaited(_) => "it is there, which is looked for every second",
            _ => "the next start",
        }
    }

    /// Opens a link that is awaited, if its address is there now; `None` if it is not.
    ///
    /// # Errors
    /// Why it could not be opened although its address is there.
    pub(crate) fn come(
        config: &Config,
        link: usize,
        pool: &Pool,
    ) -> Option<Result<UdpTransport, uring::Error>> {
        let wanted = udp(config, link);
        let address = wanted.peers[usize::from(wanted.me)].data.ip();
        // Any port does to see whether the address is ours. It takes some microseconds, opening takes far longer.
        UdpSocket::bind((address, 0)).is_ok().then(|| UdpTransport::new(wanted, pool.clone()))
    }

    /// Adds a node while the engine runs, on one of the links, and gives its position.
    pub(crate) fn add_node(&mut self, node: &schema::Node, link: usize) -> Result<u16, String> {
        match self {
            Self::Absent | Self::Awaited(_) => Err("the link is not there".into()),
            Self::Udp(udp) => udp.add_peer(peer(node, link)).map_err(|error| error.to_string()),
            #[cfg(feature = "verbs")]
            Self::Verbs(_) => {
                Err("over verbs the node list changes only with all engines stopped".into())
            }
        }
    }

    /// Takes a node out: nothing is sent to it any more.
    pub(crate) fn remove_node(&mut self, position: u16) {
        match self {
            Self::Absent | Self::Awaited(_) => {}
            Self::Udp(udp) => udp.remove_peer(position),
            // Its connections end with its engine, and nobody asks for others.
            #[cfg(feature = "verbs")]
            Self::Verbs(_) => {}
        }
    }

    /// Whether there is such a link.
    pub(crate) fn is_there(&self) -> bool {
        !matches!(self, Self::Absent | Self::Awaited(_))
    }

    fn inner(&self) -> Option<&dyn Transport> {
        match self {
            Self::Absent | Self::Awaited(_) => None,
            Self::Udp(udp) => Some(udp.as_ref()),
            #[cfg(feature = "verbs")]
            Self::Verbs(verbs) => Some(verbs.as_ref()),
        }
    }

    fn inner_mut(&mut self) -> Option<&mut dyn Transport> {
        match self {
            Self::Absent | Self::Awaited(_) => None,
            Self::Udp(udp) => Some(udp.as_mut()),
            #[cfg(feature = "verbs")]
            Self::Verbs(verbs) => Some(verbs.as_mut()),
        }
    }
}

/// What a link that is not there, and will not be, can do: as much as any other.
const ABSENT: Caps = Caps {
    datagram_bytes: usize::MAX,
    token_bytes: usize::MAX,
    burst_segments: usize::MAX,
    burst_bytes: usize::MAX,
    multicast: true,
};

impl Transport for Driver {
    fn caps(&self) -> Caps {
        match self {
            Self::Awaited(caps) => *caps,
            _ => self.inner().map_or(ABSENT, |inner| inner.caps()),
        }
    }

    fn send(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError> {
        self.inner_mut().map_or(Ok(()), |inner| inner.send(to, queue, burst))
    }

    fn flush(&mut self) {
        if let Some(inner) = self.inner_mut() {
            inner.flush();
        }
    }

    fn poll(&mut self, budget: usize, prefer: Queue, sink: &mut dyn FnMut(Event)) -> usize {
        self.inner_mut().map_or(0, |inner| inner.poll(budget, prefer, sink))
    }

    fn wait(&mut self, timeout_ns: Option<u64>) {
        if let Some(inner) = self.inner_mut() {
            inner.wait(timeout_ns);
        }
    }

    fn is_silent(&self) -> bool {
        !self.is_there()
    }

    fn doorbell(&mut self) -> Option<BorrowedFd<'_>> {
        self.inner_mut()?.doorbell()
    }

    fn doze(&mut self) -> u64 {
        self.inner_mut().map_or(u64::MAX, |inner| inner.doze())
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let absent = || Err(io::Error::other("a link that is not there cannot wait"));
        self.inner_mut().map_or_else(absent, |inner| inner.watch(fd, key))
    }

    fn unwatch(&mut self, key: u64) {
        if let Some(inner) = self.inner_mut() {
            inner.unwatch(key);
        }
    }

    fn counters(&self, sink: &mut dyn FnMut(&'static str, u64)) {
        match self {
            // The names are those of a link that is there: the counters page is laid out once.
            Self::Awaited(_) => uring::UdpTransport::no_counters(sink),
            _ => self.inner().into_iter().for_each(|inner| inner.counters(sink)),
        }
    }
}

/// Whether every link is over RDMA.
fn all_verbs(config: &Config) -> bool {
    config.verbs_links() == config.link_count()
}

/// Bytes of the largest packet, or datagram where packets are not ours to make: of the links that carry least.
pub(crate) fn mtu_bytes(config: &Config) -> usize {
    let auto = if all_verbs(config) { RDMA_MTU_BYTES } else { MTU_AUTO_BYTES };
    config.transport.mtu_bytes.unwrap_or(auto)
}

/// How the region is cut.
pub(crate) fn pool_config(config: &Config) -> PoolConfig {
    let datagram_bytes = match config.verbs_links() {
        0 => mtu_bytes(config),
        // Whatever this engine sends, others may send as much as the port carries.
        _ => mtu_bytes(config).max(RDMA_MTU_BYTES),
    };
    PoolConfig {
        small_bytes: (datagram_bytes + SLOT_HEADROOM_BYTES).next_multiple_of(1024),
        small_count: config.memory.small_slots,
        large_bytes: LARGE_SLOT_BYTES,
        large_count: config.memory.large_slots,
    }
}

fn position(config: &Config) -> u16 {
    config.nodes.iter().position(|node| node.id == config.me).unwrap_or_default() as u16
}

/// A node's addresses for UDP on a link. Every node has as many links: the configuration was checked.
fn peer(node: &schema::Node, link: usize) -> uring::Peer {
    let first = schema::Link { address: node.address, token_address: node.token_address };
    let own = node.link(link).unwrap_or(first);
    uring::Peer { data: own.address, token: own.token_address }
}

fn udp(config: &Config, link: usize) -> uring::Config {
    let peers: Vec<_> = config.nodes.iter().map(|node| peer(node, link)).collect();
    let headers = if peer(config.my_node(), link).data.is_ipv4() { 28 } else { 48 };
    // A quarter of the large slots receives, on all links together; the rest sends and is held by slow readers.
    let quarter = config.memory.large_slots / 4 / config.link_count() as u32;
    let data_buffers = (1 << quarter.max(1).ilog2()).min(1 << 15);
    uring::Config {
        multicast: match config.multicast_on(link) {
            Multicast::Off => None,
            Multicast::Group(group) => Some(uring::Multicast {
                group: group.ip(),
                port: group.port(),
                interface: None,
                hops: config.transport.multicast_ttl,
            }),
        },
        datagram_bytes_max: mtu_bytes(config) - headers,
        receive_buffer_bytes: config.transport.receive_buffer_bytes,
        send_buffer_bytes: config.transport.send_buffer_bytes,
        data_buffers: data_buffers as u16,
        ..uring::Config::new(position(config), peers)
    }
}

/// Opens the sockets. A predecessor that was killed keeps its ports until the kernel has taken its
/// io_uring down, which it does behind the scenes and takes its time for: wait for that, a while.
fn open_udp(
    config: &Config,
    link: usize,
    pool: &Pool,
    warnings: &mut Vec<String>,
) -> Result<Driver, Failure> {
    let deadline_ns = monotonic_ns() + PORTS_WAIT_NS;
    loop {
        let error = match UdpTransport::new(udp(config, link), pool.clone()) {
            Ok(udp) => {
                warnings.extend(udp.warnings().iter().map(ToString::to_string));
                return Ok(Driver::Udp(Box::new(udp)));
            }
            Err(error) => error,
        };
        let in_use = matches!(&error, uring::Error::Socket { source, .. }
            if source.kind() == std::io::ErrorKind::AddrInUse);
        if !in_use || monotonic_ns() > deadline_ns {
            return Err(Failure::new(Exit::System, error));
        }
        std::thread::sleep(PORTS_LOOK);
    }
}

#[cfg(feature = "verbs")]
fn open_verbs(
    config: &Config,
    link: usize,
    rdma: &schema::Rdma,
    pool: &Pool,
    warnings: &mut Vec<String>,
) -> Result<Driver, Failure> {
    let peers = config.nodes.iter().map(|node| peer(node, link).data).collect();
    let wanted = verbs::Config {
        multicast: match config.multicast_on(link) {
            Multicast::Off => None,
            Multicast::Group(group) => Some(group.ip()),
        },
        device: rdma.device.clone(),
        port: rdma.port,
        gid_index: rdma.gid_index,
        pkey: rdma.pkey,
        // Beside links over UDP the MTU is that of their packets.
        datagram_bytes_max: config.transport.mtu_bytes.filter(|_| all_verbs(config)),
        // One rotation sends at most this share of the small slots' bytes (`window_bytes` of `setup`); they must
        // find room at once where nobody looks at them for a while.
        datagram_buffers: config.memory.small_slots / 4 / config.verbs_links() as u32,
        burst_buffers: config.memory.large_slots / 4 / config.link_count() as u32,
        ..verbs::Config::new(position(config), peers)
    };
    let deadline_ns = monotonic_ns() + PORTS_WAIT_NS;
    loop {
        let error = match VerbsTransport::new(wanted.clone(), pool.clone()) {
            Ok(verbs) => {
                warnings.extend(verbs.warnings().iter().map(ToString::to_string));
                return Ok(Driver::Verbs(Box::new(verbs)));
            }
            Err(error) => error,
        };
        if !error.is_address_in_use() || monotonic_ns() > deadline_ns {
            let message = format!("transport kind \"verbs\": {error}");
            return Err(Failure::new(Exit::System, message));
        }
        std::thread::sleep(PORTS_LOOK);
    }
}

#[cfg(not(feature = "verbs"))]
fn open_verbs(
    _: &Config,
    _: usize,
    _: &schema::Rdma,
    _: &Pool,
    _: &mut Vec<String>,
) -> Result<Driver, Failure> {
    let message = "transport kind \"verbs\": this engine was built without it; use one built with \
                   `--features verbs`, or kind \"udp\"";
    Err(Failure::new(Exit::Config, message))
}
