//! The side that wakes.

use crate::bell::{Place, RingFd, RingSocket, futex};
use crate::shm::ShmError;
use crate::sync::{Ordering, fence};

/// By what a sleeper is woken.
#[derive(Debug)]
enum Way {
    Futex,
    Descriptor(RingFd),
    Socket(RingSocket),
}

/// Wakes a sleeper, if it sleeps.
#[derive(Debug)]
pub struct Ringer {
    place: Place,
    way: Way,
    /// How often it rang: the value of `rings`.
    rings: u32,
    /// The sleep it rang for last; even: none yet.
    rung: u32,
}

impl Ringer {
    /// The one ringer of a bell that has not rung yet: by descriptor, or by futex if there is none. Sleeper and
    /// ringer must agree on that.
    ///
    /// # Errors
    /// When it would need the futex but this process may not write `rings`.
    pub fn new(place: &Place, fd: Option<RingFd>) -> Result<Self, ShmError> {
        if fd.is_none() && !place.rings_writable {
            return Err(ShmError::ReadOnly { what: "the ringer's word of a futex bell" });
        }
        let way = fd.map_or(Way::Futex, Way::Descriptor);
        Ok(Self { place: place.clone(), way, rings: 0, rung: 0 })
    }

    /// The one ringer of a bell that rings by datagrams.
    pub fn by_socket(place: &Place, socket: RingSocket) -> Self {
        Self { place: place.clone(), way: Way::Socket(socket), rings: 0, rung: 0 }
    }

    /// Whether it rings by datagrams.
    pub fn has_socket(&self) -> bool {
        matches!(self.way, Way::Socket(_))
    }

    /// Wakes the sleeper if it sleeps or is about to. To be called after what it should see has been
    /// published. Returns whether it rang. Never blocks.
    pub fn ring(&mut self) -> bool {
        // Flag and check: what was published before this fence is seen by a sleeper whose word we do not see.
        fence(Ordering::SeqCst);
        self.ring_after_fence()
    }

    /// As [`Ringer::ring`], when the caller has executed a `SeqCst` fence
    /// ([`crate::bell::full_fence`]) since publishing: one fence serves any number of ringers.
    pub fn ring_after_fence(&mut self) -> bool {
        // Relaxed: the fence orders it, and nothing else is read by its leave.
        let sleep = self.place.sleep.load(Ordering::Relaxed);
        if sleep.is_multiple_of(2) || sleep == self.rung {
            return false;
        }
        self.rung = sleep;
        match &self.way {
            Way::Descriptor(fd) => fd.ring(),
            Way::Socket(socket) => socket.ring(sleep),
            Way::Futex => {
                self.rings = self.rings.wrapping_add(1);
                // Relaxed: the kernel compares it under its own lock, after which the sleeper looks
                // at the ring's index with Acquire.
                self.place.rings.store(self.rings, Ordering::Relaxed);
                futex::wake_all(&self.place.rings);
            }
        }
        true
    }
}

/// A `SeqCst` fence, for [`Ringer::ring_after_fence`].
pub fn full_fence() {
    fence(Ordering::SeqCst);
}
