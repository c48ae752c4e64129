//! The side that writes records.

use crate::Corrupt;
use crate::bytes::Bytes;
use crate::shared::Shared;
use crate::shm::ShmError;
use crate::spsc::memory::{Memory, Side};
use crate::spsc::record::{ALIGN, RECORD_HEADER_BYTES, header, record_bytes};
use crate::sync::{Ordering, acquire};

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// No room now; the consumer has to give some back first.
    #[error("the ring is full")]
    Full,
    /// The record would not fit even an empty ring.
    #[error("a record of {found} bytes does not fit a ring that takes {max}")]
    TooLong {
        /// Bytes of payload asked for.
        found: usize,
        /// Most bytes of payload this ring takes.
        max: usize,
    },
    /// The consumer broke the rules; the ring is unusable.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Writes records, publishes them in batches.
///
/// The consumer need not be trusted: its index is accepted only between its last value and what was
/// published. If it may map the data for writing it can spoil records that it alone reads.
#[derive(Debug)]
pub struct Producer {
    own: Shared<Side>,
    peer: Shared<Side>,
    data: Bytes,
    /// End of what is written.
    next: u64,
    /// End of what is published.
    published: u64,
    /// The consumer's tail when last looked at.
    tail: u64,
    corrupt: Option<Corrupt>,
}

impl Producer {
    /// The producer of a ring in which nothing was written yet. There must be only one.
    ///
    /// # Errors
    /// When this process may not write the producer's side or the data.
    pub fn new(memory: &Memory) -> Result<Self, ShmError> {
        if !memory.producer_writable {
            return Err(ShmError::ReadOnly { what: "the producer's side" });
        }
        if !memory.data.is_writable() {
            return Err(ShmError::ReadOnly { what: "the data of a ring" });
        }
        let (own, peer) = (memory.producer.clone(), memory.consumer.clone());
        let data = memory.data.clone();
        Ok(Self { own, peer, data, next: 0, published: 0, tail: 0, corrupt: None })
    }

    /// Bytes of data; a record takes [`record_bytes`] of them.
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Longest payload this ring takes, in bytes.
    pub fn len_max(&self) -> usize {
        self.capacity() - RECORD_HEADER_BYTES
    }

    /// Bytes free now, after a look at the consumer's index.
    ///
    /// # Errors
    /// When the consumer broke the rules.
    pub fn room(&mut self) -> Result<usize, Corrupt> {
        self.refresh()?;
        Ok(self.room_known())
    }

    /// Bytes written and not given back by the consumer, as far as known.
    pub fn backlog(&self) -> usize {
        (self.next - self.tail) as usize
    }

    /// Position of the end of what is written, in bytes since the start.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Position up to which the consumer has given bytes back, after a look at its index.
    ///
    /// # Errors
    /// When the consumer broke the rules.
    pub fn released(&mut self) -> Result<u64, Corrupt> {
        self.refresh()?;
        Ok(self.tail)
    }

    /// Writes a record without publishing it.
    ///
    /// # Errors
    /// See [`PushError`]; then nothing was written.
    pub fn push(&mut self, tag: u32, payload: &[u8]) -> Result<(), PushError> {
        let mut loan = self.loan(tag, payload.len())?;
        loan.write(0, payload);
        loan.commit();
        Ok(())
    }

    /// A record of `len` bytes to be written in place. Its bytes are what the ring held there before
    /// until written; padding is zero. Not committed, it never was.
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn loan(&mut self, tag: u32, len: usize) -> Result<Loan<'_>, PushError> {
        if len > self.len_max() {
            return Err(PushError::TooLong { found: len, max: self.len_max() });
        }
        if self.room_known() < record_bytes(len) {
            self.refresh()?;
            if self.room_known() < record_bytes(len) {
                return Err(PushError::Full);
            }
        }
        Ok(Loan { producer: self, tag, len })
    }

    /// Shows everything written so far to the consumer. Returns whether there was anything new. Ring the
    /// consumer's bell afterwards if it may sleep.
    pub fn publish(&mut self) -> bool {
        if self.published == self.next {
            return false;
        }
        // Publish: the records' bytes come before the index.
        self.own.index.store(self.next, Ordering::Release);
        self.published = self.next;
        true
    }

    fn room_known(&self) -> usize {
        self.capacity() - self.backlog()
    }

    /// Looks at the consumer's index and checks it: not back, not ahead of what it was shown.
    fn refresh(&mut self) -> Result<(), Corrupt> {
        if let Some(corrupt) = self.corrupt {
            return Err(corrupt);
        }
        // Publish, other direction: the consumer's reads come before its index, our overwriting after.
        let found = acquire(&self.peer.index);
        let checked =
            Corrupt::check("consumer index", found, self.tail, self.published).and_then(|tail| {
                // Records are multiples of 8, so an index between is one nobody released.
                Corrupt::check("consumer index, remainder by 8", tail % ALIGN as u64, 0, 0)?;
                Ok(tail)
            });
        match checked {
            Ok(tail) => self.tail = tail,
            Err(corrupt) => self.corrupt = Some(corrupt),
        }
        checked.map(|_| ())
    }
}

/// A record being written in place.
#[derive(Debug)]
#[must_use = "a loan that is not committed is not sent"]
pub struct Loan<'a> {
    producer: &'a mut Producer,
    tag: u32,
    len: usize,
}

impl<'a> Loan<'a> {
    /// Bytes of payload.
    #[allow(clippy::len_without_is_empty)] // the length of a record, not of a collection
    pub fn len(&self) -> usize {
        self.len
    }

    fn payload(&self) -> u64 {
        self.producer.next + RECORD_HEADER_BYTES as u64
    }

    /// Copies `bytes` to `offset` of the payload.
    ///
    /// # Panics
    /// When they do not fit, as with slices.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let fits = offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len);
        assert!(fits, "{} bytes at {offset} of a loan of {}", bytes.len(), self.len);
        self.producer.data.copy_in(self.payload() + offset as u64, bytes);
    }

    /// The payload, to be written in place. A peer that may map the data for writing and breaks the
    /// rules can change bytes meanwhile: do not decide anything by reading them back.
    #[cfg(not(any(loom, miri)))]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let ptr = self.producer.data.ptr(self.payload(), self.len);
        // SAFETY: the range is inside the mapping (`loan` checked the room) and contiguous by the mirror.
        // It is unpublished and `self` borrows the only producer, so no other reference of this
        // process exists; another process is outside of what references promise, and `u8`s have no
        // invalid values for it to leave behind.
        unsafe { std::slice::from_raw_parts_mut(ptr, self.len) }
    }

    /// What was written so far; see [`Loan::bytes_mut`].
    #[cfg(not(any(loom, miri)))]
    pub fn bytes(&self) -> &[u8] {
        let ptr = self.producer.data.ptr(self.payload(), self.len);
        // SAFETY: as in `bytes_mut`, shared for as long as `self` is.
        unsafe { std::slice::from_raw_parts(ptr, self.len) }
    }

    /// Makes the record part of what the next [`Producer::publish`] shows, and gives the producer back.
    pub fn commit(self) -> &'a mut Producer {
        let Self { producer, tag, len } = self;
        let end = producer.next + record_bytes(len) as u64;
        let padding = len.next_multiple_of(ALIGN) - len;
        if padding > 0 {
            // What the ring held before must not travel on in the padding.
            producer.data.copy_in(end - padding as u64, &[0; ALIGN][..padding]);
        }
        producer.data.store(producer.next, header(len as u32, tag));
        producer.next = end;
        producer
    }

    /// As [`Loan::commit`], with only the first `len` bytes of the payload.
    ///
    /// # Panics
    /// When the loan is shorter.
    pub fn commit_len(mut self, len: usize) -> &'a mut Producer {
        assert!(len <= self.len, "{len} bytes of a loan of {}", self.len);
        self.len = len;
        self.commit()
    }
}
