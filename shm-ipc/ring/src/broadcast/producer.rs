//! The side that writes descriptors.

use crate::Corrupt;
use crate::bell::{Ringer, full_fence};
use crate::broadcast::seat::Seat;
use crate::broadcast::{Cursor, Descriptor, Held, Memory, ReaderId, Return, State};
use crate::shm::ShmError;
use crate::sync::Ordering;

/// No slot is free: some reader still needs the oldest one. Move or evict those who lag
/// ([`Producer::scan`]), or wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ring is full: a reader still needs index {oldest}")]
pub struct Full {
    /// First index that is still needed.
    pub oldest: u64,
}

/// Writes descriptors, publishes them in batches, keeps track of the readers.
#[derive(Debug)]
pub struct Producer {
    memory: Memory,
    next: u64,
    published: u64,
    /// Least index a reader needed when last looked at; nothing below is needed.
    floor: u64,
    seats: Vec<Option<Seat>>,
    generation: u32,
}

impl Producer {
    /// The one producer of a ring in which nothing was written yet.
    ///
    /// # Errors
    /// When this process may not write the ring.
    pub fn new(memory: &Memory) -> Result<Self, ShmError> {
        if !memory.writable {
            return Err(ShmError::ReadOnly { what: "a ring of descriptors" });
        }
        let memory = memory.clone();
        Ok(Self { memory, next: 0, published: 0, floor: 0, seats: Vec::new(), generation: 0 })
    }

    /// Descriptors the ring holds.
    pub fn capacity(&self) -> u64 {
        self.memory.capacity()
    }

    /// Index the next descriptor will get.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Adds a reader and returns its name and the first index it gets: the next one pushed. The
    /// cursor must not have been given to anybody yet; `ringer` wakes it
    /// ([`Producer::wake_sleepers`]).
    pub fn add_reader(&mut self, cursor: &Cursor, ringer: Option<Ringer>) -> (ReaderId, u64) {
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        let seat = Some(Seat::new(cursor, ringer, generation, self.next));
        let index = match self.seats.iter().position(Option::is_none) {
            Some(free) => {
                self.seats[free] = seat;
                free
            }
            None => {
                self.seats.push(seat);
                self.seats.len() - 1
            }
        };
        (ReaderId { seat: index as u32, generation }, self.next)
    }

    /// Forgets a reader; it holds nothing back any more. Closes the ringer's end of its bell: what was rung
    /// and not seen yet is lost, so a reader that should learn something is forgotten only after it has gone.
    pub fn remove_reader(&mut self, id: ReaderId) {
        if self.seat(id).is_some() {
            self.seats[id.seat as usize] = None;
        }
    }

    /// Free slots, after a look at the readers if few are known to be free.
    pub fn room(&mut self) -> u64 {
        if self.room_known() < self.capacity() / 2 {
            self.min_released();
        }
        self.room_known()
    }

    /// Writes a descriptor without publishing it; returns its index.
    ///
    /// # Errors
    /// When a reader still needs the slot; nothing was written.
    pub fn push(&mut self, descriptor: &Descriptor) -> Result<u64, Full> {
        if self.room_known() == 0 {
            self.min_released();
            if self.room_known() == 0 {
                return Err(Full { oldest: self.floor });
            }
        }
        let index = self.next;
        self.memory.write(index, descriptor);
        self.next += 1;
        Ok(index)
    }

    /// A descriptor pushed before, or nothing if its slot holds another one by now. Only this side writes the ring, so
    /// it is what was pushed.
    pub fn get(&self, index: u64) -> Option<Descriptor> {
        (index < self.next).then(|| self.memory.read(index)).flatten()
    }

    /// Shows everything pushed so far to the readers. Returns whether there was anything new.
    pub fn publish(&mut self) -> bool {
        if self.published == self.next {
            return false;
        }
        // Publish: descriptors, and the payloads they point to, come before the index.
        self.memory.head.head.store(self.next, Ordering::Release);
        self.published = self.next;
        true
    }

    /// Rings for every reader that sleeps: one fence for all, then one load each. Returns how many it woke.
    pub fn wake_sleepers(&mut self) -> usize {
        full_fence();
        let ringers = self.seats.iter_mut().flatten().filter_map(|seat| seat.ringer.as_mut());
        ringers.map(|ringer| usize::from(ringer.ring_after_fence())).sum()
    }

    /// Looks at every reader and returns the first index that one still needs (the next index if
    /// none does): what lies below may be reused. Costs one load of another processor's line per
    /// reader: call it once per batch.
    pub fn min_released(&mut self) -> u64 {
        let next = self.next;
        let needs = self.seats.iter_mut().flatten().filter_map(|seat| seat.needs(next));
        self.floor = needs.min().unwrap_or(next);
        self.floor
    }

    /// As [`Producer::min_released`] and tells how each reader stands, so that the caller can decide whom to
    /// [`Producer::divert`] or [`Producer::evict`].
    pub fn scan(&mut self, mut visit: impl FnMut(ReaderId, State)) -> u64 {
        let next = self.next;
        let mut floor = next;
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            floor = floor.min(seat.needs(next).unwrap_or(next));
            let id = ReaderId { seat: index as u32, generation: seat.generation };
            visit(id, seat.state(next));
        }
        self.floor = floor;
        floor
    }

    /// How a reader stands now; `None`: it was removed.
    pub fn state(&mut self, id: ReaderId) -> Option<State> {
        let next = self.next;
        let seat = self.seat(id)?;
        // An error shows in the state.
        let _ = seat.look(next);
        Some(seat.state(next))
    }

    /// How far a reader of the ring is behind, in descriptors; `None` if it does not read from the ring.
    pub fn lag(&mut self, id: ReaderId) -> Option<u64> {
        match self.state(id)? {
            State::Reading { lag } => Some(lag),
            State::Diverted | State::Evicted | State::Corrupt(_) => None,
        }
    }

    /// Moves the stream of a reader elsewhere, from the first index it has not released on
    /// (`Held::from`). What it holds is to be kept until [`Producer::lease_ended`].
    ///
    /// # Errors
    /// When its cursor is impossible, or the reader unknown (`None`).
    pub fn divert(&mut self, id: ReaderId) -> Result<Held, Option<Corrupt>> {
        let (next, lease_max) = (self.next, self.memory.lease_max());
        let seat = self.seat(id).ok_or(None)?;
        Ok(seat.divert(next, lease_max)?)
    }

    /// Whether a diverted reader has let go of what it held; true for one that is removed or corrupt.
    pub fn lease_ended(&mut self, id: ReaderId, held: &Held) -> bool {
        let next = self.next;
        match self.seat(id) {
            Some(seat) => seat.lease_ended(held, next).unwrap_or(true),
            None => true,
        }
    }

    /// Brings a diverted reader back; `None`: it is unknown. What is returned is to be told to the
    /// reader at the end of the other stream.
    pub fn resume(&mut self, id: ReaderId) -> Option<Return> {
        let next = self.next;
        Some(self.seat(id)?.resume(next))
    }

    /// Tells a reader that it is out, and why (not zero), and wakes it. Returns what it may still
    /// be reading in place; how long that is kept is for the caller to decide. It stays known, so
    /// that its bell stays open until it has seen the news, until [`Producer::remove_reader`].
    ///
    /// # Errors
    /// When its cursor is impossible, or the reader unknown (`None`).
    ///
    /// # Panics
    /// When `reason` is zero.
    pub fn evict(&mut self, id: ReaderId, reason: u64) -> Result<Held, Option<Corrupt>> {
        assert!(reason != 0, "zero means not evicted");
        let (next, lease_max) = (self.next, self.memory.lease_max());
        Ok(self.seat(id).ok_or(None)?.evict(reason, next, lease_max)?)
    }

    fn room_known(&self) -> u64 {
        self.capacity() - (self.next - self.floor)
    }

    fn seat(&mut self, id: ReaderId) -> Option<&mut Seat> {
        self.seats
            .get_mut(id.seat as usize)?
            .as_mut()
            .filter(|seat| seat.generation == id.generation)
    }
}
