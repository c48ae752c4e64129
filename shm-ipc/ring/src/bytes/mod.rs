//! The data bytes of a byte ring: copies in and out that a peer may race with.
//!
//! Two implementations with one interface. `mapped`: shared memory mapped twice, back to back, so that what
//! wraps is contiguous. `words`: memory of this process as an array of atomic words, for model
//! checks (loom, miri), which know no mappings.

#[cfg(not(any(loom, miri)))]
mod mapped;
#[cfg(any(loom, miri))]
mod words;

#[cfg(not(any(loom, miri)))]
pub(crate) use mapped::Bytes;
#[cfg(any(loom, miri))]
pub(crate) use words::Bytes;

// SAFETY: an atomic integer: every bit pattern is a value, zero bytes are zero.
unsafe impl crate::shared::Words for crate::sync::AtomicU64 {
    fn zeroed() -> Self {
        Self::new(0)
    }
}
