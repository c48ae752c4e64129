//! Where a byte ring lives.

use crate::bell;
use crate::bytes::Bytes;
use crate::shared::{Shared, Words};
#[cfg(not(loom))]
use crate::shm::PAGE_BYTES;
use crate::shm::{self, ShmError};
#[cfg(not(any(loom, miri)))]
use crate::shm::{Draft, PeerAccess, Segment};
use crate::sync::{AtomicU32, AtomicU64};

/// Least capacity in bytes where memory is mapped: a page.
#[cfg(not(any(loom, miri)))]
const CAPACITY_MIN: u64 = PAGE_BYTES as u64;
/// Least capacity in bytes in a model check: two empty records.
#[cfg(any(loom, miri))]
const CAPACITY_MIN: u64 = 16;

/// Greatest capacity in bytes: a record's length has 32 bits.
const CAPACITY_MAX: u64 = 1 << 31;

/// The line that one side writes.
#[repr(C, align(128))]
pub(crate) struct Side {
    /// Published by this side: head or tail, in bytes.
    pub(crate) index: AtomicU64,
    pub(crate) sleep: AtomicU32,
    pub(crate) rings: AtomicU32,
}

// SAFETY: atomics only, zeros are zeros.
unsafe impl Words for Side {
    fn zeroed() -> Self {
        Self { index: AtomicU64::new(0), sleep: AtomicU32::new(0), rings: AtomicU32::new(0) }
    }
}

/// The memory of one ring in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory {
    pub(crate) producer: Shared<Side>,
    pub(crate) consumer: Shared<Side>,
    pub(crate) data: Bytes,
    pub(crate) producer_writable: bool,
    pub(crate) consumer_writable: bool,
}

#[cfg(not(loom))]
impl Memory {
    /// Bytes of a segment with one ring of `capacity` bytes: a page for the sides, then the data.
    pub const fn segment_bytes(capacity: usize) -> usize {
        PAGE_BYTES + capacity
    }

    /// Makes a segment with one ring that both sides may write (see [`Memory::segment_bytes`]).
    /// `capacity`: bytes, a power of two, at least [`PAGE_BYTES`].
    ///
    /// # Errors
    /// When the capacity does not fit or the kernel gives no memory.
    #[cfg(not(miri))]
    pub fn create(name: &str, capacity: usize) -> Result<(Self, Segment), ShmError> {
        shm::check_capacity(capacity as u64, CAPACITY_MIN, CAPACITY_MAX)?;
        let segment =
            Draft::create(name, Self::segment_bytes(capacity))?.seal(PeerAccess::ReadWrite)?;
        Ok((Self::attach(&segment, 0, capacity)?, segment))
    }

    /// The ring at `offset` (a multiple of [`PAGE_BYTES`]) of a segment that this side may write.
    ///
    /// # Errors
    /// When it does not lie inside the segment or the kernel refuses the mappings.
    #[cfg(not(miri))]
    pub fn attach(segment: &Segment, offset: usize, capacity: usize) -> Result<Self, ShmError> {
        let sides = segment.map(offset, PAGE_BYTES)?;
        Self::split((&sides, 0), (&sides, PAGE_BYTES / 2), segment, offset + PAGE_BYTES, capacity)
    }

    /// A ring in pieces: the producer's and the consumer's side as (mapping, offset), each 128 bytes at a
    /// multiple of 128, and `capacity` bytes of data at `offset` of `data`. So a ring can be cut along
    /// trust: the producer's side and the data in a segment sealed read-only, the consumer's side in
    /// one that it may write.
    ///
    /// # Errors
    /// When a piece does not lie where it should or the kernel refuses the mapping of the data.
    #[cfg(not(miri))]
    pub fn split(
        producer: (&crate::shm::Mapping, usize),
        consumer: (&crate::shm::Mapping, usize),
        data: &Segment,
        offset: usize,
        capacity: usize,
    ) -> Result<Self, ShmError> {
        use crate::shm::Access;
        shm::check_capacity(capacity as u64, CAPACITY_MIN, CAPACITY_MAX)?;
        Ok(Self {
            producer: Shared::place("a producer's side", producer.0, producer.1, false)?,
            consumer: Shared::place("a consumer's side", consumer.0, consumer.1, false)?,
            data: Bytes::new(data.map_mirrored(offset, capacity)?),
            producer_writable: producer.0.access() == Access::ReadWrite,
            consumer_writable: consumer.0.access() == Access::ReadWrite,
        })
    }
}

impl Memory {
    /// A ring in memory of this process, for model checks. `capacity`: bytes, a power of two, at least 16.
    ///
    /// # Errors
    /// When the capacity does not fit.
    #[cfg(any(loom, miri))]
    pub fn heap(capacity: usize) -> Result<Self, ShmError> {
        shm::check_capacity(capacity as u64, CAPACITY_MIN, CAPACITY_MAX)?;
        Ok(Self {
            producer: Shared::heap(),
            consumer: Shared::heap(),
            data: Bytes::heap(capacity),
            producer_writable: true,
            consumer_writable: true,
        })
    }

    /// Bytes of data.
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// The bell with which the producer wakes a consumer that waits for records.
    pub fn consumer_bell(&self) -> bell::Place {
        bell::Place {
            sleep: self.consumer.part(|side| &side.sleep),
            rings: self.producer.part(|side| &side.rings),
            sleep_writable: self.consumer_writable,
            rings_writable: self.producer_writable,
        }
    }

    /// The bell with which the consumer wakes a producer that waits for room.
    pub fn producer_bell(&self) -> bell::Place {
        bell::Place {
            sleep: self.producer.part(|side| &side.sleep),
            rings: self.consumer.part(|side| &side.rings),
            sleep_writable: self.producer_writable,
            rings_writable: self.consumer_writable,
        }
    }
}
