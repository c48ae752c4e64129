//! What a bell costs and what a hostile peer can do with it.
#![cfg(not(any(loom, miri)))]

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ring::bell::{Place, PollFd, RingFd, Ringer, Sleeper, fds};
use ring::broadcast::{Cursor, Lease, Memory, Producer, Reader};
use ring::shm::{Draft, PAGE_BYTES, PeerAccess, ShmError};
use rustix::fs::OFlags;

const SHORT: Option<Duration> = Some(Duration::from_millis(2));

/// Nobody sleeps: nothing is rung. One sleep: one ring, however often.
#[test]
fn a_sleep_is_rung_for_once() {
    let place = Place::heap();
    let mut ringer = Ringer::new(&place, None).unwrap();
    let mut sleeper = Sleeper::new(&place, None).unwrap();
    assert!(!ringer.ring());
    sleeper.prepare();
    sleeper.prepare();
    assert!(ringer.ring());
    assert!(!ringer.ring());
    // Rung between announcement and wait: does not sleep at all.
    assert!(sleeper.wait(None).unwrap());
    assert!(!ringer.ring());
    sleeper.prepare();
    assert!(ringer.ring(), "a new sleep");
    sleeper.cancel();
    assert!(!ringer.ring());
}

#[test]
fn waiting_ends_with_its_time() {
    let (_, poll_fd) = fds().unwrap();
    for fd in [None, Some(poll_fd)] {
        let mut sleeper = Sleeper::new(&Place::heap(), fd).unwrap();
        sleeper.prepare();
        assert!(!sleeper.wait(SHORT).unwrap());
        let start = Instant::now();
        assert_eq!(sleeper.block_on::<()>(SHORT, || None).unwrap(), None);
        assert!(start.elapsed() >= SHORT.unwrap());
        assert_eq!(sleeper.block_on(Some(Duration::ZERO), || Some(5)).unwrap(), Some(5));
    }
}

/// The pollable end is readable from the ring until it is cleared, and can be watched by others.
#[test]
fn the_descriptor_is_readable_once_rung() {
    let place = Place::heap();
    let (ring_fd, poll_fd) = fds().unwrap();
    let mut ringer = Ringer::new(&place, Some(ring_fd)).unwrap();
    let mut sleeper = Sleeper::new(&place, Some(poll_fd)).unwrap();
    let readable = |sleeper: &Sleeper| {
        let fd = sleeper.fd().unwrap();
        let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).unwrap() == 1
    };
    for _ in 0..3 {
        sleeper.prepare();
        assert!(!readable(&sleeper));
        assert!(ringer.ring());
        assert!(readable(&sleeper));
        assert!(readable(&sleeper));
        sleeper.cancel();
        assert!(!readable(&sleeper));
    }
}

/// A hostile ringer makes its eventfd blocking and full. The sleeper, which made the pair, never reads
/// it and is only woken too often.
#[test]
fn a_hostile_ringer_cannot_block_the_sleeper() {
    let (ring_fd, poll_fd) = fds().unwrap();
    let eventfd = OwnedFd::from(ring_fd);
    rustix::io::write(&eventfd, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    rustix::fs::fcntl_setfl(&eventfd, OFlags::empty()).unwrap();
    assert!(poll_fd.wait(None).unwrap());
    assert!(!poll_fd.wait(SHORT).unwrap(), "reported once");
    poll_fd.clear();
    // It empties it as well: nothing changes for the sleeper.
    let mut counter = [0; 8];
    rustix::io::read(&eventfd, &mut counter).unwrap();
    assert!(!poll_fd.wait(SHORT).unwrap());
    drop(eventfd);
    assert!(!poll_fd.wait(SHORT).unwrap());
}

/// A hostile sleeper gets the polling end only: whatever it does, rings do not block.
#[test]
fn a_hostile_sleeper_cannot_block_the_ringer() {
    let (ring_fd, poll_fd) = fds().unwrap();
    let epoll = OwnedFd::from(poll_fd);
    let mut counter = [0; 8];
    assert!(rustix::io::read(&epoll, &mut counter).is_err());
    assert!(rustix::io::write(&epoll, &(u64::MAX - 1).to_ne_bytes()).is_err());
    let _ = rustix::fs::fcntl_setfl(&epoll, OFlags::empty());
    for _ in 0..1000 {
        ring_fd.ring();
    }
    let poll_fd = PollFd::from(epoll);
    assert!(poll_fd.wait(None).unwrap());
    drop(poll_fd);
    ring_fd.ring();
}

/// A counter that is full already is no reason to block either.
#[test]
fn ringing_a_full_counter_does_not_block() {
    let (ring_fd, poll_fd) = fds().unwrap();
    let eventfd = OwnedFd::from(ring_fd);
    rustix::io::write(&eventfd, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    let ring_fd = RingFd::from(eventfd);
    ring_fd.ring();
    assert!(poll_fd.wait(None).unwrap());
}

/// A reader that is put out while it sleeps wakes up and learns why, although nobody rings again.
#[test]
fn an_evicted_reader_wakes_up() {
    let memory = Memory::heap(4, 4).unwrap();
    let mut producer = Producer::new(&memory).unwrap();
    let cursor = Cursor::heap();
    let (ring_fd, poll_fd) = fds().unwrap();
    let ringer = Ringer::new(&cursor.bell(), Some(ring_fd)).unwrap();
    let (id, _) = producer.add_reader(&cursor, Some(ringer));
    let mut reader = Reader::new(&memory, &cursor);
    let mut sleeper = Sleeper::new(&cursor.bell(), Some(poll_fd)).unwrap();
    sleeper.prepare();
    assert_eq!(reader.lease(1), Lease::Empty);
    producer.evict(id, 7).unwrap();
    assert!(sleeper.wait(SHORT).unwrap());
    assert_eq!(reader.lease(1), Lease::Evicted(7));
}

/// The words may lie in memory that the other side maps read-only; roles that write refuse it.
#[test]
fn words_can_be_read_only_for_the_side_that_reads_them() {
    let draft = Draft::create("engine", PAGE_BYTES).unwrap();
    let engine = draft.map_all().unwrap();
    let shared = draft.seal(PeerAccess::ReadOnly).unwrap();
    let client = Draft::create("client", PAGE_BYTES).unwrap().map_all().unwrap();
    let theirs = shared.map_all().unwrap();
    let mut sleeper =
        Sleeper::new(&Place::new((&engine, 64), (&client, 0)).unwrap(), None).unwrap();
    let place = Place::new((&theirs, 64), (&client, 0)).unwrap();
    let mut ringer = Ringer::new(&place, None).unwrap();
    sleeper.prepare();
    assert!(ringer.ring());
    assert!(sleeper.wait(None).unwrap());
    assert!(matches!(Sleeper::new(&place, None), Err(ShmError::ReadOnly { .. })));
    let backwards = Place::new((&client, 0), (&theirs, 64)).unwrap();
    assert!(matches!(Ringer::new(&backwards, None), Err(ShmError::ReadOnly { .. })));
    assert!(Place::new((&client, PAGE_BYTES), (&client, 0)).is_err());
    assert!(Place::new((&client, 2), (&client, 0)).is_err());
}
