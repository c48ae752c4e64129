//! The pool: who owns which slot, and how many handles name it.

use alloc::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;

use crate::FrameMut;

/// Alignment of the region and of every large slot: one page.
const PAGE: usize = 4096;

/// Count of a slot that a driver has lent to the kernel or to a card.
const LENT: u32 = u32::MAX;

/// The two sizes of slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Room for one path-MTU datagram; most frames end up here.
    Small,
    /// Room for one super-packet (a whole GSO burst, or what GRO merged).
    Large,
}

/// How a region is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Bytes of a small slot; rounded up to a multiple of 64.
    pub small_bytes: usize,
    /// How many small slots.
    pub small_count: u32,
    /// Bytes of a large slot; rounded up to whole pages.
    pub large_bytes: usize,
    /// How many large slots.
    pub large_count: u32,
}

impl PoolConfig {
    /// The same configuration with sizes rounded as the pool will use them.
    pub fn rounded(self) -> Self {
        Self {
            small_bytes: rounded_up(self.small_bytes.max(1), 64),
            large_bytes: rounded_up(self.large_bytes.max(1), PAGE),
            ..self
        }
    }

    /// Bytes of the area of small slots, rounded up to whole pages so that large slots start on one.
    fn small_area(self) -> usize {
        rounded_up(self.small_bytes.saturating_mul(self.small_count as usize), PAGE)
    }

    /// Bytes a region must have for this configuration; `usize::MAX`, which no region has, when they are more
    /// than can be counted.
    pub fn region_bytes(self) -> usize {
        let c = self.rounded();
        let large_area = c.large_bytes.saturating_mul(c.large_count as usize);
        c.small_area().saturating_add(large_area)
    }
}

/// The next multiple, or as many bytes as can be counted.
fn rounded_up(bytes: usize, unit: usize) -> usize {
    bytes.checked_next_multiple_of(unit).unwrap_or(usize::MAX)
}

impl Default for PoolConfig {
    /// 4096 slots of 2 KiB and 256 of 64 KiB: 24 MiB.
    fn default() -> Self {
        Self { small_bytes: 2048, small_count: 4096, large_bytes: 65536, large_count: 256 }
    }
}

/// A slot lent to a driver. The driver passes `offset` and `len` to the kernel or the card and keeps
/// `slot` to take the memory back with [`Pool::take_back`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// The slot's number in its pool.
    pub slot: u32,
    /// Where the slot starts, in bytes from the region's start.
    pub offset: usize,
    /// Bytes the slot has.
    pub len: usize,
}

/// How full a pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Free small slots.
    pub small_free: u32,
    /// All small slots.
    pub small_total: u32,
    /// Free large slots.
    pub large_free: u32,
    /// All large slots.
    pub large_total: u32,
    /// Slots lent to drivers.
    pub lent: u32,
}

/// Shared part of a pool: base address, counts and free lists.
pub(crate) struct Inner {
    base: NonNull<u8>,
    config: PoolConfig,
    /// Handles per slot; `LENT` while a driver has it; small slots first.
    counts: Box<[Cell<u32>]>,
    free_small: RefCell<Vec<u32>>,
    free_large: RefCell<Vec<u32>>,
    lent: Cell<u32>,
    /// What keeps `base` valid; dropped with the last handle.
    _keeper: Box<dyn Any>,
}

/// Zeroed heap memory for pools that no other process maps.
struct HeapRegion {
    base: NonNull<u8>,
    layout: Layout,
}

impl Drop for HeapRegion {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc_zeroed` with this very layout in `Pool::heap` and is freed
        // only here.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// The owner of message memory. Cloning gives another handle to the same pool.
#[derive(Clone)]
pub struct Pool {
    inner: Rc<Inner>,
}

impl Pool {
    /// A pool on the heap: for simulations, tests and tools that share nothing.
    ///
    /// # Panics
    /// If the configuration asks for more than the address space has.
    pub fn heap(config: PoolConfig) -> Self {
        let len = config.region_bytes().max(PAGE);
        let layout = Layout::from_size_align(len, PAGE).expect("a pool fits the address space");
        // SAFETY: `layout` has a non-zero size (`max(PAGE)`).
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(raw) else { handle_alloc_error(layout) };
        let keeper = Box::new(HeapRegion { base, layout });
        // SAFETY: the memory is zeroed, `len` bytes long, page aligned, owned by `keeper` and known
        // to nobody else.
        unsafe { Self::from_memory(base, len, config, keeper) }
    }

    /// A pool over memory that `keeper` keeps valid.
    ///
    /// # Panics
    /// If `len` is less than [`PoolConfig::region_bytes`], there are more than `u32::MAX` slots, or `base` is not
    /// aligned to 4096 bytes.
    ///
    /// # Safety
    /// `base` must point to `len` initialised bytes that stay valid and writable until `keeper` is
    /// dropped, and that nobody writes except through this pool's handles and the drivers it lends
    /// slots to.
    pub unsafe fn from_memory(
        base: NonNull<u8>,
        len: usize,
        config: PoolConfig,
        keeper: Box<dyn Any>,
    ) -> Self {
        let config = config.rounded();
        let needed = config.region_bytes();
        assert!(needed <= len && needed < usize::MAX, "region of {len} bytes is too small");
        assert!((base.as_ptr() as usize).is_multiple_of(PAGE), "region must be page aligned");
        let total = config.small_count.checked_add(config.large_count).expect("slots have 32 bits");
        let inner = Inner {
            base,
            config,
            counts: (0..total).map(|_| Cell::new(0)).collect(),
            // Last in, first out: a slot just freed is still warm in the cache.
            free_small: RefCell::new((0..config.small_count).rev().collect()),
            free_large: RefCell::new((config.small_count..total).rev().collect()),
            lent: Cell::new(0),
            _keeper: keeper,
        };
        Self { inner: Rc::new(inner) }
    }

    /// A whole free slot as writable memory, or `None` when the class is exhausted. The bytes are
    /// whatever the last user left there.
    pub fn alloc(&self, class: Class) -> Option<FrameMut> {
        let slot = self.inner.pop(class)?;
        self.inner.counts[slot as usize].set(1);
        let (offset, len) = self.inner.extent(slot);
        // SAFETY: `slot` was on the free list, so no handle and no driver names it; its count is now
        // one, which is this handle, and the extent is the slot's own.
        Some(unsafe { FrameMut::new(self.inner.clone(), slot, offset, len) })
    }

    /// Takes a free slot for the kernel or a card to write to.
    pub fn lend(&self, class: Class) -> Option<Lent> {
        let slot = self.inner.pop(class)?;
        self.inner.counts[slot as usize].set(LENT);
        self.inner.lent.set(self.inner.lent.get() + 1);
        let (offset, len) = self.inner.extent(slot);
        Some(Lent { slot, offset, len })
    }

    /// Takes a lent slot back; its first `len` bytes (cut to the slot's size) are what was written.
    /// `None` if the slot was not lent, which is a driver's error, never a peer's.
    ///
    /// # Safety
    /// Whoever the slot was lent to has finished with it and will not write to it again.
    pub unsafe fn take_back(&self, slot: u32, len: usize) -> Option<FrameMut> {
        let count = self.inner.counts.get(slot as usize)?;
        if count.get() != LENT {
            return None;
        }
        count.set(1);
        self.inner.lent.set(self.inner.lent.get() - 1);
        let (offset, slot_len) = self.inner.extent(slot);
        // SAFETY: the count said that the slot was lent, so no handle names it; the caller promises
        // that the borrower is done; the count is now one, which is this handle.
        Some(unsafe { FrameMut::new(self.inner.clone(), slot, offset, len.min(slot_len)) })
    }

    /// Free slots of a class.
    pub fn free(&self, class: Class) -> u32 {
        self.inner.free_list(class).borrow().len() as u32
    }

    /// Bytes of one slot of a class.
    pub fn slot_bytes(&self, class: Class) -> usize {
        match class {
            Class::Small => self.inner.config.small_bytes,
            Class::Large => self.inner.config.large_bytes,
        }
    }

    /// How full the pool is.
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            small_free: self.free(Class::Small),
            small_total: self.inner.config.small_count,
            large_free: self.free(Class::Large),
            large_total: self.inner.config.large_count,
            lent: self.inner.lent.get(),
        }
    }

    /// Start of the region, for drivers that register it. Reading or writing through it is bound by
    /// the same rules as [`Pool::lend`].
    pub fn base(&self) -> NonNull<u8> {
        self.inner.base
    }

    /// Bytes of the region.
    pub fn region_bytes(&self) -> usize {
        self.inner.config.region_bytes()
    }
}

impl Inner {
    fn free_list(&self, class: Class) -> &RefCell<Vec<u32>> {
        match class {
            Class::Small => &self.free_small,
            Class::Large => &self.free_large,
        }
    }

    fn pop(&self, class: Class) -> Option<u32> {
        self.free_list(class).borrow_mut().pop()
    }

    /// Offset and length of a slot in the region.
    fn extent(&self, slot: u32) -> (usize, usize) {
        let c = self.config;
        if slot < c.small_count {
            (slot as usize * c.small_bytes, c.small_bytes)
        } else {
            let index = (slot - c.small_count) as usize;
            (c.small_area() + index * c.large_bytes, c.large_bytes)
        }
    }

    /// Address of a byte of the region. `offset` comes from `extent`, so it is in bounds.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.config.region_bytes());
        // SAFETY: offsets are made by `extent` and only ever cut shorter by handles, so the sum stays
        // inside the region that `from_memory` was promised.
        unsafe { self.base.add(offset) }
    }

    /// One more handle names the slot.
    pub(crate) fn retain(&self, slot: u32) {
        let count = &self.counts[slot as usize];
        // A slot is cut into at most its length in bytes of frames, each cloned by a bounded number
        // of windows and readers: four billion handles cannot exist. The check keeps the proof local.
        assert!(count.get() < LENT - 1, "slot {slot} has too many handles");
        count.set(count.get() + 1);
    }

    /// One handle fewer names the slot; the last one frees it.
    pub(crate) fn release(&self, slot: u32) {
        let count = &self.counts[slot as usize];
        let left = count.get() - 1;
        count.set(left);
        if left == 0 {
            let class = if slot < self.config.small_count { Class::Small } else { Class::Large };
            // The list was made with room for every slot of its class, so this never allocates.
            self.free_list(class).borrow_mut().push(slot);
        }
    }
}
