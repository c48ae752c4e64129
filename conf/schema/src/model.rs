//! The typed model: what each section of a configuration says.

use std::net::SocketAddr;
use std::path::PathBuf;

/// One node of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Where it receives data.
    pub address: SocketAddr,
    /// Where it receives the token.
    pub token_address: SocketAddr,
    /// Its votes, if votes are counted.
    pub votes: u32,
    /// Links 1, 2, ...; `address` and `token_address` are link 0. Every node has as many.
    pub links: Vec<Link>,
}

/// Where a node receives on a link beyond the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Data.
    pub address: SocketAddr,
    /// The token.
    pub token_address: SocketAddr,
}

impl Node {
    /// Where the node receives on a link; `None` if there is no such link.
    pub fn link(&self, link: usize) -> Option<Link> {
        match link.checked_sub(1) {
            None => Some(Link { address: self.address, token_address: self.token_address }),
            Some(at) => self.links.get(at).copied(),
        }
    }
}

/// How several links are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode {
    /// The best one that works.
    Passive,
    /// All at once.
    Active,
    /// In turn.
    RoundRobin,
}

/// How data reaches all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multicast {
    /// One datagram to this group.
    Group(SocketAddr),
    /// One datagram per node.
    Off,
}

/// Where on an RDMA device the node is; what is not said follows from its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rdma {
    /// Name the device must have.
    pub device: Option<String>,
    /// The device's port, from 1.
    pub port: Option<u8>,
    /// Index in the port's table of GIDs.
    pub gid_index: Option<u8>,
    /// Partition the address must belong to.
    pub pkey: Option<u16>,
}

/// Which driver carries datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    /// UDP over io_uring.
    Udp,
    /// InfiniBand or RoCE over verbs.
    Verbs(Rdma),
}

impl Driver {
    /// The word of the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Verbs(_) => "verbs",
        }
    }

    /// Whether it is RDMA.
    pub fn is_verbs(&self) -> bool {
        matches!(self, Self::Verbs(_))
    }
}

/// `[transport]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The driver of each link, one per link of every node.
    pub drivers: Vec<Driver>,
    /// How data reaches all nodes (`auto` is resolved).
    pub multicast: Multicast,
    /// Time to live of multicasts.
    pub multicast_ttl: u8,
    /// Largest IP packet in bytes; `None`: ask the interface.
    pub mtu_bytes: Option<usize>,
    /// Bytes asked for receive buffers.
    pub receive_buffer_bytes: usize,
    /// Bytes asked for send buffers.
    pub send_buffer_bytes: usize,
    /// How several links are used.
    pub link_mode: LinkMode,
    /// Priority of each link, one per link of every node.
    pub link_priorities: Vec<u8>,
}

/// Whether datagrams are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// A checksum only.
    Off,
    /// AES-256-GCM with this key (see [`crate::key_file::cluster_key`]).
    Aes256Gcm {
        /// Where the cluster key is.
        key: KeySource,
    },
}

/// Where the cluster key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// 64 hexadecimal digits in a file.
    File(PathBuf),
    /// Derived from the bytes of a file that `corosync-keygen` wrote.
    CorosyncFile(PathBuf),
    /// Derived from bytes in the configuration itself.
    Bytes(Secret),
}

/// Bytes that are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whose implementation of the cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The fastest that is built in.
    Auto,
    /// Pure Rust.
    AesGcm,
    /// AWS-LC.
    AwsLc,
}

/// `[security]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Whether datagrams are encrypted (`auto` is resolved).
    pub encryption: Encryption,
    /// Whose implementation.
    pub provider: Provider,
}

/// When a ring counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTimeout {
    /// Derived from the measured rotation, within bounds.
    Auto {
        /// Lower bound.
        min_us: u64,
        /// Upper bound.
        max_us: u64,
    },
    /// Always this long.
    Fixed {
        /// The timeout.
        us: u64,
    },
}

/// `[totem]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totem {
    /// When a ring counts as lost.
    pub token_timeout: TokenTimeout,
    /// How long a ring that is formed waits for those that do not answer; `None`: derived.
    pub consensus_timeout_us: Option<u64>,
}

/// What the hot thread does with nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Spins for ever.
    Busy,
    /// Spins a while, then sleeps.
    Adaptive,
    /// Sleeps at once.
    Park,
}

/// Where the hot thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// Where the kernel puts it.
    Any,
    /// On this core.
    Pinned(usize),
}

/// Whether the process is locked into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMemory {
    /// Where the limit allows it.
    Auto,
    /// Or do not start.
    On,
    /// No.
    Off,
}

/// How urgent the hot thread is to the kernel's scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Raised where the kernel lets us.
    Auto,
    /// Raised, or do not start.
    High,
    /// As the process was started.
    Normal,
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Idle strategy.
    pub idle: Idle,
    /// How long `Adaptive` spins.
    pub spin_ns: u64,
    /// Where the hot thread runs.
    pub cpu: Cpu,
    /// How urgent the hot thread is.
    pub priority: Priority,
    /// Longest time that cores of the machine may take to wake while the engine runs; `None`: as the system has it.
    pub wake_latency_ns: Option<u64>,
    /// Whether memory is locked.
    pub lock_memory: LockMemory,
    /// State directory.
    pub state_dir: PathBuf,
}

/// `[memory]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Slots for one datagram.
    pub small_slots: u32,
    /// Slots for a burst.
    pub large_slots: u32,
}

/// `[ipc]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipc {
    /// Unix socket programs connect to.
    pub socket: PathBuf,
    /// Most programs at a time.
    pub max_clients: u32,
    /// Bytes of a submit ring, a power of two.
    pub submit_bytes: usize,
    /// Bytes of a private ring, a power of two.
    pub private_bytes: usize,
    /// Descriptors in the delivery ring, a power of two.
    pub delivery_slots: usize,
    /// Descriptors a reader may lag behind before its backlog is copied away.
    pub lag_slots: usize,
    /// How long a lagging reader may hold message memory while it is short.
    pub lease_ns: u64,
    /// Most bytes of backlog of one slow reader.
    pub spill_bytes: usize,
    /// Most bytes of backlog of all slow readers.
    pub spill_bytes_total: usize,
    /// Users who may connect beside root and our own.
    pub allow_uids: Vec<u32>,
    /// Groups whose members may connect.
    pub allow_gids: Vec<u32>,
    /// Users who get copies instead of the shared region.
    pub private_uids: Vec<u32>,
    /// Groups whose users get copies instead of the shared region.
    pub private_gids: Vec<u32>,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message.
    pub message_bytes_max: u64,
    /// Most memberships of this node's programs.
    pub memberships_max: u32,
}

/// Least important log lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// And what an operator should look at.
    Warn,
    /// And normal life.
    Info,
    /// And details.
    Debug,
}

/// Shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Least important lines.
    pub level: LogLevel,
    /// Their shape.
    pub format: LogFormat,
    /// Where they go; `None`: standard error.
    pub file: Option<PathBuf>,
}

/// `[recorder]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorder {
    /// The file; `None`: no recorder.
    pub file: Option<PathBuf>,
    /// Its size.
    pub bytes: u64,
}
