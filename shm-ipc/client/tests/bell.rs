//! The bell as a socket, as the C libraries hand it to main loops.

mod engine;

use std::time::{Duration, Instant};

use client::{Client, Event, Group, Options};
use engine::Engine;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const LONG: Duration = Duration::from_secs(10);

fn connect(engine: &Engine) -> Client {
    let options = Options { bell_socket: true, ..Options::default() };
    let mut client = Client::connect(engine.path(), options).unwrap();
    client.settle(false);
    client
}

fn is_readable(client: &Client, timeout: Duration) -> bool {
    let fd = client.bell().unwrap();
    let timeout =
        Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

/// Reads until nothing is left, as a dispatch of all does; how many messages there were.
fn drain(client: &mut Client) -> usize {
    let mut messages = 0;
    while let Some(event) = client.try_recv() {
        messages += usize::from(matches!(event, Event::Message(_)));
    }
    client.settle(false);
    messages
}

fn joined(engine: &Engine) -> (Client, Group) {
    let mut client = connect(engine);
    let group = client.join(b"bells").unwrap();
    drain(&mut client);
    (client, group)
}

#[test]
fn it_stays_readable_until_the_last_event_was_read() {
    let engine = Engine::start();
    let (mut sender, to) = joined(&engine);
    let (mut reader, _) = joined(&engine);
    for _ in 0..3 {
        sender.publish(&to, b"x").unwrap();
    }
    let mut read = 0;
    // One event per look, as a main loop with a dispatch of one: every message must wake it.
    while read < 3 {
        assert!(is_readable(&reader, LONG), "{read} of 3 read");
        read += usize::from(matches!(reader.try_recv(), Some(Event::Message(_))));
        reader.settle(false);
    }
    assert!(reader.try_recv().is_none());
    reader.settle(false);
    assert!(!is_readable(&reader, Duration::ZERO) || is_quiet_soon(&mut reader));
}

/// A ring that was under way makes it readable for nothing, once.
fn is_quiet_soon(client: &mut Client) -> bool {
    client.settle(false);
    !is_readable(client, Duration::ZERO)
}

#[test]
fn what_is_found_without_a_ring_is_rung_for() {
    let engine = Engine::start();
    let (mut client, _) = joined(&engine);
    assert!(!is_readable(&client, Duration::ZERO) || is_quiet_soon(&mut client));
    // Something is left that the engine knows nothing of.
    client.settle(true);
    assert!(is_readable(&client, LONG));
    assert!(client.is_rung());
}

#[test]
fn no_wake_is_lost_however_the_two_sides_meet() {
    const MESSAGES: usize = 3000;
    let engine = Engine::start();
    let (mut reader, _) = joined(&engine);
    let path = engine.path().to_owned();
    let sender = std::thread::spawn(move || {
        let mut client = Client::connect(path, Options::default()).unwrap();
        let group = client.join(b"bells").unwrap();
        for number in 0..MESSAGES {
            client.publish(&group, &number.to_le_bytes()).unwrap();
            // Sometimes one by one, sometimes many at a time.
            if number % 7 == 0 {
                std::thread::sleep(Duration::from_micros((number % 5) as u64 * 20));
            }
        }
        client
    });
    let (start, mut read) = (Instant::now(), 0);
    while read < MESSAGES {
        assert!(
            is_readable(&reader, LONG),
            "{read} of {MESSAGES} read after {:?}",
            start.elapsed()
        );
        read += drain(&mut reader);
    }
    assert_eq!(read, MESSAGES);
    drop(sender.join().unwrap());
}

#[test]
fn the_end_of_the_engine_shows_on_it() {
    let engine = Engine::start();
    let (mut client, _) = joined(&engine);
    let dir = engine.kill();
    assert!(is_readable(&client, LONG));
    assert!(matches!(client.recv(Some(LONG)), Some(Event::Disconnected)));
    drop(dir);
}
