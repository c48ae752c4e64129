//! One producer, one consumer: records of any length in a ring of bytes.
//!
//! # Layout
//! A *side* is one 128-byte line written by one side only (two cache lines, because processors
//! fetch them in pairs):
//!
//! | offset | producer's side | consumer's side |
//! |---|---|---|
//! | 0 | `head: u64`, bytes published so far | `tail: u64`, bytes given back so far |
//! | 8 | `sleep: u32`: odd while it waits for room | `sleep: u32`: odd while it waits for records |
//! | 12 | `rings: u32`: how often it rang the consumer | `rings: u32`: how often it rang the producer |
//!
//! Positions count bytes since the start, in 64 bits, and never wrap; `position mod capacity` is
//! the place in the data. Data are records at multiples of 8:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | `len`, little-endian: bytes of payload |
//! | 4 | 4 | `tag`, little-endian: the application's |
//! | 8 | `len` | payload |
//! | | 0-7 | padding to a multiple of 8, zeros |
//!
//! The data are mapped twice, back to back, so every record, every loan and every run of records is
//! contiguous: one copy moves any number of records. The price is a second mapping (addresses, no
//! memory) and that capacities are multiples of a page; the gain is that there are no filler
//! records for a hostile peer to play with, and that a record may be as long as the ring.
//!
//! # Trust
//! Producer and consumer each check what the other stores; see [`Producer`] and [`Consumer`]. Data
//! that the consumer's process must not write belong in a segment of their own, sealed
//! [`crate::shm::PeerAccess::ReadOnly`]: [`Memory::split`].

mod consumer;
mod memory;
mod producer;
mod record;

pub use consumer::{Consumer, Next, Run};
pub use memory::Memory;
pub use producer::{Loan, Producer, PushError};
pub use record::{ALIGN, RECORD_HEADER_BYTES, Record, RecordRef, Records, record_bytes, records};

/// An empty ring of `capacity` bytes (see [`Memory::create`]) between two threads of this process.
///
/// # Errors
/// When the capacity does not fit or the kernel gives no memory.
pub fn pair(capacity: usize) -> Result<(Producer, Consumer), crate::shm::ShmError> {
    #[cfg(not(any(loom, miri)))]
    let memory = Memory::create("ring-pair", capacity)?.0;
    #[cfg(any(loom, miri))]
    let memory = Memory::heap(capacity)?;
    Ok((Producer::new(&memory)?, Consumer::new(&memory)?))
}
