//! Programs killed at any moment of their lives: while they connect, map, join, flood, read, wait,
//! leave. The engine's descriptors, mappings and slots return to where they were. In a process of
//! its own, because it counts them.

mod engine;
mod raw;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use client::{Client, Event, Options};
use engine::Engine;
use raw::Seeded;

const LONG: Option<Duration> = Some(Duration::from_secs(20));

/// Makes a copy of this test binary a program of the engine at this socket.
const SOCKET: &str = "SYNCHROTRON_TEST_MAYFLY";

/// Programs alive at the same time.
const AT_ONCE: usize = 8;

/// Longest life, in microseconds: enough to connect and be busy for a while, also on a busy machine.
const LIFE_US_MAX: u64 = 25_000;

/// What the copies do; nothing in the normal run.
#[test]
fn in_another_process() {
    let Ok(socket) = std::env::var(SOCKET) else { return };
    loop {
        let mut client = Client::connect(&socket, Options::default()).unwrap();
        let group = client.join(b"g").unwrap();
        for i in 0..40_u32 {
            let loan = vec![i as u8; 1 << (i % 12)];
            client.publish(&group, &loan).unwrap();
            while client.try_recv().is_some() {}
        }
        client.recv(Some(Duration::from_millis(1)));
        // Leaves at the end of some lives, dies as a member in others.
    }
}

fn start(engine: &Engine) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_another_process"])
        .env(SOCKET, engine.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Descriptors of this process, and its mappings of sessions' memory.
fn holdings() -> (usize, usize) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours =
        |line: &&str| line.contains("synchrotron-client") || line.contains("synchrotron-private");
    (files, maps.lines().filter(ours).count())
}

#[test]
fn nothing_is_left_of_programs_killed_at_any_moment() {
    let engine = Engine::start();
    let mut witness = Client::connect(engine.path(), Options::default()).unwrap();
    let group = witness.join(b"g").unwrap();
    assert!(matches!(witness.recv(LONG), Some(Event::View(_))));
    let me = witness.me();
    engine.until("the witness alone", |s| s.sessions.len() == 1 && s.small_free == 2048);
    // An answer means that the control thread has done with the handshake, too, and closed its own descriptors of
    // what it sent.
    witness.ask(b"are you done?", Duration::from_secs(20)).unwrap();
    let before = holdings();
    // More of them on demand.
    let kills = std::env::var("SYNCHROTRON_KILLS").map_or(64, |n| n.parse().unwrap());
    let mut seeded = Seeded(2026);
    let mut expected = 0_u64;
    for _ in 0..usize::div_ceil(kills, AT_ONCE) {
        let lives: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let mut child = start(&engine);
                let life = Duration::from_micros(seeded.below(LIFE_US_MAX));
                thread::spawn(move || {
                    thread::sleep(life);
                    child.kill().unwrap();
                    child.wait().unwrap()
                })
            })
            .collect();
        for life in lives {
            let status = life.join().unwrap();
            assert!(status.code().is_none(), "it ended by itself: {status}");
        }
        witness.publish(&group, &expected.to_le_bytes()).unwrap();
        loop {
            match witness.recv(LONG) {
                Some(Event::Message(m)) if m.sender == me => {
                    assert_eq!(m.bytes, expected.to_le_bytes());
                    expected += 1;
                    break;
                }
                Some(Event::Message(_) | Event::View(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        engine.until("the end of all", |s| s.sessions.len() == 1);
        while witness.try_recv().is_some() {}
    }
    let shown = engine.until("all slots", |s| {
        s.small_free == 2048 && s.backlog_bytes == 0 && s.sessions.len() == 1
    });
    assert_eq!((shown.counters.evicted, shown.large_free), (0, 64), "{shown:?}");
    assert!(shown.counters.opened > kills as u64 / 4, "most died before they began: {shown:?}");
    // The control thread closes and unmaps a moment later.
    for _ in 0..200 {
        if holdings() == before {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(holdings(), before);
}
