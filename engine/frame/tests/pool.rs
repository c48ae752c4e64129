//! The pool's promises: disjoint writers, shared readers, every slot accounted for.

use frame::{Class, Pool, PoolConfig};
use synchrotron_frame as frame;

fn small_pool() -> Pool {
    Pool::heap(PoolConfig { small_bytes: 100, small_count: 4, large_bytes: 5000, large_count: 2 })
}

#[test]
fn sizes_are_rounded_and_the_account_adds_up() {
    let pool = small_pool();
    assert_eq!(pool.slot_bytes(Class::Small), 128);
    assert_eq!(pool.slot_bytes(Class::Large), 8192);
    assert_eq!(pool.region_bytes(), 4096 + 2 * 8192);
}

#[test]
fn a_slot_returns_when_its_last_handle_is_dropped() {
    let pool = small_pool();
    let mut whole = pool.alloc(Class::Small).unwrap();
    whole.fill(7);
    let head = whole.split_to(10);
    let shared = head.freeze();
    let copy = shared.clone();
    let part = shared.slice(2..5);
    drop((whole, shared, copy));
    assert_eq!(pool.free(Class::Small), 3);
    assert_eq!(&*part, &[7, 7, 7]);
    drop(part);
    assert_eq!(pool.free(Class::Small), 4);
}

#[test]
fn exhaustion_is_an_answer_and_ends_when_a_slot_is_free() {
    let pool = small_pool();
    let held: Vec<_> = (0..2).map(|_| pool.alloc(Class::Large).unwrap()).collect();
    assert!(pool.alloc(Class::Large).is_none());
    assert!(pool.lend(Class::Large).is_none());
    drop(held);
    assert!(pool.alloc(Class::Large).is_some());
}

#[test]
fn split_parts_are_written_independently() {
    let pool = small_pool();
    let mut rest = pool.alloc(Class::Large).unwrap();
    let mut parts: Vec<_> = (0..8).map(|_| rest.split_to(64)).collect();
    for (number, part) in parts.iter_mut().enumerate() {
        part.fill(number as u8);
    }
    let start = parts[0].region_offset();
    for (number, part) in parts.iter().enumerate() {
        assert!(part.iter().all(|&byte| byte == number as u8));
        assert_eq!(part.region_offset(), start + 64 * number);
    }
}

#[test]
fn a_lent_slot_is_nobodys_until_it_is_taken_back() {
    let pool = small_pool();
    let lent = pool.lend(Class::Large).unwrap();
    assert_eq!(pool.stats().lent, 1);
    // SAFETY: nothing writes to the slot: it was lent to nobody but this test.
    let frame = unsafe { pool.take_back(lent.slot, 100) }.unwrap();
    assert_eq!((frame.len(), frame.region_offset()), (100, lent.offset));
    // SAFETY: as above.
    assert!(unsafe { pool.take_back(lent.slot, 100) }.is_none(), "taken back twice");
    // SAFETY: as above; the slot does not exist.
    assert!(unsafe { pool.take_back(99, 1) }.is_none());
    drop(frame);
    let stats = pool.stats();
    assert_eq!((stats.lent, stats.large_free), (0, 2));
}

#[test]
#[should_panic(expected = "outside")]
fn a_slice_past_the_end_is_refused() {
    let frame = small_pool().alloc(Class::Small).unwrap().freeze();
    let _ = frame.slice(100..129);
}

/// With sizes whose sum wraps, a region of a few bytes would pass for one with slots of exabytes.
#[test]
fn sizes_past_the_address_space_are_refused() {
    let sane = PoolConfig { small_bytes: 64, small_count: 1, large_bytes: 4096, large_count: 1 };
    for config in [
        PoolConfig { small_bytes: 1 << 62, small_count: 4, ..sane },
        PoolConfig { small_bytes: usize::MAX - 4, ..sane },
        PoolConfig { large_bytes: 1 << 60, large_count: 16, ..sane },
        PoolConfig { large_bytes: usize::MAX, ..sane },
    ] {
        assert!(std::panic::catch_unwind(|| Pool::heap(config)).is_err(), "{config:?}");
    }
}

#[test]
fn handles_outlive_the_pool_value() {
    let pool = small_pool();
    let mut frame = pool.alloc(Class::Small).unwrap();
    drop(pool);
    frame.fill(1);
    assert!(frame.freeze().iter().all(|&byte| byte == 1));
}

#[cfg(feature = "std")]
mod region {
    use std::os::fd::AsFd;

    use super::*;
    use frame::Region;
    use memmap2::MmapOptions;

    #[test]
    fn others_may_read_but_neither_write_nor_resize() {
        let config =
            PoolConfig { small_bytes: 64, small_count: 8, large_bytes: 4096, large_count: 1 };
        let region = Region::create(config).unwrap();
        let fd = region.fd().try_clone_to_owned().unwrap();
        let pool = region.into_pool(config);
        let mut frame = pool.alloc(Class::Small).unwrap();
        frame[..5].copy_from_slice(b"hello");
        let offset = frame.region_offset();
        let file = std::fs::File::from(fd.as_fd().try_clone_to_owned().unwrap());
        // SAFETY: the size is sealed, and the bytes read are not written while the map lives.
        let map = unsafe { MmapOptions::new().map(&file) }.unwrap();
        assert_eq!(&map[offset..offset + 5], b"hello");
        // SAFETY: the mapping must not come to be at all.
        assert!(unsafe { MmapOptions::new().map_mut(&file) }.is_err(), "writable map");
        assert!(file.set_len(1).is_err(), "shrunk");
        assert!(file.set_len(1 << 20).is_err(), "grown");
    }
}
