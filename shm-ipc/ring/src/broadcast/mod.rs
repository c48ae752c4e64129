//! One producer, many readers: a ring of 64-byte descriptors, and a cursor per reader.
//!
//! The producer pushes descriptors (seven words whose meaning is the application's, usually where a
//! payload lies) and publishes them in batches. Each reader has a cursor in memory of its own, so
//! that readers never write what another reader looks at, and the producer learns from the cursors
//! what may be reused.
//!
//! # Layout
//! The ring, written by the producer, mapped read-only by readers:
//!
//! | offset | | |
//! |---|---|---|
//! | 0 | `head: u64` | index after the last published descriptor |
//! | 128 | `capacity: u64` | descriptors, a power of two |
//! | 136 | `lease_max: u64` | most descriptors a reader may hold at a time |
//! | 4096 + 64 *i* | `words: [u64; 7]`, `stamp: u64` | slot of every index that is *i* modulo capacity; the stamp is index + 1, or 0 while being written |
//!
//! Indices count descriptors since the start in 64 bits and never wrap. A cursor, 256 bytes, writable
//! for both, each line with one writer:
//!
//! | offset | writer | |
//! |---|---|---|
//! | 0 | reader | `released: u64`: it is done with everything below |
//! | 8 | reader | `acquired: u64`: it may be reading `released..acquired`, its *lease* |
//! | 16 | reader | `sleep: u32`, see [`crate::bell`] |
//! | 128 | producer | `switch: u64`: even: the reader's stream comes by the ring; odd: it goes elsewhere; counts the changes |
//! | 136 | producer | `evicted: u64`: 0, or the reason |
//! | 144 | producer | `rings: u32`, see [`crate::bell`] |
//!
//! # A reader that lags
//! The producer never waits for readers and never overwrites what one still needs. When a reader is
//! too far behind ([`Producer::lag`]), the application either evicts it or *moves its stream
//! elsewhere*:
//!
//! 1. [`Producer::divert`] makes `switch` odd, fences, and reads the reader's `acquired` (call it
//!    A). From then on this reader holds nothing back in the ring. Everything from the first index
//!    it has not released (call it X) on is the application's to bring to the reader by another
//!    way, in order.
//! 2. The reader takes a lease by storing `acquired`, fencing, and reading `switch`
//!    ([`Reader::lease`]). Both sides store, fence, load: so either the producer's A covers the
//!    lease, or the reader sees that the switch has changed and takes the lease back. What lies in
//!    X..A may therefore still be read in place: the application keeps it until
//!    [`Producer::lease_ended`]. Nothing beyond A is touched.
//! 3. A reader that had a lease reads it to its end and finds the switch at its next one:
//!    [`Lease::Moved`] names the index from which on it takes entries from the other way, skipping what
//!    it has already read.
//! 4. [`Producer::resume`] makes `switch` even again and returns a [`Return`]: everything below its
//!    index went the other way, everything from it on comes through the ring again. The application
//!    brings it to the reader at the end of the other stream, and the reader calls
//!    [`Reader::resume`]. A return names the value of `switch` it belongs to, so that a reader that
//!    was diverted and brought back without noticing, or diverted again meanwhile, goes to the
//!    other stream first and reads every part where it is.
//!
//! Its slots of the ring may be overwritten while a moved reader still looks at them:
//! [`Reader::read`] notices it by the stamp and says so, and the entry is to be had the other way,
//! since X is not above anything unreleased.
//!
//! # Trust
//! Readers trust the producer. The producer trusts no reader: a cursor outside of what is possible makes that
//! reader corrupt ([`crate::Corrupt`]), which means that it holds nothing back any more; nobody else
//! notices. A reader can hold back at most a ring, and the application decides how long.

mod cursor;
mod memory;
mod producer;
mod reader;
mod seat;

pub use cursor::{CURSOR_BYTES, Cursor};
pub use memory::Memory;
pub use producer::{Full, Producer};
pub use reader::{Lease, Reader};
pub use seat::{Held, ReaderId, Return, State};

/// Words of a descriptor that belong to the application.
pub const DESCRIPTOR_WORDS: usize = 7;

/// What the application puts into the ring.
pub type Descriptor = [u64; DESCRIPTOR_WORDS];
