//! The byte ring against a plain queue, for any sequence of operations.
#![cfg(not(any(loom, miri)))]

use std::collections::VecDeque;

use proptest::prelude::*;
use ring::spsc::{self, Next, PushError, RECORD_HEADER_BYTES, record_bytes, records};

const CAPACITY: usize = 4096;

#[derive(Clone, Debug)]
enum Step {
    Push {
        tag: u32,
        payload: Vec<u8>,
    },
    /// A loan of `len` bytes of which the first `used` are committed; none: abandoned.
    Loan {
        len: usize,
        used: Option<usize>,
    },
    Publish,
    Pop,
    Run {
        bytes_max: usize,
        count_max: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..64),
        1 => prop::collection::vec(any::<u8>(), 1000..CAPACITY + 16),
    ];
    prop_oneof![
        4 => (0..3_u32, payload).prop_map(|(tag, payload)| Step::Push { tag, payload }),
        1 => (0..300_usize).prop_flat_map(|len| {
            prop::option::of(0..=len).prop_map(move |used| Step::Loan { len, used })
        }),
        2 => Just(Step::Publish),
        2 => Just(Step::Pop),
        2 => (0..2000_usize, 1..9_u32)
            .prop_map(|(bytes_max, count_max)| Step::Run { bytes_max, count_max }),
    ]
}

/// What the ring should hold.
#[derive(Default)]
struct Model {
    published: VecDeque<(u32, Vec<u8>)>,
    pending: VecDeque<(u32, Vec<u8>)>,
}

impl Model {
    fn bytes(&self) -> usize {
        let all = self.published.iter().chain(&self.pending);
        all.map(|(_, payload)| record_bytes(payload.len())).sum()
    }

    fn fits(&self, len: usize) -> bool {
        self.bytes() + record_bytes(len) <= CAPACITY
    }

    /// How many of the next records a run takes.
    fn run(&self, bytes_max: usize, count_max: u32) -> usize {
        let tag = self.published.front().map(|(tag, _)| *tag);
        let mut bytes = 0;
        self.published
            .iter()
            .take(count_max as usize)
            .take_while(|(other, payload)| {
                bytes += record_bytes(payload.len());
                Some(*other) == tag && bytes <= bytes_max
            })
            .count()
    }
}

fn apply(
    step: &Step,
    model: &mut Model,
    producer: &mut spsc::Producer,
    consumer: &mut spsc::Consumer,
) -> Result<(), TestCaseError> {
    match step {
        Step::Push { tag, payload } => {
            let result = producer.push(*tag, payload);
            if payload.len() > CAPACITY - RECORD_HEADER_BYTES {
                let too_long = matches!(result, Err(PushError::TooLong { .. }));
                prop_assert!(too_long, "{result:?}");
            } else if model.fits(payload.len()) {
                prop_assert_eq!(result, Ok(()));
                model.pending.push_back((*tag, payload.clone()));
            } else {
                prop_assert_eq!(result, Err(PushError::Full));
            }
        }
        Step::Loan { len, used } => match producer.loan(9, *len) {
            Ok(mut loan) => {
                prop_assert!(model.fits(*len));
                loan.bytes_mut().fill(0xEE);
                if let Some(used) = used {
                    loan.commit_len(*used);
                    model.pending.push_back((9, vec![0xEE; *used]));
                }
            }
            Err(error) => {
                prop_assert_eq!(error, PushError::Full);
                prop_assert!(!model.fits(*len));
            }
        },
        Step::Publish => {
            prop_assert_eq!(producer.publish(), !model.pending.is_empty());
            model.published.append(&mut model.pending);
        }
        Step::Pop => {
            let mut payload = Vec::new();
            let tag = consumer.pop(&mut payload).unwrap();
            prop_assert_eq!(tag.map(|tag| (tag, payload)), model.published.pop_front());
        }
        Step::Run { bytes_max, count_max } => {
            take_run(model, consumer, *bytes_max, *count_max)?;
        }
    }
    Ok(())
}

fn take_run(
    model: &mut Model,
    consumer: &mut spsc::Consumer,
    bytes_max: usize,
    count_max: u32,
) -> Result<(), TestCaseError> {
    let mut copy = vec![0xee; bytes_max];
    match consumer.copy_next_run(&mut copy, count_max, 99).unwrap() {
        Next::Empty => prop_assert!(model.published.is_empty()),
        Next::Long(record) => {
            prop_assert!(record.bytes() > bytes_max);
            prop_assert_eq!(record.len(), model.published[0].1.len());
        }
        Next::Run(run) => {
            // At least what a look at the producer's index would give if the last one was older; the
            // model looks at everything, the ring at what it knows.
            prop_assert!(run.count() as usize <= model.run(bytes_max, count_max));
            let copy = &copy[..run.bytes()];
            prop_assert_eq!(records(copy).count(), run.count() as usize);
            for record in records(copy) {
                let record = record.unwrap();
                prop_assert_eq!(record.tag, 99);
                let expected = model.published.pop_front();
                prop_assert_eq!(Some((run.tag(), record.payload.to_vec())), expected);
                let end = record.offset + RECORD_HEADER_BYTES + record.payload.len();
                let padding = &copy[end..end.next_multiple_of(8)];
                prop_assert!(padding.iter().all(|byte| *byte == 0), "old bytes in the padding");
            }
            consumer.consume_run(&run);
            consumer.release();
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn behaves_as_a_queue(steps in prop::collection::vec(step(), 1..200)) {
        let (mut producer, mut consumer) = spsc::pair(CAPACITY).unwrap();
        let mut model = Model::default();
        for step in &steps {
            apply(step, &mut model, &mut producer, &mut consumer)?;
        }
        producer.publish();
        model.published.append(&mut model.pending);
        let mut payload = Vec::new();
        while let Some(expected) = model.published.pop_front() {
            prop_assert_eq!(consumer.pop(&mut payload).unwrap(), Some(expected.0));
            prop_assert_eq!(&payload, &expected.1);
        }
        prop_assert_eq!(producer.room(), Ok(CAPACITY));
    }
}

/// The mirror at work: a record as long as the ring, wherever it starts.
#[test]
fn a_record_may_be_as_long_as_the_ring() {
    let (mut producer, mut consumer) = spsc::pair(CAPACITY).unwrap();
    let mut payload = Vec::new();
    for start in (0..CAPACITY).step_by(8 * 37) {
        producer.push(1, &[0; 8]).unwrap();
        producer.publish();
        consumer.pop(&mut payload).unwrap();
        let long: Vec<u8> = (0..producer.len_max()).map(|i| (i + start) as u8).collect();
        producer.push(2, &long).unwrap();
        assert_eq!(producer.push(3, &[]), Err(PushError::Full));
        producer.publish();
        let record = consumer.peek().unwrap().unwrap();
        // SAFETY: the producer is ours and keeps the rules.
        assert_eq!(unsafe { consumer.payload(&record) }, &long[..]);
        let mut part = [0; 100];
        consumer.copy_payload(&record, 2000, &mut part);
        assert_eq!(part, long[2000..2100]);
        consumer.consume(&record);
        consumer.release();
    }
}

/// Records in use in place hold their room back; those released in order give it back one by one.
#[test]
fn release_can_lag_behind_consume() {
    let (mut producer, mut consumer) = spsc::pair(CAPACITY).unwrap();
    for tag in 0..4 {
        producer.push(tag, &[tag as u8; 1000]).unwrap();
    }
    producer.publish();
    let first = consumer.peek().unwrap().unwrap();
    consumer.consume(&first);
    let after_first = consumer.position();
    let second = consumer.peek().unwrap().unwrap();
    consumer.consume(&second);
    assert_eq!(producer.push(4, &[4; 1000]), Err(PushError::Full));
    assert!(consumer.release_to(after_first));
    assert!(!consumer.release_to(after_first));
    producer.push(4, &[4; 1000]).unwrap();
    // SAFETY: the producer is ours and keeps the rules; the record is not released.
    assert_eq!(unsafe { consumer.payload(&second) }, &[1; 1000]);
    assert_eq!(producer.push(5, &[5; 1000]), Err(PushError::Full));
}
