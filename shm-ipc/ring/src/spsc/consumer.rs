//! The side that reads records.

use crate::Corrupt;
use crate::bytes::Bytes;
use crate::shared::Shared;
use crate::shm::ShmError;
use crate::spsc::memory::{Memory, Side};
use crate::spsc::record::{ALIGN, RECORD_HEADER_BYTES, Record, header, record_bytes, split};
use crate::sync::{Ordering, acquire};

/// Consecutive records with one tag that were copied at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    position: u64,
    bytes: usize,
    count: u32,
    tag: u32,
}

impl Run {
    /// Bytes of all its records: headers and padding included, a multiple of 8.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records; at least one.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The tag all of them have.
    pub fn tag(&self) -> u32 {
        self.tag
    }
}

/// What comes next in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing now.
    Empty,
    /// Records that fitted and were copied.
    Run(Run),
    /// One record that alone does not fit.
    Long(Record),
}

/// Reads records, gives their room back in batches.
///
/// The producer need not be trusted: its index is accepted only if it does not go back and is at
/// most a ring ahead, lengths only if the record lies inside what was published. What
/// [`Consumer::copy_next_run`] and [`Consumer::copy_payload`] put into private memory is checked or
/// still to be checked as each of them says; only [`Consumer::payload`] reads in place, and is
/// `unsafe` because it takes a producer that keeps the rules. After [`Corrupt`] the ring stays
/// corrupt.
#[derive(Debug)]
pub struct Consumer {
    own: Shared<Side>,
    peer: Shared<Side>,
    data: Bytes,
    /// Next byte to read.
    position: u64,
    /// What the producer was told.
    released: u64,
    /// The producer's head when last looked at.
    head: u64,
    corrupt: Option<Corrupt>,
}

impl Consumer {
    /// The consumer of a ring from which nothing was read yet. There must be only one.
    ///
    /// # Errors
    /// When this process may not write the consumer's side.
    pub fn new(memory: &Memory) -> Result<Self, ShmError> {
        if !memory.consumer_writable {
            return Err(ShmError::ReadOnly { what: "the consumer's side" });
        }
        let (own, peer) = (memory.consumer.clone(), memory.producer.clone());
        let data = memory.data.clone();
        Ok(Self { own, peer, data, position: 0, released: 0, head: 0, corrupt: None })
    }

    /// Bytes of data.
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Position of the next record, in bytes since the start.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes published and not consumed, after a look at the producer's index.
    ///
    /// # Errors
    /// When the producer broke the rules.
    pub fn available(&mut self) -> Result<usize, Corrupt> {
        if let Some(corrupt) = self.corrupt {
            return Err(corrupt);
        }
        // Publish: the bytes were written before this index.
        let found = acquire(&self.peer.index);
        let most = self.released + self.capacity() as u64;
        self.head = Corrupt::check("producer index", found, self.head, most)
            .and_then(|head| {
                Corrupt::check("producer index, remainder by 8", head % ALIGN as u64, 0, 0)?;
                Ok(head)
            })
            .inspect_err(|corrupt| self.corrupt = Some(*corrupt))?;
        Ok((self.head - self.position) as usize)
    }

    /// The next record. Looks at the producer's index only if nothing is left of what it showed before.
    ///
    /// # Errors
    /// When the producer broke the rules.
    pub fn peek(&mut self) -> Result<Option<Record>, Corrupt> {
        if let Some(corrupt) = self.corrupt {
            return Err(corrupt);
        }
        if self.position == self.head {
            // Asked for together with the index that will show them, and not after it: on another core that saves
            // a trip between the caches. What comes too early was asked for in vain and is fetched again.
            self.data.prefetch(self.position);
            if self.available()? == 0 {
                return Ok(None);
            }
        }
        self.record_at(self.position).map(Some)
    }

    /// Copies as many of the next records as have the first one's tag and fit `to` together, at most `count_max`
    /// (and at least one). The bytes are copied first and judged in the copy, in which all records then have
    /// the tag `retag`, so that [`crate::spsc::records`] walks `to[..run.bytes()]` without errors; what lies after
    /// that is of no meaning. Nothing is consumed: [`Consumer::consume_run`] goes on.
    ///
    /// # Errors
    /// When the producer broke the rules, or changed what it had published.
    pub fn copy_next_run(
        &mut self,
        to: &mut [u8],
        count_max: u32,
        retag: u32,
    ) -> Result<Next, Corrupt> {
        let Some(first) = self.peek()? else { return Ok(Next::Empty) };
        if first.bytes() > to.len() {
            return Ok(Next::Long(first));
        }
        let room = to.len() / ALIGN * ALIGN;
        let mut run = Run { position: self.position, bytes: 0, count: 0, tag: first.tag };
        let mut copied = 0;
        // A producer at work has shown more meanwhile: what fits still goes with this run.
        while run.bytes == copied && copied < room && run.count < count_max {
            let left = self.available()?;
            let end = left.min(room);
            if end == copied {
                break;
            }
            self.data.copy_out(self.position + copied as u64, &mut to[copied..end]);
            copied = end;
            self.judge(&mut run, &mut to[..copied], left, count_max, retag)?;
        }
        Ok(Next::Run(run))
    }

    /// Adds the records in a copy of what follows a run to it, as far as they belong to it. `left` bytes are
    /// published from the run's start on, of which `copied` has the first ones.
    fn judge(
        &mut self,
        run: &mut Run,
        copied: &mut [u8],
        left: usize,
        count_max: u32,
        retag: u32,
    ) -> Result<(), Corrupt> {
        while run.count < count_max {
            let rest = &mut copied[run.bytes..];
            let room = rest.len();
            let Some(word) = rest.first_chunk_mut::<RECORD_HEADER_BYTES>() else { break };
            let found = u64::from_le_bytes(*word);
            let (len, tag) = split(found);
            let bytes = record_bytes(len as usize);
            if tag != run.tag || bytes > room {
                // Not what was peeked at, or longer than what was published.
                if run.count == 0 || tag == run.tag && bytes > left - run.bytes {
                    let (what, high) = ("a published record", left as u64);
                    let corrupt = Corrupt { what, found, low: 0, high };
                    self.corrupt = Some(corrupt);
                    return Err(corrupt);
                }
                break;
            }
            *word = header(len, retag).to_le_bytes();
            run.bytes += bytes;
            run.count += 1;
        }
        Ok(())
    }

    /// Copies bytes of a record's payload, from `offset` on, into private memory. What the bytes mean
    /// is for the caller to check, in the copy.
    ///
    /// # Panics
    /// When the record has no such bytes.
    pub fn copy_payload(&self, record: &Record, offset: usize, to: &mut [u8]) {
        let fits = offset.checked_add(to.len()).is_some_and(|end| end <= record.len());
        assert!(fits, "{} bytes at {offset} of a record of {}", to.len(), record.len);
        self.data.copy_out(record.position + (RECORD_HEADER_BYTES + offset) as u64, to);
    }

    /// A record's payload in place.
    ///
    /// # Safety
    /// The producer must keep the rules: not write what it has published and was not given back.
    /// The record must not have been released yet ([`Consumer::release`]).
    #[cfg(not(any(loom, miri)))]
    pub unsafe fn payload(&self, record: &Record) -> &[u8] {
        let position = record.position + RECORD_HEADER_BYTES as u64;
        let ptr = self.data.ptr(position, record.len());
        // SAFETY: `record` was checked to lie inside what was published, contiguous by the mirror; the caller
        // promises that nobody writes it.
        unsafe { std::slice::from_raw_parts(ptr, record.len()) }
    }

    /// Goes on to after this record, which must be the next one.
    ///
    /// # Panics
    /// When it is not.
    pub fn consume(&mut self, record: &Record) {
        assert_eq!(record.position, self.position, "records are consumed in order");
        self.position += record.bytes() as u64;
    }

    /// Goes on to after this run, which must be the next one.
    ///
    /// # Panics
    /// When it is not.
    pub fn consume_run(&mut self, run: &Run) {
        assert_eq!(run.position, self.position, "records are consumed in order");
        self.position += run.bytes as u64;
    }

    /// Gives the room of everything consumed back. Returns whether there was any. Ring the producer's bell
    /// afterwards if it may wait for room.
    pub fn release(&mut self) -> bool {
        self.release_to(self.position)
    }

    /// Gives back the room of what was consumed up to `position` (a former value of
    /// [`Consumer::position`]). Records after it may still be in use in place.
    ///
    /// # Panics
    /// When `position` is ahead of what was consumed.
    pub fn release_to(&mut self, position: u64) -> bool {
        assert!(position <= self.position, "released before it was consumed");
        if position <= self.released {
            return false;
        }
        // Publish, other direction: our reads come before the index, the producer's overwriting after.
        self.own.index.store(position, Ordering::Release);
        self.released = position;
        true
    }

    /// Takes the next record out by copying its payload into `to`, whose capacity is reused. Returns its tag.
    ///
    /// # Errors
    /// When the producer broke the rules.
    pub fn pop(&mut self, to: &mut Vec<u8>) -> Result<Option<u32>, Corrupt> {
        let Some(record) = self.peek()? else { return Ok(None) };
        to.resize(record.len(), 0);
        self.copy_payload(&record, 0, to);
        self.consume(&record);
        self.release();
        Ok(Some(record.tag))
    }

    /// Reads the header at `at`, once, and checks that the record lies inside what was published.
    fn record_at(&mut self, at: u64) -> Result<Record, Corrupt> {
        let (len, tag) = split(self.data.load(at));
        let left = self.head - at;
        if record_bytes(len as usize) as u64 > left {
            let high = left.saturating_sub(RECORD_HEADER_BYTES as u64);
            let corrupt = Corrupt { what: "record length", found: len.into(), low: 0, high };
            self.corrupt = Some(corrupt);
            return Err(corrupt);
        }
        Ok(Record { position: at, len, tag })
    }
}
