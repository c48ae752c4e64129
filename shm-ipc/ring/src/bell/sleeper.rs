//! The side that sleeps.

use std::io;
use std::time::{Duration, Instant};

use crate::bell::{Place, PollFd, futex};
use crate::shm::ShmError;
use crate::sync::{Ordering, fence};

/// Sleeps until rung for.
///
/// The order is always: [`Sleeper::prepare`], look for work once more, then either
/// [`Sleeper::cancel`] or a wait. [`Sleeper::block_on`] does all of it. Async use: prepare, look,
/// then wait until [`Sleeper::fd`] is readable by any means, then [`Sleeper::cancel`].
#[derive(Debug)]
pub struct Sleeper {
    place: Place,
    fd: Option<PollFd>,
    /// Value of the `sleep` word; odd while announced.
    epoch: u32,
    /// `rings` before the sleep was announced.
    rings_seen: u32,
}

impl Sleeper {
    /// The one sleeper of a bell, by descriptor or, if there is none, by futex.
    ///
    /// # Errors
    /// When this process may not write the `sleep` word.
    pub fn new(place: &Place, fd: Option<PollFd>) -> Result<Self, ShmError> {
        if !place.sleep_writable {
            return Err(ShmError::ReadOnly { what: "the sleeper's word of a bell" });
        }
        Ok(Self { place: place.clone(), fd, epoch: 0, rings_seen: 0 })
    }

    /// Readable once rung (until [`Sleeper::cancel`]); `None` in futex mode.
    pub fn fd(&self) -> Option<&PollFd> {
        self.fd.as_ref()
    }

    /// The number of the present sleep, as rings by socket carry it; even: none is announced.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Announces a sleep. Look for work once more after this and before waiting.
    pub fn prepare(&mut self) {
        if self.epoch.is_multiple_of(2) {
            // Before the announcement: a ring for this sleep then shows as a change.
            self.rings_seen = self.place.rings.load(Ordering::Relaxed);
            self.epoch = self.epoch.wrapping_add(1);
            self.place.sleep.store(self.epoch, Ordering::Relaxed);
        }
        // Flag and check: the caller's look at the ring comes after the announcement.
        fence(Ordering::SeqCst);
    }

    /// Ends the announcement: awake again.
    pub fn cancel(&mut self) {
        if !self.epoch.is_multiple_of(2) {
            self.epoch = self.epoch.wrapping_add(1);
            // Relaxed: seen late it costs a ring that nobody needed.
            self.place.sleep.store(self.epoch, Ordering::Relaxed);
        }
        if let Some(fd) = &self.fd {
            fd.clear();
        }
    }

    /// Blocks until rung for since [`Sleeper::prepare`], or until the time is over (`None`: no
    /// limit), and ends the announcement. May return early for no reason. Returns whether it was
    /// before the time was over.
    ///
    /// # Errors
    /// When the kernel refuses to wait; a signal is not an error.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        assert!(!self.epoch.is_multiple_of(2), "wait without prepare");
        let result = match &self.fd {
            Some(fd) => fd.wait(timeout),
            None => futex::wait(&self.place.rings, self.rings_seen, timeout),
        };
        self.epoch = self.epoch.wrapping_add(1);
        self.place.sleep.store(self.epoch, Ordering::Relaxed);
        result
    }

    /// Calls `ready` until it gives something, sleeping in between. `None` when the time is over.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn block_on<T>(
        &mut self,
        timeout: Option<Duration>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> io::Result<Option<T>> {
        if let Some(value) = ready() {
            return Ok(Some(value));
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            self.prepare();
            if let Some(value) = ready() {
                self.cancel();
                return Ok(Some(value));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let awake = self.wait(left)?;
            if let Some(value) = ready() {
                return Ok(Some(value));
            }
            if !awake && left.is_some() {
                return Ok(None);
            }
        }
    }
}
