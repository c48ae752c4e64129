//! Hostile clients at work beside a good one: they know the layout, drive the engine into every
//! state they can, and write over everything at the same time.

mod engine;
mod raw;
mod witness;

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::Engine;
use raw::{RawSession, Seeded, record};
use witness::Witness;

/// Where the words lie that a client may write: see `session::seat` and the layouts of the rings.
const SUBMIT_HEAD: u64 = 0;
const SUBMIT_TAIL: u64 = 2048;
const SUBMIT_DATA: u64 = 4096;
/// From the start of the last page.
const PRIVATE_TAIL: u64 = 0;
const CURSOR: u64 = 1024;
const PAGE: u64 = 4096;

/// Stores of one attacker.
const STORES: usize = 600;

/// A hostile client that has joined a group like any other.
struct Attacker {
    session: RawSession,
    head: u64,
    last_page: u64,
}

impl Attacker {
    fn join(engine: &Engine, name: &[u8]) -> Self {
        let session = RawSession::open(engine.path());
        let last_page = session.own().metadata().unwrap().len() - PAGE;
        let mut attacker = Self { session, head: 0, last_page };
        attacker.submit(&record(5 << 28, &[&1_u32.to_le_bytes()[..], name].concat()));
        attacker
    }

    fn submit(&mut self, bytes: &[u8]) {
        let room = self.last_page - SUBMIT_DATA;
        let at = self.head % room;
        let (first, rest) = bytes.split_at(bytes.len().min((room - at) as usize));
        self.session.write(SUBMIT_DATA + at, first);
        self.session.write(SUBMIT_DATA, rest);
        self.head += bytes.len() as u64;
        self.session.write(SUBMIT_HEAD, &self.head.to_le_bytes());
        self.session.ring();
    }

    fn word(&self, file: usize, offset: u64) -> u64 {
        let mut word = [0; 8];
        self.session.fds[file].read_exact_at(&mut word, offset).unwrap();
        u64::from_le_bytes(word)
    }

    /// Claims to have read everything in the private ring, so that the engine sends us to the delivery ring.
    fn pretend_to_read(&self) {
        let head = self.word(3, 0);
        self.session.write(self.last_page + PRIVATE_TAIL, &head.to_le_bytes());
        self.session.ring();
    }

    /// Head of the delivery ring: the values that a cursor may plausibly have.
    fn delivery_head(&self) -> u64 {
        self.word(6, 0)
    }

    /// One store to a word that matters, or anywhere.
    fn scribble(&self, seeded: &mut Seeded) {
        let near =
            |value: u64, seeded: &mut Seeded| value.wrapping_add(seeded.below(80)).wrapping_sub(40);
        let delivered = self.delivery_head();
        let (offset, value) = match seeded.below(12) {
            0 => (SUBMIT_HEAD, near(self.head, seeded) & !7),
            1 => (SUBMIT_TAIL, seeded.next()),
            2..4 => (self.last_page + CURSOR, near(delivered, seeded)),
            4..6 => (self.last_page + CURSOR + 8, near(delivered, seeded)),
            // Sleep words, and the producer's line of the cursor.
            6 => (self.last_page + CURSOR + 16, seeded.next()),
            7 => (self.last_page + CURSOR + 128 + 8 * seeded.below(3), seeded.next()),
            8 => (self.last_page + PRIVATE_TAIL + 8, seeded.next()),
            9 => (self.last_page + PRIVATE_TAIL, near(self.word(3, 0), seeded) & !7),
            10 => (SUBMIT_DATA + 8 * seeded.below(1000), seeded.next() & 0x3000_00ff_0000_00ff),
            _ => (8 * seeded.below((self.last_page + PAGE) / 8), seeded.next()),
        };
        self.session.write(offset, &value.to_le_bytes());
    }
}

#[test]
fn a_good_client_goes_on_while_others_write_over_everything() {
    let engine = Engine::start();
    let mut good = Witness::join(&engine, b"target");
    let mut seeded = Seeded(4711);
    let (mut on_ring, mut stayed) = (0, 0);
    for round in 0..120_u64 {
        let mut attacker = Attacker::join(&engine, b"target");
        let is_open = |s: &engine::Shown| s.counters.opened > round + 1;
        engine.until("the attacker", is_open);
        // Until it reads from the delivery ring like the good one, most of the time.
        let deadline = Instant::now() + Duration::from_millis(200);
        while round % 4 > 0 && Instant::now() < deadline {
            good.hears_itself(20);
            attacker.pretend_to_read();
            if engine.shown().sessions.iter().filter(|s| s.2).count() > 1 {
                on_ring += 1;
                break;
            }
        }
        // It writes while the engine is at work for the good one.
        let mut seeds = Seeded(seeded.next() | 1);
        let scribbling = thread::spawn(move || {
            for _ in 0..STORES {
                match seeds.below(50) {
                    0 => attacker.submit(&record(1 << 28, &[5; 100])),
                    1 => attacker.pretend_to_read(),
                    _ => attacker.scribble(&mut seeds),
                }
            }
            attacker
        });
        while !scribbling.is_finished() {
            good.hears_itself(20);
        }
        good.hears_itself(20);
        let attacker = scribbling.join().unwrap();
        stayed += u64::from(attacker.session.raw.fd_is_open());
    }
    let shown = engine.until("the end of all others", |s| s.sessions.len() == 1);
    assert!(on_ring > 10, "the attackers did not get where it hurts: {on_ring}");
    let evicted = shown.counters.evicted_protocol;
    assert!(evicted > 40, "the attack did not bite: {evicted} evicted, {stayed} open");
    good.hears_itself(10);
    while good.client.try_recv().is_some() {}
    engine.until("all slots back", |s| s.small_free == 2048 && s.backlog_bytes == 0);
}

/// The socket is closed, but somebody still has the memory and goes on publishing: the session ends all
/// the same.
#[test]
fn memory_that_outlives_its_client_is_not_listened_to() {
    let engine = Engine::start();
    let mut attacker = Attacker::join(&engine, b"ghost");
    engine.until("the join", |s| s.counters.copied_items >= 1);
    let stop = Arc::new(AtomicBool::new(false));
    let files = attacker.session.fds.iter().map(|file| file.try_clone().unwrap()).collect();
    let raw = std::mem::replace(&mut attacker.session.fds, files);
    let socket = attacker.session.raw.take_fd();
    let feeding = thread::spawn({
        let stop = stop.clone();
        let batch = record(1 << 28, &[6; 40]).repeat(200);
        move || {
            while !stop.load(Ordering::Relaxed) {
                // Never empty: faster than an engine that makes frames of it.
                if attacker.head - attacker.word(2, SUBMIT_TAIL) < (96 << 10) {
                    attacker.submit(&batch);
                }
            }
        }
    });
    engine.until("some messages", |s| s.counters.messages_pulled > 100);
    drop(socket);
    drop(raw);
    let shown = engine.until("the end", |s| s.sessions.is_empty());
    stop.store(true, Ordering::Relaxed);
    feeding.join().unwrap();
    assert_eq!(shown.counters.closed, 1);
}

/// Rings full of messages to a group it is not in: the engine drops them, in turns, and others get theirs.
#[test]
fn a_flood_of_messages_to_nowhere_keeps_nobody_waiting() {
    let engine = Engine::start();
    let mut good = Witness::join(&engine, b"target");
    let mut attacker = Attacker::join(&engine, b"elsewhere");
    let stop = Arc::new(AtomicBool::new(false));
    let flooding = thread::spawn({
        let stop = stop.clone();
        let batch = record((1 << 28) | 77, b"").repeat(512);
        move || {
            while !stop.load(Ordering::Relaxed) {
                if attacker.head - attacker.word(2, SUBMIT_TAIL) < (64 << 10) {
                    attacker.submit(&batch);
                }
                attacker.pretend_to_read();
            }
        }
    });
    engine.until("the flood", |s| s.counters.not_sent > 10_000);
    for _ in 0..20 {
        good.hears_itself(50);
    }
    stop.store(true, Ordering::Relaxed);
    flooding.join().unwrap();
    assert_eq!(engine.shown().counters.evicted_protocol, 0);
}
