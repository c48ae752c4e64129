//! The rings and bells with two pinned threads of one process at their two ends.
//!
//! Costs are processor time of one thread that does both sides, so other load hardly counts; rates and hops are taken
//! between two processors and do depend on what else runs there.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ring::bell::{Ringer, Sleeper, fds};
use ring::broadcast::{self, Lease};
use ring::spsc::{self, Next};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::ring::RingFigure;

/// Messages of a run.
const MESSAGES: u32 = 500_000;
/// Round trips of a run.
const HOPS: usize = 2_000;

/// Everything that threads of one process can show.
/// Everything is repeated `count` times; the best is what the rings can do, the median what the machine let them.
pub(super) fn figures(count: usize) -> Vec<RingFigure> {
    let mut all = vec![
        cost(count, "spsc, one 56-byte record pushed, published, read and released", spsc_cost),
        cost(
            count,
            "broadcast, one descriptor pushed, leased, read and released in 64s",
            ring_cost,
        ),
    ];
    for batch in [1, 16, 64] {
        let what = format!("spsc, 64-byte records, publish per {batch}");
        all.push(rate(count, &what, || spsc_rate(batch)));
    }
    all.push(rate(count, "spsc, runs of 1400 bytes, one copy each", spsc_runs));
    for readers in [1, 8] {
        let what = format!("broadcast, batches of 64, deliveries to {readers} readers");
        all.push(rate(count, &what, || broadcast_rate(readers)));
    }
    all.push(hop(count, "one-way hop, both spin", spinning_hop_ns));
    all.push(hop(count, "one-way hop, futex bell", || bell_hop_ns(false)));
    all.push(hop(count, "one-way hop, descriptor bell", || bell_hop_ns(true)));
    all.push(hop(count, "one-way hop, bare eventfd", eventfd_hop_ns));
    all
}

/// Processor time of one thread that does both sides, so that other load does not count.
fn cost(count: usize, what: &str, work: impl Fn(u32)) -> RingFigure {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let runs = runs(count, || {
        let start = now();
        work(MESSAGES);
        (now() - start) / f64::from(MESSAGES)
    });
    let unit = "ns of one processor".to_owned();
    RingFigure { what: what.to_owned(), unit, median: runs[count / 2], best: runs[0] }
}

fn spsc_cost(count: u32) {
    let (mut producer, mut consumer) = spsc::pair(64 << 10).expect("memory");
    let mut first = [0; 8];
    for _ in 0..count {
        producer.push(0, &[7; 56]).expect("room");
        producer.publish();
        let record = consumer.peek().expect("ours").expect("published");
        consumer.copy_payload(&record, 0, &mut first);
        consumer.consume(&record);
        consumer.release();
    }
    assert_eq!(first, [7; 8]);
}

fn ring_cost(count: u32) {
    let memory = broadcast::Memory::create("measure", 1024, 256).expect("memory").0;
    let mut producer = broadcast::Producer::new(&memory).expect("ours");
    let cursor = broadcast::Cursor::heap();
    producer.add_reader(&cursor, None);
    let mut reader = broadcast::Reader::new(&memory, &cursor);
    for _ in 0..count / 64 {
        for index in 0..64 {
            producer.push(&[index; 7]).expect("room");
        }
        producer.publish();
        let Lease::Range(range) = reader.lease(64) else { panic!("published") };
        for index in range.clone() {
            assert_eq!(reader.read(index).map(|words| words[6]), Some(index % 64));
        }
        reader.release(range.end);
    }
}

fn runs(count: usize, mut measure: impl FnMut() -> f64) -> Vec<f64> {
    let pause = || thread::sleep(Duration::from_millis(100));
    // Pauses let others have the processors, if this runs with real-time priority on a machine in use.
    let mut results: Vec<f64> = (0..count).map(|_| (pause(), measure()).1).collect();
    results.sort_by(f64::total_cmp);
    results
}

fn rate(count: usize, what: &str, measure: impl FnMut() -> f64) -> RingFigure {
    let runs = runs(count, measure);
    let (median, best) = (runs[count / 2], runs[count - 1]);
    RingFigure { what: what.to_owned(), unit: "million a second".to_owned(), median, best }
}

/// A hop's median in each run.
fn hop(count: usize, what: &str, measure: impl FnMut() -> f64) -> RingFigure {
    let runs = runs(count, measure);
    RingFigure {
        what: what.to_owned(),
        unit: "ns".to_owned(),
        median: runs[count / 2],
        best: runs[0],
    }
}

/// Pins the calling thread; without that many processors it goes on unpinned.
pub(super) fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    let _ = sched_setaffinity(None, &set);
}

/// Runs `other` on processor 1 and `this` on 0, once both are there; returns what `this` gives and how long it took.
fn two<T>(other: impl FnOnce() + Send, this: impl FnOnce() -> T) -> (T, Duration) {
    let both = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            both.wait();
            other();
        });
        pin(0);
        both.wait();
        let start = Instant::now();
        (this(), start.elapsed())
    })
}

fn million_per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64() / 1e6
}

fn produce(producer: &mut spsc::Producer, batch: u32) {
    let payload = [7; 56];
    for tag in 0..MESSAGES {
        while producer.push(0, &payload).is_err() {
            producer.publish();
            spin_loop();
        }
        if tag % batch == batch - 1 {
            producer.publish();
        }
    }
    producer.publish();
}

fn spsc_rate(batch: u32) -> f64 {
    let (mut producer, mut consumer) = spsc::pair(256 << 10).expect("memory");
    let ((), took) = two(
        || produce(&mut producer, batch),
        || {
            let (mut taken, mut sum) = (0, 0_u64);
            let mut first = [0; 8];
            while taken < MESSAGES {
                let Some(record) = consumer.peek().expect("ours") else {
                    consumer.release();
                    spin_loop();
                    continue;
                };
                consumer.copy_payload(&record, 0, &mut first);
                sum += u64::from(first[0]);
                consumer.consume(&record);
                taken += 1;
                if taken % batch == 0 {
                    consumer.release();
                }
            }
            assert_eq!(sum, 7 * u64::from(MESSAGES));
        },
    );
    million_per_second(MESSAGES.into(), took)
}

fn spsc_runs() -> f64 {
    let (mut producer, mut consumer) = spsc::pair(256 << 10).expect("memory");
    let ((), took) = two(
        || produce(&mut producer, 64),
        || {
            let mut taken = 0;
            let mut frame = [0; 1400];
            while taken < MESSAGES {
                let next = consumer.copy_next_run(&mut frame, u32::MAX, 0).expect("ours");
                let Next::Run(run) = next else {
                    spin_loop();
                    continue;
                };
                consumer.consume_run(&run);
                consumer.release();
                taken += run.count();
            }
        },
    );
    million_per_second(MESSAGES.into(), took)
}

fn broadcast_rate(count: u64) -> f64 {
    let memory = broadcast::Memory::create("measure", 8192, 1024).expect("memory").0;
    let mut producer = broadcast::Producer::new(&memory).expect("ours");
    let mut readers = Vec::new();
    for _ in 0..count {
        let cursor = broadcast::Cursor::heap();
        producer.add_reader(&cursor, None);
        readers.push(broadcast::Reader::new(&memory, &cursor));
    }
    let messages = u64::from(MESSAGES);
    let ((), took) = two(
        move || {
            for index in 0..messages {
                while producer.push(&[index; 7]).is_err() {
                    producer.publish();
                    spin_loop();
                }
                if index % 64 == 63 {
                    producer.publish();
                }
            }
            producer.publish();
        },
        || {
            let mut done = 0;
            while done < count {
                done = 0;
                for reader in &mut readers {
                    if let Lease::Range(range) = reader.lease(256) {
                        for index in range.clone() {
                            assert_eq!(reader.read(index).map(|words| words[0]), Some(index));
                        }
                        reader.release(range.end);
                    }
                    done += u64::from(reader.position() == messages);
                }
            }
        },
    );
    million_per_second(messages * count, took)
}

/// Half of the median round trip, in nanoseconds.
fn half_median(mut round_trips: Vec<Duration>) -> f64 {
    round_trips.sort();
    round_trips[round_trips.len() / 2].as_nanos() as f64 / 2.0
}

fn spinning_hop_ns() -> f64 {
    let (mut ping, mut pinged) = spsc::pair(4096).expect("memory");
    let (mut pong, mut ponged) = spsc::pair(4096).expect("memory");
    let hop = |to: &mut spsc::Producer| {
        to.push(0, &[1; 56]).expect("room");
        to.publish();
    };
    let wait = |from: &mut spsc::Consumer| {
        loop {
            if let Some(record) = from.peek().expect("ours") {
                from.consume(&record);
                from.release();
                break;
            }
            spin_loop();
        }
    };
    two(
        || {
            for _ in 0..HOPS {
                wait(&mut pinged);
                hop(&mut pong);
            }
        },
        || {
            let trips = (0..HOPS).map(|_| {
                let start = Instant::now();
                hop(&mut ping);
                wait(&mut ponged);
                start.elapsed()
            });
            half_median(trips.collect())
        },
    )
    .0
}

/// One direction of a hop with a bell.
struct Lane {
    producer: spsc::Producer,
    ringer: Ringer,
    consumer: spsc::Consumer,
    sleeper: Sleeper,
}

impl Lane {
    fn new(descriptors: bool) -> Self {
        let memory = spsc::Memory::create("measure", 4096).expect("memory").0;
        let (ring_fd, poll_fd) = match descriptors.then(|| fds().expect("descriptors")) {
            Some((ring_fd, poll_fd)) => (Some(ring_fd), Some(poll_fd)),
            None => (None, None),
        };
        Self {
            producer: spsc::Producer::new(&memory).expect("ours"),
            ringer: Ringer::new(&memory.consumer_bell(), ring_fd).expect("ours"),
            consumer: spsc::Consumer::new(&memory).expect("ours"),
            sleeper: Sleeper::new(&memory.consumer_bell(), poll_fd).expect("ours"),
        }
    }
}

fn bell_hop_ns(descriptors: bool) -> f64 {
    let Lane {
        producer: mut ping,
        ringer: mut wake_other,
        consumer: mut pinged,
        sleeper: mut other,
    } = Lane::new(descriptors);
    let Lane { producer: mut pong, ringer: mut wake_this, consumer: mut ponged, sleeper: mut this } =
        Lane::new(descriptors);
    let hop = |to: &mut spsc::Producer, ringer: &mut Ringer| {
        to.push(0, &[1; 56]).expect("room");
        to.publish();
        ringer.ring();
    };
    let wait = |from: &mut spsc::Consumer, sleeper: &mut Sleeper| {
        let record = sleeper.block_on(None, || from.peek().expect("ours"));
        let record = record.expect("no error").expect("no time limit");
        from.consume(&record);
        from.release();
    };
    two(
        || {
            for _ in 0..HOPS {
                wait(&mut pinged, &mut other);
                hop(&mut pong, &mut wake_this);
            }
        },
        || {
            let trips = (0..HOPS).map(|_| {
                let start = Instant::now();
                hop(&mut ping, &mut wake_other);
                wait(&mut ponged, &mut this);
                start.elapsed()
            });
            half_median(trips.collect())
        },
    )
    .0
}

fn eventfd_hop_ns() -> f64 {
    use rustix::event::{EventfdFlags, eventfd};
    let ping = eventfd(0, EventfdFlags::empty()).expect("an eventfd");
    let pong = eventfd(0, EventfdFlags::empty()).expect("an eventfd");
    let hop = |fd| rustix::io::write(fd, &1_u64.to_ne_bytes()).expect("written");
    let wait = |fd| rustix::io::read(fd, &mut [0_u8; 8]).expect("read");
    two(
        || {
            for _ in 0..HOPS {
                wait(&ping);
                hop(&pong);
            }
        },
        || {
            let trips = (0..HOPS).map(|_| {
                let start = Instant::now();
                hop(&ping);
                wait(&pong);
                start.elapsed()
            });
            half_median(trips.collect())
        },
    )
    .0
}
