//! Cluster services as programs reach them.

use client::{Client, Control, Options};
use rustix::event::{PollFd, PollFlags, poll};
use services::{
    Answer, Error, Failure, Notice, Request, Track, cfg, codec, cpg, quorum, votequorum,
};

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

fn ask(program: &mut services::Client, request: votequorum::Request) -> services::Reply {
    program.ask(&Request::Votequorum(request)).map_err(|error| error.failure())
}

fn info(program: &mut services::Client, node: u32) -> votequorum::Info {
    match ask(program, votequorum::Request::Info { node }) {
        Ok(Answer::Votequorum(votequorum::Answer::Info(info))) => info,
        other => panic!("{other:?}"),
    }
}

/// Waits for a notice that is what is looked for; those before it are passed over.
fn wait_for(program: &mut services::Client, wanted: impl Fn(&Notice) -> bool) -> Notice {
    let start = std::time::Instant::now();
    loop {
        while let Some(notice) = program.next_notice().unwrap() {
            if wanted(&notice) {
                return notice;
            }
        }
        let left = PATIENCE.checked_sub(start.elapsed()).expect("the notice comes in time");
        program.wait(Some(left)).unwrap();
    }
}

fn quorum_of(members: usize, quorate: bool) -> impl Fn(&Notice) -> bool {
    move |notice| {
        matches!(notice, Notice::Quorum(quorum::Notice::Quorum { quorate: q, members: m, .. })
            if *q == quorate && m.len() == members)
    }
}

const VOTES: &str = "[quorum]\nprovider = \"votequorum\"\n";

#[test]
fn votes_are_counted_and_whoever_tracks_them_is_told() {
    let mut cluster = Cluster::new(3, VOTES);
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut program = connect(&cluster, 1);
    let all = Track { current: true, changes: true, changes_only: false };
    let track = Request::Quorum(quorum::Request::Track(all));
    assert_eq!(program.ask(&track).unwrap(), Answer::Done);
    assert_eq!(program.ask(&track).unwrap_err().failure(), Failure::Exist);
    wait_for(&mut program, quorum_of(1, false));
    cluster.start(2);
    let nodes = |notice: &Notice| {
        matches!(notice, Notice::Quorum(quorum::Notice::Nodes { members, joined, .. })
            if *members == [1, 2] && joined.contains(&2))
    };
    wait_for(&mut program, nodes);
    wait_for(&mut program, quorum_of(2, true));
    let state = program.ask(&Request::Quorum(quorum::Request::State)).unwrap();
    assert_eq!(state, Answer::Quorum(quorum::Answer::State { quorate: true, counted: true }));
    let mine = info(&mut program, 0);
    assert_eq!((mine.node, mine.total, mine.quorum, mine.expected), (1, 2, 2, 3));
    assert_eq!(mine.flags, votequorum::flags::QUORATE);
    let unknown = ask(&mut program, votequorum::Request::Info { node: 9 });
    assert_eq!(unknown, Err(Failure::NotExist));
    let too_few = ask(&mut program, votequorum::Request::SetExpected { votes: 1 });
    assert_eq!(too_few, Err(Failure::InvalidParameter));

    // One that leaves in order takes the quorum with it at once; the rest of the lease is not waited for.
    cluster.signal(2, rustix::process::Signal::TERM);
    wait_for(&mut program, quorum_of(1, false));
    cluster.start(3);
    wait_for(&mut program, quorum_of(2, true));
    cluster.signal(3, rustix::process::Signal::KILL);
    wait_for(&mut program, quorum_of(1, false));
}

#[test]
fn a_device_registers_polls_and_votes() {
    let device = "device = \"net\"\ndevice_votes = 1\n";
    let mut cluster = Cluster::new(2, &format!("{VOTES}{device}"));
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut program = connect(&cluster, 1);
    let all = Track { current: true, changes: true, changes_only: false };
    ask(&mut program, votequorum::Request::Track(all)).unwrap();
    let judged =
        |notice: &Notice| matches!(notice, Notice::Votequorum(votequorum::Notice::Nodes { .. }));
    let Notice::Votequorum(votequorum::Notice::Nodes { ring, .. }) = wait_for(&mut program, judged)
    else {
        panic!("a node list")
    };
    let name = b"Qdevice".to_vec();
    let poll = |ring, cast_vote| votequorum::Request::QdevicePoll {
        name: b"Qdevice".to_vec(),
        cast_vote,
        ring,
    };
    assert_eq!(ask(&mut program, poll(ring, true)), Err(Failure::NotExist));
    ask(&mut program, votequorum::Request::QdeviceRegister { name: name.clone() }).unwrap();
    ask(&mut program, votequorum::Request::QdeviceRegister { name: name.clone() }).unwrap();
    let other = votequorum::Request::QdeviceRegister { name: b"other".to_vec() };
    assert_eq!(ask(&mut program, other), Err(Failure::Exist));
    let old = services::Ring { seq: ring.seq + 1, ..ring };
    assert_eq!(ask(&mut program, poll(old, true)), Err(Failure::MessageError));
    ask(&mut program, poll(ring, true)).unwrap();
    let quorate = |notice: &Notice| {
        matches!(notice, Notice::Votequorum(votequorum::Notice::Quorum { quorate: true, .. }))
    };
    wait_for(&mut program, quorate);
    let mine = info(&mut program, 1);
    assert_eq!((mine.total, mine.quorum, mine.qdevice_votes), (2, 2, 1));
    assert_eq!(mine.qdevice_name, name);
    ask(&mut program, votequorum::Request::QdeviceUnregister { name }).unwrap();
    wait_for(&mut program, |notice| {
        matches!(notice, Notice::Votequorum(votequorum::Notice::Quorum { quorate: false, .. }))
    });
}

#[test]
fn without_votes_there_is_always_a_quorum() {
    let mut cluster = Cluster::new(2, "");
    cluster.start(1);
    cluster.wait_for_members(1, &[1]);
    let mut program = connect(&cluster, 1);
    let state = program.ask(&Request::Quorum(quorum::Request::State)).unwrap();
    assert_eq!(state, Answer::Quorum(quorum::Answer::State { quorate: true, counted: false }));
    let votes = ask(&mut program, votequorum::Request::Info { node: 0 });
    assert_eq!(votes, Err(Failure::NotSupported));
}
