//! A program that is killed at any moment harms nobody and leaves nothing. In a file (and so a
//! process) of its own, because it counts descriptors.

mod engine;

use std::process::{Command, Stdio};
use std::time::Duration;

use client::{Client, Event, Options};
use engine::Engine;

const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// Makes a copy of this test binary flood the engine at this socket.
const SOCKET: &str = "SYNCHROTRON_TEST_FLOOD";

/// What the copies do; nothing in the normal run.
#[test]
fn in_another_process() {
    let Ok(socket) = std::env::var(SOCKET) else { return };
    let mut client = Client::connect(socket, Options::default()).unwrap();
    let group = client.join(b"g").unwrap();
    loop {
        client.publish(&group, &[7; 300]).unwrap();
        while client.try_recv().is_some() {}
    }
}

#[test]
fn a_killed_client_leaves_nothing_behind() {
    let engine = Engine::start();
    let mut witness = Client::connect(engine.path(), Options::default()).unwrap();
    let group = witness.join(b"g").unwrap();
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (mut expected, mut files) = (0_u64, 0);
    // More of them on demand; each is killed at another moment.
    let rounds = std::env::var("SYNCHROTRON_KILLS").map_or(40, |n| n.parse().unwrap());
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "in_another_process"])
            .env(SOCKET, engine.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (mut joined, mut left, mut foreign) = (false, false, 0);
        witness.publish(&group, &expected.to_le_bytes()).unwrap();
        let kill_after = round * 13 % 101;
        while !left {
            match witness.recv(LONG) {
                Some(Event::Message(m)) if m.sender == witness_of(m.sender) => {
                    foreign += 1;
                    assert_eq!(m.bytes, [7; 300]);
                }
                Some(Event::Message(m)) => {
                    assert_eq!(m.bytes, expected.to_le_bytes());
                    expected += 1;
                }
                Some(Event::View(view)) => {
                    joined |= view.joined.iter().any(|c| c.member.pid == child.id());
                    left = view.left.iter().any(|c| c.member.pid == child.id());
                }
                other => panic!("{other:?}"),
            }
            if joined && foreign >= kill_after {
                // Again and again until the view shows it: the first time counts.
                let _ = child.kill();
            }
        }
        child.wait().unwrap();
        while witness.try_recv().is_some() {}
        let shown = engine.until("its end", |s| s.sessions.len() == 1);
        assert_eq!(shown.counters.evicted, 0, "{shown:?}");
        engine.until("its slots", |s| s.small_free == 2048);
        if round == 3 {
            files = open_files();
        } else if round > 3 {
            // Threads of this process open files of their own for moments.
            assert!(open_files() <= files + 3, "{} descriptors, were {files}", open_files());
        }
    }
}

/// The sender, if it is not this process.
fn witness_of(sender: client::Member) -> client::Member {
    let pid = if sender.pid == std::process::id() { 0 } else { sender.pid };
    client::Member { pid, ..sender }
}
