//! Cluster services as programs reach them.

use client::{Client, Control, Options};
use rustix::event::{PollFd, PollFlags, poll};
use services::{Answer, Error, Failure, Request, cfg, codec, cpg};

use crate::cluster::{Cluster, PATIENCE};

fn connect(cluster: &Cluster, node: usize) -> services::Client {
    services::Client::connect(&cluster.node_dir(node).join("socket"), PATIENCE).unwrap()
}

#[test]
fn a_program_asks_on_one_socket_and_is_told_on_another() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut services = connect(&cluster, 1);
    let local = services.ask(&Request::Cfg(cfg::Request::LocalGet)).unwrap();
    assert_eq!(local, Answer::Cfg(cfg::Answer::Local { node: 1 }));
    assert_eq!(services.node(), 1);
    assert!(services.next_notice().unwrap().is_none());

    // Programs check on the socket for notices who their engine is.
    let fd = services.notices_fd().unwrap();
    let peer = rustix::net::sockopt::socket_peercred(fd).unwrap();
    assert_eq!(peer.uid, rustix::process::geteuid());
    assert_ne!(peer.pid, rustix::process::getpid());
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let quiet = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).unwrap();
    assert_eq!(quiet, 0, "nothing was said, so nothing is readable");

    // And they learn of its end there.
    cluster.signal(1, rustix::process::Signal::KILL);
    assert!(services.wait(Some(PATIENCE)).unwrap());
    let fd = services.notices_fd().unwrap();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&now)).unwrap();
    assert!(fds[0].revents().contains(PollFlags::IN | PollFlags::HUP));
    assert!(matches!(services.next_notice(), Err(Error::Ended(_))));
    let after = services.ask(&Request::Cfg(cfg::Request::LocalGet)).unwrap_err();
    assert_eq!(after.failure(), Failure::Library);
}

#[test]
fn groups_are_listed_for_those_who_are_in_none() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut program: Client = cluster.client(1);
    program.join(b"one\0").unwrap();
    let mut services = connect(&cluster, 1);
    let groups = services.ask(&Request::Cpg(cpg::Request::Groups)).unwrap();
    let member = cpg::Member { node: 1, pid: std::process::id() };
    let group = cpg::Group { name: b"one\0".to_vec(), members: vec![member] };
    assert_eq!(groups, Answer::Cpg(cpg::Answer::Groups(vec![group])));
    let flow = services.ask(&Request::Cpg(cpg::Request::Flow)).unwrap();
    let Answer::Cpg(cpg::Answer::Flow { synced, members, .. }) = flow else { panic!("{flow:?}") };
    assert!(synced && members == [1]);
}

#[test]
fn questions_of_other_versions_and_nonsense_are_answered() {
    let mut cluster = Cluster::new(1, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let path = cluster.node_dir(1).join("socket");
    let mut control = Control::connect(&path, Options::default().connect_timeout).unwrap();
    let mut ask = |bytes: &[u8]| {
        let answer = control.ask(bytes, PATIENCE).unwrap();
        codec::decode::<services::Reply>(&answer).unwrap()
    };
    assert_eq!(ask(&[codec::MARK, codec::VERSION + 1, 0]), Err(Failure::NotSupported));
    assert_eq!(ask(&[codec::MARK, codec::VERSION, 99]), Err(Failure::InvalidParameter));
    assert_eq!(ask(&[codec::MARK]), Err(Failure::InvalidParameter));
    assert!(ask(&codec::encode(&Request::Cfg(cfg::Request::LocalGet))).is_ok());
}
