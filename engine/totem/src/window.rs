//! Frames of one ring by number: a preallocated power-of-two ring of slots.

use alloc::boxed::Box;

use frame::{Frame, prefetch};
use wire::NodeId;

/// So many frames before its turn a place is asked for: a frame takes some hundred nanoseconds.
const AHEAD_FRAMES: u64 = 2;

/// A frame and what its header says, so that delivery does not touch the header again.
pub(crate) struct Slot {
    pub(crate) frame: Frame,
    pub(crate) origin: NodeId,
    pub(crate) flags: u8,
}

/// Holds the frames numbered `base + 1 ..= base + capacity`.
pub(crate) struct Window {
    slots: Box<[Option<Slot>]>,
    mask: u64,
    base: u64,
}

impl Window {
    pub(crate) fn new(frames: usize) -> Self {
        let capacity = frames.next_power_of_two().max(64);
        let slots = (0..capacity).map(|_| None).collect();
        Self { slots, mask: capacity as u64 - 1, base: 0 }
    }

    /// Empties the window and starts again at zero.
    pub(crate) fn reset(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = None);
        self.base = 0;
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Everything up to here was released.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    #[inline]
    pub(crate) fn get(&self, seq: u64) -> Option<&Slot> {
        if seq <= self.base || seq - self.base > self.capacity() {
            return None;
        }
        self.slots[(seq & self.mask) as usize].as_ref()
    }

    #[inline]
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.get(seq).is_some()
    }

    /// Whether `seq` has a place here.
    #[inline]
    pub(crate) fn covers(&self, seq: u64) -> bool {
        seq > self.base && seq - self.base <= self.capacity()
    }

    /// Puts a frame into its empty place; the caller checked [`Window::covers`] and
    /// [`Window::has`].
    #[inline]
    pub(crate) fn insert(&mut self, seq: u64, slot: Slot) {
        // Far more places than are in use at a time: each is out of the cache when its turn comes.
        prefetch(&self.slots[(seq.wrapping_add(AHEAD_FRAMES) & self.mask) as usize]);
        self.slots[(seq & self.mask) as usize] = Some(slot);
    }

    /// Drops everything up to `seq`.
    pub(crate) fn release_to(&mut self, seq: u64) {
        while self.base < seq {
            self.base += 1;
            self.slots[(self.base & self.mask) as usize] = None;
        }
    }

    /// Calls `each` with the ranges in `from..=to` whose frames are here (`present`) or missing.
    pub(crate) fn ranges(
        &self,
        from: u64,
        to: u64,
        present: bool,
        mut each: impl FnMut(u64, u64) -> bool,
    ) {
        let mut start = None;
        for seq in from..=to {
            match (self.has(seq) == present, start) {
                (true, None) => start = Some(seq),
                (false, Some(first)) => {
                    start = None;
                    if !each(first, seq - 1) {
                        return;
                    }
                }
                _ => {}
            }
        }
        if let Some(first) = start {
            each(first, to);
        }
    }
}
