//! Rings, both ends in one thread: what a message costs beside the hand-over itself (`synchrotron bench ring` measures
//! that, between two processors).
#![forbid(unsafe_code)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ring::broadcast::{self, Lease};
use ring::spsc::{self, Next};

/// Records shown and released together.
const BATCH: u64 = 64;

fn one_by_one(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spsc");
    group.throughput(Throughput::Elements(1));
    group.bench_function("a record of 64 bytes, shown and released by itself", |bencher| {
        let (mut producer, mut consumer) = spsc::pair(64 << 10).expect("memory");
        let mut copy = [0; 64];
        bencher.iter(|| {
            producer.push(0, &[7; 64]).expect("room");
            producer.publish();
            let record = consumer.peek().expect("ours").expect("published");
            consumer.copy_payload(&record, 0, &mut copy);
            consumer.consume(&record);
            consumer.release();
            copy[0]
        });
    });
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("64 records of 64 bytes, copied out in runs of 1400 bytes", |bencher| {
        let (mut producer, mut consumer) = spsc::pair(64 << 10).expect("memory");
        let mut frame = [0; 1400];
        bencher.iter(|| {
            for _ in 0..BATCH {
                producer.push(0, &[7; 64]).expect("room");
            }
            producer.publish();
            let mut taken = 0;
            while let Next::Run(run) =
                consumer.copy_next_run(&mut frame, u32::MAX, 0).expect("ours")
            {
                taken += run.count();
                consumer.consume_run(&run);
            }
            consumer.release();
            assert_eq!(u64::from(taken), BATCH);
        });
    });
    group.finish();
}

fn to_readers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broadcast");
    for readers in [1, 8] {
        group.throughput(Throughput::Elements(BATCH * readers));
        group.bench_function(format!("64 descriptors to {readers} readers"), |bencher| {
            let memory = broadcast::Memory::create("bench", 1024, 256).expect("memory").0;
            let mut producer = broadcast::Producer::new(&memory).expect("ours");
            let mut all: Vec<_> = (0..readers)
                .map(|_| {
                    let cursor = broadcast::Cursor::heap();
                    producer.add_reader(&cursor, None);
                    broadcast::Reader::new(&memory, &cursor)
                })
                .collect();
            bencher.iter(|| {
                for index in 0..BATCH {
                    producer.push(&[index; 7]).expect("room");
                }
                producer.publish();
                for reader in &mut all {
                    let Lease::Range(range) = reader.lease(BATCH) else { panic!("published") };
                    for index in range.clone() {
                        assert!(reader.read(index).is_some());
                    }
                    reader.release(range.end);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_by_one, to_readers);
criterion_main!(benches);
