//! What reading and writing frames costs.
#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wire::data::{DATA_HEADER_BYTES, DataHeader};
use wire::run::{RECORD_HEADER_BYTES, RUN_HEADER_BYTES, RunHeader, RunKind, record_at, runs};
use wire::token::Token;
use wire::{Kind, NodeId, RingId};
use zerocopy::IntoBytes;

/// Bytes of a message, and how many of them fill a frame.
const MESSAGE_BYTES: usize = 64;
const MESSAGES: usize = 18;

const RING: RingId = RingId { seq: 7, rep: NodeId(1) };

fn data(criterion: &mut Criterion) {
    let body = MESSAGES * (RECORD_HEADER_BYTES + MESSAGE_BYTES);
    let header = DataHeader {
        kind: Kind::Data as u8,
        flags: 0,
        payload_len: ((RUN_HEADER_BYTES + body) as u16).into(),
        origin: 1.into(),
        ring_seq: RING.seq.into(),
        ring_rep: RING.rep.0.into(),
        round: 3.into(),
        seq: 9.into(),
        prev: 8.into(),
    };
    let mut frame = vec![0; DATA_HEADER_BYTES + RUN_HEADER_BYTES + body];
    header.emit(&mut frame);
    let run = RunHeader {
        group: 1.into(),
        session: 1.into(),
        bytes: (body as u32).into(),
        count: (MESSAGES as u16).into(),
        kind: RunKind::Messages.code(),
        flags: 0,
    };
    let (_, payload) = frame.split_at_mut(DATA_HEADER_BYTES);
    payload[..RUN_HEADER_BYTES].copy_from_slice(run.as_bytes());
    for record in payload[RUN_HEADER_BYTES..].chunks_exact_mut(RECORD_HEADER_BYTES + MESSAGE_BYTES)
    {
        record[..4].copy_from_slice(&(MESSAGE_BYTES as u32).to_le_bytes());
    }
    let mut group = criterion.benchmark_group("data");
    group.bench_function("header written", |bencher| {
        let mut frame = frame.clone();
        bencher.iter(|| black_box(&header).emit(black_box(&mut frame)));
    });
    group.bench_function("header checked", |bencher| {
        bencher.iter(|| DataHeader::parse(black_box(&frame)).expect("good").seq);
    });
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("18 messages of 64 bytes found in a frame", |bencher| {
        bencher.iter(|| {
            let mut found = 0;
            for run in runs(black_box(&frame[DATA_HEADER_BYTES..])) {
                let run = run.expect("good");
                let mut at = 0;
                while let Some((range, next)) = record_at(run.body, at) {
                    found += usize::from(!range.is_empty());
                    at = next;
                }
            }
            assert_eq!(found, MESSAGES);
        });
    });
    group.finish();
}

fn token(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token");
    for gaps in [0, 20] {
        let mut token = Token::first(RING, 1000);
        token.seq = 1000;
        (0..gaps).for_each(|gap| token.ranges.add(gap * 10 + 1, gap * 10 + 2));
        let mut bytes = [0; 2048];
        group.bench_function(format!("written, {gaps} gaps"), |bencher| {
            bencher.iter(|| black_box(&token).emit(&mut bytes).expect("room"));
        });
        let len = token.emit(&mut bytes).expect("room");
        group.bench_function(format!("read, {gaps} gaps"), |bencher| {
            bencher.iter(|| Token::parse(black_box(&bytes[..len])).expect("good").visit);
        });
    }
    group.finish();
}

criterion_group!(benches, data, token);
criterion_main!(benches);
