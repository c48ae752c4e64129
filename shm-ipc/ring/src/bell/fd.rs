//! Bells as descriptors.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::shm::ShmError;

/// The ringer's end: an eventfd.
#[derive(Debug)]
pub struct RingFd(OwnedFd);

/// The sleeper's end: an epoll instance that watches the eventfd, edge-triggered.
#[derive(Debug)]
pub struct PollFd(OwnedFd);

/// Makes the two ends of a bell. Keep one, hand the other over.
///
/// Why not the same eventfd on both sides: `O_NONBLOCK` belongs to the open file, so whoever holds an
/// eventfd can take the flag off and fill the counter, and the other's next write blocks for ever. With these
/// ends the sleeper never gets hold of the eventfd, so a ringer that makes the pair cannot be made to
/// block; and the sleeper never reads the eventfd (its epoll reports each write once), so a sleeper
/// that makes the pair cannot be made to block either, whatever a ringer does to its end.
///
/// A ring that the sleeper has not seen yet is lost when the ringer's end is closed for good. Who waits for a
/// peer that may go away watches something that shows that too: a socket, a pidfd.
///
/// # Errors
/// When the kernel gives no descriptors.
pub fn fds() -> Result<(RingFd, PollFd), ShmError> {
    let ring = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(ShmError::os("make an eventfd"))?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(ShmError::os("make an epoll"))?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&poll, &ring, epoll::EventData::new_u64(0), flags)
        .map_err(ShmError::os("watch an eventfd"))?;
    Ok((RingFd(ring), PollFd(poll)))
}

impl RingFd {
    /// Rings. Never blocks if this side made the pair; see [`fds`].
    pub fn ring(&self) {
        // EAGAIN: the counter is full, so there is something to see already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// The ringer's end of a bell whose other end is a datagram socket that a program waits on by its own means.
/// Each ring is one datagram of four bytes, little-endian: the sleeper's word at the time, so that the sleeper
/// can tell rings for the present sleep from older ones. It works after the other end is gone, and never blocks:
/// what the socket has no room for is dropped, since it is readable then anyway.
#[derive(Debug)]
pub struct RingSocket(OwnedFd);

impl RingSocket {
    /// Rings for this sleep.
    pub fn ring(&self, sleep: u32) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = rustix::net::send(&self.0, &sleep.to_le_bytes(), flags);
    }
}

impl PollFd {
    /// Forgets rings so far.
    pub fn clear(&self) {
        let _ = self.poll(Some(Duration::ZERO));
    }

    /// Blocks until rung, forgets the ring. False: the time is over.
    ///
    /// # Errors
    /// When the kernel refuses to wait; a signal counts as a ring.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        match self.poll(timeout) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let timeout = timeout.map(timespec);
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 1];
        let (ready, _) = epoll::wait(&self.0, &mut events[..], timeout.as_ref())?;
        Ok(ready.len())
    }
}

/// As the kernel wants it; what does not fit is for ever.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

macro_rules! descriptor {
    ($name:ident) => {
        impl From<OwnedFd> for $name {
            /// An end that was handed over by its maker.
            fn from(fd: OwnedFd) -> Self {
                Self(fd)
            }
        }

        impl From<$name> for OwnedFd {
            fn from(end: $name) -> Self {
                end.0
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
    };
}

descriptor!(RingFd);
descriptor!(PollFd);
descriptor!(RingSocket);
