//! Sleeping without polling, and waking only who sleeps.
//!
//! # Protocol
//! Two words, each with one writer:
//!
//! | word | writer | meaning |
//! |---|---|---|
//! | `sleep: u32` | the sleeper | odd: it sleeps or is about to; each sleep has an odd value of its own |
//! | `rings: u32` | the ringer | counts rings; what a futex waits on |
//!
//! The sleeper: stores an odd `sleep`, `SeqCst` fence, looks *once more* whether there is something
//! to do, and only then blocks. The ringer: makes something to do visible, `SeqCst` fence, loads
//! `sleep`; if it is odd and it has not rung for this very value yet, it rings. Of two such
//! sequences at least one sees the other's store, so either the sleeper finds the work or the
//! ringer finds the sleeper: no wake-up is lost. While the other side is awake ringing costs a
//! fence and a load, and a sleep is rung for once, however much is published meanwhile.
//!
//! How it blocks, one of:
//! * **futex** on `rings` ([`Sleeper::wait`]): sync use. The sleeper reads `rings` before it announces its
//!   sleep, so a ring between announcement and system call makes the call return at once.
//! * **descriptor** ([`fds`]): pollable, for sync and async use.
//! * **datagram socket** ([`RingSocket`]): for programs that need a socket to poll. The sleeper keeps its sleep
//!   announced while it is awake, and compares the numbers in the datagrams with [`Sleeper::epoch`].
//!
//! # Trust
//! A ringer that never rings, or rings always, costs the sleeper its sleep and nothing else; a sleeper
//! that fakes its word costs the ringer one system call per publish. Neither can make the other block:
//! see [`fds`] for how that holds for descriptors.

mod fd;
#[cfg(not(loom))]
mod futex;
#[cfg(loom)]
#[path = "futex_model.rs"]
mod futex;
mod ringer;
mod sleeper;

pub use fd::{PollFd, RingFd, RingSocket, fds};
pub use ringer::{Ringer, full_fence};
pub use sleeper::Sleeper;

use crate::shared::Shared;
#[cfg(not(loom))]
use crate::shm::{Access, Mapping, ShmError};
use crate::sync::AtomicU32;

/// Where the two words of a bell live. Rings have bells of their own (`Memory::consumer_bell` and its like).
#[derive(Clone, Debug)]
pub struct Place {
    pub(crate) sleep: Shared<AtomicU32>,
    pub(crate) rings: Shared<AtomicU32>,
    pub(crate) sleep_writable: bool,
    pub(crate) rings_writable: bool,
}

// SAFETY: an atomic integer: every bit pattern is a value, zero bytes are zero.
unsafe impl crate::shared::Words for AtomicU32 {
    fn zeroed() -> Self {
        Self::new(0)
    }
}

impl Place {
    /// The words as (mapping, offset), offsets multiples of 4. One `sleep` may serve many ringers, each with a
    /// `rings` of its own, if the sleeper waits on descriptors.
    ///
    /// # Errors
    /// When a word does not lie inside its mapping.
    #[cfg(not(loom))]
    pub fn new(sleep: (&Mapping, usize), rings: (&Mapping, usize)) -> Result<Self, ShmError> {
        Ok(Self {
            sleep: Shared::place("a sleep word", sleep.0, sleep.1, false)?,
            rings: Shared::place("a word of rings", rings.0, rings.1, false)?,
            sleep_writable: sleep.0.access() == Access::ReadWrite,
            rings_writable: rings.0.access() == Access::ReadWrite,
        })
    }

    /// A bell between threads of this process.
    pub fn heap() -> Self {
        Self {
            sleep: Shared::heap(),
            rings: Shared::heap(),
            sleep_writable: true,
            rings_writable: true,
        }
    }
}
