//! Bytes in a mirrored mapping.

use crate::shm::{Access, Mapping};
use crate::sync::{AtomicU64, Ordering};

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A ring of bytes, a power of two of them, mapped twice in a row.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    mapping: Mapping,
}

impl Bytes {
    /// Over a mirrored mapping of a power of two of bytes.
    pub(crate) fn new(mapping: Mapping) -> Self {
        assert!(mapping.is_mirrored() && mapping.len().is_power_of_two(), "checked by Memory");
        Self { mapping }
    }

    /// Bytes of the ring.
    pub(crate) fn capacity(&self) -> usize {
        self.mapping.len()
    }

    /// Whether this side may store.
    pub(crate) fn is_writable(&self) -> bool {
        self.mapping.access() == Access::ReadWrite
    }

    fn at(&self, position: u64, len: usize) -> *mut u8 {
        assert!(len <= self.capacity(), "a range of {len} bytes is longer than the ring");
        let offset = position as usize & (self.capacity() - 1);
        // SAFETY: `offset < capacity` and the mapping has twice `capacity` bytes.
        unsafe { self.mapping.base().as_ptr().add(offset) }
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        debug_assert!(position.is_multiple_of(8));
        // SAFETY: aligned (the ring starts at a page, the position is a multiple of 8), inside
        // the mapping, and atomic: a store of the peer is no data race.
        unsafe { AtomicU64::from_ptr(self.at(position & !7, 8).cast()) }
    }

    /// The word at `position`, a multiple of 8, in little-endian order.
    pub(crate) fn load(&self, position: u64) -> u64 {
        u64::from_le(self.word(position).load(Ordering::Relaxed))
    }

    /// Stores a word at `position`, a multiple of 8, in little-endian order.
    pub(crate) fn store(&self, position: u64, value: u64) {
        self.word(position).store(value.to_le(), Ordering::Relaxed);
    }

    /// Copies `to.len()` bytes out.
    pub(crate) fn copy_out(&self, position: u64, to: &mut [u8]) {
        let from = self.at(position, to.len());
        fence_off(from);
        // SAFETY: `at` checked the range, which the mirror makes contiguous; `to` is private, so they
        // cannot overlap. A peer that breaks the rules may store meanwhile: then some of the bytes are
        // old and some are new, each is a `u8`. `fence_off` on both sides keeps the compiler from
        // reading the source again later in place of the copy, or before what decided the length.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        fence_off(from);
    }

    /// Copies `from` in. For the side that owns the range (the producer, before publishing).
    pub(crate) fn copy_in(&self, position: u64, from: &[u8]) {
        debug_assert!(self.is_writable());
        let to = self.at(position, from.len());
        // SAFETY: as in `copy_out`; the range is unpublished, so only a peer that breaks the rules
        // touches it, and nothing here depends on what it reads back.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    }

    /// Tells the processor that the bytes from `position` on, two cache lines, will be read soon. Changes nothing.
    #[inline(always)]
    pub(crate) fn prefetch(&self, position: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let line = self.at(position, 2 * LINE_BYTES).cast::<i8>();
            // SAFETY: a hint, which reads nothing; `at` keeps both addresses inside the mirrored mapping anyway.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(line);
                _mm_prefetch::<_MM_HINT_T0>(line.add(LINE_BYTES));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = position;
    }

    /// The address of `len` bytes, contiguous.
    pub(crate) fn ptr(&self, position: u64, len: usize) -> *mut u8 {
        self.at(position, len)
    }
}

/// Makes the compiler assume that the memory behind `ptr` was read and changed here by somebody else. Costs
/// no instruction.
#[inline(always)]
fn fence_off(ptr: *mut u8) {
    std::hint::black_box(ptr);
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}
