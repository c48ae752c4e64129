//! A mapped range of a segment, kept for as long as anybody uses it.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::{Access, ShmError};

/// Bytes that come into a cache together.
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

/// Memory of a [`super::Segment`] in this process. Clones name the same memory; the last one unmaps it.
#[derive(Clone, Debug)]
pub struct Mapping {
    inner: Arc<Map>,
}

#[derive(Debug)]
struct Map {
    base: NonNull<u8>,
    len: usize,
    mirrored: bool,
    access: Access,
}

// SAFETY: a mapping belongs to the process, not to a thread; it gives out addresses only, and those
// who dereference them (`Shared`, `Bytes`) use atomics or state their own rules.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Mapping {
    /// Maps a range that the caller has checked to lie inside a size-sealed file.
    pub(super) fn new(
        fd: BorrowedFd<'_>,
        offset: usize,
        len: usize,
        access: Access,
        mirrored: bool,
    ) -> Result<Self, ShmError> {
        let reserved = if mirrored { 2 * len } else { len };
        // Reserve the addresses first, so that the second half cannot land on somebody else's.
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                reserved,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(ShmError::os("reserve addresses for shared memory"))?;
        let base = NonNull::new(base.cast::<u8>()).expect("the kernel maps nothing at null");
        // From here on dropping `map` gives the addresses back.
        let map = Map { base, len, mirrored, access };
        let prot = match access {
            Access::ReadOnly => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        for half in 0..reserved / len {
            // SAFETY: the target lies inside the addresses reserved above, which nobody else uses.
            unsafe {
                let at = base.as_ptr().add(half * len).cast();
                mmap(at, len, prot, MapFlags::SHARED | MapFlags::FIXED, fd, offset as u64)
            }
            .map_err(ShmError::os("map shared memory"))?;
        }
        Ok(Self { inner: Arc::new(map) })
    }

    /// First byte.
    pub fn base(&self) -> NonNull<u8> {
        self.inner.base
    }

    /// Asks for bytes that will be read soon, without waiting for them. What does not lie in the mapping is left
    /// alone.
    #[inline]
    pub fn prefetch(&self, offset: usize, bytes: usize) {
        if offset.checked_add(bytes).is_none_or(|end| end > self.inner.len) {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        for line in (offset..offset + bytes).step_by(LINE_BYTES) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the address lies in the mapping, as just checked; a prefetch reads nothing that could be seen
            // and faults nowhere.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.inner.base.as_ptr().add(line).cast()) };
        }
    }

    /// Bytes of the range mapped (counted once if mirrored).
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Never true: empty ranges are not mapped.
    pub fn is_empty(&self) -> bool {
        self.inner.len == 0
    }

    /// What it allows.
    pub fn access(&self) -> Access {
        self.inner.access
    }

    /// Whether the range is mapped twice, back to back.
    pub fn is_mirrored(&self) -> bool {
        self.inner.mirrored
    }

    /// The address of something of `bytes` bytes at `offset`, if it lies inside and is aligned.
    #[cfg(not(loom))]
    pub(crate) fn place(
        &self,
        what: &'static str,
        offset: usize,
        bytes: usize,
        align: usize,
        write: bool,
    ) -> Result<NonNull<u8>, ShmError> {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.len());
        if !inside || !offset.is_multiple_of(align) {
            return Err(ShmError::Place { what, offset, bytes, len: self.len() });
        }
        if write && self.access() == Access::ReadOnly {
            return Err(ShmError::ReadOnly { what });
        }
        // SAFETY: `offset` is inside the mapping, as just checked.
        Ok(unsafe { self.inner.base.add(offset) })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let reserved = if self.mirrored { 2 * self.len } else { self.len };
        // SAFETY: exactly the range reserved in `Mapping::new`; nothing points into it any more, as
        // everything that does holds a clone of the `Arc` that is being dropped.
        let result = unsafe { munmap(self.base.as_ptr().cast(), reserved) };
        debug_assert!(result.is_ok(), "unmapping our own range failed: {result:?}");
    }
}
