//! Words that both sides see, wherever they live.

use std::any::Any;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

#[cfg(not(loom))]
use crate::shm::{Mapping, ShmError};

/// Asks for the line of memory in which a value begins, without waiting for it. Does nothing where the processor cannot
/// be asked.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that could be seen and faults nowhere, and the address is a value's.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// A type made of atomics only, valid when all its bytes are zero.
///
/// # Safety
/// Every bit pattern is a value, zero bytes are what [`Words::zeroed`] makes, there is no `Drop`, and
/// every field is an atomic: a peer may change any byte at any time.
pub(crate) unsafe trait Words: Send + Sync + 'static {
    /// All zeros.
    fn zeroed() -> Self;
}

/// A shared reference to a `T` in shared memory or on the heap, which it keeps alive.
pub(crate) struct Shared<T: ?Sized> {
    ptr: NonNull<T>,
    keep: Arc<dyn Any + Send + Sync>,
}

// SAFETY: a `Shared` is a shared reference with an owner; `T: Sync` is what that takes.
unsafe impl<T: ?Sized + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for Shared<T> {}

impl<T: Words> Shared<T> {
    /// A zeroed `T` in memory of this process.
    pub(crate) fn heap() -> Self {
        let owner = Arc::new(T::zeroed());
        Self { ptr: NonNull::from(&*owner), keep: owner }
    }

    /// The `T` at `offset` of a mapping; `write`: this side stores to some of it.
    #[cfg(not(loom))]
    pub(crate) fn place(
        what: &'static str,
        mapping: &Mapping,
        offset: usize,
        write: bool,
    ) -> Result<Self, ShmError> {
        let at = mapping.place(what, offset, size_of::<T>(), align_of::<T>(), write)?;
        Ok(Self { ptr: at.cast(), keep: Arc::new(mapping.clone()) })
    }
}

impl<T: Words> Shared<[T]> {
    /// `len` zeroed `T`s in memory of this process.
    pub(crate) fn heap_slice(len: usize) -> Self {
        let owner: Arc<Box<[T]>> = Arc::new((0..len).map(|_| T::zeroed()).collect());
        Self { ptr: NonNull::from(&**owner), keep: owner }
    }

    /// `len` `T`s at `offset` of a mapping.
    #[cfg(not(loom))]
    pub(crate) fn place_slice(
        what: &'static str,
        mapping: &Mapping,
        offset: usize,
        len: usize,
        write: bool,
    ) -> Result<Self, ShmError> {
        let bytes = len.saturating_mul(size_of::<T>());
        let at = mapping.place(what, offset, bytes, align_of::<T>(), write)?;
        Ok(Self {
            ptr: NonNull::slice_from_raw_parts(at.cast(), len),
            keep: Arc::new(mapping.clone()),
        })
    }
}

impl<T: ?Sized> Shared<T> {
    /// A part of it, with the same owner.
    pub(crate) fn part<U>(&self, part: impl FnOnce(&T) -> &U) -> Shared<U> {
        Shared { ptr: NonNull::from(part(self)), keep: self.keep.clone() }
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { ptr: self.ptr, keep: self.keep.clone() }
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the pointer was checked for range and alignment when it was made and `keep` keeps
        // the memory mapped and, being size-sealed, backed. `T` is made of atomics (`Words`), so
        // stores of a peer are no data race and no value is invalid.
        unsafe { self.ptr.as_ref() }
    }
}

impl<T: ?Sized> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({:p})", self.ptr)
    }
}
