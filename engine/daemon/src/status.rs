//! What an engine says about itself: taken by the hot thread as plain data, made into JSON by the
//! control thread.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// A moment of the hot thread's life.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The ring.
    pub ring: Ring,
    /// Every other node as the link layer knows it.
    pub peers: Vec<Peer>,
    /// This node's end of every link.
    pub links: Vec<OwnLink>,
    /// Encryption.
    pub security: Security,
    /// Who may act for the cluster.
    pub quorum: Quorum,
    /// Process groups.
    pub groups: Groups,
    /// Local programs.
    pub clients: Vec<Client>,
    /// Message memory.
    pub pool: Pool,
    /// The hot thread itself.
    pub engine: Engine,
    /// Counters by layer.
    pub counters: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

/// The ring (Amir et al. 1995).
#[derive(Clone, Debug, Serialize)]
pub struct Ring {
    /// `gather`, `commit`, `recovery`, `operational` or `left`.
    pub state: String,
    /// Sequence number of the ring installed last.
    pub seq: u64,
    /// Its representative.
    pub rep: u32,
    /// Its members.
    pub members: Vec<u32>,
    /// Highest frame number known.
    pub frame_seq: u64,
    /// Everything up to here was received.
    pub aru: u64,
    /// Every member has everything up to here.
    pub stable: u64,
    /// Everything up to here was delivered.
    pub delivered: u64,
    /// Bytes this node may number in one visit.
    pub personal_window_bytes: u64,
    /// Bytes all may number in one rotation.
    pub global_window_bytes: u64,
    /// Receive room of this node.
    pub free_bytes: u64,
    /// Token timeout in force.
    pub token_timeout_us: u64,
    /// Median rotation.
    pub rotation_p50_us: u64,
    /// 99.9th percentile.
    pub rotation_p999_us: u64,
    /// Whether the token is here.
    pub holding: bool,
    /// Whether it rests here.
    pub resting: bool,
    /// Why the ring was formed last.
    pub last_gather: Gather,
    /// Ring numbers up to here are stored.
    pub persisted: u64,
}

/// Why a ring was formed.
#[derive(Clone, Debug, Serialize)]
pub struct Gather {
    /// The cause.
    pub cause: String,
    /// The node it is about; 0: none.
    pub peer: u32,
    /// How long ago that node, or the ring, was heard of then.
    pub last_seen_us: u64,
}

/// Another node.
#[derive(Clone, Debug, Serialize)]
pub struct Peer {
    /// Its id.
    pub node: u32,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its boot, once proven.
    pub boot: Option<String>,
    /// Milliseconds since something authentic was heard.
    pub heard_ms_ago: Option<u64>,
    /// Frames taken from it.
    pub frames: u64,
    /// Every link to it, if there are several.
    pub links: Vec<PeerLink>,
    /// Datagrams dropped that said to be from it, by reason; only those that happened.
    pub drops: BTreeMap<&'static str, u64>,
}

/// This node's end of a link.
#[derive(Clone, Debug, Serialize)]
pub struct OwnLink {
    /// Its number.
    pub number: u8,
    /// What carries it: `udp` or `verbs`.
    pub kind: &'static str,
    /// Name of the RDMA device that carries it; `None` over UDP, and while there is none.
    pub device: Option<String>,
    /// Our address on it.
    pub address: Option<String>,
    /// Its priority; the highest is the best.
    pub priority: u8,
    /// Whether frames for all travel on it now.
    pub in_use: bool,
    /// Largest datagram in bytes that it carries; 0: it could not be opened.
    pub datagram_bytes: usize,
    /// Whether data is multicast on it.
    pub multicast: bool,
}

/// A link to another node.
#[derive(Clone, Debug, Serialize)]
pub struct PeerLink {
    /// Its number.
    pub number: u8,
    /// The other node's address on it.
    pub address: Option<String>,
    /// `up` or `down`.
    pub state: &'static str,
    /// Why it is down: `silent` (nothing comes on any link), `missed`, `missed-amid-traffic`, `not-heard-there`.
    pub cause: Option<&'static str>,
    /// Whether the other node is heard on it.
    pub hears: bool,
    /// Whether the other node says that it hears us on it.
    pub heard_by: bool,
    /// Whether frames for that node alone travel on it.
    pub used: bool,
    /// For how many milliseconds the other node has been heard on it, or has not.
    pub since_ms: u64,
    /// How often it failed, as far as that is held against it.
    pub flaps: u32,
}

/// Encryption.
#[derive(Clone, Debug, Serialize)]
pub struct Security {
    /// `aes-256-gcm` or `off`.
    pub encryption: &'static str,
    /// Whose implementation.
    pub provider: Option<String>,
    /// Key epoch in use for sending.
    pub sending_epoch: u8,
}

/// Who may act for the cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Quorum {
    /// Whether this node may.
    pub quorate: bool,
    /// The ring that programs were told of last.
    pub ring_seq: u64,
    /// Its representative.
    pub ring_rep: u32,
    /// Its members.
    pub members: Vec<u32>,
    /// Whether a newer ring is being synchronised.
    pub synchronising: bool,
    /// How votes stand, if they are counted.
    pub votes: Option<Votes>,
}

/// Votes as this node counts them.
#[derive(Clone, Debug, Serialize)]
pub struct Votes {
    /// How much longer this node may act if it does not hear of the others again.
    pub lease_us: u64,
    /// Votes this node expects.
    pub expected_votes: u32,
    /// The most votes any member expects.
    pub highest_expected: u32,
    /// Votes that are here.
    pub total_votes: u32,
    /// Votes needed.
    pub quorum: u32,
    /// Features and state, by name.
    pub flags: Vec<&'static str>,
    /// Whether there is no quorum until all nodes are here.
    pub waits_for_all: bool,
    /// Rules in force, which may change while the engine runs.
    pub rules: Rules,
    /// Every node ever heard of.
    pub nodes: Vec<Voter>,
    /// The quorum device, if one is registered anywhere.
    pub device: Option<QuorumDevice>,
}

/// How votes are counted now, as `runtime.votequorum` has it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rules {
    /// `two_node`.
    pub two_node: bool,
    /// `wait_for_all`.
    pub wait_for_all: bool,
    /// `auto_tie_breaker`, as Corosync numbers it: 0 off, 1 lowest, 2 highest, 3 list.
    pub tie_breaker: u8,
    /// Least node id when this part was quorate last.
    pub lowest_node: Option<u32>,
    /// Greatest one.
    pub highest_node: Option<u32>,
    /// The votes that the configuration expects.
    pub configured_votes: u32,
    /// The most votes ever expected, where that is kept.
    pub tracked_votes: Option<u32>,
    /// Whether a quorum device goes together with the rest of the configuration.
    pub device_may_vote: bool,
    /// Whether the part with the device's vote wins.
    pub device_master_wins: bool,
}

/// A node and its votes.
#[derive(Clone, Debug, Serialize)]
pub struct Voter {
    /// Its id.
    pub node: u32,
    /// `member`, `dead` or `leaving`.
    pub state: &'static str,
    /// Its votes.
    pub votes: u32,
    /// The votes it expects.
    pub expected_votes: u32,
    /// What its quorum device does.
    pub flags: Vec<&'static str>,
}

/// A quorum device.
#[derive(Clone, Debug, Serialize)]
pub struct QuorumDevice {
    /// Its name.
    pub name: String,
    /// Its votes.
    pub votes: u32,
}

/// Process groups.
#[derive(Clone, Debug, Serialize)]
pub struct Groups {
    /// Whether their state is agreed with all members of the ring.
    pub synced: bool,
    /// Requests of local programs that are not in the order yet.
    pub requests_waiting: u32,
    /// Each of them.
    pub list: Vec<Group>,
}

/// A process group.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its name; bytes that are not UTF-8 are shown as `\xNN`.
    #[serde(serialize_with = "name_text")]
    pub name: Vec<u8>,
    /// Its members, sorted by node, pid, session.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Member {
    /// The node its program runs on.
    pub node: u32,
    /// Its process id there.
    pub pid: u32,
    /// Its session there.
    pub session: u32,
}

/// A local program.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Client {
    /// Its session.
    pub session: u32,
    /// Its process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Groups it is a member of.
    pub groups: usize,
    /// Whether it maps the shared region (else it gets copies).
    pub shared: bool,
    /// Whether it reads the delivery ring now (else its own backlog).
    pub on_delivery_ring: bool,
    /// Bytes copied away for it.
    pub backlog_bytes: usize,
    /// Bytes it wants to send.
    pub submitted_bytes: usize,
}

/// Message memory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pool {
    /// Bytes of the region.
    pub region_bytes: usize,
    /// Bytes of a small slot.
    pub small_slot_bytes: usize,
    /// Free small slots.
    pub small_free: u32,
    /// All small slots.
    pub small_total: u32,
    /// Bytes of a large slot.
    pub large_slot_bytes: usize,
    /// Free large slots.
    pub large_free: u32,
    /// All large slots.
    pub large_total: u32,
    /// Slots lent to the kernel.
    pub lent: u32,
}

/// The hot thread.
#[derive(Clone, Debug, Serialize)]
pub struct Engine {
    /// Idle strategy.
    pub idle: &'static str,
    /// Why it will wake next at the latest.
    pub next_timer: Option<String>,
    /// And in how many microseconds.
    pub next_timer_us: Option<u64>,
    /// Largest datagram in bytes.
    pub datagram_bytes: usize,
    /// Whether data is multicast.
    pub multicast: bool,
}

/// Shows a group's name: UTF-8 as it is, everything else escaped, so that no two names look alike.
fn name_text<S: Serializer>(name: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(name))
}

/// A name as text.
pub fn shown(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains(|c: char| c.is_control() || c == '\\') => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_make_a_name_and_no_two_look_alike() {
        assert_eq!(shown("grüße".as_bytes()), "grüße");
        assert_eq!(shown(b"a\0b"), "a\\x00b");
        assert_eq!(shown(b"a\\x00b"), "a\\\\x00b");
        assert_eq!(shown(&[0xff]), "\\xff");
    }
}
