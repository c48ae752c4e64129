//! Members and counters as keys of the map, with the names and types that Corosync gives them.

use std::collections::{BTreeMap, VecDeque};

use schema::Config;
use services::cmap::Value;

use super::from_config::milliseconds;
use crate::status::{Peer, Rules, Snapshot};

/// What begins the keys of the configuration map that come from a snapshot.
pub(super) const PREFIXES: [&str; 3] =
    ["runtime.members.", "runtime.config.", "runtime.votequorum."];

/// Late turns that are remembered, newest first, as Corosync does.
const LATE_MAX: usize = 10;

/// A peer not heard for this long is not connected.
const HEARD_MS_MAX: u64 = 10_000;

/// Counters of the ring, by the names of Corosync's nearest: layer and name here.
const COUNTERS: &[(&str, &str, &str)] = &[
    ("stats.srp.mcast_tx", "totem", "frames_sent"),
    ("stats.srp.mcast_rx", "totem", "frames_received"),
    ("stats.srp.mcast_retx", "totem", "retransmissions"),
    ("stats.srp.orf_token_rx", "totem", "token_visits"),
    ("stats.srp.memb_join_tx", "totem", "joins_sent"),
    ("stats.srp.memb_join_rx", "totem", "joins_received"),
    ("stats.srp.memb_merge_detect_tx", "totem", "probes_sent"),
    ("stats.srp.memb_commit_token_rx", "totem", "commits_received"),
    ("stats.srp.token_hold_cancel_tx", "totem", "wants_sent"),
    ("stats.srp.operational_entered", "totem", "configurations"),
    ("stats.srp.operational_token_lost", "totem", "gathers_token_loss"),
    ("stats.srp.recovery_token_lost", "totem", "gathers_formation"),
    ("stats.srp.rx_msg_dropped", "totem", "malformed"),
    ("stats.knet.handle.tx_crypt_packets", "link", "sealed"),
    ("stats.knet.handle.rx_crypt_packets", "link", "opened"),
    ("stats.ipcs.global.closed", "sessions", "closed"),
];

/// Whether a key of the configuration map comes from a snapshot.
pub(super) fn is_about(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// Whether keys that begin so may come from a snapshot.
pub(super) fn may_be_under(prefix: &str) -> bool {
    PREFIXES.iter().any(|own| own.starts_with(prefix) || prefix.starts_with(own))
}

/// One node, as `runtime.members` has it.
#[derive(Default)]
struct Member {
    joined: bool,
    joins: u32,
}

/// Who is and was a member.
#[derive(Default)]
pub(super) struct Members {
    me: u32,
    has_device: bool,
    config_version: u64,
    addresses: BTreeMap<u32, String>,
    known: BTreeMap<u32, Member>,
}

impl Members {
    /// The node list and the version are these.
    pub(super) fn set_nodes(&mut self, config: &Config) {
        self.me = config.me;
        self.has_device = config.quorum.device.is_some();
        self.config_version = config.config_version;
        self.addresses =
            config.nodes.iter().map(|node| (node.id, node.address.ip().to_string())).collect();
        self.known.retain(|node, _| self.addresses.contains_key(node));
    }

    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        let ring = &snapshot.ring;
        if ring.state != "operational" {
            // What counts is the ring installed last.
            return;
        }
        for (node, member) in &mut self.known {
            member.joined &= ring.members.contains(node);
        }
        for node in &ring.members {
            let member = self.known.entry(*node).or_default();
            if !std::mem::replace(&mut member.joined, true) {
                member.joins += 1;
            }
        }
    }

    pub(super) fn keys(&self, snapshot: &Snapshot) -> Vec<(String, Value)> {
        let mut keys = Vec::new();
        for (node, member) in &self.known {
            let name = |what: &str| format!("runtime.members.{node}.{what}");
            let address = self.addresses.get(node).map_or("", String::as_str);
            let status = if member.joined { "joined" } else { "left" };
            keys.push((name("config_version"), Value::U64(self.config_version)));
            keys.push((name("ip"), Value::text(format!("r(0) ip({address}) "))));
            keys.push((name("join_count"), Value::U32(member.joins)));
            keys.push((name("status"), Value::text(status)));
        }
        let token = Value::U32(milliseconds(snapshot.ring.token_timeout_us));
        keys.push(("runtime.config.totem.token".to_owned(), token));
        if let Some(votes) = &snapshot.quorum.votes {
            self.votes(&votes.rules, votes.waits_for_all, &mut keys);
        }
        keys
    }

    /// What `corosync-quorumtool`, quorum devices and exporters look for; what is off has no key.
    fn votes(&self, rules: &Rules, waits: bool, keys: &mut Vec<(String, Value)>) {
        let mut put = |what: &str, value| keys.push((format!("runtime.votequorum.{what}"), value));
        let flag = |on: bool| Value::U8(on.into());
        put("this_node_id", Value::U32(self.me));
        put("two_node", flag(rules.two_node));
        put("ev_barrier", Value::U32(rules.configured_votes));
        if rules.wait_for_all {
            put("wait_for_all_status", flag(waits));
        }
        if rules.tie_breaker > 0 {
            put("atb_type", Value::U32(rules.tie_breaker.into()));
        }
        for (what, value) in [
            ("lowest_node_id", rules.lowest_node),
            ("highest_node_id", rules.highest_node),
            ("ev_tracking_barrier", rules.tracked_votes),
        ] {
            if let Some(value) = value {
                put(what, Value::U32(value));
            }
        }
        if self.has_device {
            put("qdevice_can_operate", flag(rules.device_may_vote));
            put("qdevice_master_wins", flag(rules.device_master_wins));
        }
    }
}

/// Counters, less what they were when somebody cleared them.
#[derive(Default)]
pub(super) struct Statistics {
    /// As they were counted at the last look.
    last: BTreeMap<String, u64>,
    cleared: BTreeMap<String, u64>,
    /// When (milliseconds since 1970) the engine did not run, and for how long (milliseconds).
    late: VecDeque<(u64, f32)>,
}

impl Statistics {
    pub(super) fn missed_schedule(&mut self, wall_ns: u64, paused_us: u64) {
        self.late.push_front((wall_ns / 1_000_000, paused_us as f32 / 1000.0));
        self.late.truncate(LATE_MAX);
    }

    /// Counts what begins so from zero again.
    pub(super) fn clear(&mut self, prefixes: &[&str]) {
        for (key, value) in &self.last {
            if prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                self.cleared.insert(key.clone(), *value);
            }
        }
        if prefixes.iter().any(|prefix| "stats.schedmiss.".starts_with(prefix)) {
            self.late.clear();
        }
    }

    pub(super) fn keys(&mut self, snapshot: &Snapshot) -> Vec<(String, Value)> {
        self.last.clear();
        for (key, layer, name) in COUNTERS {
            let count = snapshot.counters.get(*layer).and_then(|layer| layer.get(name));
            self.last.insert((*key).to_owned(), count.copied().unwrap_or(0));
        }
        for peer in &snapshot.peers {
            let rx = format!("stats.knet.node{}.link0.rx_data_packets", peer.node);
            self.last.insert(rx, peer.frames);
        }
        let since = |(key, count): (&String, &u64)| {
            let before = self.cleared.get(key).copied().unwrap_or(0);
            (key.clone(), Value::U64(count.saturating_sub(before)))
        };
        let mut keys: Vec<_> = self.last.iter().map(since).collect();
        for peer in &snapshot.peers {
            links(peer, snapshot, &mut keys);
        }
        let heard = snapshot.peers.iter().filter_map(|peer| peer.heard_ms_ago).min();
        let heard = ("stats.srp.time_since_token_last_received", heard.unwrap_or(0));
        let rotation = ("stats.srp.mtt_rx_token", snapshot.ring.rotation_p50_us / 1000);
        let active = ("stats.ipcs.global.active", snapshot.clients.len() as u64);
        for (key, value) in [heard, rotation, active] {
            keys.push((key.to_owned(), Value::U64(value)));
        }
        for (number, (when_ms, delay_ms)) in self.late.iter().enumerate() {
            let name = |what: &str| format!("stats.schedmiss.{number}.{what}");
            keys.push((name("timestamp"), Value::U64(*when_ms)));
            keys.push((name("delay"), Value::F32(*delay_ms)));
        }
        keys
    }
}

fn links(peer: &Peer, snapshot: &Snapshot, keys: &mut Vec<(String, Value)>) {
    let name = |what: &str| format!("stats.knet.node{}.link0.{what}", peer.node);
    let connected = peer.heard_ms_ago.is_some_and(|ms| ms < HEARD_MS_MAX);
    keys.push((name("enabled"), Value::U8(1)));
    keys.push((name("connected"), Value::U8(connected.into())));
    keys.push((name("mtu"), Value::U32(snapshot.engine.datagram_bytes as u32)));
}
