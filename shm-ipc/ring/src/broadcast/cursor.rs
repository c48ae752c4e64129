//! A reader's cursor page.

use crate::bell;
use crate::shared::{Shared, Words};
#[cfg(not(loom))]
use crate::shm::{Mapping, ShmError};
use crate::sync::{AtomicU32, AtomicU64};

/// Bytes of a cursor; it lies at a multiple of 128.
pub const CURSOR_BYTES: usize = 256;

/// What only the reader writes.
#[repr(C, align(128))]
pub(super) struct ReaderLine {
    pub(super) released: AtomicU64,
    pub(super) acquired: AtomicU64,
    pub(super) sleep: AtomicU32,
}

/// What only the producer writes.
#[repr(C, align(128))]
pub(super) struct ProducerLine {
    pub(super) switch: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) rings: AtomicU32,
}

#[repr(C)]
pub(super) struct Lines {
    pub(super) reader: ReaderLine,
    pub(super) producer: ProducerLine,
}

// SAFETY: atomics only, zeros are zeros.
unsafe impl Words for Lines {
    fn zeroed() -> Self {
        Self {
            reader: ReaderLine {
                released: AtomicU64::new(0),
                acquired: AtomicU64::new(0),
                sleep: AtomicU32::new(0),
            },
            producer: ProducerLine {
                switch: AtomicU64::new(0),
                evicted: AtomicU64::new(0),
                rings: AtomicU32::new(0),
            },
        }
    }
}

/// The memory of one reader's cursor in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub(super) lines: Shared<Lines>,
}

impl Cursor {
    /// The cursor at `offset` (a multiple of 128) of a mapping that both sides may write.
    ///
    /// # Errors
    /// When it does not lie inside the mapping or that is read-only.
    #[cfg(not(loom))]
    pub fn new(mapping: &Mapping, offset: usize) -> Result<Self, ShmError> {
        const { assert!(size_of::<Lines>() == CURSOR_BYTES) };
        Ok(Self { lines: Shared::place("a cursor", mapping, offset, true)? })
    }

    /// A cursor for a reader in this process.
    pub fn heap() -> Self {
        Self { lines: Shared::heap() }
    }

    /// The bell with which the producer wakes this reader.
    pub fn bell(&self) -> bell::Place {
        bell::Place {
            sleep: self.lines.part(|lines| &lines.reader.sleep),
            rings: self.lines.part(|lines| &lines.producer.rings),
            sleep_writable: true,
            rings_writable: true,
        }
    }
}
