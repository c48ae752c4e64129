//! Rings between processes, one of which is killed in the middle.
#![cfg(not(any(loom, miri)))]

use std::time::{Duration, Instant};

use ring::bell::{Ringer, Sleeper, fds};
use ring::shm::PAGE_BYTES;
use ring::{broadcast, spsc};

/// Nothing here takes long; a lost wake-up or a hang fails the test instead of holding it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A child process that is killed at the end of the test at the latest.
struct Child(libc::pid_t);

impl Child {
    /// Forks. The child runs `body`, which must not allocate or lock: another thread of the test may hold
    /// the allocator's lock at this moment.
    fn run(body: impl FnOnce()) -> Self {
        // SAFETY: the child calls only `body`, see above, and leaves by `_exit`.
        match unsafe { libc::fork() } {
            0 => {
                body();
                // SAFETY: ends the child without running the parent's destructors.
                unsafe { libc::_exit(0) }
            }
            pid => {
                assert!(pid > 0, "cannot fork: {}", std::io::Error::last_os_error());
                Self(pid)
            }
        }
    }

    /// Kills it wherever it is.
    fn kill(&self) {
        // SAFETY: a child of ours that was not waited for, so the number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        self.wait();
    }

    /// Waits for its end and returns its status.
    fn wait(&self) -> i32 {
        let mut status = 0;
        // SAFETY: as above.
        unsafe { libc::waitpid(self.0, &mut status, 0) };
        status
    }
}

/// Records by way of another process: sync, with sleeping on both sides.
#[test]
fn a_child_reads_what_we_write_and_sleeps_in_between() {
    const COUNT: u32 = 20_000;
    let (memory, _segment) = spsc::Memory::create("to-child", PAGE_BYTES).unwrap();
    let (back, _segment) = spsc::Memory::create("from-child", PAGE_BYTES).unwrap();
    let mut producer = spsc::Producer::new(&memory).unwrap();
    let mut answers = spsc::Consumer::new(&back).unwrap();
    let mut wake_child = Ringer::new(&memory.consumer_bell(), None).unwrap();
    let mut answered = Sleeper::new(&back.consumer_bell(), None).unwrap();
    let mut consumer = spsc::Consumer::new(&memory).unwrap();
    let mut answer = spsc::Producer::new(&back).unwrap();
    let mut woken = Sleeper::new(&memory.consumer_bell(), None).unwrap();
    let mut wake_parent = Ringer::new(&back.consumer_bell(), None).unwrap();
    let child = Child::run(|| {
        for _ in 0..COUNT {
            let record = woken.block_on(Some(PATIENCE), || consumer.peek().unwrap());
            let Ok(Some(record)) = record else { return };
            let tag = record.tag();
            consumer.consume(&record);
            consumer.release();
            if answer.push(tag, &[]).is_err() {
                return;
            }
            answer.publish();
            wake_parent.ring();
        }
    });
    let mut payload = Vec::new();
    for tag in 0..COUNT {
        producer.push(tag, &[0; 100]).unwrap();
        producer.publish();
        wake_child.ring();
        let got = answered.block_on(Some(PATIENCE), || answers.pop(&mut payload).unwrap()).unwrap();
        assert_eq!(got, Some(tag));
    }
    assert_eq!(child.wait(), 0);
}

/// Kills a producer at some instruction, many times. The consumer gets whole records with nothing
/// missing up to the last one published, and no error: half a record is never seen.
#[test]
fn a_killed_producer_leaves_whole_records() {
    for round in 0..60_u64 {
        let (memory, _segment) = spsc::Memory::create("killed", PAGE_BYTES).unwrap();
        let mut producer = spsc::Producer::new(&memory).unwrap();
        let mut consumer = spsc::Consumer::new(&memory).unwrap();
        let mut message = [0_u8; 200];
        let child = Child::run(|| {
            for tag in 0_u32.. {
                let len = tag as usize % message.len();
                message.fill(tag as u8);
                while producer.push(tag, &message[..len]).is_err() {
                    std::hint::spin_loop();
                }
                if tag % 3 == 0 {
                    producer.publish();
                }
            }
        });
        let mut payload = Vec::new();
        let mut expected = 0_u32;
        let mut take = |consumer: &mut spsc::Consumer, most: u64| {
            for _ in 0..most {
                let Some(tag) = consumer.pop(&mut payload).unwrap() else { break };
                assert_eq!(tag, expected);
                assert!(payload.len() == tag as usize % 200);
                assert!(payload.iter().all(|byte| *byte == tag as u8));
                expected += 1;
            }
        };
        let deadline = Instant::now() + PATIENCE;
        while consumer.available().unwrap() == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        take(&mut consumer, round * 7);
        child.kill();
        take(&mut consumer, u64::MAX);
        assert!(consumer.peek().unwrap().is_none() && expected > 0);
    }
}

/// Kills a reader under a lease. The producer diverts it, finds what it held, and goes on.
#[test]
fn a_killed_reader_holds_only_its_lease() {
    for round in 0..30_u64 {
        let (memory, _segment) = broadcast::Memory::create("ring", 16, 4).unwrap();
        let mut producer = broadcast::Producer::new(&memory).unwrap();
        let page = ring::shm::Draft::create("cursor", PAGE_BYTES).unwrap();
        let cursor = broadcast::Cursor::new(&page.map_all().unwrap(), 0).unwrap();
        let (id, _) = producer.add_reader(&cursor, None);
        let mut reader = broadcast::Reader::new(&memory, &cursor);
        let child = Child::run(|| {
            loop {
                if let broadcast::Lease::Range(range) = reader.lease(4) {
                    for index in range.start..range.end {
                        assert_eq!(reader.read(index), Some([index; 7]));
                    }
                    reader.release(range.end);
                }
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while producer.next() < 100 + round * 10 {
            let next = producer.next();
            if producer.push(&[next; 7]).is_ok() {
                producer.publish();
            } else {
                assert!(Instant::now() < deadline, "the reader does not read");
                std::thread::yield_now();
            }
        }
        child.kill();
        let held = producer.divert(id).unwrap();
        assert!(held.from <= held.until && held.until - held.from <= 4);
        for _ in 0..32 {
            let next = producer.next();
            producer.push(&[next; 7]).expect("a diverted reader holds nothing back");
        }
        producer.remove_reader(id);
        assert!(producer.lease_ended(id, &held), "a reader that is gone holds nothing");
    }
}

/// Pollable bells between processes: every ring is seen, and one that nobody waits for is not sent.
#[test]
fn descriptors_wake_a_child() {
    const COUNT: u32 = 5_000;
    let (memory, _segment) = spsc::Memory::create("fd-bell", PAGE_BYTES).unwrap();
    let (ring_fd, poll_fd) = fds().unwrap();
    let mut producer = spsc::Producer::new(&memory).unwrap();
    let mut ringer = Ringer::new(&memory.consumer_bell(), Some(ring_fd)).unwrap();
    let mut consumer = spsc::Consumer::new(&memory).unwrap();
    let mut sleeper = Sleeper::new(&memory.consumer_bell(), Some(poll_fd)).unwrap();
    let child = Child::run(|| {
        for expected in 0..COUNT {
            let record = sleeper.block_on(Some(PATIENCE), || consumer.peek().unwrap());
            let Ok(Some(record)) = record else {
                // SAFETY: ends the child.
                unsafe { libc::_exit(1) }
            };
            if record.tag() != expected {
                // SAFETY: ends the child.
                unsafe { libc::_exit(2) }
            }
            consumer.consume(&record);
            consumer.release();
        }
    });
    for tag in 0..COUNT {
        while producer.push(tag, &[]).is_err() {
            std::thread::yield_now();
        }
        producer.publish();
        ringer.ring();
    }
    assert_eq!(child.wait(), 0);
}
