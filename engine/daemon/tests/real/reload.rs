//! Reload: all engines take over what their files say now, or none does; and a key that changes under load.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Event;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PATIENCE};

/// A ring of all nodes.
fn running(nodes: usize, extra: &str) -> Cluster {
    let mut cluster = Cluster::new(nodes, extra);
    (1..=nodes).for_each(|node| cluster.start(node));
    one_ring(&cluster, nodes);
    cluster
}

fn one_ring(cluster: &Cluster, nodes: usize) {
    let members: Vec<u64> = (1..=nodes as u64).collect();
    for node in 1..=nodes {
        cluster.wait_for_members(node, &members);
    }
}

fn seq(cluster: &Cluster, node: usize) -> u64 {
    cluster.status(node).unwrap()["ring"]["seq"].as_u64().unwrap()
}

fn version(cluster: &Cluster, node: usize) -> Value {
    cluster.status(node).unwrap()["cluster"]["config_version"].clone()
}

/// Waits until every node says that it has this version.
fn wait_for_version(cluster: &Cluster, nodes: usize, wanted: u64) {
    let start = Instant::now();
    while !(1..=nodes).all(|node| version(cluster, node) == wanted) {
        assert!(start.elapsed() < PATIENCE, "version {wanted} is not in use everywhere");
        thread::sleep(Duration::from_millis(5));
    }
}

const NAME: &str = "[cluster]\n";

#[test]
fn all_nodes_take_over_what_their_files_say_without_a_new_ring() {
    let cluster = running(3, "");
    let before = seq(&cluster, 1);
    for node in 1..=3 {
        cluster.edit(
            node,
            NAME,
            "[totem]\ntoken_timeout = \"777ms\"\n[cluster]\nconfig_version = 2\n",
        );
        cluster.edit(node, "level = \"debug\"", "level = \"warn\"");
    }
    cluster.edit(2, "[engine]\n", "[memory]\nlarge_slots = 128\n[engine]\n");
    let answer = cluster.reload(3);
    assert_eq!(answer["reload"], "committed", "{answer}");
    assert_eq!(
        answer["notes"],
        json!([{ "node": 2, "text": "needs restart: memory.large_slots" }])
    );
    let changed = answer["changed"].to_string();
    for key in ["cluster.config_version", "totem.token_timeout", "log.level"] {
        assert!(changed.contains(key), "{changed}");
    }
    wait_for_version(&cluster, 3, 2);
    for node in 1..=3 {
        assert_eq!(seq(&cluster, node), before);
        assert_eq!(cluster.status(node).unwrap()["ring"]["token_timeout_us"], 777_000);
        assert!(!cluster.log(node).contains("configuration taken over"), "below the new level");
    }
    // Files that say the same again are taken over as well.
    assert_eq!(cluster.reload(1)["reload"], "committed");
}

#[test]
fn one_bad_file_keeps_all_nodes_as_they_are_and_is_named() {
    let cluster = running(2, "");
    for node in 1..=2 {
        cluster.edit(node, NAME, "[cluster]\nconfig_version = 2\n");
    }
    cluster.edit(2, "level = \"debug\"", "level = \"loud\"");
    let file = cluster.config(2).display().to_string();
    for asked in [1, 2] {
        let answer = cluster.reload(asked);
        assert_eq!((&answer["reload"], &answer["node"]), (&json!("refused"), &json!(2)));
        let why = answer["why"].as_str().unwrap();
        assert!(why.starts_with(&file) && why.contains("log.level = \"loud\""), "{why}");
    }
    // What nodes must agree on: other versions, other lists, keys that cannot change.
    cluster.edit(2, "level = \"loud\"", "level = \"debug\"");
    cluster.edit(2, "config_version = 2", "config_version = 3");
    let why = cluster.reload(1)["why"].to_string();
    assert!(why.contains("config_version = 3: node 1's file has 2"), "{why}");
    cluster.edit(2, "config_version = 3", "config_version = 2");
    cluster.edit(1, "name = \"test-", "name = \"best-");
    let why = cluster.reload(1)["why"].to_string();
    assert!(why.contains("cluster.name: differs from the one in use"), "{why}");
    assert_eq!((version(&cluster, 1), version(&cluster, 2)), (json!(0), json!(0)));
}

#[test]
fn nodes_come_and_go_without_a_restart() {
    let mut cluster = Cluster::new(3, "");
    let third = cluster.listing(3);
    for node in 1..=2 {
        cluster.edit(node, &third, "");
        cluster.start(node);
    }
    one_ring(&cluster, 2);
    let before = seq(&cluster, 1);
    for node in 1..=2 {
        cluster.edit(node, "[engine]\n", &format!("{third}[engine]\n"));
    }
    let why = cluster.reload(1)["why"].to_string();
    assert!(why.contains("cluster.config_version = 0: the node list, or another key"), "{why}");
    for node in 1..=3 {
        cluster.edit(node, NAME, "[cluster]\nconfig_version = 2\n");
    }
    assert_eq!(cluster.reload(2)["reload"], "committed");
    wait_for_version(&cluster, 2, 2);
    assert_eq!(seq(&cluster, 1), before, "no view change");
    cluster.start(3);
    one_ring(&cluster, 3);
    // A member cannot be taken out; once stopped it can.
    for node in 1..=2 {
        cluster.edit(node, &third, "");
        cluster.edit(node, "config_version = 2", "config_version = 3");
    }
    let answer = cluster.reload(1);
    assert_eq!(answer["reload"], "refused", "{answer}");
    cluster.signal(3, Signal::TERM);
    assert_eq!(cluster.wait(3).code(), Some(0));
    one_ring(&cluster, 2);
    assert_eq!(cluster.reload(1)["reload"], "committed");
    wait_for_version(&cluster, 2, 3);
    cluster.start(3);
    cluster.wait_for_members(3, &[3]);
    one_ring(&cluster, 2);
}

#[test]
fn a_node_that_missed_a_reload_follows_as_soon_as_its_file_is_right() {
    let mut cluster = running(3, "");
    cluster.signal(3, Signal::KILL);
    cluster.wait(3);
    cluster.wait_for_members(1, &[1, 2]);
    for node in 1..=2 {
        cluster.edit(node, NAME, "[cluster]\nconfig_version = 2\n");
    }
    cluster.wait_for_members(2, &[1, 2]);
    assert_eq!(cluster.reload(1)["reload"], "committed");
    // With its old file it stays out and says what is wrong.
    cluster.start(3);
    cluster.wait_for_members(3, &[3]);
    let start = Instant::now();
    while !cluster.log(3).contains("another ring has version 2") {
        assert!(start.elapsed() < PATIENCE, "it does not say why: {}", cluster.log(3));
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(version(&cluster, 3), json!(0));
    // Nobody asks for a reload: it looks at its file again.
    cluster.edit(3, NAME, "[cluster]\nconfig_version = 2\n");
    one_ring(&cluster, 3);
    assert_eq!(version(&cluster, 3), json!(2));
}

fn write_key(file: &Path, byte: &str) {
    std::fs::write(file, byte.repeat(32)).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// One ring of three nodes that share a key.
fn encrypted() -> Cluster {
    let mut cluster =
        Cluster::new(3, "[security]\nencryption = \"aes-256-gcm\"\nkey_file = \"key\"\n");
    for node in 1..=3 {
        write_key(&cluster.node_dir(node).join("key"), "5a");
        cluster.start(node);
    }
    one_ring(&cluster, 3);
    cluster
}

fn epoch(cluster: &Cluster, node: usize) -> Value {
    cluster.status(node).unwrap()["security"]["sending_epoch"].clone()
}

/// Publishes until told to stop, and reads all its own messages back; gives how many.
fn talk(cluster: &Cluster, node: usize, stop: &AtomicBool) -> u64 {
    let mut client = cluster.client(node);
    let group = client.join(format!("talk {node}").as_bytes()).unwrap();
    let (mut sent, mut seen) = (0_u64, 0_u64);
    let start = Instant::now();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && seen == sent {
            return seen;
        }
        assert!(start.elapsed() < 3 * PATIENCE, "{seen} of {sent} messages came back");
        // Few enough under way that each comes back soon, enough to keep the ring busy.
        while !stopping && sent < seen + 64 {
            client.publish(&group, &sent.to_le_bytes()).unwrap();
            sent += 1;
        }
        match client.recv(Some(Duration::from_millis(100))) {
            Some(Event::Message(message)) => {
                assert_eq!(message.bytes, seen.to_le_bytes(), "lost or twice");
                seen += 1;
            }
            Some(Event::Evicted(_) | Event::Disconnected) => panic!("thrown out"),
            _ => {}
        }
    }
}

#[test]
fn a_new_key_under_load_loses_no_message_and_no_member() {
    let mut cluster = encrypted();
    let (before, old) = (seq(&cluster, 1), epoch(&cluster, 1));
    let stop = AtomicBool::new(false);
    let counts: Vec<u64> = thread::scope(|scope| {
        let talkers: Vec<_> = (1..=3)
            .map(|node| {
                scope.spawn({
                    let (cluster, stop) = (&cluster, &stop);
                    move || talk(cluster, node, stop)
                })
            })
            .collect();
        // One file is still the old one.
        write_key(&cluster.node_dir(1).join("key"), "c3");
        write_key(&cluster.node_dir(2).join("key"), "c3");
        let why = cluster.reload(1)["why"].to_string();
        assert!(why.contains("another key than node 1's"), "{why}");
        write_key(&cluster.node_dir(3).join("key"), "c3");
        let answer = cluster.reload(1);
        assert_eq!((&answer["reload"], &answer["new_key"]), (&json!("committed"), &json!(true)));
        let start = Instant::now();
        while (1..=3).any(|node| epoch(&cluster, node) == old) {
            assert!(start.elapsed() < PATIENCE, "the new key is not in use");
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        talkers.into_iter().map(|talker| talker.join().unwrap()).collect()
    });
    assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
    assert_eq!((seq(&cluster, 1), seq(&cluster, 3)), (before, before), "no view change");
    // A node that starts again right after, with the new file only, gets in.
    cluster.signal(2, Signal::KILL);
    cluster.wait(2);
    cluster.start(2);
    one_ring(&cluster, 3);
    assert_eq!(epoch(&cluster, 2), epoch(&cluster, 1));
}

#[test]
fn a_node_that_restarts_with_the_new_key_before_the_others_take_it_over_gets_in_then() {
    let mut cluster = encrypted();
    for node in 1..=3 {
        write_key(&cluster.node_dir(node).join("key"), "c3");
    }
    cluster.signal(3, Signal::KILL);
    cluster.wait(3);
    cluster.start(3);
    cluster.wait_for_members(3, &[3]);
    cluster.wait_for_members(1, &[1, 2]);
    cluster.wait_for_members(2, &[1, 2]);
    assert_eq!(cluster.reload(2)["reload"], "committed");
    one_ring(&cluster, 3);
}
