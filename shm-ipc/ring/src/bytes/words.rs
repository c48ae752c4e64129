//! Bytes as an array of atomic words in memory of this process.

use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};

/// A ring of bytes, a power of two of them.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    words: Shared<[AtomicU64]>,
}

impl Bytes {
    /// `capacity` zero bytes, a power of two and at least 8.
    pub(crate) fn heap(capacity: usize) -> Self {
        Self { words: Shared::heap_slice(capacity / 8) }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.words.len() * 8
    }

    pub(crate) fn is_writable(&self) -> bool {
        true
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words[(position / 8) as usize & (self.words.len() - 1)]
    }

    pub(crate) fn load(&self, position: u64) -> u64 {
        self.word(position).load(Ordering::Relaxed)
    }

    pub(crate) fn store(&self, position: u64, value: u64) {
        self.word(position).store(value, Ordering::Relaxed);
    }

    /// Nothing to hint at.
    pub(crate) fn prefetch(&self, _position: u64) {}

    pub(crate) fn copy_out(&self, position: u64, to: &mut [u8]) {
        assert!(
            to.len() <= self.capacity(),
            "a range of {} bytes is longer than the ring",
            to.len()
        );
        for (i, byte) in to.iter_mut().enumerate() {
            let at = position + i as u64;
            *byte = self.load(at).to_le_bytes()[(at % 8) as usize];
        }
    }

    pub(crate) fn copy_in(&self, position: u64, from: &[u8]) {
        assert!(from.len() <= self.capacity(), "a range of {} bytes is too long", from.len());
        for (i, byte) in from.iter().enumerate() {
            let at = position + i as u64;
            let mut word = self.load(at).to_le_bytes();
            word[(at % 8) as usize] = *byte;
            self.store(at, u64::from_le_bytes(word));
        }
    }
}
