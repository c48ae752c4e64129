//! What the producer knows of one reader.

use crate::Corrupt;
use crate::bell::Ringer;
use crate::broadcast::Cursor;
use crate::sync::{Ordering, fence};

/// Names a reader of one producer; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReaderId {
    pub(super) seat: u32,
    pub(super) generation: u32,
}

/// Indices that a reader may still be reading in place: `from..until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// First index it has not released.
    pub from: u64,
    /// Index after the last one it may have leased; equal to `from` if it holds nothing.
    pub until: u64,
}

/// Where a diverted reader comes back to the ring. The application tells it to the reader at the
/// end of the other stream, for [`crate::broadcast::Reader::resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// Everything below went the other way, everything from it on comes through the ring.
    pub index: u64,
    /// Which return this is: a reader that was diverted again, or several times, can tell.
    pub epoch: u64,
}

/// How a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It reads from the ring and is this many descriptors behind.
    Reading {
        /// Pushed and not released by it.
        lag: u64,
    },
    /// Its stream goes elsewhere; it holds nothing back in the ring.
    Diverted,
    /// It was told to go; it holds nothing back any more.
    Evicted,
    /// Its cursor is impossible; it holds nothing back any more.
    Corrupt(Corrupt),
}

/// The producer's side of one reader.
#[derive(Debug)]
pub(super) struct Seat {
    cursor: Cursor,
    pub(super) ringer: Option<Ringer>,
    pub(super) generation: u32,
    /// `released` when last looked at.
    released: u64,
    /// Where it read from the ring first, or again: it needs nothing below.
    floor: u64,
    /// Value of the `switch` word; odd while diverted.
    epoch: u64,
    evicted: bool,
    corrupt: Option<Corrupt>,
}

impl Seat {
    /// A reader that starts at `start`. Its cursor is still only ours.
    pub(super) fn new(
        cursor: &Cursor,
        ringer: Option<Ringer>,
        generation: u32,
        start: u64,
    ) -> Self {
        let lines = &cursor.lines;
        // Relaxed: the reader gets the memory later, by way of the kernel.
        lines.reader.released.store(start, Ordering::Relaxed);
        lines.reader.acquired.store(start, Ordering::Relaxed);
        lines.producer.switch.store(0, Ordering::Relaxed);
        lines.producer.evicted.store(0, Ordering::Relaxed);
        Self {
            cursor: cursor.clone(),
            ringer,
            generation,
            released: start,
            floor: start,
            epoch: 0,
            evicted: false,
            corrupt: None,
        }
    }

    /// First index it may still need from the ring, or `None` if it holds nothing back. `next`:
    /// index after the last one pushed.
    pub(super) fn needs(&mut self, next: u64) -> Option<u64> {
        if self.corrupt.is_some() || self.is_diverted() || self.evicted {
            return None;
        }
        self.look(next).ok()?;
        Some(self.known())
    }

    /// How it stood when last looked at.
    pub(super) fn state(&self, next: u64) -> State {
        match self.corrupt {
            Some(corrupt) => State::Corrupt(corrupt),
            None if self.evicted => State::Evicted,
            None if self.is_diverted() => State::Diverted,
            None => State::Reading { lag: next - self.known() },
        }
    }

    fn is_diverted(&self) -> bool {
        !self.epoch.is_multiple_of(2)
    }

    fn known(&self) -> u64 {
        self.released.max(self.floor)
    }

    /// Reads `released` and checks it: not back, not ahead.
    pub(super) fn look(&mut self, next: u64) -> Result<u64, Corrupt> {
        if let Some(corrupt) = self.corrupt {
            return Err(corrupt);
        }
        // Publish, other direction: what the reader read lies before this index, our reuse after.
        let found = self.cursor.lines.reader.released.load(Ordering::Acquire);
        self.released = Corrupt::check("released index of a reader", found, self.released, next)
            .inspect_err(|corrupt| self.corrupt = Some(*corrupt))?;
        Ok(self.released)
    }

    /// What it may be reading now.
    pub(super) fn held(&mut self, next: u64, lease_max: u64) -> Result<Held, Corrupt> {
        let released = self.look(next)?;
        let from = self.known();
        let acquired = self.cursor.lines.reader.acquired.load(Ordering::Acquire);
        // Again: the lease just seen was taken at a value of `released` that we see now or later.
        self.look(next)?;
        let high = next.min(self.known().saturating_add(lease_max));
        // A reader keeps released <= acquired, and we loaded them in this order.
        Corrupt::check("acquired index of a reader", acquired, released, high)
            .inspect_err(|corrupt| self.corrupt = Some(*corrupt))?;
        Ok(Held { from, until: acquired.max(from) })
    }

    /// Step 1 of moving a reader's stream; see the module's description.
    pub(super) fn divert(&mut self, next: u64, lease_max: u64) -> Result<Held, Corrupt> {
        self.look(next)?;
        let from = self.known();
        self.epoch |= 1;
        self.cursor.lines.producer.switch.store(self.epoch, Ordering::Relaxed);
        // Flag and check: the switch before this fence, the reader's lease after.
        fence(Ordering::SeqCst);
        let held = self.held(next, lease_max)?;
        Ok(Held { from, until: held.until.max(from) })
    }

    /// Whether the reader has let go of what it held when it was moved.
    pub(super) fn lease_ended(&mut self, held: &Held, next: u64) -> Result<bool, Corrupt> {
        let released = self.look(next)?;
        // A lease taken back after the switch was seen shows in `acquired` only.
        let acquired = self.cursor.lines.reader.acquired.load(Ordering::Acquire);
        Ok(held.from == held.until || released >= held.until || released >= acquired)
    }

    /// Back to the ring, at `index`. Nothing changes for one that is there.
    pub(super) fn resume(&mut self, index: u64) -> Return {
        if self.is_diverted() {
            self.floor = index;
            self.epoch += 1;
            // Relaxed would do: the reader compares it with the value that the application brings, and
            // bringing it orders this store before.
            self.cursor.lines.producer.switch.store(self.epoch, Ordering::Release);
        }
        Return { index: self.floor, epoch: self.epoch }
    }

    /// Tells the reader that it is out, and says what it may still be reading.
    pub(super) fn evict(
        &mut self,
        reason: u64,
        next: u64,
        lease_max: u64,
    ) -> Result<Held, Corrupt> {
        self.evicted = true;
        self.cursor.lines.producer.evicted.store(reason, Ordering::Release);
        // Flag and check, as in `divert`.
        fence(Ordering::SeqCst);
        if let Some(ringer) = &mut self.ringer {
            ringer.ring_after_fence();
        }
        self.held(next, lease_max)
    }
}
