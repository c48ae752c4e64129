//! What happened at an engine between two looks at it.

use serde::Serialize;
use serde_json::Value;

/// One interval, as the screen and `--json` show it. Rates are per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) cluster: String,
    pub(crate) node: u64,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) pid: u64,
    pub(crate) uptime_s: u64,
    pub(crate) ring: Ring,
    pub(crate) rates: Rates,
    pub(crate) pool_small_used_percent: f64,
    pub(crate) pool_large_used_percent: f64,
    pub(crate) groups: u64,
    pub(crate) peers: Vec<Peer>,
    pub(crate) clients: Vec<Client>,
}

/// The ring now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Ring {
    pub(crate) state: String,
    pub(crate) seq: u64,
    pub(crate) rep: u64,
    pub(crate) members: Vec<u64>,
    pub(crate) quorate: bool,
    pub(crate) resting: bool,
    pub(crate) last_cause: String,
    pub(crate) token_timeout_us: u64,
    pub(crate) rotation_p50_us: u64,
    pub(crate) rotation_p999_us: u64,
}

/// What was counted, per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    pub(crate) messages_sent: f64,
    pub(crate) messages_delivered: f64,
    pub(crate) frames_sent: f64,
    pub(crate) frames_delivered: f64,
    pub(crate) bytes_sent: f64,
    pub(crate) bytes_received: f64,
    pub(crate) token_visits: f64,
    pub(crate) retransmissions: f64,
    pub(crate) datagrams_dropped: f64,
    pub(crate) sleeps: f64,
    pub(crate) copies_for_slow_readers: f64,
    pub(crate) readers_evicted: f64,
}

/// Another node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Peer {
    pub(crate) node: u64,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) member: bool,
    pub(crate) heard_ms_ago: Option<u64>,
    pub(crate) frames: f64,
    pub(crate) drops: u64,
}

/// A local program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Client {
    pub(crate) session: u64,
    pub(crate) pid: u64,
    pub(crate) uid: u64,
    pub(crate) groups: u64,
    pub(crate) backlog_bytes: u64,
    pub(crate) submitted_bytes: u64,
    pub(crate) on_delivery_ring: bool,
}

impl Sample {
    /// What `after` says, and how its counters differ from `before`, `seconds` earlier. The counters of
    /// an engine that was started in between begin at zero: then nothing is said to have happened.
    pub(crate) fn between(before: &Value, after: &Value, seconds: f64) -> Self {
        let same = before["pid"] == after["pid"];
        let since = |path: &str| {
            let count = |status: &Value| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
            if same { count(after).saturating_sub(count(before)) as f64 / seconds } else { 0.0 }
        };
        let ring = ring(after);
        Self {
            cluster: text(&after["cluster"]["name"]),
            node: number(&after["node"]["id"]),
            name: text(&after["node"]["name"]),
            version: text(&after["version"]),
            pid: number(&after["pid"]),
            uptime_s: number(&after["uptime_s"]),
            rates: rates(&since, before, after, same, seconds),
            pool_small_used_percent: used_percent(&after["pool"], "small"),
            pool_large_used_percent: used_percent(&after["pool"], "large"),
            groups: items(&after["groups"]["list"]).len() as u64,
            peers: peers(before, after, &ring.members, &since),
            clients: items(&after["clients"]).iter().map(client).collect(),
            ring,
        }
    }
}

fn rates(
    since: &dyn Fn(&str) -> f64,
    before: &Value,
    after: &Value,
    same: bool,
    seconds: f64,
) -> Rates {
    let dropped = |status: &Value| -> u64 {
        let counters = status["counters"]["link"].as_object().into_iter().flatten();
        let drops = counters.filter(|(name, _)| name.starts_with("drop_"));
        drops.map(|(_, count)| number(count)).sum()
    };
    let dropped = match same {
        true => dropped(after).saturating_sub(dropped(before)) as f64 / seconds,
        false => 0.0,
    };
    Rates {
        messages_sent: since("/counters/groups/messages_sent"),
        messages_delivered: since("/counters/groups/messages_delivered"),
        frames_sent: since("/counters/totem/frames_sent"),
        frames_delivered: since("/counters/totem/frames_delivered"),
        bytes_sent: since("/counters/transport/bytes_sent"),
        bytes_received: since("/counters/transport/bytes_received"),
        token_visits: since("/counters/totem/token_visits"),
        retransmissions: since("/counters/totem/retransmissions"),
        datagrams_dropped: dropped,
        sleeps: since("/counters/engine/parks"),
        copies_for_slow_readers: since("/counters/sessions/copied_items"),
        readers_evicted: since("/counters/sessions/evicted"),
    }
}

fn ring(status: &Value) -> Ring {
    let ring = &status["ring"];
    Ring {
        state: text(&ring["state"]),
        seq: number(&ring["seq"]),
        rep: number(&ring["rep"]),
        members: items(&ring["members"]).iter().map(number).collect(),
        quorate: status["quorum"]["quorate"] == true,
        resting: ring["resting"] == true,
        last_cause: text(&ring["last_gather"]["cause"]),
        token_timeout_us: number(&ring["token_timeout_us"]),
        rotation_p50_us: number(&ring["rotation_p50_us"]),
        rotation_p999_us: number(&ring["rotation_p999_us"]),
    }
}

fn peers(before: &Value, after: &Value, members: &[u64], since: &dyn Fn(&str) -> f64) -> Vec<Peer> {
    let place =
        |node: &Value| items(&before["peers"]).iter().position(|peer| peer["node"] == *node);
    let peer = |(index, peer): (usize, &Value)| Peer {
        node: number(&peer["node"]),
        name: text(&peer["name"]),
        address: text(&peer["address"]),
        member: members.contains(&number(&peer["node"])),
        heard_ms_ago: peer["heard_ms_ago"].as_u64(),
        // A changed list of nodes moves peers: a rate is given only where both looks have it in one place.
        frames: match place(&peer["node"]) == Some(index) {
            true => since(&format!("/peers/{index}/frames")),
            false => 0.0,
        },
        drops: peer["drops"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, count)| number(count))
            .sum(),
    };
    items(&after["peers"]).iter().enumerate().map(peer).collect()
}

fn client(client: &Value) -> Client {
    Client {
        session: number(&client["session"]),
        pid: number(&client["pid"]),
        uid: number(&client["uid"]),
        groups: number(&client["groups"]),
        backlog_bytes: number(&client["backlog_bytes"]),
        submitted_bytes: number(&client["submitted_bytes"]),
        on_delivery_ring: client["on_delivery_ring"] == true,
    }
}

fn used_percent(pool: &Value, class: &str) -> f64 {
    let slots = |what: &str| number(&pool[format!("{class}_{what}")]) as f64;
    let total = slots("total");
    if total == 0.0 { 0.0 } else { 100.0 * (total - slots("free")) / total }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// An engine's answer with these counts.
    pub(crate) fn status(pid: u64, delivered: u64, from_peer: u64, bad_tags: u64) -> Value {
        json!({
            "version": "0.1.0", "pid": pid, "uptime_s": 61,
            "node": { "id": 1, "name": "alpha" },
            "cluster": { "name": "west" },
            "ring": { "state": "operational", "seq": 9, "rep": 1, "members": [1, 2], "rotation_p50_us": 40,
                "last_gather": { "cause": "Start" } },
            "quorum": { "quorate": true },
            "peers": [
                { "node": 2, "name": "beta", "address": "10.0.0.2:5405", "heard_ms_ago": 3,
                  "frames": from_peer, "drops": { "bad_tag": bad_tags } },
                { "node": 3, "name": "gamma", "address": "10.0.0.3:5405", "heard_ms_ago": null,
                  "frames": 0, "drops": {} },
            ],
            "groups": { "list": [{}] },
            "clients": [{ "session": 7, "pid": 77, "uid": 0, "groups": 1, "backlog_bytes": 5,
                "submitted_bytes": 0, "on_delivery_ring": true }],
            "pool": { "small_free": 75, "small_total": 100, "large_free": 8, "large_total": 8 },
            "counters": {
                "groups": { "messages_delivered": delivered },
                "link": { "drop_bad_tag": bad_tags, "opened": 1000 },
            },
        })
    }

    #[test]
    fn rates_are_differences_over_the_time() {
        let sample = Sample::between(&status(5, 100, 10, 1), &status(5, 1100, 30, 5), 2.0);
        assert_eq!(sample.rates.messages_delivered, 500.0);
        assert_eq!(sample.rates.datagrams_dropped, 2.0);
        assert_eq!(sample.peers[0].frames, 10.0);
        assert!(sample.peers[0].member && !sample.peers[1].member);
        assert_eq!(sample.pool_small_used_percent, 25.0);
        assert_eq!(sample.clients[0].backlog_bytes, 5);
    }

    #[test]
    fn a_new_engine_has_no_rates_yet() {
        let sample = Sample::between(&status(5, 100, 10, 9), &status(6, 1100, 30, 1), 2.0);
        assert_eq!(sample.rates, Rates::default());
        assert_eq!(sample.peers[0].frames, 0.0);
    }

    #[test]
    fn peers_that_moved_in_the_list_have_no_rate() {
        let mut before = status(5, 0, 10, 0);
        before["peers"].as_array_mut().unwrap().reverse();
        let sample = Sample::between(&before, &status(5, 0, 30, 0), 1.0);
        assert_eq!(sample.peers[0].frames, 0.0);
    }

    #[test]
    fn an_answer_without_the_fields_is_shown_as_nothing() {
        let sample = Sample::between(&json!({}), &json!({ "peers": 3 }), 1.0);
        assert_eq!(sample, Sample::default());
    }
}
