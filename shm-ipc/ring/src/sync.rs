//! The atomics everything here is built on: the processor's, or loom's in a model check.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A load with `Acquire` of a word that this process may have mapped for reading only. Of such memory the language
/// allows relaxed loads alone (an acquiring one need not be a plain load on every processor), and a fence after it
/// gives the same order.
#[inline]
pub(crate) fn acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}
