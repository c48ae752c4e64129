//! Real engines on loopback, with real programs.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PATIENCE};
use client::{Client, Event};
use rustix::process::Signal;

/// Reads until `count` messages came; their texts in order.
fn messages(client: &mut Client, count: usize) -> Vec<String> {
    let start = Instant::now();
    let mut texts = Vec::new();
    while texts.len() < count {
        match client.recv(Some(Duration::from_millis(100))) {
            Some(Event::Message(message)) => {
                texts.push(String::from_utf8(message.bytes.to_vec()).unwrap());
            }
            Some(Event::Evicted(_) | Event::Disconnected) => panic!("thrown out"),
            _ => assert!(start.elapsed() < PATIENCE, "{} of {count} messages", texts.len()),
        }
    }
    texts
}

fn order_is_one(extra: &str) {
    let mut cluster = Cluster::new(2, extra);
    cluster.start(1);
    cluster.start(2);
    cluster.wait_for_members(1, &[1, 2]);
    cluster.wait_for_members(2, &[1, 2]);
    let (mut first, mut second) = (cluster.client(1), cluster.client(2));
    let groups = (first.join(b"g").unwrap(), second.join(b"g").unwrap());
    let start = Instant::now();
    let both = |event: Event<'_>| matches!(event, Event::View(view) if view.members.len() == 2);
    while !first.recv(Some(Duration::from_millis(100))).is_some_and(both) {
        assert!(start.elapsed() < PATIENCE, "the second member does not show");
    }
    for number in 0..500 {
        first.publish(&groups.0, format!("first {number}").as_bytes()).unwrap();
        second.publish(&groups.1, format!("second {number}").as_bytes()).unwrap();
    }
    let large = "x".repeat(1 << 20);
    first.publish(&groups.0, large.as_bytes()).unwrap();
    let seen = (messages(&mut first, 1001), messages(&mut second, 1001));
    assert!(seen.0 == seen.1, "the orders differ");
    assert_eq!(seen.0.iter().filter(|text| **text == large).count(), 1);
    for sender in ["first", "second"] {
        let own: Vec<_> = seen.0.iter().filter(|text| text.starts_with(sender)).collect();
        let expected: Vec<_> = (0..500).map(|number| format!("{sender} {number}")).collect();
        assert!(own.into_iter().eq(&expected), "{sender}'s messages");
    }
}

#[test]
fn two_engines_give_their_programs_one_order() {
    order_is_one("");
}

#[test]
fn an_engine_that_always_sleeps_orders_as_well() {
    order_is_one("idle = \"park\"\n");
}

#[test]
fn an_engine_that_never_sleeps_orders_as_well() {
    order_is_one("idle = \"busy\"\n");
}

#[test]
fn encrypted_engines_order_as_well() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    order_is_one(&format!("[security]\nencryption = \"aes-256-gcm\"\nkey_file = {key:?}\n"));
}

#[test]
fn sigterm_leaves_gracefully_and_the_other_goes_on() {
    let mut cluster = Cluster::new(2, "");
    cluster.start(1);
    cluster.start(2);
    cluster.wait_for_members(1, &[1, 2]);
    let mut watcher = cluster.client(1);
    let group = watcher.join(b"g").unwrap();
    cluster.signal(2, Signal::TERM);
    assert_eq!(cluster.wait(2).code(), Some(0), "{}", cluster.log(2));
    cluster.wait_for_members(1, &[1]);
    assert!(cluster.log(1).contains("cause=peer-left"), "{}", cluster.log(1));
    watcher.publish(&group, b"alone").unwrap();
    assert_eq!(messages(&mut watcher, 1), ["alone"]);
    assert!(!cluster.node_dir(2).join("socket").exists(), "the socket file stays behind");
    // It comes back, with a ring number that was never used.
    let before = cluster.status(1).unwrap()["ring"]["seq"].as_u64().unwrap();
    cluster.start(2);
    let after = cluster.wait_for_members(2, &[1, 2])["ring"]["seq"].as_u64().unwrap();
    assert!(after > before);
}

#[test]
fn a_killed_engine_is_missed_at_once_and_its_recorder_tells() {
    let mut cluster = Cluster::new(2, "");
    cluster.start(1);
    cluster.start(2);
    cluster.wait_for_members(1, &[1, 2]);
    cluster.wait_for_members(2, &[1, 2]);
    cluster.signal(2, Signal::KILL);
    let start = Instant::now();
    cluster.wait(2);
    cluster.wait_for_members(1, &[1]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let file = cluster.node_dir(2).join("state/blackbox");
    let events = synchrotron_daemon::blackbox::read(&file).unwrap().events;
    let texts: Vec<_> = events.iter().map(|event| event.text()).collect();
    assert_eq!(texts.first(), Some(&"engine started"));
    assert!(texts.contains(&"operational"), "{texts:?}");
    let page = std::fs::read(cluster.node_dir(2).join("state/counters")).unwrap();
    let page = synchrotron_daemon::page::parse(&page).unwrap();
    let turns = page.values.iter().find(|(name, _)| name == "engine.turns").unwrap().1;
    assert!(turns > 0);
    // The file goes on where the dead engine left off.
    cluster.start(2);
    cluster.wait_for_members(2, &[1, 2]);
    let again = synchrotron_daemon::blackbox::read(&file).unwrap().events;
    assert_eq!(again[..events.len()], events);
    assert!(again.len() > events.len());
}

#[test]
fn an_idle_engine_sleeps() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let stat = format!("/proc/{}/stat", cluster.pid(1));
    let ticks = || {
        let text = std::fs::read_to_string(&stat).unwrap();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    // A tick is 10 ms: less than 5 % of one core.
    assert!(ticks() - before < 5, "{} ticks in a second of idleness", ticks() - before);
}
