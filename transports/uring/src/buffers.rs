//! A provided-buffer ring whose buffers are slots lent from the pool.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use frame::{Class, FrameMut, Lent, Pool};
use io_uring::{Submitter, types::BufRingEntry};

/// Data buffers the kernel has at first, and again when few are needed: two visits' worth of full bursts.
const LEND_MIN: u16 = 16;

/// Receptions without running out after which fewer buffers are tried.
const LEND_QUIET: u32 = 16_384;

/// How many buffers to lend. The kernel fills them in turn, so every one that is lent is memory gone through: few
/// stay in the processor's cache, from which message and copy are several times quicker. When a flood of small
/// datagrams uses them up (each takes a whole buffer), the number doubles up to the limit; what comes meanwhile
/// waits in the socket.
#[derive(Debug)]
pub(crate) struct Lending {
    wanted: u16,
    limit: u16,
    quiet: u32,
}

impl Lending {
    pub(crate) fn new(limit: u16) -> Self {
        Self { wanted: LEND_MIN.min(limit), limit, quiet: 0 }
    }

    pub(crate) fn wanted(&self) -> usize {
        self.wanted.into()
    }

    /// A receive ended for want of a buffer.
    pub(crate) fn ran_out(&mut self) {
        self.wanted = self.wanted.saturating_mul(2).min(self.limit);
        self.quiet = 0;
    }

    /// A buffer was filled.
    pub(crate) fn received(&mut self) {
        self.quiet += 1;
        if self.quiet >= LEND_QUIET {
            self.quiet = 0;
            self.wanted = (self.wanted / 2).max(LEND_MIN.min(self.limit));
        }
    }
}

/// Alignment the kernel asks of the ring's memory.
const PAGE: usize = 4096;

/// Buffers of one class that the kernel fills in any order it likes.
///
/// Invariant: a slot in `lent` is lent from `pool` and named by exactly one entry that the kernel may
/// still use; it leaves `lent` only when a completion gave its buffer id back.
pub(crate) struct BufferRing {
    pool: Pool,
    class: Class,
    group: u16,
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    mask: u16,
    tail: u16,
    /// By buffer id: what the kernel has.
    lent: Box<[Option<Lent>]>,
    /// Buffer ids not in use.
    free_ids: Vec<u16>,
}

impl BufferRing {
    /// Makes the ring's memory and registers it as `group`. `count` is a power of two up to 32768.
    pub(crate) fn register(
        submitter: &Submitter<'_>,
        pool: Pool,
        class: Class,
        group: u16,
        count: u16,
    ) -> io::Result<Self> {
        let layout = Layout::array::<BufRingEntry>(count.into())
            .and_then(|l| l.align_to(PAGE))
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: `count` is at least 1, so the layout is not empty.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(raw.cast::<BufRingEntry>()) else {
            handle_alloc_error(layout)
        };
        let ring = Self {
            pool,
            class,
            group,
            entries,
            layout,
            mask: count - 1,
            tail: 0,
            lent: vec![None; count.into()].into(),
            free_ids: (0..count).rev().collect(),
        };
        // SAFETY: the memory holds `count` entries, is page aligned, and is freed only when `self` is
        // dropped, which the owner does after `unregister` or after the io_uring is gone.
        unsafe {
            submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, count, group, 0)?;
        }
        Ok(ring)
    }

    /// Number the kernel knows this ring by.
    pub(crate) fn group(&self) -> u16 {
        self.group
    }

    /// Buffers the kernel has.
    pub(crate) fn lent(&self) -> usize {
        self.lent.len() - self.free_ids.len()
    }

    /// Lends slots until the kernel has `wanted` (cut to the ring's size) or the pool has no more.
    pub(crate) fn refill(&mut self, wanted: usize) {
        let mut published = self.tail;
        while self.lent() < wanted {
            let Some(id) = self.free_ids.pop() else { break };
            let Some(lent) = self.pool.lend(self.class) else {
                self.free_ids.push(id);
                break;
            };
            // SAFETY: the index is masked to the ring's size; `published` lies at most the ring's
            // size past what the kernel has consumed (each entry has one of that many ids), so the
            // kernel does not read this entry before the tail is stored below; the slot's offset is
            // inside the region.
            unsafe {
                let entry = &mut *self.entries.as_ptr().add((published & self.mask).into());
                entry.set_addr(self.pool.base().add(lent.offset).as_ptr() as u64);
                entry.set_len(lent.len as u32);
                entry.set_bid(id);
            }
            self.lent[usize::from(id)] = Some(lent);
            published = published.wrapping_add(1);
        }
        if published != self.tail {
            self.tail = published;
            // SAFETY: the tail lies in the first entry's reserved bytes, is aligned, and the kernel
            // only reads it; the release store publishes the entries before it.
            unsafe {
                let tail = BufRingEntry::tail(self.entries.as_ptr()).cast_mut();
                AtomicU16::from_ptr(tail).store(published, Ordering::Release);
            }
        }
    }

    /// Takes back the buffer a completion names; its first `len` bytes were written. `None` for an id
    /// that was not lent.
    pub(crate) fn take(&mut self, id: u16, len: usize) -> Option<FrameMut> {
        let lent = self.lent.get_mut(usize::from(id))?.take()?;
        self.free_ids.push(id);
        // SAFETY: the kernel returned this buffer id in a completion and uses a buffer once only (no
        // incremental consumption), so it has finished writing.
        unsafe { self.pool.take_back(lent.slot, len) }
    }

    /// Takes every buffer back.
    ///
    /// # Safety
    /// The kernel uses none of them any more: the ring was unregistered and no receive that selected
    /// a buffer from it is under way.
    pub(crate) unsafe fn reclaim(&mut self) {
        for id in 0..self.lent.len() {
            if let Some(lent) = self.lent[id].take() {
                self.free_ids.push(id as u16);
                // SAFETY: the caller's promise.
                drop(unsafe { self.pool.take_back(lent.slot, 0) });
            }
        }
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with this very layout; the owner keeps the promise named
        // there, so the kernel no longer reads it.
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_more_when_it_ran_out_and_less_when_it_did_not_for_long() {
        let mut lending = Lending::new(64);
        assert_eq!(lending.wanted(), 16);
        (0..9).for_each(|_| lending.ran_out());
        assert_eq!(lending.wanted(), 64);
        (0..LEND_QUIET).for_each(|_| lending.received());
        assert_eq!(lending.wanted(), 32);
        (0..LEND_QUIET * 9).for_each(|_| lending.received());
        assert_eq!(lending.wanted(), 16);
        assert_eq!(Lending::new(8).wanted(), 8);
    }
}
