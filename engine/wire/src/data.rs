//! Data frames: what the ring numbers.
//!
//! A frame is immutable once numbered, so a retransmission is the same bytes. In Recovery a frame
//! of the old ring travels whole as the payload of a frame of the new one ([`FLAG_RECOVERED`]); a
//! frame's payload is limited to [`payload_bytes_max`] so that this always fits.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::kind::Kind;
use crate::{NodeId, RingId, WireError};

/// Deliver only once every member has the frame.
pub const FLAG_SAFE: u8 = 1;
/// The payload is a whole data frame of an old ring.
pub const FLAG_RECOVERED: u8 = 2;
/// The payload belongs to the ring itself, see `state`.
pub const FLAG_CONTROL: u8 = 4;
/// The sender keeps the token after this frame: whoever wants it asks the sender.
pub const FLAG_HELD: u8 = 8;

const FLAGS: u8 = FLAG_SAFE | FLAG_RECOVERED | FLAG_CONTROL | FLAG_HELD;

/// Header of a data frame, 40 bytes, so that payloads keep the alignment of their frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DataHeader {
    /// [`Kind::Data`].
    pub kind: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Bytes of the payload that follows.
    pub payload_len: U16,
    /// The node that numbered the frame.
    pub origin: U32,
    /// The ring: its sequence number.
    pub ring_seq: U64,
    /// The ring: its representative.
    pub ring_rep: U32,
    /// Low half of the number of the token visit in which the frame was numbered.
    pub round: U32,
    /// The frame's number on its ring, from 1.
    pub seq: U64,
    /// The number of the origin's previous frame on this ring, 0 if it is the first.
    pub prev: U64,
}

/// Bytes of a [`DataHeader`].
pub const DATA_HEADER_BYTES: usize = size_of::<DataHeader>();

/// Most payload bytes of a frame on a path that takes totem frames of `frame_bytes`: one header for
/// itself, one for the ring that may have to recover it.
pub fn payload_bytes_max(frame_bytes: usize) -> usize {
    frame_bytes.saturating_sub(2 * DATA_HEADER_BYTES).min(PAYLOAD_BYTES_LIMIT)
}

/// `payload_len` has 16 bits and the payload of a recovered frame has a header of its own.
pub const PAYLOAD_BYTES_LIMIT: usize = u16::MAX as usize - DATA_HEADER_BYTES;

impl DataHeader {
    /// The header of a received frame; every length and field is checked.
    ///
    /// # Errors
    /// When the bytes are too few, the payload is not exactly as long as the header says, or a
    /// field has a value that no sender writes.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<&Self, WireError> {
        const WHAT: &str = "data";
        let bad = |field, found| WireError::BadField { what: WHAT, field, found };
        let (header, payload) = Self::ref_from_prefix(frame).map_err(|_| WireError::Truncated {
            what: WHAT,
            needed: DATA_HEADER_BYTES,
            found: frame.len(),
        })?;
        if header.kind != Kind::Data as u8 {
            return Err(bad("kind", header.kind.into()));
        }
        if header.flags & !FLAGS != 0 {
            return Err(bad("flags", header.flags.into()));
        }
        if usize::from(header.payload_len.get()) != payload.len() {
            return Err(bad("payload_len", header.payload_len.get().into()));
        }
        if header.seq.get() == 0 || header.prev.get() >= header.seq.get() {
            return Err(bad("seq", header.seq.get()));
        }
        Ok(header)
    }

    /// The ring that numbered the frame.
    #[inline]
    pub fn ring(&self) -> RingId {
        RingId { seq: self.ring_seq.get(), rep: NodeId(self.ring_rep.get()) }
    }

    /// Writes the header to the front of a frame whose payload is in place.
    ///
    /// # Panics
    /// If `frame` is shorter than a header.
    #[inline]
    pub fn emit(&self, frame: &mut [u8]) {
        frame[..DATA_HEADER_BYTES].copy_from_slice(self.as_bytes());
    }
}
