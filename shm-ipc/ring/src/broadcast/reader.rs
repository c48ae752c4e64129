//! The side that reads descriptors.

use std::ops::Range;

use crate::broadcast::{Cursor, Descriptor, Memory, Return};
use crate::sync::{Ordering, acquire, fence};

/// What [`Reader::lease`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Nothing new.
    Empty,
    /// These indices may be read, and what they point to, until released.
    Range(Range<u64>),
    /// There is more, but this reader holds as much as it may: it has to release something first.
    Held,
    /// The stream goes elsewhere: entries from this index on come there. Stays so until [`Reader::resume`].
    Moved {
        /// First index to take from there; skip what comes before it.
        from: u64,
    },
    /// The producer has put this reader out, for this reason. What it holds may be overwritten.
    Evicted(u64),
}

/// Reads descriptors in place, under leases.
#[derive(Debug)]
pub struct Reader {
    memory: Memory,
    cursor: Cursor,
    /// Next index to lease; equal to the `acquired` word.
    position: u64,
    released: u64,
    /// Where it came back to the ring last.
    resumed: u64,
    /// Value of the `switch` word under which it reads from the ring.
    epoch: u64,
    /// The producer's head when last looked at.
    head: u64,
    moved: bool,
}

impl Reader {
    /// The one reader with this cursor, which the producer has added.
    pub fn new(memory: &Memory, cursor: &Cursor) -> Self {
        let start = cursor.lines.reader.released.load(Ordering::Relaxed);
        Self {
            memory: memory.clone(),
            cursor: cursor.clone(),
            position: start,
            released: start,
            resumed: start,
            epoch: 0,
            head: start,
            moved: false,
        }
    }

    /// Next index that a lease will give.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Everything below has been released.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// Takes a lease on at most `count_max` further descriptors, beside what is still held.
    pub fn lease(&mut self, count_max: u64) -> Lease {
        if self.moved {
            return self.evicted().unwrap_or(Lease::Moved { from: self.position });
        }
        if self.head <= self.position {
            // Publish: descriptors and payloads were written before this index.
            self.head = acquire(&self.memory.head.head);
        }
        let limit = self.released.max(self.resumed) + self.memory.lease_max();
        let end = self.head.min(limit).min(self.position.saturating_add(count_max));
        let end = end.max(self.position);
        let lines = &self.cursor.lines;
        if end > self.position {
            // Release: whoever sees this lease sees the `released` it was taken at.
            lines.reader.acquired.store(end, Ordering::Release);
            // Flag and check: the lease before this fence, the producer's words after.
            fence(Ordering::SeqCst);
        }
        if let Some(evicted) = self.evicted() {
            return evicted;
        }
        if lines.producer.switch.load(Ordering::Acquire) != self.epoch {
            // Back to what was held before. The other stream starts at or below this position: the
            // producer takes an index that was not released. Any change counts, also one that led back
            // to the ring at another place: where that is comes by the other stream.
            lines.reader.acquired.store(self.position, Ordering::Release);
            self.moved = true;
            return Lease::Moved { from: self.position };
        }
        if end > self.position {
            let range = self.position..end;
            self.position = end;
            Lease::Range(range)
        } else if self.head > self.position && count_max > 0 {
            Lease::Held
        } else {
            Lease::Empty
        }
    }

    /// Reads a leased descriptor. `None`: the ring went on without this reader and the slot is used again; the
    /// entry comes the other way ([`Lease::Moved`]).
    pub fn read(&self, index: u64) -> Option<Descriptor> {
        self.memory.read(index)
    }

    /// Gives back everything below `index`, which must have been leased.
    ///
    /// # Panics
    /// When it was not.
    pub fn release(&mut self, index: u64) {
        assert!(index <= self.position, "released before it was leased");
        if index > self.released {
            self.released = index;
            // Publish, other direction: our reads come before it, the producer's reuse after.
            self.cursor.lines.reader.released.store(index, Ordering::Release);
        }
    }

    /// Reads from the ring again, as the other stream says. If the producer has diverted the stream
    /// again since, the next lease says [`Lease::Moved`], and the other stream goes on.
    pub fn resume(&mut self, at: Return) {
        let index = at.index;
        self.epoch = at.epoch;
        let holds_nothing = self.released == self.position;
        self.position = index;
        self.resumed = index;
        self.head = index;
        self.moved = false;
        self.cursor.lines.reader.acquired.store(index, Ordering::Release);
        // What was held before the switch stays held: `released` moves on when that is released.
        if holds_nothing {
            self.release(index);
        }
    }

    fn evicted(&self) -> Option<Lease> {
        let reason = self.cursor.lines.producer.evicted.load(Ordering::Acquire);
        (reason != 0).then_some(Lease::Evicted(reason))
    }
}
