//! What waits for one reader in memory of the engine, behind its private ring: a queue of records in
//! chunks of fixed size, bounded by the caller, counted in bytes.

use std::collections::VecDeque;

/// Bytes of a chunk: several of the largest records.
const CHUNK_BYTES: usize = 256 << 10;

/// Empty chunks kept for the next reader that lags; more are given back to the allocator.
const SPARE_CHUNKS_MAX: usize = 16;

/// Bytes before each record.
const LEN_BYTES: usize = 4;

/// Chunks that are not in use.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    chunks: Vec<Vec<u8>>,
}

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        self.chunks.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES))
    }

    fn put(&mut self, mut chunk: Vec<u8>) {
        if self.chunks.len() < SPARE_CHUNKS_MAX {
            chunk.clear();
            self.chunks.push(chunk);
        }
    }
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    read: usize,
}

/// A queue of records.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Backlog {
    /// Longest record that fits a chunk.
    pub(crate) const RECORD_BYTES_MAX: usize = CHUNK_BYTES - LEN_BYTES;

    /// Bytes waiting, without overhead.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends one record made of `parts`, at most [`Self::RECORD_BYTES_MAX`] bytes in all.
    pub(crate) fn push(&mut self, parts: [&[u8]; 2], spare: &mut Spare) {
        let len = parts[0].len() + parts[1].len();
        debug_assert!(len <= Self::RECORD_BYTES_MAX);
        let fits = |chunk: &Chunk| chunk.bytes.len() + LEN_BYTES + len <= CHUNK_BYTES;
        if !self.chunks.back().is_some_and(fits) {
            self.chunks.push_back(Chunk { bytes: spare.take(), read: 0 });
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        chunk.bytes.extend_from_slice(&(len as u32).to_le_bytes());
        parts.iter().for_each(|part| chunk.bytes.extend_from_slice(part));
        self.bytes += len;
    }

    /// The first record.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        let chunk = self.chunks.front()?;
        let (len, rest) = chunk.bytes.get(chunk.read..)?.split_first_chunk::<LEN_BYTES>()?;
        rest.get(..u32::from_le_bytes(*len) as usize)
    }

    /// Drops the first record.
    pub(crate) fn pop(&mut self, spare: &mut Spare) {
        let Some(len) = self.front().map(<[u8]>::len) else { return };
        let Some(chunk) = self.chunks.front_mut() else { return };
        chunk.read += LEN_BYTES + len;
        self.bytes -= len;
        if chunk.read == chunk.bytes.len()
            && let Some(chunk) = self.chunks.pop_front()
        {
            spare.put(chunk.bytes);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, spare: &mut Spare) {
        self.chunks.drain(..).for_each(|chunk| spare.put(chunk.bytes));
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_order_over_many_chunks() {
        let (mut backlog, mut spare) = (Backlog::default(), Spare::default());
        let mut expected = VecDeque::new();
        let mut bytes = 0;
        for i in 0..200_usize {
            let body = vec![i as u8; i * 61 % 20_000];
            backlog.push([&[1, 2], &body], &mut spare);
            bytes += body.len() + 2;
            expected.push_back(body);
            if i % 3 == 0 {
                let front = backlog.front().unwrap();
                assert_eq!(front[2..], expected.pop_front().unwrap());
                bytes -= front.len();
                backlog.pop(&mut spare);
            }
            assert_eq!(backlog.bytes(), bytes);
        }
        while let Some(front) = backlog.front() {
            assert_eq!(front[2..], expected.pop_front().unwrap());
            backlog.pop(&mut spare);
        }
        assert!(expected.is_empty() && backlog.is_empty());
        assert_eq!(backlog.bytes(), 0);
        assert!(!spare.chunks.is_empty());
    }

    #[test]
    fn clearing_gives_the_chunks_back_up_to_a_bound() {
        let (mut backlog, mut spare) = (Backlog::default(), Spare::default());
        for _ in 0..40 {
            backlog.push([&[0; 100], &vec![0; 200_000]], &mut spare);
        }
        backlog.clear(&mut spare);
        assert!(backlog.is_empty());
        assert_eq!(backlog.bytes(), 0);
        assert_eq!(spare.chunks.len(), SPARE_CHUNKS_MAX);
    }
}
