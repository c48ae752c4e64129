//! Where a descriptor ring lives.

use crate::broadcast::{DESCRIPTOR_WORDS, Descriptor};
use crate::shared::{Shared, Words, prefetch};
use crate::shm::{self, ShmError};
#[cfg(not(loom))]
use crate::shm::{Access, Draft, PAGE_BYTES, PeerAccess, Segment};
use crate::sync::{AtomicU64, Ordering, acquire, fence};

/// So many descriptors before its turn a slot is asked for.
const AHEAD_SLOTS: u64 = 2;

/// Most descriptors of a ring: 1 GiB of them.
const CAPACITY_MAX: u64 = 1 << 24;

/// First page of the ring.
#[repr(C, align(128))]
pub(super) struct Head {
    pub(super) head: AtomicU64,
    _rest_of_line: [u8; 120],
    capacity: AtomicU64,
    lease_max: AtomicU64,
}

// SAFETY: atomics and padding, zeros are zeros.
unsafe impl Words for Head {
    fn zeroed() -> Self {
        Self {
            head: AtomicU64::new(0),
            _rest_of_line: [0; 120],
            capacity: AtomicU64::new(0),
            lease_max: AtomicU64::new(0),
        }
    }
}

/// One descriptor and its stamp.
#[repr(C)]
pub(super) struct Slot {
    words: [AtomicU64; DESCRIPTOR_WORDS],
    stamp: AtomicU64,
}

// SAFETY: atomics only, zeros are zeros.
unsafe impl Words for Slot {
    fn zeroed() -> Self {
        Self { words: std::array::from_fn(|_| AtomicU64::new(0)), stamp: AtomicU64::new(0) }
    }
}

/// The memory of a descriptor ring in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory {
    pub(super) head: Shared<Head>,
    slots: Shared<[Slot]>,
    lease_max: u64,
    pub(super) writable: bool,
}

impl Memory {
    /// Makes a ring of `capacity` descriptors (a power of two) of which a reader may hold at most `lease_max`
    /// at a time. The segment is for readers, read-only; this process can write.
    ///
    /// # Errors
    /// When the numbers do not fit or the kernel gives no memory.
    #[cfg(not(loom))]
    pub fn create(
        name: &str,
        capacity: usize,
        lease_max: u32,
    ) -> Result<(Self, Segment), ShmError> {
        shm::check_capacity(capacity as u64, 2, CAPACITY_MAX)?;
        let draft = Draft::create(name, PAGE_BYTES + capacity * size_of::<Slot>())?;
        let mapping = draft.map_all()?;
        let head: Shared<Head> = Shared::place("a ring's head", &mapping, 0, true)?;
        let slots =
            Shared::place_slice("the slots of a ring", &mapping, PAGE_BYTES, capacity, true)?;
        let memory = Self { head, slots, lease_max: lease_max.into(), writable: true };
        memory.initialise(capacity)?;
        Ok((memory, draft.seal(PeerAccess::ReadOnly)?))
    }

    /// The ring in a segment that was received from its producer.
    ///
    /// # Errors
    /// When the segment does not hold what its first page says, or the kernel refuses the mapping.
    #[cfg(not(loom))]
    pub fn attach(segment: &Segment) -> Result<Self, ShmError> {
        let mapping = segment.map_all()?;
        let head: Shared<Head> = Shared::place("a ring's head", &mapping, 0, false)?;
        let capacity = head.capacity.load(Ordering::Relaxed);
        shm::check_capacity(capacity, 2, CAPACITY_MAX)?;
        let lease_max = head.lease_max.load(Ordering::Relaxed).clamp(1, capacity);
        let (what, len) = ("the slots of a ring", capacity as usize);
        let slots = Shared::place_slice(what, &mapping, PAGE_BYTES, len, false)?;
        Ok(Self { head, slots, lease_max, writable: segment.access() == Access::ReadWrite })
    }

    /// A ring in memory of this process; see [`Memory::create`].
    ///
    /// # Errors
    /// When the numbers do not fit.
    pub fn heap(capacity: usize, lease_max: u32) -> Result<Self, ShmError> {
        shm::check_capacity(capacity as u64, 2, CAPACITY_MAX)?;
        let slots = Shared::heap_slice(capacity);
        let memory =
            Self { head: Shared::heap(), slots, lease_max: lease_max.into(), writable: true };
        memory.initialise(capacity)?;
        Ok(memory)
    }

    fn initialise(&self, capacity: usize) -> Result<(), ShmError> {
        let (capacity, lease_max) = (capacity as u64, self.lease_max);
        if lease_max == 0 || lease_max > capacity {
            return Err(ShmError::Capacity { found: lease_max, low: 1, high: capacity });
        }
        // Relaxed: nobody else has the memory yet.
        self.head.capacity.store(capacity, Ordering::Relaxed);
        self.head.lease_max.store(lease_max, Ordering::Relaxed);
        Ok(())
    }

    /// Descriptors it holds.
    pub fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Most descriptors a reader may hold at a time.
    pub fn lease_max(&self) -> u64 {
        self.lease_max
    }

    fn slot(&self, index: u64) -> &Slot {
        &self.slots[index as usize & (self.slots.len() - 1)]
    }

    /// Writes the descriptor of `index`.
    pub(super) fn write(&self, index: u64, descriptor: &Descriptor) {
        // The whole ring passes before a slot's turn comes again: it is in no cache by then.
        prefetch(self.slot(index + AHEAD_SLOTS));
        let slot = self.slot(index);
        // Stamp: whoever sees one of the new words sees that the old stamp is gone.
        slot.stamp.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in slot.words.iter().zip(descriptor) {
            word.store(*value, Ordering::Relaxed);
        }
        slot.stamp.store(index + 1, Ordering::Release);
    }

    /// Reads the descriptor of `index`, or nothing if the slot holds another one by now.
    pub(super) fn read(&self, index: u64) -> Option<Descriptor> {
        let slot = self.slot(index);
        // Stamp: the words are at least as new as it.
        if acquire(&slot.stamp) != index + 1 {
            return None;
        }
        let descriptor = std::array::from_fn(|i| slot.words[i].load(Ordering::Relaxed));
        // Stamp: if a word was newer, this load sees the stamp gone.
        fence(Ordering::Acquire);
        (slot.stamp.load(Ordering::Relaxed) == index + 1).then_some(descriptor)
    }
}
