//! The descriptor ring with any number of readers against a plain list.
#![cfg(not(any(loom, miri)))]

use proptest::prelude::*;
use ring::broadcast::{Cursor, Held, Lease, Memory, Producer, Reader, ReaderId, State};

const CAPACITY: u64 = 8;
const LEASE_MAX: u32 = 4;

#[derive(Clone, Debug)]
enum Step {
    Add,
    Remove(usize),
    Push(u64),
    Publish,
    Lease { reader: usize, count: u64 },
    Release { reader: usize, count: u64 },
    Divert(usize),
    Resume(usize),
    Evict(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Add),
        1 => (0..4_usize).prop_map(Step::Remove),
        6 => (1..5_u64).prop_map(Step::Push),
        6 => Just(Step::Publish),
        6 => (0..4_usize, 1..6_u64).prop_map(|(reader, count)| Step::Lease { reader, count }),
        6 => (0..4_usize, 1..6_u64).prop_map(|(reader, count)| Step::Release { reader, count }),
        1 => (0..4_usize).prop_map(Step::Divert),
        1 => (0..4_usize).prop_map(Step::Resume),
        1 => (0..4_usize).prop_map(Step::Evict),
    ]
}

/// A reader and what we know of it.
struct Seat {
    id: ReaderId,
    reader: Reader,
    /// First index it needs from the ring as the producer must see it.
    needs: u64,
    /// Next index it should get, from wherever.
    expected: u64,
    /// Leased, not released.
    leased: std::ops::Range<u64>,
    diverted: Option<Held>,
    evicted: bool,
}

struct World {
    memory: Memory,
    producer: Producer,
    seats: Vec<Seat>,
    published: u64,
}

fn words(index: u64) -> [u64; 7] {
    std::array::from_fn(|i| index * 7 + i as u64)
}

impl World {
    fn new() -> Self {
        let memory = Memory::heap(CAPACITY as usize, LEASE_MAX).unwrap();
        let producer = Producer::new(&memory).unwrap();
        Self { memory, producer, seats: Vec::new(), published: 0 }
    }

    fn oldest(&self) -> u64 {
        let needing = self.seats.iter().filter(|seat| seat.diverted.is_none() && !seat.evicted);
        needing.map(|seat| seat.needs).min().unwrap_or(self.producer.next())
    }

    fn add(&mut self) {
        if self.seats.len() == 4 {
            return;
        }
        let cursor = Cursor::heap();
        let (id, start) = self.producer.add_reader(&cursor, None);
        let reader = Reader::new(&self.memory, &cursor);
        let leased = start..start;
        let (diverted, evicted) = (None, false);
        self.seats.push(Seat {
            id,
            reader,
            needs: start,
            expected: start,
            leased,
            diverted,
            evicted,
        });
    }

    fn push(&mut self, count: u64) -> Result<(), TestCaseError> {
        for _ in 0..count {
            let index = self.producer.next();
            let free = index - self.oldest() < CAPACITY;
            prop_assert_eq!(self.producer.push(&words(index)).is_ok(), free);
        }
        Ok(())
    }

    fn lease(&mut self, reader: usize, count: u64) -> Result<(), TestCaseError> {
        let published = self.published;
        let Some(seat) = self.seats.get_mut(reader) else { return Ok(()) };
        match seat.reader.lease(count) {
            Lease::Evicted(reason) => prop_assert!(seat.evicted && reason == 3),
            Lease::Moved { from } => {
                prop_assert!(seat.diverted.is_some());
                prop_assert_eq!(from, seat.expected);
            }
            Lease::Range(range) => {
                prop_assert!(seat.diverted.is_none() && !seat.evicted);
                prop_assert_eq!(range.start, seat.expected);
                prop_assert!(range.end <= published && range.end - range.start <= count);
                for index in range.clone() {
                    prop_assert_eq!(seat.reader.read(index), Some(words(index)));
                }
                seat.expected = range.end;
                seat.leased.end = range.end;
            }
            Lease::Held => {
                prop_assert!(seat.leased.end - seat.needs == u64::from(LEASE_MAX));
            }
            Lease::Empty => prop_assert_eq!(seat.expected, published.max(seat.expected)),
        }
        Ok(())
    }

    fn release(&mut self, reader: usize, count: u64) {
        let Some(seat) = self.seats.get_mut(reader) else { return };
        let index = (seat.leased.start + count).min(seat.leased.end);
        seat.reader.release(index);
        seat.leased.start = index;
        if seat.diverted.is_none() {
            seat.needs = seat.needs.max(index);
        }
    }

    fn divert(&mut self, reader: usize) -> Result<(), TestCaseError> {
        let Some(seat) = self.seats.get_mut(reader) else { return Ok(()) };
        if seat.evicted || seat.diverted.is_some() {
            return Ok(());
        }
        let held = self.producer.divert(seat.id).unwrap();
        prop_assert_eq!(held.from, seat.needs);
        prop_assert_eq!(held.until, seat.leased.end.max(seat.needs));
        seat.diverted = Some(held);
        prop_assert_eq!(self.producer.state(seat.id), Some(State::Diverted));
        Ok(())
    }

    fn resume(&mut self, reader: usize) -> Result<(), TestCaseError> {
        let Some(seat) = self.seats.get_mut(reader) else { return Ok(()) };
        let Some(held) = seat.diverted else { return Ok(()) };
        if seat.evicted {
            return Ok(());
        }
        let ended = self.producer.lease_ended(seat.id, &held);
        prop_assert_eq!(ended, seat.leased.is_empty(), "{:?} {:?}", held, &seat.leased);
        // An orderly reader lets go of what it held before it comes back.
        seat.reader.release(seat.leased.end);
        let back = self.producer.resume(seat.id).unwrap();
        let at = back.index;
        prop_assert_eq!(at, self.producer.next());
        seat.reader.resume(back);
        seat.leased = at..at;
        (seat.needs, seat.expected, seat.diverted) = (at, at, None);
        Ok(())
    }

    fn evict(&mut self, reader: usize) -> Result<(), TestCaseError> {
        let Some(seat) = self.seats.get_mut(reader) else { return Ok(()) };
        let result = self.producer.evict(seat.id, 3);
        prop_assert!(result.is_ok());
        prop_assert_eq!(self.producer.state(seat.id), Some(State::Evicted));
        seat.evicted = true;
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Add => self.add(),
            Step::Remove(reader) if reader < self.seats.len() => {
                let seat = self.seats.swap_remove(reader);
                self.producer.remove_reader(seat.id);
            }
            Step::Remove(_) => {}
            Step::Push(count) => self.push(count)?,
            Step::Publish => {
                self.producer.publish();
                self.published = self.producer.next();
            }
            Step::Lease { reader, count } => self.lease(reader, count)?,
            Step::Release { reader, count } => self.release(reader, count),
            Step::Divert(reader) => self.divert(reader)?,
            Step::Resume(reader) => self.resume(reader)?,
            Step::Evict(reader) => self.evict(reader)?,
        }
        prop_assert_eq!(self.producer.min_released(), self.oldest());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_reader_gets_everything_in_order(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        world.add();
        for step in &steps {
            world.step(step)?;
        }
    }
}

/// The policy call: who lags is named, and a corrupt cursor is nobody else's trouble.
#[test]
fn scan_names_those_who_lag() {
    let mut world = World::new();
    world.add();
    world.add();
    world.push(6).unwrap();
    world.producer.publish();
    world.published = 6;
    world.lease(1, 3).unwrap();
    world.release(1, 3);
    let mut lags = Vec::new();
    let floor = world.producer.scan(|id, state| lags.push((id, state)));
    let ids: Vec<_> = world.seats.iter().map(|seat| seat.id).collect();
    assert_eq!(floor, 0);
    assert_eq!(lags, [(ids[0], State::Reading { lag: 6 }), (ids[1], State::Reading { lag: 3 })]);
    assert_eq!(world.producer.lag(ids[1]), Some(3));
    world.producer.remove_reader(ids[0]);
    assert_eq!(world.producer.lag(ids[0]), None);
    assert_eq!(world.producer.min_released(), 3);
}
