//! Lives of programs: other users, private copies, sudden death, and engines that come back.

mod engine;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use client::{Cause, Client, ConnectError, Event, Options, Trust};
use engine::{Engine, Setup};

const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// Tells a copy of this test binary what to be.
const ROLE: &str = "SYNCHROTRON_TEST_ROLE";

/// Where the engine of such a copy listens.
const SOCKET: &str = "SYNCHROTRON_TEST_SOCKET";

fn connect(path: &Path) -> Client {
    Client::connect(path, Options::default()).unwrap()
}

/// This very test binary again, to run `role` only.
fn copy_of_me(role: &str, socket: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_another_process", "--nocapture"]);
    command.env(ROLE, role).env(SOCKET, socket);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// What the copies do; nothing in the normal run.
#[test]
fn in_another_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let socket = PathBuf::from(std::env::var(SOCKET).unwrap());
    match role.as_str() {
        "connect" => match Client::connect(socket, Options::default()) {
            Ok(client) => {
                let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
                let shared = ["synchrotron-delivery", "synchrotron-region"];
                let mapped = shared.iter().filter(|name| maps.contains(**name)).count();
                println!("trust {:?}, maps {mapped} of 2", client.trust());
            }
            Err(ConnectError::Refused { cause, .. }) => println!("refused {cause:?}"),
            Err(error) => println!("{error}"),
        },
        "many" => {
            let clients: Vec<Client> = (0..MANY).map(|_| used(&socket)).collect();
            println!("touched {} bytes", touched_bytes());
            // Until the test closes our input.
            let _ = std::io::stdin().read_line(&mut String::new());
            drop(clients);
        }
        other => panic!("no role {other}"),
    }
}

/// Clients whose memory is counted.
const MANY: usize = 50;

/// A client that has joined and published a little.
fn used(socket: &Path) -> Client {
    let mut client = connect(socket);
    let group = client.join(format!("group {}", client.me().session).as_bytes()).unwrap();
    for i in 0..10_u8 {
        client.publish(&group, &[i; 100]).unwrap();
    }
    for _ in 0..11 {
        assert!(client.recv(LONG).is_some());
    }
    client
}

/// Memory of sessions that this process has touched, each page shared with others counted in proportion.
fn touched_bytes() -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let (mut ours, mut kib) = (false, 0);
    for line in maps.lines() {
        if line.contains("/memfd:") || line.split(' ').next().is_some_and(|w| w.contains('-')) {
            ours = ["synchrotron-client", "synchrotron-private"].iter().any(|n| line.contains(n));
        } else if let Some(pss) = line.strip_prefix("Pss:").filter(|_| ours) {
            kib += pss.trim().trim_end_matches(" kB").parse::<usize>().unwrap();
        }
    }
    kib << 10
}

#[test]
fn a_client_costs_little() {
    let engine = Engine::start();
    let mut child = copy_of_me("many", engine.path()).stdin(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let theirs = loop {
        let mut line = String::new();
        assert_ne!(std::io::BufRead::read_line(&mut said, &mut line).unwrap(), 0, "it died");
        if let Some((_, bytes)) = line.split_once("touched ") {
            break bytes.split(' ').next().unwrap().parse::<usize>().unwrap();
        }
    };
    let each = (theirs + touched_bytes()) / MANY;
    println!("{each} bytes of shared memory per client");
    assert!(each > 4096 && each < 64 << 10, "{each}");
    drop(child.stdin.take());
    child.wait().unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn other_users_get_what_the_configuration_says() {
    // Without root no other user can be played; that the own user may connect is tested everywhere else.
    if !is_root() {
        return;
    }
    let mut setup = Setup::new();
    setup.session.access.uids = vec![4001];
    setup.session.access.gids = vec![4002];
    setup.session.access.private_uids = vec![4003];
    setup.session.access.private_gids = vec![4004];
    let engine = setup.start();
    // A copy of the binary where every user may read it.
    let binary = engine.dir.path().join("copy");
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let said = |uid: u32, gid: u32, groups: &str| {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
        command.args([format!("--groups={groups}").as_str(), "--"]).arg(&binary);
        command.args(["--exact", "in_another_process", "--nocapture"]);
        command.env(ROLE, "connect").env(SOCKET, engine.path());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    // More than the kernel is first asked for.
    let many: Vec<String> = (5000..5200).chain([4002]).map(|gid| gid.to_string()).collect();
    for (uid, gid, groups, expected) in [
        (4000, 4000, "4005", "refused NotAuthorised"),
        (4001, 4000, "4005", "trust Shared, maps 2 of 2"),
        (4000, 4002, "4005", "trust Shared, maps 2 of 2"),
        (4000, 4000, "4005,4002", "trust Shared, maps 2 of 2"),
        (4000, 4000, &many.join(","), "trust Shared, maps 2 of 2"),
        (4003, 4002, "4005", "trust Private, maps 0 of 2"),
        (4001, 4002, "4005,4004", "trust Private, maps 0 of 2"),
        (0, 0, "0", "trust Shared, maps 2 of 2"),
    ] {
        let said = said(uid, gid, groups);
        assert!(said.contains(expected), "uid {uid} gid {gid} groups {groups}: {said}");
    }
}

#[test]
fn a_private_client_sees_the_same_and_maps_nothing() {
    let mut setup = Setup::new();
    setup.session.access.private_uids = vec![rustix::process::geteuid().as_raw()];
    setup.frame_bytes = 9000;
    let engine = setup.start();
    let (mut a, mut b) = (connect(engine.path()), connect(engine.path()));
    assert_eq!(a.trust(), Trust::Private);
    let group = a.join(b"g").unwrap();
    b.join(b"other").unwrap();
    let said = copy_of_me("connect", engine.path()).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("trust Private, maps 0 of 2"), "{said}");
    let mut sent = Vec::new();
    for i in 0..3000_usize {
        let message = vec![i as u8; i % 2000 * usize::from(i % 7 > 0) + i % 7];
        a.publish(&group, &message).unwrap();
        sent.push(message);
    }
    sent.push(vec![9; 3 << 20]);
    a.publish(&group, &sent[3000]).unwrap();
    for (i, expected) in sent.iter().enumerate() {
        loop {
            match a.recv(LONG) {
                Some(Event::Message(m)) => break assert!(m.bytes == &expected[..], "message {i}"),
                Some(Event::View(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(matches!(b.recv(LONG), Some(Event::View(view)) if view.group.name() == b"other"));
    assert!(b.recv(Some(Duration::from_millis(20))).is_none(), "nothing of groups it is not in");
    let shown = engine.shown();
    assert_eq!((shown.counters.descriptors, shown.counters.resumed), (0, 0));
}

#[test]
fn after_a_restart_of_the_engine_groups_come_back() {
    let mut setup = Setup::new();
    let mut next = setup.clone();
    let engine = setup.clone().start();
    let mut client = connect(engine.path());
    client.join(b"one").unwrap();
    let two = client.join(b"two").unwrap();
    client.publish(&two, b"first life").unwrap();
    loop {
        if let Some(Event::Message(_)) = client.recv(LONG) {
            break;
        }
    }
    let dir = engine.kill();
    assert!(matches!(client.recv(LONG), Some(Event::Disconnected)));
    assert!(matches!(client.recv(LONG), Some(Event::Disconnected)), "and so it stays");
    assert_eq!(client.ended(), Some(Cause::Gone));
    assert!(client.publish(&two, b"x").is_err());
    assert!(client.reconnect().is_err(), "nobody there");
    next.session.first_session = 5000;
    next.session.boot = [4; 16];
    setup.session.boot = [4; 16];
    let engine = next.start_in(dir);
    client.reconnect().unwrap();
    assert_eq!(client.engine_boot(), [4; 16]);
    assert_eq!(client.me().session, 5000);
    let mut names = Vec::new();
    while names.len() < 2 {
        match client.recv(LONG) {
            Some(Event::View(view)) if view.is_first => names.push(view.group),
            other => panic!("{other:?}"),
        }
    }
    for group in names {
        client.publish(&group, b"second life").unwrap();
        assert!(matches!(client.recv(LONG), Some(Event::Message(m)) if m.group == &group));
    }
    drop(engine);
}

#[test]
fn refusals_reach_whoever_asked() {
    let engine = Engine::start();
    let mut client = connect(engine.path());
    let refused = |reason| Err(client::JoinError::Refused(reason));
    assert_eq!(client.join(b""), refused(client::RefusedReason::BadName));
    assert_eq!(client.join(&[1; 129]), refused(client::RefusedReason::BadName));
    let name = [0xff; 128];
    client.join(&name).unwrap();
    assert_eq!(client.join(&name), refused(client::RefusedReason::AlreadyMember));
    let second = Engine::start();
    let path = second.dir.path().join("socket");
    drop(second);
    assert!(matches!(
        Client::connect(path, Options::default()),
        Err(ConnectError::Unreachable { .. })
    ));
}
