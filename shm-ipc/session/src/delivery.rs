//! The delivery ring as the engine thread sees it: descriptors shown to readers, and what keeps the frames they
//! name alive.

use frame::{Frame, prefetch};
use ring::broadcast::{Cursor, Held, Memory, Producer, ReaderId, Return, State};
use ring::shm::{Segment, ShmError};

use crate::descriptor::Descriptor;
use crate::seat::LEASE_MAX;
use crate::server::Broken;

/// One producer, all readers.
pub(crate) struct DeliveryRing {
    producer: Producer,
    /// What the items from `tail` to the head keep alive, each at its position's place.
    items: Box<[Kept]>,
    tail: u64,
    /// Bytes of all bodies ever pushed.
    bytes: u64,
}

/// So many items before its turn a place is asked for.
const AHEAD_ITEMS: u64 = 2;

/// What belongs to an item that some reader may still need; the item itself is in the ring, to which nobody else can
/// write. Small, because every message walks through all of the queue's memory.
struct Kept {
    frame: Option<Frame>,
    /// `DeliveryRing::bytes` before it.
    before: u64,
}

/// How far behind a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) slots: u64,
    pub(crate) bytes: u64,
}

impl DeliveryRing {
    /// Makes a ring of this many slots; the segment is for readers.
    pub(crate) fn create(slots: usize) -> Result<(Self, Segment), ShmError> {
        let (memory, segment) = Memory::create("synchrotron-delivery", slots, LEASE_MAX)?;
        let producer = Producer::new(&memory)?;
        let items = (0..slots).map(|_| Kept { frame: None, before: 0 }).collect();
        Ok((Self { producer, items, tail: 0, bytes: 0 }, segment))
    }

    /// Where what belongs to a position is kept. There are as many places as the ring has slots: a power of two.
    fn place(&self, position: u64) -> usize {
        position as usize & (self.items.len() - 1)
    }

    /// Position the next item will get.
    pub(crate) fn head(&self) -> u64 {
        self.producer.next()
    }

    /// Items kept, and the bytes of their bodies.
    pub(crate) fn used(&self) -> Lag {
        self.behind(self.head() - self.tail)
    }

    /// The last `slots` items and the bytes of their bodies.
    fn behind(&self, slots: u64) -> Lag {
        let first =
            self.head().checked_sub(slots).filter(|first| (self.tail..self.head()).contains(first));
        let before = first.map_or(self.bytes, |first| self.items[self.place(first)].before);
        Lag { slots, bytes: self.bytes - before }
    }

    /// Appends an item. False: the ring is full.
    pub(crate) fn push(&mut self, item: Descriptor, frame: Option<Frame>) -> bool {
        let pushed = self.producer.push(&zerocopy::transmute!(item)).is_ok();
        if pushed {
            let before = self.bytes;
            self.bytes += frame.as_ref().map_or(0, |frame| frame.len() as u64);
            let place = self.place(self.head() - 1);
            self.items[place] = Kept { frame, before };
            prefetch(&self.items[self.place(self.head() + AHEAD_ITEMS)]);
        }
        pushed
    }

    /// Shows what was pushed.
    pub(crate) fn publish(&mut self) {
        self.producer.publish();
    }

    /// The item at a position, if it is still kept.
    pub(crate) fn get(&self, position: u64) -> Option<(Descriptor, Option<Frame>)> {
        if !(self.tail..self.head()).contains(&position) {
            return None;
        }
        let kept = &self.items[self.place(position)];
        let item = zerocopy::transmute!(self.producer.get(position)?);
        Some((item, kept.frame.clone()))
    }

    /// Drops the frames that no reader of the ring needs.
    pub(crate) fn drop_passed(&mut self) {
        let needed = self.producer.min_released();
        while self.tail < needed.min(self.head()) {
            let place = self.place(self.tail);
            self.items[place].frame = None;
            self.tail += 1;
        }
    }

    /// Adds a reader that reads elsewhere until it is resumed.
    pub(crate) fn add_reader(&mut self, cursor: &Cursor) -> ReaderId {
        let (reader, _) = self.producer.add_reader(cursor, None);
        // A cursor that was set up this moment is in order.
        let _ = self.producer.divert(reader);
        reader
    }

    pub(crate) fn remove_reader(&mut self, reader: ReaderId) {
        self.producer.remove_reader(reader);
    }

    /// How far behind a reader is.
    pub(crate) fn lag(&mut self, reader: ReaderId) -> Result<Lag, Broken> {
        match self.producer.state(reader) {
            Some(State::Reading { lag }) => Ok(self.behind(lag)),
            Some(State::Diverted) => Ok(self.behind(0)),
            Some(State::Evicted | State::Corrupt(_)) | None => Err(Broken),
        }
    }

    /// Takes a reader off the ring.
    pub(crate) fn divert(&mut self, reader: ReaderId) -> Result<Held, Broken> {
        self.producer.divert(reader).map_err(|_| Broken)
    }

    /// Whether a reader taken off has let go of what it held.
    pub(crate) fn lease_ended(&mut self, reader: ReaderId, held: &Held) -> bool {
        self.producer.lease_ended(reader, held)
    }

    /// Puts a reader back, at the place returned.
    pub(crate) fn resume(&mut self, reader: ReaderId) -> Option<Return> {
        self.producer.resume(reader)
    }

    /// Tells a reader that it is out. Returns what it may still be reading.
    pub(crate) fn evict(&mut self, reader: ReaderId, reason: u64) -> Result<Held, Broken> {
        self.producer.evict(reader, reason).map_err(|_| Broken)
    }
}
