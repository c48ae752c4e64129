//! Ask: a receiver asks a sender for frames of its that it missed, without waiting for the token.

use crate::codec::{Reader, Writer};
use crate::kind::Kind;
use crate::{RingId, WireError};

/// One range of one sender's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The ring.
    pub ring: RingId,
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
}

impl Ask {
    /// Reads a request.
    ///
    /// # Errors
    /// When bytes are missing or the range is empty.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("ask", frame);
        r.expect("kind", Kind::Ask as u8)?;
        r.expect("flags", 0)?;
        let ring = r.ring()?;
        let (from, to) = r.range()?;
        Ok(Self { ring, from, to })
    }

    /// Writes a request; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        Writer::new(out)
            .u8(Kind::Ask as u8)
            .u8(0)
            .ring(self.ring)
            .u64(self.from)
            .u64(self.to)
            .finish()
    }
}
