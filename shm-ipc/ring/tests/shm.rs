//! What a receiver of a segment refuses, and what seals really prevent.
#![cfg(not(any(loom, miri)))]

use std::os::fd::OwnedFd;

use ring::shm::{Access, Draft, PAGE_BYTES, PeerAccess, Segment, ShmError};
use ring::{broadcast, spsc};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// Another descriptor of the same memory, as a peer would get it.
fn hand_over(segment: &Segment) -> OwnedFd {
    segment.fd().try_clone_to_owned().unwrap()
}

fn sealed(peers: PeerAccess) -> Segment {
    Draft::create("test", 2 * PAGE_BYTES).unwrap().seal(peers).unwrap()
}

#[test]
fn a_sealed_segment_is_accepted_and_shared() {
    let draft = Draft::create("test", 100).unwrap();
    assert_eq!(draft.len(), PAGE_BYTES, "rounded up to pages");
    let ours = draft.map_all().unwrap();
    let segment = draft.seal(PeerAccess::ReadOnly).unwrap();
    let theirs = Segment::receive(hand_over(&segment), PAGE_BYTES, Access::ReadOnly).unwrap();
    let theirs = theirs.map_all().unwrap();
    drop(segment);
    // SAFETY: both mappings are alive and one byte is inside them.
    unsafe {
        ours.base().as_ptr().write_volatile(42);
        assert_eq!(theirs.base().as_ptr().read_volatile(), 42);
    }
}

#[test]
fn read_only_means_that_nobody_gets_a_writable_mapping() {
    let segment = sealed(PeerAccess::ReadOnly);
    let liar = Segment::receive(hand_over(&segment), segment.len(), Access::ReadWrite).unwrap();
    assert!(matches!(liar.map_all(), Err(ShmError::Os { .. })));
    assert_eq!(segment.access(), Access::ReadOnly);
    assert!(segment.map_all().is_ok());
}

#[test]
fn the_size_is_fixed_for_everybody() {
    let draft = Draft::create("test", PAGE_BYTES).unwrap();
    assert!(ftruncate(draft.fd(), 0).is_err(), "sealed before anybody maps it");
    let segment = draft.seal(PeerAccess::ReadWrite).unwrap();
    assert!(ftruncate(segment.fd(), 0).is_err());
    assert!(ftruncate(segment.fd(), 1 << 20).is_err());
    assert!(fcntl_add_seals(segment.fd(), SealFlags::WRITE).is_err());
}

#[test]
fn unsealed_memory_is_refused() {
    for seals in [SealFlags::empty(), SealFlags::SHRINK, SealFlags::GROW] {
        let fd = memfd_create("bad", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&fd, PAGE_BYTES as u64).unwrap();
        fcntl_add_seals(&fd, seals).unwrap();
        let result = Segment::receive(fd, PAGE_BYTES, Access::ReadWrite);
        assert!(matches!(result, Err(ShmError::Unsealed { .. })), "{seals:?}: {result:?}");
    }
}

#[test]
fn another_size_than_announced_is_refused() {
    let segment = sealed(PeerAccess::ReadWrite);
    for len in [0, PAGE_BYTES, 3 * PAGE_BYTES] {
        let result = Segment::receive(hand_over(&segment), len, Access::ReadWrite);
        assert!(matches!(result, Err(ShmError::Size { .. })), "{len}: {result:?}");
    }
}

#[test]
fn what_is_no_memfd_is_refused() {
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let pipe = rustix::pipe::pipe().unwrap().0;
    let null = std::fs::File::open("/dev/null").unwrap();
    for fd in [OwnedFd::from(file), pipe, null.into()] {
        let result = Segment::receive(fd, PAGE_BYTES, Access::ReadOnly);
        assert!(matches!(result, Err(ShmError::NotMemfd)), "{result:?}");
    }
}

#[test]
fn mappings_stay_inside_the_segment() {
    let segment = sealed(PeerAccess::ReadWrite);
    let huge = usize::MAX & !(PAGE_BYTES - 1);
    let bad = [
        (0, 3 * PAGE_BYTES),
        (PAGE_BYTES, 2 * PAGE_BYTES),
        (huge, PAGE_BYTES),
        (0, huge),
        (8, 8),
        (0, 0),
    ];
    for (offset, len) in bad {
        assert!(segment.map(offset, len).is_err(), "{offset} {len}");
        assert!(segment.map_mirrored(offset, len).is_err(), "{offset} {len}");
    }
}

#[test]
fn a_mirrored_mapping_shows_the_same_memory_twice() {
    let mapping = sealed(PeerAccess::ReadWrite).map_mirrored(PAGE_BYTES, PAGE_BYTES).unwrap();
    for offset in [0, 1, PAGE_BYTES - 1] {
        let base = mapping.base().as_ptr();
        // SAFETY: a mirrored mapping of a page has two pages of addresses.
        unsafe {
            base.add(PAGE_BYTES + offset).write_volatile(9);
            assert_eq!(base.add(offset).read_volatile(), 9);
        }
    }
}

#[test]
fn capacities_that_do_not_fit_are_refused() {
    for capacity in [0, 8, PAGE_BYTES - 1, PAGE_BYTES + 8, 3 * PAGE_BYTES] {
        let result = spsc::Memory::create("bad", capacity);
        assert!(matches!(result, Err(ShmError::Capacity { .. })), "{capacity}");
    }
    assert!(broadcast::Memory::create("bad", 3, 1).is_err());
    assert!(broadcast::Memory::create("bad", 8, 9).is_err());
    assert!(broadcast::Memory::create("bad", 8, 0).is_err());
}

/// A receiver of a descriptor ring does not believe its first page about its size.
#[test]
fn a_ring_shorter_than_it_says_is_refused() {
    let (_memory, segment) = broadcast::Memory::create("ring", 256, 16).unwrap();
    assert!(broadcast::Memory::attach(&segment).is_ok());
    let draft = Draft::create("liar", PAGE_BYTES).unwrap();
    let mapping = draft.map_all().unwrap();
    // SAFETY: inside the page just mapped; `capacity` is at 128 (see the layout).
    unsafe { mapping.base().as_ptr().add(128).cast::<u64>().write_volatile(1 << 20) };
    let segment = draft.seal(PeerAccess::ReadOnly).unwrap();
    assert!(matches!(broadcast::Memory::attach(&segment), Err(ShmError::Place { .. })));
}

/// Whoever maps read-only cannot be made the writing side by mistake.
#[test]
fn sides_that_must_write_refuse_read_only_memory() {
    let (_memory, segment) = broadcast::Memory::create("ring", 256, 16).unwrap();
    let theirs = broadcast::Memory::attach(&segment).unwrap();
    assert!(matches!(broadcast::Producer::new(&theirs), Err(ShmError::ReadOnly { .. })));
    let (_, ring) = spsc::Memory::create("ring", PAGE_BYTES).unwrap();
    let len = ring.len();
    let ring = Segment::receive(hand_over(&ring), len, Access::ReadOnly).unwrap();
    let theirs = spsc::Memory::attach(&ring, 0, PAGE_BYTES).unwrap();
    assert!(matches!(spsc::Producer::new(&theirs), Err(ShmError::ReadOnly { .. })));
    assert!(matches!(spsc::Consumer::new(&theirs), Err(ShmError::ReadOnly { .. })));
}
