//! Readers that are slow: spill, return, eviction, leases.

mod engine;

use std::time::{Duration, Instant};

use client::{Cause, Client, Event, Group, Options};
use engine::{Engine, Setup};

const LONG: Option<Duration> = Some(Duration::from_secs(10));

fn connect(engine: &Engine) -> Client {
    Client::connect(engine.path(), Options::default()).unwrap()
}

/// The number in the next message.
fn number(client: &mut Client) -> u64 {
    loop {
        match client.recv(LONG) {
            Some(Event::Message(m)) => return u64::from_le_bytes(m.bytes[..8].try_into().unwrap()),
            Some(Event::View(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes numbered messages, each of `bytes` bytes.
fn send(client: &mut Client, group: &Group, numbers: std::ops::Range<u64>, bytes: usize) {
    let mut message = vec![0; bytes];
    for i in numbers {
        message[..8].copy_from_slice(&i.to_le_bytes());
        client.publish(group, &message).unwrap();
    }
}

fn on_ring(engine: &Engine, client: &Client) -> bool {
    let session = client.me().session;
    engine.shown().sessions.iter().any(|s| s.0 == session && s.2)
}

/// Has `publisher` send until `reader` reads from the delivery ring. Returns the next number.
fn promote(
    engine: &Engine,
    publisher: &mut Client,
    group: &Group,
    reader: &mut Client,
    mut next: u64,
) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !on_ring(engine, reader) {
        assert!(Instant::now() < deadline, "never came onto the ring: {:?}", engine.shown());
        send(publisher, group, next..next + 1, 700);
        assert_eq!(number(reader), next);
        next += 1;
    }
    next
}

#[test]
fn a_slow_reader_loses_nothing_and_comes_back() {
    let mut setup = Setup::new();
    setup.session.delivery_slots = 256;
    setup.session.lag_slots = 64;
    let engine = setup.start();
    let (mut writer, mut reader) = (connect(&engine), connect(&engine));
    let group = writer.join(b"g").unwrap();
    reader.join(b"g").unwrap();
    let mut next = 0;
    let mut expected = 0;
    for round in 0..6 {
        next = promote(&engine, &mut writer, &group, &mut reader, next);
        expected = next;
        // The last message read stays borrowed, its lease held, while far more than the limit comes.
        send(&mut writer, &group, next..next + 2000, 700);
        next += 2000;
        engine.until("the spill", |s| s.counters.spilled > round);
        for _ in 0..2000 {
            assert_eq!(number(&mut reader), expected);
            expected += 1;
        }
    }
    assert_eq!(expected, next);
    let shown = engine.shown();
    assert!(shown.counters.resumed >= 6 && shown.counters.evicted == 0, "{shown:?}");
}

#[test]
fn readers_of_every_speed_see_the_same() {
    let mut setup = Setup::new();
    setup.session.delivery_slots = 128;
    setup.session.lag_slots = 32;
    let engine = setup.start();
    const COUNT: u64 = 20_000;
    let readers: Vec<_> = (0..3_u64)
        .map(|kind| {
            let mut reader = connect(&engine);
            reader.join(b"g").unwrap();
            std::thread::spawn(move || {
                for i in 0..COUNT {
                    assert_eq!(number(&mut reader), i, "reader {kind}");
                    if kind > 0 && i % (997 * kind) == 0 {
                        std::thread::sleep(Duration::from_millis(kind * 3));
                    }
                }
            })
        })
        .collect();
    let mut writer = connect(&engine);
    let group = writer.join(b"g").unwrap();
    send(&mut writer, &group, 0..COUNT, 300);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let shown = engine.shown();
    assert_eq!(shown.counters.evicted, 0, "{shown:?}");
    assert!(shown.counters.spilled > 0, "somebody was too slow for the ring: {shown:?}");
}

#[test]
fn a_flood_in_large_frames_does_not_evict_a_reader_that_pauses() {
    let mut setup = Setup::new();
    setup.frame_bytes = 60_000;
    setup.pool.large_count = 256;
    let engine = setup.start();
    const COUNT: u64 = 60_000;
    let mut reader = connect(&engine);
    reader.join(b"g").unwrap();
    let slow = std::thread::spawn(move || {
        for i in 0..COUNT {
            assert_eq!(number(&mut reader), i);
            if i % 5000 == 4999 {
                std::thread::sleep(Duration::from_millis(40));
            }
        }
    });
    let mut writer = connect(&engine);
    let group = writer.join(b"g").unwrap();
    let mut own = 0;
    for i in 0..COUNT {
        send(&mut writer, &group, i..i + 1, 1024);
        while let Some(event) = writer.try_recv() {
            own += u64::from(matches!(event, Event::Message(_)));
        }
    }
    while own < COUNT {
        assert_eq!(number(&mut writer), own);
        own += 1;
    }
    slow.join().unwrap();
    let shown = engine.shown();
    assert_eq!(shown.counters.evicted, 0, "{shown:?}");
    assert!(shown.counters.copied_bytes > 0, "the pauses made a difference: {shown:?}");
}

#[test]
fn past_the_bound_a_reader_is_evicted_and_told_why() {
    let mut setup = Setup::new();
    setup.session.backlog_bytes_max = 512 << 10;
    let engine = setup.start();
    let (mut writer, mut reader) = (connect(&engine), connect(&engine));
    let group = writer.join(b"g").unwrap();
    reader.join(b"g").unwrap();
    // Its own reader must keep up, or the writer would be evicted too.
    let mut gone = None;
    for i in 0..4000 {
        // Of many sizes: a small one that still fits after a large one did not must not come through.
        send(&mut writer, &group, i..i + 1, 8 + (i as usize * 37) % 1300);
        while let Some(event) = writer.try_recv() {
            match event {
                Event::View(view) if !view.left.is_empty() => gone = Some(view.left[0].member),
                Event::Evicted(_) | Event::Disconnected => panic!("{event:?}"),
                _ => {}
            }
        }
    }
    engine.until("the eviction", |s| s.counters.evicted_backlog == 1);
    let mut expected = 0;
    let cause = loop {
        match reader.recv(LONG) {
            Some(Event::Message(m)) => {
                let number = u64::from_le_bytes(m.bytes[..8].try_into().unwrap());
                assert_eq!(number, expected, "what comes before the end has no holes");
                expected += 1;
            }
            Some(Event::Evicted(cause)) => break cause,
            Some(Event::View(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(cause, Cause::Backlog);
    assert!(expected > 0 && expected < 4000, "{expected} {:?}", engine.shown());
    assert_eq!(reader.ended(), Some(Cause::Backlog));
    while gone.is_none() {
        match writer.recv(LONG) {
            Some(Event::View(view)) if !view.left.is_empty() => gone = Some(view.left[0].member),
            Some(_) => {}
            None => panic!("no view"),
        }
    }
    assert_eq!(gone.map(|member| member.session), Some(reader.me().session));
    reader.reconnect().unwrap();
    match reader.recv(LONG) {
        Some(Event::View(view)) => assert!(view.is_first),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reader_that_never_lets_go_cannot_keep_slots_for_ever() {
    let mut setup = Setup::new();
    setup.pool.small_count = 64;
    setup.session.lag_slots = 32;
    setup.session.lease_ns = 20_000_000;
    setup.session.eviction_grace_ns = 50_000_000;
    let engine = setup.start();
    let (mut writer, mut reader) = (connect(&engine), connect(&engine));
    let group = writer.join(b"g").unwrap();
    let own = reader.join(b"g").unwrap();
    assert_eq!(own, group);
    let next = promote(&engine, &mut writer, &group, &mut reader, 0);
    // Let a batch come so that the lease is long, then stop in the middle of reading.
    engine.pause(true);
    send(&mut writer, &group, next..next + 200, 700);
    engine.pause(false);
    engine.until("delivery", |s| s.counters.messages_pulled >= next + 200);
    let Some(Event::Message(held)) = reader.try_recv() else { panic!("nothing came") };
    let copy = held.bytes.to_vec();
    let before = engine.shown();
    // The pool is small: what the reader holds makes it short for good.
    let mut more = next + 200;
    let deadline = Instant::now() + Duration::from_secs(10);
    while engine.shown().counters.evicted_lease == 0 {
        assert!(Instant::now() < deadline, "{:?}", engine.shown());
        if engine.shown().counters.spilled > before.counters.spilled + 3 {
            break;
        }
        send(&mut writer, &group, more..more + 1, 700);
        while writer.try_recv().is_some() {}
        more += 1;
    }
    assert_eq!(held.bytes, copy, "what is held does not change before the grace is over");
    // Everything comes back: after the release or after the grace.
    loop {
        match reader.recv(LONG) {
            Some(Event::Evicted(cause)) => {
                assert_eq!(cause, Cause::Lease);
                break;
            }
            Some(_) => {
                if reader.unsent_bytes() == 0 && engine.shown().small_free == 64 {
                    break;
                }
            }
            None => break,
        }
    }
    drop(reader);
    engine.until("all slots", |s| s.small_free == 64 && s.large_free == 64);
}
