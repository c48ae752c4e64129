//! Two links between two engines, as status, administration and a reload know them.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use services::cfg::{Answer, Request};
use services::{Answer as Any, Client};

use crate::cluster::{Cluster, PATIENCE};

/// A ring of two engines on 127.0.0.1, with a second link on 127.0.0.2; that of node 2 may be elsewhere.
fn running(elsewhere: Option<&str>, transport: &str) -> Cluster {
    let mut cluster = Cluster::new(2, "");
    for node in 1..=2 {
        cluster.edit(node, "[transport]\n", &format!("[transport]\n{transport}"));
        for peer in 1..=2 {
            let listing = cluster.listing(peer);
            let other = elsewhere.filter(|_| peer == 2).unwrap_or("127.0.0.2");
            let address = listing.split('"').nth(1).unwrap().replace("127.0.0.1", other);
            cluster.edit(node, &listing, &format!("{listing}links = [\"{address}\"]\n"));
        }
    }
    (1..=2).for_each(|node| cluster.start(node));
    cluster.wait_for_members(1, &[1, 2]);
    cluster
}

/// Waits until the status of node 1 is as wanted.
fn wait_for(cluster: &Cluster, what: &str, wanted: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    loop {
        let status = cluster.status(1).unwrap();
        if wanted(&status) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {:#}", status["peers"]);
        thread::sleep(Duration::from_millis(5));
    }
}

fn in_use(status: &Value) -> Vec<bool> {
    let links = status["links"].as_array().unwrap().iter();
    links.map(|link| link["in_use"].as_bool().unwrap()).collect()
}

#[test]
fn links_are_shown_and_a_reload_moves_the_ring_to_another() {
    let cluster = running(None, "link_priorities = [2, 1]\n");
    let up = |status: &Value| {
        let links = status["peers"][0]["links"].as_array().unwrap();
        links.len() == 2 && links.iter().all(|link| link["state"] == "up")
    };
    wait_for(&cluster, "both links work", |status| up(status) && in_use(status) == [true, false]);
    let seq = cluster.status(1).unwrap()["ring"]["seq"].clone();

    let socket = cluster.node_dir(1).join("socket");
    let mut client = Client::connect(&socket, PATIENCE).unwrap();
    let mut ask = |request| client.ask(&services::Request::Cfg(request)).unwrap();
    let addresses: Vec<IpAddr> = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse().unwrap()).into();
    let answer = ask(Request::NodeAddresses { node: 2 });
    assert_eq!(answer, Any::Cfg(Answer::Addresses(addresses)));
    let answer = ask(Request::NodeStatus { node: 2 });
    let Any::Cfg(Answer::Node(node)) = answer else { panic!("{answer:?}") };
    assert!(node.links.len() == 2 && node.links.iter().all(|link| link.connected), "{node:?}");
    assert_eq!((node.links[1].number, node.links[1].source.as_str()), (1, "127.0.0.2"));
    let answer = ask(Request::Links);
    let Any::Cfg(Answer::Links(links)) = answer else { panic!("{answer:?}") };
    assert_eq!(links.iter().map(|link| link.status.as_str()).collect::<Vec<_>>(), ["n3", "n3"]);

    for node in 1..=2 {
        cluster.edit(node, "link_priorities = [2, 1]", "link_priorities = [1, 7]");
    }
    assert_eq!(cluster.reload(2)["reload"], "committed");
    wait_for(&cluster, "the better link is used", |status| in_use(status) == [false, true]);
    assert_eq!(cluster.status(1).unwrap()["ring"]["seq"], seq, "the ring is the same");
    for node in 1..=2 {
        cluster.edit(node, "127.0.0.2", "127.0.0.3");
    }
    let refused = cluster.reload(1).to_string();
    assert!(refused.contains("nodes.links"), "{refused}");
}

#[test]
fn an_engine_starts_without_a_link_that_is_not_there() {
    // Nobody has this address (RFC 5737).
    let cluster = running(Some("203.0.113.77"), "");
    wait_for_log(&cluster, "looked for every second: link 1: ");
    runs_on_link_0(&cluster, "udp");
}

#[test]
fn an_engine_starts_on_udp_where_there_is_no_rdma() {
    // No RDMA device has the address, if the host has any and the engine was built with verbs.
    let cluster = running(None, "link_kinds = [\"udp\", \"verbs\"]\n");
    wait_for_log(&cluster, "not used until the next start: link 1: transport kind ");
    runs_on_link_0(&cluster, "verbs");
}

fn wait_for_log(cluster: &Cluster, wanted: &str) {
    let start = Instant::now();
    while !cluster.log(2).contains(wanted) {
        assert!(start.elapsed() < PATIENCE, "{}", cluster.log(2));
        thread::sleep(Duration::from_millis(5));
    }
}

/// Link 0 carries everything, and link 1, of this kind, is not there.
fn runs_on_link_0(cluster: &Cluster, kind: &str) {
    let status = cluster.status(2).unwrap();
    assert_eq!(status["links"][1]["datagram_bytes"], 0, "{status:#}");
    assert_eq!(
        (&status["links"][0]["kind"], &status["links"][1]["kind"]),
        (&"udp".into(), &kind.into())
    );
    wait_for(cluster, "link 0 works and link 1 does not", |status| {
        let links = &status["peers"][0]["links"];
        links[0]["state"] == "up" && links[1]["state"] == "down" && in_use(status) == [true, false]
    });
}
