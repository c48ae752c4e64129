//! Records: `[len: u32][tag: u32][payload][padding to 8]`.

use crate::Corrupt;

/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 8;

/// Records start at multiples of this many bytes.
pub const ALIGN: usize = 8;

/// Bytes a record with `len` bytes of payload takes: header and padding included.
pub const fn record_bytes(len: usize) -> usize {
    RECORD_HEADER_BYTES + len.next_multiple_of(ALIGN)
}

/// A record's header as one word.
pub(crate) fn header(len: u32, tag: u32) -> u64 {
    u64::from(len) | u64::from(tag) << 32
}

/// Length and tag from a header.
pub(crate) fn split(header: u64) -> (u32, u32) {
    (header as u32, (header >> 32) as u32)
}

/// A record that lies in the ring. Its length and tag were read once and are what counts, whatever the
/// memory says later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub(crate) position: u64,
    pub(crate) len: u32,
    pub(crate) tag: u32,
}

impl Record {
    /// Bytes of payload.
    #[allow(clippy::len_without_is_empty)] // the length of a record, not of a collection
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// The application's tag.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// Bytes it takes in the ring.
    pub fn bytes(&self) -> usize {
        record_bytes(self.len as usize)
    }
}

/// A record in private memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The application's tag.
    pub tag: u32,
    /// What it carries.
    pub payload: &'a [u8],
    /// Where the record starts in the bytes walked.
    pub offset: usize,
}

/// Walks the records of a private copy, checking every length; ends for good at the first error.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { bytes, at: 0 }
}

/// Iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let Some((word, payload)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            self.at = self.bytes.len();
            let (what, low) = ("bytes left for a record", RECORD_HEADER_BYTES as u64);
            return Some(Err(Corrupt { what, found: rest.len() as u64, low, high: u64::MAX }));
        };
        let (len, tag) = split(u64::from_le_bytes(*word));
        if record_bytes(len as usize) > rest.len() {
            self.at = self.bytes.len();
            let high = payload.len() as u64;
            return Some(Err(Corrupt { what: "record length", found: len.into(), low: 0, high }));
        }
        let offset = self.at;
        self.at += record_bytes(len as usize);
        Some(Ok(RecordRef { tag, payload: &payload[..len as usize], offset }))
    }
}
