//! Cursors over bytes: every read and every write is checked against what is there.

use crate::{NodeId, NodeSet, RingId, WireError};

/// Reads little-endian numbers from the front of a frame.
pub(crate) struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    /// A value that the format does not allow.
    pub(crate) fn bad(&self, field: &'static str, found: u64) -> WireError {
        WireError::BadField { what: self.what, field, found }
    }

    /// Bytes not read yet.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            let needed = self.at.saturating_add(count);
            return Err(WireError::Truncated { what: self.what, needed, found: self.bytes.len() });
        }
        self.at += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A byte that must have this value.
    pub(crate) fn expect(&mut self, field: &'static str, value: u8) -> Result<(), WireError> {
        let found = self.u8()?;
        if found == value { Ok(()) } else { Err(self.bad(field, found.into())) }
    }

    /// A ring identity: sequence number, representative.
    pub(crate) fn ring(&mut self) -> Result<RingId, WireError> {
        Ok(RingId { seq: self.u64()?, rep: NodeId(self.u32()?) })
    }

    /// How many words each set of this frame has.
    pub(crate) fn words(&mut self) -> Result<usize, WireError> {
        let words = usize::from(self.u8()?);
        if words == 0 || words > NodeSet::WORDS {
            return Err(self.bad("words", words as u64));
        }
        Ok(words)
    }

    pub(crate) fn set(&mut self, words: usize) -> Result<NodeSet, WireError> {
        let mut set = NodeSet::EMPTY;
        for index in 0..words {
            set.set_word(index, self.u64()?);
        }
        Ok(set)
    }

    /// An inclusive range of sequence numbers, never empty and never starting at zero.
    pub(crate) fn range(&mut self) -> Result<(u64, u64), WireError> {
        let (from, to) = (self.u64()?, self.u64()?);
        if from == 0 || from > to {
            return Err(self.bad("range", from));
        }
        Ok((from, to))
    }
}

/// Writes little-endian numbers; what does not fit makes [`Writer::finish`] say `None`.
pub(crate) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
    fits: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0, fits: true }
    }

    pub(crate) fn put(&mut self, data: &[u8]) -> &mut Self {
        match self.bytes.get_mut(self.at..self.at + data.len()) {
            Some(to) => {
                to.copy_from_slice(data);
                self.at += data.len();
            }
            None => self.fits = false,
        }
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.put(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(crate) fn ring(&mut self, ring: RingId) -> &mut Self {
        self.u64(ring.seq).u32(ring.rep.0)
    }

    pub(crate) fn set(&mut self, set: &NodeSet, words: usize) -> &mut Self {
        for index in 0..words {
            self.u64(set.word(index));
        }
        self
    }

    /// Bytes written, or `None` if the buffer was too small.
    pub(crate) fn finish(&self) -> Option<usize> {
        self.fits.then_some(self.at)
    }
}
