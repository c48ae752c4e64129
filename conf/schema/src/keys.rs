//! The table of keys: everything a configuration file may say.

use crate::LINKS_MAX;
use crate::kind::Kind;

/// Whether a key must be there, and what counts when it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The file must have it.
    Required,
    /// It may be missing, which means what the key's text says.
    Optional,
    /// This TOML value counts when it is missing.
    Default(&'static str),
}

/// When a new value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At once, with a reload.
    AtRunTime,
    /// At the next start of the engine; a reload says so and takes the rest over.
    AtRestart,
    /// All nodes must agree on it and none can change it while it runs: a reload is refused.
    WithAllStopped,
}

impl Change {
    /// For the reference.
    pub fn text(self) -> &'static str {
        match self {
            Self::AtRunTime => "reload",
            Self::AtRestart => "restart",
            Self::WithAllStopped => "all stopped",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its table.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Type and bounds.
    pub kind: Kind,
    /// Words accepted beside the kind.
    pub words: &'static [&'static str],
    /// Whether it must be there.
    pub presence: Presence,
    /// When a new value counts.
    pub change: Change,
    /// What it does.
    pub doc: &'static str,
}

impl Key {
    const fn at_run_time(self) -> Self {
        Self { change: Change::AtRunTime, ..self }
    }

    const fn with_all_stopped(self) -> Self {
        Self { change: Change::WithAllStopped, ..self }
    }
}

/// A table of the file and what it is about.
pub const SECTIONS: [(&str, &str); 14] = [
    ("cluster", "What is the same on every node."),
    ("node", "This node."),
    ("nodes", "The node list, one `[[nodes]]` table each; the same on every node."),
    ("transport", "How datagrams travel."),
    ("security", "Encryption and authentication of datagrams between nodes."),
    ("totem", "Timers and windows of the ring."),
    ("quorum", "Who may act for the cluster: votes, and how a part of the cluster gets a quorum."),
    ("engine", "The process and its hot thread."),
    ("memory", "The region all messages live in."),
    ("ipc", "Local programs."),
    ("limits", "What one program or message may use."),
    ("log", "Log lines."),
    ("recorder", "The flight recorder: the last events, kept in a file that survives a crash."),
    (
        "map",
        "Keys for programs that read the configuration map (`corosync-cmapctl`), as \"NAME\" = \"VALUE\"; the \
             engine itself ignores them.",
    ),
];

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Most votes of one node or device: those of 1024 nodes still fit 32 bits.
const VOTES_MAX: u64 = 1_000_000;

/// What carries datagrams on a link.
const DRIVERS: &[&str] = &["udp", "verbs"];

/// Smallest `transport.mtu`: what IPv6 guarantees on every path. Membership messages are built to fit it.
pub const MTU_BYTES_MIN: u64 = 1280;

const fn key(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    words: &'static [&'static str],
    presence: Presence,
    doc: &'static str,
) -> Key {
    Key { section, name, kind, words, presence, change: Change::AtRestart, doc }
}

use Presence::{Default, Optional, Required};

/// Every key, in the order of the reference.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("cluster", "name", Kind::Text { bytes_max: 64 }, &[], Required,
        "Name of the cluster. Datagrams of other clusters are dropped.").with_all_stopped(),
    key("cluster", "config_version", Kind::Integer { min: 0, max: i64::MAX as u64 }, &[], Default("0"),
        "Version of the node list. A node with an older one is refused by those with a newer one.").at_run_time(),

    key("node", "id", Kind::Integer { min: 1, max: u32::MAX as u64 }, &["auto"], Required,
        "Which entry of the node list this machine is. `auto`: the one with an address of this machine; where that \
         is not exactly one, the one with this machine's name.").with_all_stopped(),

    key("nodes", "id", Kind::Integer { min: 1, max: u32::MAX as u64 }, &[], Required,
        "The node's number, unique in the cluster.").at_run_time(),
    key("nodes", "name", Kind::Text { bytes_max: 255 }, &[], Optional,
        "The node's name in logs and status; without it `node-ID`.").at_run_time(),
    key("nodes", "address", Kind::Address, &[], Required,
        "Where the node receives data: IP address and UDP port.").at_run_time(),
    key("nodes", "token_address", Kind::Address, &[], Optional,
        "Where the node receives the token; without it the port after `address`.").at_run_time(),
    key("nodes", "votes", Kind::Integer { min: 0, max: VOTES_MAX }, &[], Default("1"),
        "The node's votes, if votes are counted (`quorum.provider`).").at_run_time(),
    key("nodes", "links", Kind::Addresses { items_max: LINKS_MAX - 1 }, &[], Default("[]"),
        "Where the node receives data on links 1, 2, ...; `address` is link 0. The token goes to the port after each. \
         Every node has the same number of links.").at_run_time(),

    key("transport", "kind", Kind::Choice(DRIVERS), &[], Default("\"udp\""),
        "The driver: `udp` is UDP over io_uring, `verbs` is InfiniBand or RoCE (docs/rdma.md), where addresses are \
         those of RDMA ports and every `token_address` is unused. The same on all nodes.").with_all_stopped(),
    key("transport", "link_kinds", Kind::Choices { words: DRIVERS, items_max: LINKS_MAX }, &[], Default("[]"),
        "The driver of link 0, 1, ..., so that nodes have links over UDP beside those over RDMA; a link without \
         one has `kind`. The same on all nodes.").with_all_stopped(),
    key("transport", "multicast", Kind::Address, &["auto", "off"], Default("\"auto\""),
        "Group and port that data is multicast to. `auto` derives a group in 239.192.0.0/14 (IPv4) or ff08::/16 \
         (IPv6) from the cluster's name and takes the port below the lowest of the node list; `off` \
         sends to each node by itself. Links 1, 2, ... have groups of their own, each one past the one \
         before.").with_all_stopped(),
    key("transport", "multicast_ttl", Kind::Integer { min: 1, max: 255 }, &[], Default("1"),
        "Routers a multicast may pass, plus one."),
    key("transport", "mtu", Kind::Size { min: MTU_BYTES_MIN, max: 65535 }, &["auto"], Default("\"auto\""),
        "Bytes of the largest IP packet on every path between nodes; the same on all nodes. `auto` is 1500, or what \
         the paths have where that is less. Packets are never fragmented by IP. With `verbs` alone: bytes of the \
         largest datagram; `auto` is the port's MTU, and larger ones go to each node over its connection. Where links \
         are of both kinds: of the packets on those over UDP; frames are as long as all links carry.")
        .with_all_stopped(),
    key("transport", "rdma_device", Kind::Text { bytes_max: 63 }, &[], Optional,
        "With `verbs`: name the RDMA device must have, as `ibv_devices` lists it; without it the one that has this \
         node's address."),
    key("transport", "rdma_port", Kind::Integer { min: 1, max: 255 }, &[], Optional,
        "With `verbs`: port of the device that must have the address."),
    key("transport", "rdma_gid_index", Kind::Integer { min: 0, max: 255 }, &[], Optional,
        "With `verbs`: index in the port's table of GIDs; without it what the connection manager chooses for the \
         address (RoCE v2 where the port has it)."),
    key("transport", "rdma_pkey", Kind::Integer { min: 1, max: 0xffff }, &[], Optional,
        "With `verbs` on InfiniBand: partition the address must belong to (0x8001 is 32769 here)."),
    key("transport", "receive_buffer", Kind::Size { min: 64 * KIB, max: GIB }, &[], Default("\"8MiB\""),
        "Bytes asked for each socket's receive buffer. The engine warns when the kernel gives less."),
    key("transport", "send_buffer", Kind::Size { min: 64 * KIB, max: GIB }, &[], Default("\"4MiB\""),
        "Bytes asked for each socket's send buffer."),
    key("transport", "link_mode", Kind::Choice(&["passive", "active", "rr"]), &[], Default("\"passive\""),
        "How several links are used: `passive` the best one that works, `active` all at once, `rr` in turn.")
        .at_run_time(),
    key("transport", "link_priorities", Kind::Numbers { items_max: LINKS_MAX, max: 255 }, &[], Default("[]"),
        "Priority of link 0, 1, ...; the highest is the best with `passive`. A link without one has 1.")
        .at_run_time(),

    key("security", "encryption", Kind::Choice(&["auto", "aes-256-gcm", "off"]), &[], Default("\"auto\""),
        "`auto` is `aes-256-gcm`, except where every address is a loopback address. `off` leaves a checksum only: \
         anyone who reaches the ports can then send messages.").with_all_stopped(),
    key("security", "key_file", Kind::Path, &[], Optional,
        "The file with the cluster key; readable by the engine's user only.").at_run_time(),
    key("security", "key_format", Kind::Choice(&["hex", "corosync"]), &[], Default("\"hex\""),
        "What is in `key_file`: `hex`: 64 hexadecimal digits, as `synchrotron keygen` writes them; `corosync`: 128 to \
         4096 bytes, as `corosync-keygen` writes them, from which the cluster key is derived (HKDF-SHA-256).")
        .at_run_time(),
    key("security", "key", Kind::Text { bytes_max: 4096 }, &[], Optional,
        "128 to 4096 bytes from which the cluster key is derived, instead of `key_file`; better to keep them in a \
         file that others cannot read.").at_run_time(),
    key("security", "provider", Kind::Choice(&["auto", "aes-gcm", "aws-lc"]), &[], Default("\"auto\""),
        "Whose AES-256-GCM: `aws-lc` (faster, if built in) or `aes-gcm` (pure Rust). `auto` takes the fastest."),

    key("totem", "token_timeout", Kind::Duration { min_ns: MS, max_ns: 3600 * S }, &["auto"], Default("\"auto\""),
        "Time without a sign of progress after which the ring is formed anew. `auto` derives it from the \
         measured rotation.").at_run_time(),
    key("totem", "token_timeout_min", Kind::Duration { min_ns: MS, max_ns: 3600 * S }, &[], Default("\"30ms\""),
        "Lower bound of `auto`.").at_run_time(),
    key("totem", "token_timeout_max", Kind::Duration { min_ns: MS, max_ns: 3600 * S }, &[], Default("\"1s\""),
        "Upper bound of `auto`, and its value until enough rotations were seen.").at_run_time(),
    key("totem", "consensus_timeout", Kind::Duration { min_ns: MS, max_ns: 3600 * S }, &["auto"], Default("\"auto\""),
        "How long nodes that form a ring wait for those that do not answer. `auto` derives it from the token \
         timeout.").at_run_time(),

    key("quorum", "provider", Kind::Choice(&["none", "votequorum"]), &[], Default("\"none\""),
        "Whether votes are counted: with `none` every part of the cluster may act, with `votequorum` only one that \
         has more than half of the votes. The keys below are those of votequorum.").with_all_stopped(),
    key("quorum", "expected_votes", Kind::Integer { min: 1, max: u32::MAX as u64 / 2 }, &[], Optional,
        "Votes of the whole cluster; without it those of the node list together.").at_run_time(),
    key("quorum", "two_node", Kind::Bool, &[], Default("false"),
        "Two nodes, each of which goes on alone when the other is gone. Both do when the path between them breaks: \
         only fencing makes it safe.").at_run_time(),
    key("quorum", "wait_for_all", Kind::Bool, &[], Optional,
        "No quorum after a start, or after it was lost, until all nodes are here at once or one is met that has it. \
         Without it: as `two_node`.").with_all_stopped(),
    key("quorum", "last_man_standing", Kind::Bool, &[], Default("false"),
        "Some time after nodes are gone, those that are left and have a quorum expect only each other. All votes must \
         be 1. Safe only with `wait_for_all`.").with_all_stopped(),
    key("quorum", "last_man_standing_window", Kind::Duration { min_ns: 0, max_ns: 3600 * S }, &[],
        Default("\"10s\""), "That time.").with_all_stopped(),
    key("quorum", "auto_tie_breaker", Kind::Ids, &["off", "lowest", "highest"], Default("\"off\""),
        "Which half of an even split goes on: the one with the lowest or highest node id, or with the first \
         of a list of node ids. When the votes are odd it needs `wait_for_all`.").with_all_stopped(),
    key("quorum", "allow_downscale", Kind::Bool, &[], Default("false"),
        "Nodes that leave in order lower the votes expected, down to what the configuration says.").with_all_stopped(),
    key("quorum", "expected_votes_tracking", Kind::Bool, &[], Default("false"),
        "Expect the most votes that were ever expected; kept in the state directory.").with_all_stopped(),
    key("quorum", "device", Kind::Text { bytes_max: 64 }, &[], Optional,
        "The model of a quorum device (`net` for corosync-qdevice), a program that registers with the engine and \
         votes; without it one that registers has none.").at_run_time(),
    key("quorum", "device_votes", Kind::Integer { min: 0, max: VOTES_MAX }, &[], Optional,
        "Its votes; without it one less than the nodes have together.").at_run_time(),
    key("quorum", "device_timeout", Kind::Duration { min_ns: MS, max_ns: 3600 * S }, &[], Default("\"10s\""),
        "It counts as gone when it has not polled for so long.").at_run_time(),
    key("quorum", "device_sync_timeout", Kind::Duration { min_ns: MS, max_ns: 3600 * S }, &[],
        Default("\"30s\""), "How long a new ring waits for it to poll.").at_run_time(),
    key("quorum", "device_master_wins", Kind::Bool, &[], Default("false"),
        "The device asks that the partition with its votes wins. Read by the device.").at_run_time(),

    key("engine", "idle", Kind::Choice(&["busy", "adaptive", "park"]), &[], Default("\"adaptive\""),
        "What the hot thread does with nothing to do: `busy` spins for ever (give it a core of its own; where it \
         notices that others run there, it hands the core over in between), `adaptive` spins for `spin` and then \
         sleeps, `park` sleeps at once.").at_run_time(),
    key("engine", "spin", Kind::Duration { min_ns: 0, max_ns: S }, &[], Default("\"50us\""),
        "How long `adaptive` spins.").at_run_time(),
    key("engine", "cpu", Kind::Integer { min: 0, max: 4095 }, &["none"], Default("\"none\""),
        "Core the hot thread is pinned to."),
    key("engine", "priority", Kind::Choice(&["auto", "high", "normal"]), &[], Default("\"normal\""),
        "How urgent the hot thread is: `high` gives it nice -16, or the engine does not start (needs CAP_SYS_NICE or \
         RLIMIT_NICE); `auto` does so where it may; `normal` leaves it as the process was started. For hosts whose \
         other work must not hold up the ring; where programs share its core under load, it starves them."),
    key("engine", "wake_latency", Kind::Duration { min_ns: 0, max_ns: S }, &["system"], Default("\"system\""),
        "Longest time that a core of this machine may take to wake from sleep while the engine runs: `0us` keeps idle \
         cores from sleeping, which costs power and makes wake-ups quick. For all programs alike, by \
         `/dev/cpu_dma_latency`, which the engine's user must be allowed to write, or it does not start. `system` \
         asks for nothing."),
    key("engine", "lock_memory", Kind::Choice(&["auto", "on", "off"]), &[], Default("\"auto\""),
        "Keep the process in memory (mlockall): `auto` where the limit allows it, `on` or the engine does not \
         start."),
    key("engine", "state_dir", Kind::Path, &[], Default("\"/var/lib/synchrotron\""),
        "Directory of the ring number, the flight recorder, the counters page and the lock; of one engine alone."),

    key("memory", "small_slots", Kind::Integer { min: 512, max: 1 << 20 }, &[], Default("4096"),
        "Slots for one datagram each (MTU rounded up, 2 KiB on Ethernet)."),
    key("memory", "large_slots", Kind::Integer { min: 32, max: 1 << 16 }, &[], Default("256"),
        "Slots of 64 KiB for whole bursts."),

    key("ipc", "socket", Kind::Path, &[], Default("\"/run/synchrotron/socket\""),
        "Unix socket programs connect to."),
    key("ipc", "max_clients", Kind::Integer { min: 1, max: 4096 }, &[], Default("256"),
        "Most programs connected at a time."),
    key("ipc", "submit_bytes", Kind::Size { min: 128 * KIB, max: 16 * MIB }, &[], Default("\"256KiB\""),
        "Bytes of a program's submit ring, unless it asks for another size; a power of two."),
    key("ipc", "private_bytes", Kind::Size { min: 128 * KIB, max: 16 * MIB }, &[], Default("\"256KiB\""),
        "Bytes of the ring a program of another trust domain reads from; a power of two."),
    key("ipc", "delivery_slots", Kind::Integer { min: 64, max: 1 << 20 }, &[], Default("4096"),
        "Descriptors in the delivery ring all programs read; a power of two. One names a run of messages."),
    key("ipc", "lag_slots", Kind::Integer { min: 16, max: 1 << 20 }, &[], Default("3072"),
        "Descriptors a slow reader may lag behind before its backlog is copied to memory of its own.").at_run_time(),
    key("ipc", "lease", Kind::Duration { min_ns: MS, max_ns: 60 * S }, &[], Default("\"100ms\""),
        "How long a lagging reader may hold message memory while the engine is short of it.").at_run_time(),
    key("ipc", "spill_bytes", Kind::Size { min: 64 * KIB, max: 16 * GIB }, &[], Default("\"16MiB\""),
        "Most bytes of backlog kept for one slow reader; past it the program is evicted.").at_run_time(),
    key("ipc", "spill_bytes_total", Kind::Size { min: 64 * KIB, max: 64 * GIB }, &[], Default("\"256MiB\""),
        "Most bytes of backlog kept for all slow readers together.").at_run_time(),
    key("ipc", "allow_uids", Kind::Ids, &[], Default("[]"),
        "Users who may connect, beside root and the engine's own.").at_run_time(),
    key("ipc", "allow_gids", Kind::Ids, &[], Default("[]"),
        "Groups whose members may connect.").at_run_time(),
    key("ipc", "private_uids", Kind::Ids, &[], Default("[]"),
        "Users of another trust domain: they get copies of their messages instead of the shared region.").at_run_time(),
    key("ipc", "private_gids", Kind::Ids, &[], Default("[]"),
        "The same for groups.").at_run_time(),

    key("limits", "message_bytes_max", Kind::Size { min: KIB, max: GIB }, &[], Default("\"1MiB\""),
        "Largest message; the same on every node.").with_all_stopped(),
    key("limits", "memberships_max", Kind::Integer { min: 1, max: 1 << 20 }, &[], Default("65536"),
        "Most memberships (program and group) of this node's programs.").at_run_time(),

    key("log", "level", Kind::Choice(&["error", "warn", "info", "debug"]), &[], Default("\"info\""),
        "Least important lines that are written.").at_run_time(),
    key("log", "format", Kind::Choice(&["text", "json"]), &[], Default("\"text\""),
        "One line per event: readable, or one JSON object.").at_run_time(),
    key("log", "file", Kind::Path, &["stderr"], Default("\"stderr\""),
        "Where lines go. A file is opened anew on SIGHUP.").at_run_time(),

    key("recorder", "file", Kind::Path, &["auto", "off"], Default("\"auto\""),
        "The recorder's file; `auto` is `blackbox` in `engine.state_dir`."),
    key("recorder", "bytes", Kind::Size { min: 64 * KIB, max: GIB }, &[], Default("\"1MiB\""),
        "Size of the file; an event takes 64 bytes."),
];

/// The key of this section and name.
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// The name among `known` that is nearest to `name`, if it is near enough to be what was meant.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = (name.chars().count() / 3).max(1) + 1;
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters, of at most the first 64 of each.
fn distance(a: &str, b: &str) -> usize {
    const CHARS_MAX: usize = 64;
    let b: Vec<char> = b.chars().take(CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(CHARS_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
