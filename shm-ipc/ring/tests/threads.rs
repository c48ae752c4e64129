//! Both rings between real threads. Small enough for miri, which checks every access and the orders too:
//! `cargo +nightly miri test -p synchrotron-ring --test threads`.
#![cfg(not(loom))]

use std::thread;

use ring::broadcast::{self, Lease, Return};
use ring::spsc::{self, Next, PushError, records};

const COUNT: u32 = if cfg!(miri) { 60 } else { 200_000 };

/// A payload that tells which record it belongs to, of any length.
fn payload(tag: u32) -> Vec<u8> {
    (0..tag % 41).map(|i| (tag + i) as u8).collect()
}

#[test]
fn records_survive_the_way_between_threads() {
    let (mut producer, mut consumer) = spsc::pair(4096).unwrap();
    let writer = thread::spawn(move || {
        for tag in 0..COUNT {
            while producer.push(tag / 3, &payload(tag)) == Err(PushError::Full) {
                producer.publish();
                thread::yield_now();
            }
            if tag % 5 == 0 {
                producer.publish();
            }
        }
        producer.publish();
    });
    let mut tag = 0;
    let mut copy = [0; 300];
    while tag < COUNT {
        match consumer.copy_next_run(&mut copy, 16, 7).unwrap() {
            Next::Empty => thread::yield_now(),
            Next::Long(record) => panic!("nothing is that long: {record:?}"),
            Next::Run(run) => {
                for record in records(&copy[..run.bytes()]) {
                    let record = record.unwrap();
                    assert_eq!((run.tag(), record.tag), (tag / 3, 7));
                    assert_eq!(record.payload, payload(tag));
                    tag += 1;
                }
                consumer.consume_run(&run);
                consumer.release();
            }
        }
    }
    writer.join().unwrap();
}

/// Two readers; one is diverted now and then, gets those entries from a byte ring, and comes back.
#[test]
fn a_reader_goes_back_and_forth_between_ring_and_copies() {
    let memory = broadcast::Memory::heap(16, 4).unwrap();
    let mut producer = broadcast::Producer::new(&memory).unwrap();
    let cursors = [broadcast::Cursor::heap(), broadcast::Cursor::heap()];
    let ids = cursors.each_ref().map(|cursor| producer.add_reader(cursor, None).0);
    let (mut copies, copied) = spsc::pair(4096).unwrap();
    let [steady, wanderer] =
        cursors.each_ref().map(|cursor| broadcast::Reader::new(&memory, cursor));
    let steady = thread::spawn(move || read_all(steady, None));
    let wanderer = thread::spawn(move || read_all(wanderer, Some(copied)));
    // What the second reader has not released, to be copied when it is diverted.
    let mut diverted = false;
    for index in 0..u64::from(COUNT) {
        while producer.push(&[index; 7]).is_err() {
            thread::yield_now();
        }
        producer.publish();
        let copy = |copies: &mut spsc::Producer, index: u64| {
            while copies.push(1, &index.to_le_bytes()) == Err(PushError::Full) {
                copies.publish();
                thread::yield_now();
            }
        };
        if diverted {
            copy(&mut copies, index);
        }
        match index % 50 {
            20 => {
                let held = producer.divert(ids[1]).unwrap();
                (held.from..=index).for_each(|index| copy(&mut copies, index));
                diverted = true;
            }
            45 => {
                let Return { index, epoch } = producer.resume(ids[1]).unwrap();
                let back = [index.to_le_bytes(), epoch.to_le_bytes()].concat();
                while copies.push(2, &back) == Err(PushError::Full) {
                    copies.publish();
                    thread::yield_now();
                }
                diverted = false;
            }
            _ => {}
        }
        copies.publish();
    }
    steady.join().unwrap();
    wanderer.join().unwrap();
}

/// Reads every index in order, from the ring or, when sent there, from copies.
fn read_all(mut reader: broadcast::Reader, mut copies: Option<spsc::Consumer>) {
    let mut expected = 0;
    let mut bytes = Vec::new();
    while expected < u64::from(COUNT) {
        match reader.lease(4) {
            Lease::Empty | Lease::Held => thread::yield_now(),
            Lease::Evicted(reason) => panic!("evicted: {reason}"),
            Lease::Range(range) => {
                for index in range.clone() {
                    // The slot may be used again once we are diverted; then it is among the copies.
                    let Some(words) = reader.read(index) else { break };
                    assert_eq!((index, words), (expected, [index; 7]));
                    expected += 1;
                }
                reader.release(range.end);
            }
            Lease::Moved { .. } => {
                let copies = copies.as_mut().expect("only one of them is ever diverted");
                let Some(kind) = copies.pop(&mut bytes).unwrap() else {
                    thread::yield_now();
                    continue;
                };
                let index = u64::from_le_bytes(*bytes.first_chunk().unwrap());
                if kind == 2 {
                    assert_eq!(index, expected);
                    let epoch = u64::from_le_bytes(*bytes.last_chunk().unwrap());
                    reader.resume(Return { index, epoch });
                } else if index >= expected {
                    assert_eq!(index, expected);
                    expected += 1;
                }
            }
        }
    }
}
