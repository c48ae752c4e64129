//! Interleavings of every ring and bell, checked exhaustively up to three preemptions.
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom`
#![cfg(loom)]

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;
use ring::{bell, broadcast, spsc};

/// Checks all interleavings with at most this many preemptions: enough for every two-party protocol
/// here, whose critical windows are one store and one load on each side.
const PREEMPTIONS: usize = 3;

fn check(body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.max_branches = 10_000;
    model.check(body);
}

/// Waits for the next record.
fn pop(consumer: &mut spsc::Consumer, payload: &mut Vec<u8>) -> u32 {
    loop {
        match consumer.pop(payload).unwrap() {
            Some(tag) => return tag,
            None => thread::yield_now(),
        }
    }
}

/// Records come out whole, in order, and across the wrap, with the consumer giving room back.
#[test]
fn spsc_hands_records_over_in_order() {
    check(|| {
        let (mut producer, mut consumer) = spsc::pair(32).unwrap();
        let writer = thread::spawn(move || {
            for value in 1..=3_u64 {
                while producer.push(value as u32, &value.to_le_bytes())
                    == Err(spsc::PushError::Full)
                {
                    thread::yield_now();
                }
                producer.publish();
            }
        });
        let mut payload = Vec::new();
        for value in 1..=3_u64 {
            let tag = pop(&mut consumer, &mut payload);
            assert_eq!((tag, &payload[..]), (value as u32, &value.to_le_bytes()[..]));
        }
        writer.join().unwrap();
    });
}

/// A batch shows as a whole or not at all, and is copied as one run.
#[test]
fn spsc_publishes_a_batch_at_once() {
    check(|| {
        let (mut producer, mut consumer) = spsc::pair(64).unwrap();
        let writer = thread::spawn(move || {
            producer.push(7, &[1; 8]).unwrap();
            producer.push(7, &[2; 8]).unwrap();
            producer.publish();
        });
        let mut copy = [0; 64];
        let run = loop {
            match consumer.copy_next_run(&mut copy, 9, 0).unwrap() {
                spsc::Next::Run(run) => break run,
                spsc::Next::Empty => thread::yield_now(),
                spsc::Next::Long(_) => unreachable!("both fit"),
            }
        };
        assert_eq!((run.count(), run.bytes()), (2, 32));
        assert_eq!((copy[8], copy[24]), (1, 2));
        writer.join().unwrap();
    });
}

/// No wake-up is lost: a consumer that sleeps when the ring is empty gets both records. A lost one would
/// leave it waiting for ever, which loom reports.
#[test]
fn bell_loses_no_wake_up() {
    check(|| {
        let memory = spsc::Memory::heap(64).unwrap();
        let mut producer = spsc::Producer::new(&memory).unwrap();
        let mut consumer = spsc::Consumer::new(&memory).unwrap();
        let mut ringer = bell::Ringer::new(&memory.consumer_bell(), None).unwrap();
        let mut sleeper = bell::Sleeper::new(&memory.consumer_bell(), None).unwrap();
        let writer = thread::spawn(move || {
            for value in 1..=2_u32 {
                producer.push(value, &[]).unwrap();
                producer.publish();
                ringer.ring();
            }
        });
        let mut payload = Vec::new();
        for value in 1..=2_u32 {
            let tag = sleeper.block_on(None, || consumer.pop(&mut payload).unwrap()).unwrap();
            assert_eq!(tag, Some(value));
        }
        writer.join().unwrap();
    });
}

/// A producer that waits for room is woken by the consumer that makes some.
#[test]
fn bell_wakes_a_producer_that_waits_for_room() {
    check(|| {
        let memory = spsc::Memory::heap(16).unwrap();
        let mut producer = spsc::Producer::new(&memory).unwrap();
        let mut consumer = spsc::Consumer::new(&memory).unwrap();
        let mut sleeper = bell::Sleeper::new(&memory.producer_bell(), None).unwrap();
        let mut ringer = bell::Ringer::new(&memory.producer_bell(), None).unwrap();
        producer.push(1, &[0; 8]).unwrap();
        producer.publish();
        let reader = thread::spawn(move || {
            let mut payload = Vec::new();
            assert_eq!(consumer.pop(&mut payload), Ok(Some(1)));
            ringer.ring();
            consumer
        });
        let pushed = sleeper.block_on(None, || producer.push(2, &[0; 8]).ok()).unwrap();
        assert_eq!(pushed, Some(()));
        producer.publish();
        let mut consumer = reader.join().unwrap();
        assert_eq!(consumer.peek().unwrap().map(|record| record.tag()), Some(2));
    });
}

/// Payloads beside the ring. loom reports any access to one that is not ordered after the one before, so a
/// slot reused while a reader may still be reading it is an error.
struct Payloads(Vec<UnsafeCell<u64>>);

// SAFETY: loom's cells check each access; that is the test.
unsafe impl Sync for Payloads {}
// SAFETY: plain numbers.
unsafe impl Send for Payloads {}

impl Payloads {
    fn new(len: usize) -> Arc<Self> {
        Arc::new(Self((0..len).map(|_| UnsafeCell::new(0)).collect()))
    }

    fn write(&self, slot: u64, value: u64) {
        // SAFETY: loom fails the test if another thread accesses the cell unordered.
        self.0[slot as usize].with_mut(|payload| unsafe { *payload = value });
    }

    fn read(&self, slot: u64) -> u64 {
        // SAFETY: as above.
        self.0[slot as usize].with(|payload| unsafe { *payload })
    }
}

/// A ring of so many descriptors, and its only reader, which may hold so many at a time.
fn one_reader(
    capacity: usize,
    lease_max: u32,
) -> (broadcast::Producer, broadcast::ReaderId, broadcast::Reader) {
    let memory = broadcast::Memory::heap(capacity, lease_max).unwrap();
    let mut producer = broadcast::Producer::new(&memory).unwrap();
    let cursor = broadcast::Cursor::heap();
    let (id, _) = producer.add_reader(&cursor, None);
    (producer, id, broadcast::Reader::new(&memory, &cursor))
}

fn descriptor(slot: u64, value: u64) -> broadcast::Descriptor {
    [slot, value, 0, 0, 0, 0, 0]
}

/// Two readers see everything in order; the producer reuses a payload once both have released it.
#[test]
fn broadcast_reuses_only_what_all_readers_released() {
    check(|| {
        let memory = broadcast::Memory::heap(2, 2).unwrap();
        let mut producer = broadcast::Producer::new(&memory).unwrap();
        let payloads = Payloads::new(1);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let cursor = broadcast::Cursor::heap();
                producer.add_reader(&cursor, None);
                let mut reader = broadcast::Reader::new(&memory, &cursor);
                let payloads = payloads.clone();
                thread::spawn(move || {
                    let mut expected = 0;
                    for _ in 0..2 {
                        let broadcast::Lease::Range(range) = reader.lease(1) else { continue };
                        let [slot, value, ..] = reader.read(range.start).expect("under lease");
                        assert_eq!((value, payloads.read(slot)), (expected, expected));
                        expected += 1;
                        reader.release(range.end);
                    }
                })
            })
            .collect();
        payloads.write(0, 0);
        producer.push(&descriptor(0, 0)).unwrap();
        producer.publish();
        if producer.min_released() == 1 {
            payloads.write(0, 1);
            producer.push(&descriptor(0, 1)).unwrap();
            producer.publish();
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// The heart of the spill handshake: after `divert` the producer overwrites every payload outside of what it
/// was told the reader may hold. The reader never reads an overwritten payload: it either had leased it
/// before (then the producer kept it) or sees the switch.
#[test]
fn a_diverted_reader_never_sees_reused_payloads() {
    check(|| {
        let (mut producer, id, mut reader) = one_reader(4, 2);
        let payloads = Payloads::new(3);
        for value in 0..3 {
            payloads.write(value, value);
            producer.push(&descriptor(value, value)).unwrap();
        }
        producer.publish();
        let reading = {
            let payloads = payloads.clone();
            thread::spawn(move || {
                let mut expected = 0;
                for _ in 0..3 {
                    match reader.lease(1) {
                        broadcast::Lease::Range(range) => {
                            for index in range.clone() {
                                // A slot is overwritten only by a push, and there is none here.
                                let [slot, value, ..] = reader.read(index).expect("not reused");
                                assert_eq!((value, payloads.read(slot)), (expected, expected));
                                expected += 1;
                            }
                            reader.release(range.end);
                        }
                        broadcast::Lease::Moved { from } => {
                            assert_eq!(from, expected);
                            return from;
                        }
                        other => panic!("unexpected {other:?}"),
                    }
                }
                expected
            })
        };
        let held = producer.divert(id).unwrap();
        // Everything not released goes elsewhere, so nothing that the reader skips is lost.
        for slot in (0..3).filter(|slot| !(held.from..held.until).contains(slot)) {
            payloads.write(slot, u64::MAX);
        }
        while !producer.lease_ended(id, &held) {
            thread::yield_now();
        }
        for slot in held.from..held.until {
            payloads.write(slot, u64::MAX);
        }
        let from = reading.join().unwrap();
        assert!(from >= held.from, "the other stream starts at or before what the reader wants");
    });
}

/// Back to the ring while the producer goes on pushing; nothing is lost or read twice.
#[test]
fn a_reader_comes_back_to_the_ring() {
    check(|| {
        let (mut producer, id, mut reader) = one_reader(4, 4);
        producer.push(&descriptor(0, 0)).unwrap();
        producer.publish();
        let held = producer.divert(id).unwrap();
        assert_eq!((held.from, held.until), (0, 0));
        assert_eq!(reader.lease(9), broadcast::Lease::Moved { from: 0 });
        // Stands for the other stream: it carries index 0 and where to go on.
        let (mut other, mut back) = spsc::pair(64).unwrap();
        let producing = thread::spawn(move || {
            producer.push(&descriptor(1, 1)).unwrap();
            producer.publish();
            let back = producer.resume(id).unwrap();
            other.push(back.index as u32, &back.epoch.to_le_bytes()).unwrap();
            other.publish();
            producer.push(&descriptor(2, 2)).unwrap();
            producer.publish();
        });
        let mut payload = Vec::new();
        let at = u64::from(pop(&mut back, &mut payload));
        assert_eq!(at, 2);
        let epoch = u64::from_le_bytes(payload[..].try_into().unwrap());
        reader.resume(broadcast::Return { index: at, epoch });
        let range = loop {
            match reader.lease(9) {
                broadcast::Lease::Range(range) => break range,
                broadcast::Lease::Empty => thread::yield_now(),
                other => panic!("unexpected {other:?}"),
            }
        };
        assert_eq!(range, 2..3);
        assert_eq!(reader.read(2).map(|words| words[1]), Some(2));
        producing.join().unwrap();
    });
}

/// Diverted and brought back while the reader looked elsewhere: it must not go on in the ring where
/// it was, since the producer holds nothing for it there any more.
#[test]
fn a_reader_notices_a_diversion_that_is_over_already() {
    check(|| {
        let (mut producer, id, mut reader) = one_reader(4, 4);
        let payloads = Payloads::new(1);
        payloads.write(0, 0);
        producer.push(&descriptor(0, 0)).unwrap();
        producer.publish();
        let reading = {
            let payloads = payloads.clone();
            thread::spawn(move || match reader.lease(1) {
                broadcast::Lease::Range(range) => {
                    assert_eq!((range, payloads.read(0)), (0..1, 0));
                    reader.release(1);
                }
                broadcast::Lease::Moved { from } => assert_eq!(from, 0),
                other => panic!("unexpected {other:?}"),
            })
        };
        let held = producer.divert(id).unwrap();
        producer.resume(id).unwrap();
        if producer.lease_ended(id, &held) {
            payloads.write(0, u64::MAX);
        }
        reading.join().unwrap();
    });
}

/// As with `divert`: a reader that is put out had its lease seen, so that what it may read is kept for the time of
/// grace, or learns of it before it reads.
#[test]
fn an_evicted_reader_never_sees_reused_payloads() {
    check(|| {
        let memory = broadcast::Memory::heap(4, 2).unwrap();
        let mut producer = broadcast::Producer::new(&memory).unwrap();
        let cursor = broadcast::Cursor::heap();
        let (id, _) = producer.add_reader(&cursor, None);
        let mut reader = broadcast::Reader::new(&memory, &cursor);
        let payloads = Payloads::new(2);
        for value in 0..2 {
            payloads.write(value, value);
            producer.push(&descriptor(value, value)).unwrap();
        }
        producer.publish();
        let reading = {
            let payloads = payloads.clone();
            thread::spawn(move || {
                for expected in 0..2 {
                    match reader.lease(1) {
                        broadcast::Lease::Range(range) => {
                            assert_eq!(
                                (range.start, payloads.read(expected)),
                                (expected, expected)
                            );
                        }
                        broadcast::Lease::Evicted(7) => return,
                        other => panic!("unexpected {other:?}"),
                    }
                }
            })
        };
        let held = producer.evict(id, 7).unwrap();
        for slot in (0..2).filter(|slot| !(held.from..held.until).contains(slot)) {
            payloads.write(slot, u64::MAX);
        }
        reading.join().unwrap();
    });
}

/// A descriptor that is overwritten under a reader is either read whole or not at all.
#[test]
fn an_overtaken_reader_notices() {
    check(|| {
        let (mut producer, id, mut reader) = one_reader(2, 2);
        producer.push(&[5; 7]).unwrap();
        producer.publish();
        assert_eq!(reader.lease(1), broadcast::Lease::Range(0..1));
        let writing = thread::spawn(move || {
            producer.divert(id).unwrap();
            producer.push(&[6; 7]).unwrap();
            producer.push(&[7; 7]).unwrap();
        });
        if let Some(words) = reader.read(0) {
            assert_eq!(words, [5; 7]);
        }
        writing.join().unwrap();
        assert_eq!(reader.read(0), None);
    });
}
