//! Votes of real engines: what is expected when the node list changes, and what a node owes when it restarts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, PATIENCE};

const VOTES: &str = "[quorum]\nprovider = \"votequorum\"\n";

/// Waits until something is as it should be.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Expected votes, votes that are there, votes needed, quorate: as a node says.
fn votes(cluster: &Cluster, node: usize) -> [Value; 4] {
    // It may have only just been started.
    let quorum = cluster.status(node).map_or(Value::Null, |status| status["quorum"].clone());
    let of = |key: &str| quorum["votes"][key].clone();
    [of("expected_votes"), of("total_votes"), of("quorum"), quorum["quorate"].clone()]
}

fn wait_for_votes(cluster: &Cluster, nodes: usize, wanted: [Value; 4]) {
    let all = || (1..=nodes).map(|node| votes(cluster, node)).collect::<Vec<_>>();
    let what = format!("not all nodes say {wanted:?}");
    wait_until(&what, || all().iter().all(|found| *found == wanted));
}

/// How long others may act on a node after its end, as its disk says, in nanoseconds.
fn owed_ns(cluster: &Cluster, node: usize) -> u64 {
    let file = std::fs::read_to_string(cluster.node_dir(node).join("state/ring")).unwrap();
    let times = file.lines().filter_map(|line| line.strip_prefix("synchrotron-ring-3 "));
    let times = times.map(|line| line.split(' ').nth(1).unwrap().parse().unwrap());
    times.max().unwrap()
}

#[test]
fn expected_votes_follow_the_node_list() {
    let mut cluster = Cluster::new(4, VOTES);
    let listing = |node| cluster.listing(node);
    let (third, fourth) = (listing(3), listing(4));
    for node in 1..=2 {
        cluster.edit(node, &(third.clone() + &fourth), "");
        cluster.start(node);
    }
    wait_for_votes(&cluster, 2, [json!(2), json!(2), json!(2), json!(true)]);
    for node in 1..=4 {
        if node <= 2 {
            cluster.edit(node, "[engine]\n", &format!("{third}{fourth}[engine]\n"));
        }
        cluster.edit(node, "[cluster]\n", "[cluster]\nconfig_version = 2\n");
    }
    assert_eq!(cluster.reload(1)["reload"], "committed");
    // Two of four are no quorum: the two that were may not act before one of the others is there.
    wait_for_votes(&cluster, 2, [json!(4), json!(2), json!(3), json!(false)]);
    cluster.start(3);
    wait_for_votes(&cluster, 3, [json!(4), json!(3), json!(3), json!(true)]);
    cluster.start(4);
    wait_for_votes(&cluster, 4, [json!(4), json!(4), json!(3), json!(true)]);
    // Two that are taken out again are no longer expected.
    for node in 3..=4 {
        cluster.signal(node, rustix::process::Signal::TERM);
        assert_eq!(cluster.wait(node).code(), Some(0));
    }
    wait_for_votes(&cluster, 2, [json!(4), json!(2), json!(3), json!(false)]);
    for node in 1..=2 {
        cluster.edit(node, &(third.clone() + &fourth), "");
        cluster.edit(node, "config_version = 2", "config_version = 3");
    }
    assert_eq!(cluster.reload(2)["reload"], "committed");
    wait_for_votes(&cluster, 2, [json!(2), json!(2), json!(2), json!(true)]);
}

#[test]
fn what_a_node_may_owe_is_stored_before_it_is_owed_and_lowered_after() {
    let timeout = |ms: u64| format!("token_timeout = \"{ms}ms\"\n");
    let mut cluster = Cluster::new(2, &format!("{VOTES}[totem]\n{}", timeout(300)));
    (1..=2).for_each(|node| cluster.start(node));
    wait_for_votes(&cluster, 2, [json!(2), json!(2), json!(2), json!(true)]);
    let first = owed_ns(&cluster, 1);
    assert!(first > 600_000_000, "{first}");
    let change = |version: u64, from: u64, to: u64| {
        for node in 1..=2 {
            cluster.edit(node, &timeout(from), &timeout(to));
        }
        // The bound is one of the things that nodes agree on.
        let why = cluster.reload(1)["why"].to_string();
        assert!(why.contains("another key that nodes must agree on"), "{why}");
        for node in 1..=2 {
            let was = format!("config_version = {}\n", version - 1);
            let was = if version == 2 { String::new() } else { was };
            let now = format!("[cluster]\nconfig_version = {version}\n");
            cluster.edit(node, &format!("[cluster]\n{was}"), &now);
        }
        assert_eq!(cluster.reload(1)["reload"], "committed");
    };
    change(2, 300, 1200);
    let longer = owed_ns(&cluster, 2);
    assert!(longer > 2 * first, "{longer} after {first}");
    change(3, 1200, 100);
    // The second node restarts at once under the lower bound and still knows.
    cluster.signal(2, rustix::process::Signal::KILL);
    let _ = cluster.wait(2);
    assert_eq!(owed_ns(&cluster, 2), longer);
    cluster.start(2);
    wait_for_votes(&cluster, 2, [json!(2), json!(2), json!(2), json!(true)]);
    wait_until("it is lowered when the longer one has passed", || {
        (1..=2).all(|node| owed_ns(&cluster, node) < first)
    });
}

#[test]
fn two_nodes_become_three_and_two_node_goes_in_one_reload() {
    let mut cluster = Cluster::new(3, &format!("{VOTES}two_node = true\n"));
    let third = cluster.listing(3);
    for node in 1..=2 {
        cluster.edit(node, &third, "");
        cluster.start(node);
    }
    wait_for_votes(&cluster, 2, [json!(2), json!(2), json!(1), json!(true)]);
    for node in 1..=3 {
        if node <= 2 {
            cluster.edit(node, "[engine]\n", &format!("{third}[engine]\n"));
        }
        cluster.edit(node, "two_node = true\n", "");
        cluster.edit(node, "[cluster]\n", "[cluster]\nconfig_version = 2\n");
    }
    assert_eq!(cluster.reload(1)["reload"], "committed");
    wait_for_votes(&cluster, 2, [json!(3), json!(2), json!(2), json!(true)]);
    cluster.start(3);
    wait_for_votes(&cluster, 3, [json!(3), json!(3), json!(2), json!(true)]);
    // A vote more for one of them, and then what cannot be.
    for node in 1..=3 {
        cluster.edit(node, &third, &format!("{third}votes = 2\n"));
        cluster.edit(node, "config_version = 2", "config_version = 3");
    }
    assert_eq!(cluster.reload(2)["reload"], "committed");
    wait_for_votes(&cluster, 3, [json!(4), json!(4), json!(3), json!(true)]);
    for node in 1..=3 {
        cluster.edit(node, VOTES, &format!("{VOTES}two_node = true\ndevice = \"net\"\n"));
        cluster.edit(node, "config_version = 3", "config_version = 4");
    }
    let why = cluster.reload(3)["why"].to_string();
    assert!(why.contains("quorum.two_node and quorum.device exclude each other"), "{why}");
    wait_for_votes(&cluster, 3, [json!(4), json!(4), json!(3), json!(true)]);
}
