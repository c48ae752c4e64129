//! Handles to ranges of slots: [`FrameMut`], unique and writable; [`Frame`], shared and immutable.

use alloc::rc::Rc;
use core::fmt;
use core::ops::{Deref, DerefMut, Range};
use core::slice;

use crate::pool::Inner;

/// What [`FrameMut::prefetch`] asks for: the headers of all layers of a datagram.
const HEADERS_BYTES: usize = 128;

/// Bytes that come into a cache together.
const LINE_BYTES: usize = 64;

/// Asks for the line of memory in which a value begins, without waiting for it: worth it where it is known what will be
/// touched after a hundred nanoseconds of other work. Does nothing where the processor cannot be asked.
#[inline]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that could be seen and faults nowhere, and the address is a value's.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// A writable range of a slot that no other handle overlaps.
pub struct FrameMut {
    pool: Rc<Inner>,
    slot: u32,
    offset: usize,
    len: usize,
}

impl FrameMut {
    /// # Safety
    /// `[offset, offset + len)` lies in `slot`'s extent, no other handle overlaps it, no driver may
    /// write to it, and one count of the slot stands for the new handle.
    pub(crate) unsafe fn new(pool: Rc<Inner>, slot: u32, offset: usize, len: usize) -> Self {
        Self { pool, slot, offset, len }
    }

    /// Cuts off and returns the first `at` bytes; `self` keeps the rest.
    ///
    /// # Panics
    /// If `at` is past the end.
    pub fn split_to(&mut self, at: usize) -> Self {
        assert!(at <= self.len, "split at {at} of {} bytes", self.len);
        self.pool.retain(self.slot);
        let head = Self { pool: self.pool.clone(), slot: self.slot, offset: self.offset, len: at };
        self.offset += at;
        self.len -= at;
        head
    }

    /// Drops the first `count` bytes from the handle's view.
    ///
    /// # Panics
    /// If `count` is past the end.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "advance by {count} of {} bytes", self.len);
        self.offset += count;
        self.len -= count;
    }

    /// Keeps only the first `len` bytes; longer than it is: no change.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Asks for the first bytes of the range, which will be read soon, without waiting for them.
    #[inline]
    pub fn prefetch(&self) {
        for at in (0..self.len.min(HEADERS_BYTES)).step_by(LINE_BYTES) {
            prefetch(&self[at]);
        }
    }

    /// Gives up the right to write: from here on the bytes never change.
    pub fn freeze(self) -> Frame {
        Frame { inner: self }
    }

    /// Where the range starts, in bytes from the region's start.
    pub fn region_offset(&self) -> usize {
        self.offset
    }
}

impl Deref for FrameMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is in the slot's extent and initialised; this handle's count keeps the slot
        // from being reused; nobody else may write to the range (invariant of `new`).
        unsafe { slice::from_raw_parts(self.pool.at(self.offset).as_ptr(), self.len) }
    }
}

impl DerefMut for FrameMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the range is disjoint from every other handle's and `self` is borrowed
        // mutably, so this is the only reference to it.
        unsafe { slice::from_raw_parts_mut(self.pool.at(self.offset).as_ptr(), self.len) }
    }
}

impl Drop for FrameMut {
    fn drop(&mut self) {
        self.pool.release(self.slot);
    }
}

impl fmt::Debug for FrameMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameMut(slot {} at {} len {})", self.slot, self.offset, self.len)
    }
}

/// A shared, immutable range of a slot. Cloning counts, dropping the last handle frees the slot.
pub struct Frame {
    /// Never written through again: `Frame` gives out only `&[u8]`. Several `Frame`s may share or
    /// overlap a range, which is sound because none of them writes.
    inner: FrameMut,
}

impl Frame {
    /// A handle to a part of the range.
    ///
    /// # Panics
    /// If `range` does not lie in the frame.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.inner.len,
            "{range:?} outside {self:?}"
        );
        let mut part = self.clone();
        part.inner.offset += range.start;
        part.inner.len = range.end - range.start;
        part
    }

    /// Where the range starts, in bytes from the region's start.
    pub fn region_offset(&self) -> usize {
        self.inner.offset
    }

    /// The slot's number, for accounting.
    pub fn slot(&self) -> u32 {
        self.inner.slot
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        let i = &self.inner;
        i.pool.retain(i.slot);
        Self {
            inner: FrameMut { pool: i.pool.clone(), slot: i.slot, offset: i.offset, len: i.len },
        }
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.inner
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame(slot {} at {} len {})", self.inner.slot, self.inner.offset, self.inner.len)
    }
}
