//! Clients that lie: on the socket, and in every byte of memory they may write.

mod engine;
mod raw;
mod witness;

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use client::{Client, Control, Options};
use engine::Engine;
use raw::{Raw, RawSession, Seeded, hello, record};
use witness::Witness;

#[test]
fn garbage_on_the_socket_is_refused() {
    let engine = Engine::start();
    let mut witness = Witness::join(&engine, b"witness");
    let mut seeded = Seeded(17);
    for round in 0..400_u64 {
        let raw = Raw::connect(engine.path());
        let mut bytes = match round % 4 {
            0 => seeded.bytes(round as usize % 200 + 1),
            1 => hello(1, 1, seeded.below(256) as u8)[..8 + seeded.below(16) as usize].to_vec(),
            2 => hello(seeded.next() as u16 | 2, seeded.next() as u16, 1),
            _ => {
                let mut bytes = hello(1, 1, 1);
                let at = seeded.below(8) as usize;
                bytes[at] ^= seeded.below(255) as u8 + 1;
                bytes
            }
        };
        if bytes.is_empty() {
            bytes.push(0);
        }
        raw.send(&bytes);
        let cause = raw.refusal();
        assert!(matches!(cause, Some(3 | 6)), "round {round}: {cause:?} for {bytes:?}");
        assert!(raw.recv().0.is_empty(), "closed afterwards");
    }
    // After a good Hello as well.
    for round in 0..50 {
        let raw = Raw::connect(engine.path());
        assert!(raw.send(&hello(1, 1, 2)));
        assert_eq!(raw.recv().0.len(), 64);
        raw.send(&seeded.bytes(round * 40 + 1));
        assert_eq!(raw.refusal(), Some(6));
    }
    // Larger than any request may be.
    let raw = Raw::connect(engine.path());
    raw.send(&vec![1; 60_000]);
    assert_eq!(raw.refusal(), Some(6));
    witness.hears_only_itself(20);
    assert_eq!(engine.shown().counters.opened, 1);
}

#[test]
fn a_client_that_says_nothing_is_dropped_and_does_not_keep_others_waiting() {
    let engine = Engine::start();
    let silent: Vec<Raw> = (0..60).map(|_| Raw::connect(engine.path())).collect();
    let start = Instant::now();
    Witness::join(&engine, b"witness").hears_only_itself(20);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(silent[0].refusal(), Some(11));
    // More than may be half open: the rest wait in the backlog and have their turn.
    let more: Vec<Raw> = (0..40).map(|_| Raw::connect(engine.path())).collect();
    Witness::join(&engine, b"witness").hears_only_itself(20);
    drop(more);
}

#[test]
fn another_version_is_refused_with_the_reason() {
    let engine = Engine::start();
    for (low, high) in [(2, 9), (0, 0)] {
        let raw = Raw::connect(engine.path());
        assert!(raw.send(&hello(low, high, 1)));
        let (bytes, _) = raw.recv();
        assert_eq!(bytes[8], 3, "cause: version");
        assert_eq!(bytes[10..14], [1, 0, 1, 0], "what it speaks");
    }
    let raw = Raw::connect(engine.path());
    assert!(raw.send(&hello(0, 9, 1)), "a range that contains ours");
    assert_eq!(raw.recv().0[4], 2);
}

#[test]
fn what_clients_may_not_write_they_cannot_write() {
    let engine = Engine::start();
    let session = RawSession::open(engine.path());
    for file in [0, 3, 5, 6] {
        let file = &session.fds[file];
        assert!(file.write_at(&[1], 0).is_err());
        assert!(file.set_len(0).is_err() && file.set_len(1 << 30).is_err());
    }
    assert!(session.own().set_len(0).is_err(), "a client cannot take pages away");
}

#[test]
fn scribbling_over_everything_harms_nobody_else() {
    let engine = Engine::start();
    let mut witness = Witness::join(&engine, b"witness");
    let mut seeded = Seeded(99);
    let mut evicted = 0;
    for round in 0..300 {
        let session = RawSession::open(engine.path());
        let bytes = session.own().metadata().unwrap().len();
        for _ in 0..40 {
            let (offset, len) = match seeded.below(4) {
                // Indices, cursor and sleep words: the lines that matter most.
                0 => (seeded.below(2) * 2048 + seeded.below(32), 8),
                1 => (bytes - 4096 + seeded.below(1400), 8),
                2 => (4096 + seeded.below(256), 64),
                _ => (seeded.below(bytes - 64), 64),
            };
            session.write(offset, &seeded.bytes(len));
            session.ring();
        }
        if round % 10 == 0 {
            witness.hears_only_itself(20);
        }
        // A head that is possible, over whatever lies in the data now.
        session.write(0, &(seeded.below(32) * 8).to_le_bytes());
        session.ring();
        let shown = engine.until("its end or its silence", |s| s.counters.opened > round);
        evicted = shown.counters.evicted_protocol;
    }
    assert!(evicted > 100, "most of it is noticed: {evicted}");
    witness.hears_only_itself(20);
    // Gives back what the witness read last.
    assert!(witness.client.try_recv().is_none());
    engine.until("all of them gone", |s| s.sessions.len() == 1 && s.small_free == 2048);
}

#[test]
fn well_formed_nonsense_is_noticed_too() {
    let join = record(5 << 28, b"\x01\0\0\0g");
    let piece = |total: u64, offset: u64, len: usize| {
        let mut bytes = total.to_le_bytes().to_vec();
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.resize(16 + len, 0);
        record(3 << 28, &bytes)
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a kind that does not exist", record(9 << 28, b"x")),
        ("kind zero", record(0, b"")),
        ("a join without a number", record(5 << 28, b"x")),
        ("a join of many bytes", record(5 << 28, &[1; 600])),
        ("a leave without a number", record(6 << 28, b"")),
        ("a piece without a header", record(3 << 28, &[0; 10])),
        ("a piece without contents", piece(10, 0, 0)),
        ("a piece that starts in the middle", piece(100, 50, 10)),
        ("a piece past the end", piece(100, 0, 101)),
        ("a piece of a message beyond the limit", piece(1 << 60, 0, 100)),
        ("an offset that overflows", piece(u64::MAX, u64::MAX - 1, 100)),
        ("a gap between pieces", [piece(100, 0, 10), piece(100, 20, 10)].concat()),
        ("another total", [piece(100, 0, 10), piece(101, 10, 10)].concat()),
        ("a message between pieces", [piece(100, 0, 10), record(1 << 28, b"x")].concat()),
        ("a leave between pieces", [piece(100, 0, 10), record(6 << 28, &[1; 4])].concat()),
    ];
    let engine = Engine::start();
    let mut witness = Witness::join(&engine, b"witness");
    for (i, (what, bytes)) in cases.into_iter().enumerate() {
        let session = RawSession::open(engine.path());
        session.write(4096, &join);
        session.write(0, &(join.len() as u64).to_le_bytes());
        session.ring();
        engine.until("the join", |s| s.counters.copied_items > i as u64);
        std::thread::sleep(Duration::from_millis(2));
        session.write(4096 + join.len() as u64, &bytes);
        session.write(0, &((join.len() + bytes.len()) as u64).to_le_bytes());
        session.ring();
        let count = i as u64 + 1;
        engine.until(what, |s| s.counters.evicted_protocol == count);
        assert_eq!(session.raw.refusal(), Some(6), "{what}");
    }
    witness.hears_only_itself(20);
}

#[test]
fn long_answers_come_whole_and_questions_have_a_limit() {
    let engine = Engine::start();
    let mut control = Control::connect(engine.path(), Duration::from_secs(5)).unwrap();
    let ask = |control: &mut Control, question: &str| {
        control.ask(question.as_bytes(), Duration::from_secs(5))
    };
    assert_eq!(ask(&mut control, "anything").unwrap(), b"anything");
    for bytes in [0, 1, 32_756, 32_757, 1 << 20] {
        let answer = ask(&mut control, &format!("echo {bytes}")).unwrap();
        assert_eq!(answer.len(), bytes);
    }
    assert!(control.ask(&[0; 40_000], Duration::from_secs(5)).is_err());
    assert_eq!(client::status(engine.path()).unwrap(), "status");
    let mut client = Client::connect(engine.path(), Options::default()).unwrap();
    assert_eq!(client.ask(b"mine", Duration::from_secs(5)).unwrap(), b"mine");
    client.join(b"g").unwrap();
}
