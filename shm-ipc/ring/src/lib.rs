//! Rings in shared memory, between processes that need not trust each other.
//!
//! | module | what |
//! |---|---|
//! | [`shm`] | sealed memory segments: made, handed over by descriptor, checked by the receiver, mapped |
//! | [`spsc`] | one producer, one consumer: a byte ring of records of any length, written in place |
//! | [`broadcast`] | one producer, many readers: a ring of 64-byte descriptors, a cursor page per reader |
//! | [`mod@file`] | counters and recorders in a file that outlives the process |
//! | [`bell`] | sleeping without polling: costs the other side nothing while nobody sleeps |
//!
//! Every ring works in two styles. *Sync*: [`bell::Sleeper::wait`] blocks the thread. *Async*: the
//! same sleeper gives a descriptor for epoll, io_uring or an async runtime.
//!
//! ```
//! use ring::bell::{Ringer, Sleeper};
//! use ring::spsc;
//!
//! let (memory, segment) = spsc::Memory::create("orders", 64 << 10)?;
//! let mut producer = spsc::Producer::new(&memory)?;
//! let mut ringer = Ringer::new(&memory.consumer_bell(), None)?;
//! producer.push(7, b"buy")?; // or `loan`: written in place
//! producer.publish(); // once per batch
//! ringer.ring(); // wakes the consumer if it sleeps
//!
//! // Another process does this with the descriptor of `segment`, see `shm::Segment::receive`.
//! let memory = spsc::Memory::attach(&segment, 0, 64 << 10)?;
//! let mut consumer = spsc::Consumer::new(&memory)?;
//! let mut sleeper = Sleeper::new(&memory.consumer_bell(), None)?;
//! let mut payload = Vec::new();
//! let popped = sleeper.block_on(None, || consumer.pop(&mut payload).transpose())?;
//! assert_eq!(popped, Some(Ok(7)));
//! assert_eq!(payload, b"buy");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Trust
//! Each word of shared memory has one writer, and each side believes only words it has checked:
//! indices are read once, compared with what is possible, and used from the local copy. Payload bytes
//! of a peer that is not trusted are copied out first and looked at afterwards, because they may
//! change at any time. A peer that breaks the rules is reported as [`Corrupt`] and harms nobody
//! else: no panic, no access outside the ring. What is promised to whom stands at each type.
//!
//! # Memory orders
//! Three patterns occur; each use in the code names its pattern.
//! * **Publish**: data are written, then an index is stored with `Release`; the other side loads the
//!   index with `Acquire` and may read the data. The same in the other direction gives room back:
//!   data are read, then the consumer's index is stored with `Release`.
//!   A word that a process may have mapped for reading only is loaded relaxed, with an `Acquire` fence after it:
//!   that is all the language allows there.
//! * **Flag and check** (Dekker): each side stores its own word, executes a `SeqCst` fence, and
//!   loads the other's word. At least one of the two sees the other's store. So no wake-up is lost
//!   ([`bell`]) and no lease is overlooked ([`broadcast`]). Weaker orders do not give this on any
//!   architecture, x86 included: a store may pass a later load.
//! * **Stamp**: a slot that may be overwritten under a reader carries a stamp which is read before and after
//!   its contents ([`broadcast`]).
//!
//! Interleavings are checked with loom: `RUSTFLAGS="--cfg loom" cargo test --release --test loom`.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("sealed memfds and 64-bit indices: Linux on a 64-bit processor only");

pub mod bell;
pub mod broadcast;
mod bytes;
pub mod file;
mod shared;
pub mod shm;
pub mod spsc;
mod sync;

/// The peer broke the rules of the shared memory; what it wrote is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer corrupted shared memory: {what} is {found}, not within {low}..={high}")]
pub struct Corrupt {
    /// Which value.
    pub what: &'static str,
    /// What was found.
    pub found: u64,
    /// Least value that would have been accepted.
    pub low: u64,
    /// Greatest value that would have been accepted.
    pub high: u64,
}

impl Corrupt {
    /// `found` if it lies within `low..=high`.
    pub(crate) fn check(what: &'static str, found: u64, low: u64, high: u64) -> Result<u64, Self> {
        if (low..=high).contains(&found) { Ok(found) } else { Err(Self { what, found, low, high }) }
    }
}
