//! Administration of a node, as programs reach it.

use std::net::IpAddr;
use std::time::Instant;

use services::cfg::{Answer, Notice, Request, Shutdown};
use services::{Answer as Any, Client, Failure};

use crate::cluster::{Cluster, PATIENCE};

fn connect(cluster: &Cluster, node: usize) -> Client {
    Client::connect(&cluster.node_dir(node).join("socket"), PATIENCE).unwrap()
}

fn ask(client: &mut Client, request: Request) -> Result<Any, Failure> {
    client.ask(&services::Request::Cfg(request)).map_err(|error| error.failure())
}

/// Waits until this client is asked whether the node may shut down.
fn wait_for_shutdown(client: &mut Client) -> Shutdown {
    let start = Instant::now();
    loop {
        match client.next_notice().unwrap() {
            Some(services::Notice::Cfg(Notice::Shutdown(how))) => return how,
            Some(other) => panic!("{other:?}"),
            None => {
                assert!(start.elapsed() < PATIENCE, "not asked");
                client.wait(Some(PATIENCE)).unwrap();
            }
        }
    }
}

#[test]
fn nodes_have_addresses_and_links() {
    let mut cluster = Cluster::new(2, "");
    cluster.start(1);
    cluster.start(2);
    cluster.wait_for_members(1, &[1, 2]);
    let mut client = connect(&cluster, 1);
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    for node in [0, 1, 2] {
        let answer = ask(&mut client, Request::NodeAddresses { node });
        assert_eq!(answer, Ok(Any::Cfg(Answer::Addresses(vec![loopback]))));
    }
    assert_eq!(ask(&mut client, Request::NodeAddresses { node: 9 }), Err(Failure::NotExist));
    let answer = ask(&mut client, Request::NodeStatus { node: 2 }).unwrap();
    let Any::Cfg(Answer::Node(node)) = answer else { panic!("{answer:?}") };
    assert!(node.reachable && node.links[0].connected && node.links[0].mtu > 1000);
    assert_eq!(ask(&mut client, Request::NodeStatus { node: 9 }), Err(Failure::FailedOperation));
    let answer = ask(&mut client, Request::Links).unwrap();
    let Any::Cfg(Answer::Links(links)) = answer else { panic!("{answer:?}") };
    assert_eq!((links.len(), links[0].status.as_str()), (1, "n3"));
    assert_eq!(ask(&mut client, Request::Reload), Ok(Any::Done));
    assert_eq!(ask(&mut client, Request::ReopenLogs), Ok(Any::Done));
}

#[test]
fn a_killed_node_leaves_and_says_why() {
    let mut cluster = Cluster::new(2, "");
    cluster.start(1);
    cluster.start(2);
    cluster.wait_for_members(1, &[1, 2]);
    let mut client = connect(&cluster, 1);
    let kill = |node| Request::Kill { node, reason: b"by the test".to_vec() };
    assert_eq!(ask(&mut client, kill(9)), Err(Failure::NotExist));
    assert_eq!(ask(&mut client, kill(2)), Ok(Any::Done));
    assert_eq!(cluster.wait(2).code(), Some(0));
    let log = cluster.log(2);
    assert!(log.contains("leaving killed_by=1 why=") && log.contains("by the test"), "{log}");
    cluster.wait_for_members(1, &[1]);
}

#[test]
fn a_shutdown_can_be_vetoed_and_goes_on_when_nobody_minds() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut tracker = connect(&cluster, 1);
    assert_eq!(ask(&mut tracker, Request::ReplyShutdown { yes: true }), Err(Failure::Access));
    ask(&mut tracker, Request::Track).unwrap();
    let asks = |how| {
        let mut client = connect(&cluster, 1);
        std::thread::spawn(move || ask(&mut client, Request::TryShutdown(how)))
    };
    let asker = asks(Shutdown::Request);
    assert_eq!(wait_for_shutdown(&mut tracker), Shutdown::Request);
    let second = ask(&mut connect(&cluster, 1), Request::TryShutdown(Shutdown::Request));
    assert_eq!(second, Err(Failure::Exist));
    ask(&mut tracker, Request::ReplyShutdown { yes: false }).unwrap();
    assert_eq!(asker.join().unwrap(), Err(Failure::Busy));
    // Silence is a no; a tracker that goes has none.
    let asker = asks(Shutdown::Request);
    wait_for_shutdown(&mut tracker);
    drop(tracker);
    assert_eq!(asker.join().unwrap(), Ok(Any::Done));
    assert_eq!(cluster.wait(1).code(), Some(0));
    // Whatever they say, it goes.
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut tracker = connect(&cluster, 1);
    ask(&mut tracker, Request::Track).unwrap();
    let mut client = connect(&cluster, 1);
    let asker =
        std::thread::spawn(move || ask(&mut client, Request::TryShutdown(Shutdown::Regardless)));
    assert_eq!(wait_for_shutdown(&mut tracker), Shutdown::Regardless);
    // It may be gone before it can say that it has heard.
    let _ = ask(&mut tracker, Request::ReplyShutdown { yes: false });
    assert_eq!(asker.join().unwrap(), Ok(Any::Done));
    assert_eq!(cluster.wait(1).code(), Some(0));
}
