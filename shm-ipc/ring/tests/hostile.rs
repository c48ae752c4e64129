//! A peer that writes anything at any time over every byte it may write. The other side must never
//! panic, never touch memory outside of the ring, and go on working with everybody else.
#![cfg(not(any(loom, miri)))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use ring::broadcast::{CURSOR_BYTES, Cursor, Descriptor, Lease, Memory, Producer, Reader, State};
use ring::shm::{Draft, Mapping, PAGE_BYTES, PeerAccess};
use ring::spsc::{self, Next, records};

/// Rounds of each attack with a fresh ring; thousands in all, in well under a second.
const ROUNDS: u64 = 4000;

/// A small generator (Vigna's splitmix64), so that a failing round can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Values that checks get wrong: extremes, near misses, small and any.
    fn nasty(&mut self, near: u64) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => u64::MAX - self.below(64),
            3 => near.wrapping_add(self.below(32)).wrapping_sub(16),
            4 => self.below(1 << 14),
            5 => 1 << self.below(64),
            6 => near.wrapping_add(8 * self.below(1024)),
            _ => self.next(),
        }
    }
}

/// Stores to shared memory behind the back of those who use it, as another process would.
struct Scribbler<'a> {
    mapping: &'a Mapping,
    random: Random,
}

impl Scribbler<'_> {
    fn word(&mut self, offset: usize, value: u64) {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.mapping.len());
        // SAFETY: inside the mapping, aligned, atomic; the mapping outlives the call.
        let word = unsafe { AtomicU64::from_ptr(self.mapping.base().as_ptr().add(offset).cast()) };
        word.store(value, Ordering::Relaxed);
    }

    /// One store somewhere in `from..to`, more often to one of the words that matter.
    fn scribble(&mut self, from: usize, to: usize, indices: &[usize], near: u64) {
        let offset = match self.random.below(3) {
            0 => indices[self.random.below(indices.len() as u64) as usize],
            _ => from + self.random.below(((to - from) / 8) as u64) as usize * 8,
        };
        let value = self.random.nasty(near);
        self.word(offset, value);
    }
}

/// Takes everything there is, as an engine does; returns whether the ring still works.
fn drain(consumer: &mut spsc::Consumer, copy: &mut Vec<u8>) -> bool {
    // Whatever the producer writes, at most a ring of bytes comes out before it publishes again.
    for _ in 0..1000 {
        copy.resize(2048, 0);
        match consumer.copy_next_run(copy, 64, 5) {
            Err(_) => return false,
            Ok(Next::Empty) => return true,
            Ok(Next::Long(record)) => {
                assert!(record.bytes() <= consumer.capacity());
                copy.resize(record.len(), 0);
                consumer.copy_payload(&record, 0, copy);
                consumer.consume(&record);
            }
            Ok(Next::Run(run)) => {
                assert!(run.bytes() <= 2048 && run.count() <= 64);
                // What was checked in the copy stays true, whatever happens to the original.
                let mut count = 0;
                for record in records(&copy[..run.bytes()]) {
                    assert_eq!(record.unwrap().tag, 5);
                    count += 1;
                }
                assert_eq!(count, run.count());
                consumer.consume_run(&run);
            }
        }
        consumer.release();
    }
    true
}

/// A producer's process may write all of the segment: both sides, data, all of it.
#[test]
fn a_consumer_survives_a_hostile_producer() {
    let mut corrupt = 0;
    for round in 0..ROUNDS {
        let (memory, segment) = spsc::Memory::create("hostile-producer", PAGE_BYTES).unwrap();
        let mut producer = spsc::Producer::new(&memory).unwrap();
        let mut consumer = spsc::Consumer::new(&memory).unwrap();
        let all = segment.map_all().unwrap();
        let mut attack = Scribbler { mapping: &all, random: Random(round) };
        let mut copy = Vec::new();
        for _ in 0..30 {
            let _ = producer.push(attack.random.below(2) as u32, &[7; 40]);
            producer.publish();
            let near = consumer.position();
            attack.scribble(0, all.len(), &[0, 0, PAGE_BYTES / 2, PAGE_BYTES], near);
            if !drain(&mut consumer, &mut copy) {
                corrupt += 1;
                assert!(consumer.peek().is_err(), "corrupt once, corrupt for ever");
                break;
            }
        }
    }
    assert!(corrupt > ROUNDS / 2, "the attack did not bite: {corrupt}");
}

/// The same while the consumer is in the middle of it: checks and copies race with the stores.
#[test]
fn a_consumer_survives_a_producer_that_changes_what_it_published() {
    let (memory, segment) = spsc::Memory::create("hostile-race", PAGE_BYTES).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let attacker = thread::spawn({
        let (stop, all) = (stop.clone(), segment.map_all().unwrap());
        move || {
            let mut attack = Scribbler { mapping: &all, random: Random(1) };
            while !stop.load(Ordering::Relaxed) {
                // Lengths in the data, not the index: the consumer goes on after most of them.
                let offset = PAGE_BYTES + attack.random.below(512) as usize * 8;
                let value = attack.random.below(64) | attack.random.below(2) << 32;
                attack.word(offset, value);
            }
        }
    });
    let (mut changed, mut taken) = (0, 0);
    let mut copy = Vec::new();
    for round in 0..ROUNDS * 10 {
        // A fresh consumer for memory in use: what it finds is as wrong as can be.
        let mut consumer = spsc::Consumer::new(&memory).unwrap();
        Scribbler { mapping: &segment.map_all().unwrap(), random: Random(round) }.word(0, 2048);
        match drain(&mut consumer, &mut copy) {
            true => taken += 1,
            false => changed += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    attacker.join().unwrap();
    assert!(changed > 0 && taken > 0, "no race was seen: {changed} corrupt, {taken} taken");
}

/// A consumer that lies about its index makes the ring corrupt, never overfull.
#[test]
fn a_producer_survives_a_hostile_consumer() {
    let mut corrupt = 0;
    for round in 0..ROUNDS {
        let (memory, segment) = spsc::Memory::create("hostile-consumer", PAGE_BYTES).unwrap();
        let mut producer = spsc::Producer::new(&memory).unwrap();
        let all = segment.map_all().unwrap();
        let mut attack = Scribbler { mapping: &all, random: Random(round) };
        for _ in 0..30 {
            while producer.push(1, &[3; 100]).is_ok() {}
            producer.publish();
            assert!(producer.backlog() <= producer.capacity());
            let near = producer.position();
            attack.scribble(0, all.len(), &[PAGE_BYTES / 2], near);
            if let Err(error) = producer.room() {
                corrupt += 1;
                assert_eq!(producer.room(), Err(error), "corrupt once, corrupt for ever");
                break;
            }
        }
    }
    assert!(corrupt > ROUNDS / 2, "the attack did not bite: {corrupt}");
}

/// One reader of three writes anything into its cursor. The others get everything, in order; the producer
/// never waits for the hostile one longer than the policy (here: divert, then evict) allows.
#[test]
fn other_readers_do_not_notice_a_hostile_one() {
    let cursors =
        Draft::create("cursors", PAGE_BYTES).unwrap().seal(PeerAccess::ReadWrite).unwrap();
    let cursors = cursors.map_all().unwrap();
    let mut corrupt = 0;
    for round in 0..ROUNDS {
        let memory = Memory::heap(16, 4).unwrap();
        let mut producer = Producer::new(&memory).unwrap();
        let mut good = Vec::new();
        for i in 0..2 {
            let cursor = Cursor::new(&cursors, i * CURSOR_BYTES).unwrap();
            producer.add_reader(&cursor, None);
            good.push(Reader::new(&memory, &cursor));
        }
        let cursor = Cursor::new(&cursors, 2 * CURSOR_BYTES).unwrap();
        let (bad, _) = producer.add_reader(&cursor, None);
        let mut attack = Scribbler { mapping: &cursors, random: Random(round) };
        for step in 0..20 {
            let start = producer.next();
            let words: Descriptor = [start; 7];
            for _ in 0..4 {
                producer.push(&words).expect("nobody holds the ring back");
            }
            producer.publish();
            for reader in &mut good {
                let lease = reader.lease(64);
                assert_eq!(lease, Lease::Range(start..start + 4));
                assert!((start..start + 4).all(|index| reader.read(index) == Some(words)));
                reader.release(start + 4);
            }
            // All of the cursor: the producer's line too, which it must not believe either.
            let base = 2 * CURSOR_BYTES;
            attack.scribble(base, base + CURSOR_BYTES, &[base, base + 8], producer.next());
            match producer.state(bad) {
                Some(State::Corrupt(_)) => corrupt += 1,
                Some(State::Reading { lag }) if lag > 8 => match producer.divert(bad) {
                    Ok(held) => {
                        assert!(held.until - held.from <= 4, "no more than a lease is kept");
                        assert!(held.until <= producer.next());
                        producer.lease_ended(bad, &held);
                        assert!(producer.resume(bad).is_some());
                    }
                    Err(_) => corrupt += 1,
                },
                Some(State::Evicted) => break,
                Some(_) => {}
                None => unreachable!("not removed"),
            }
            if step == 15 {
                let _ = producer.evict(bad, 1);
            }
        }
    }
    assert!(corrupt > ROUNDS / 2, "the attack did not bite: {corrupt}");
}
