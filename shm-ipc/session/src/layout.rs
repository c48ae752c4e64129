//! Formats shared by engine and client: records of the submit ring and the runs cut from them.
//!
//! A submit ring carries records of `[len: u32][tag: u32][bytes][padding to 8]`, the layout that
//! ordered frames carry too, so that the engine moves a whole run of them with one copy. The tag
//! says what a record is and for which group; in a frame it is zero.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 8;

/// Records start at multiples of this many bytes.
pub const ALIGN: usize = 8;

/// Longest name of a group, in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 128;

/// Highest group handle a tag has room for: 28 bits. Each new group that a local program joins gets the next one; after
/// the highest they start again, with those that are free.
pub const GROUP_MAX: u32 = (1 << 28) - 1;

/// What a record of a submit ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// One whole message, agreed delivery.
    Message,
    /// One whole message, safe delivery.
    SafeMessage,
    /// A [`PieceHeader`] and a piece of a large message, agreed delivery.
    Piece,
    /// The same, safe delivery.
    SafePiece,
    /// Join: a request number (`u32`) and the group's name.
    Join,
    /// Leave: a request number (`u32`); the group is in the tag.
    Leave,
    /// The client has finished: everything before is still sent, then the session ends.
    Close,
}

impl RecordKind {
    /// The number in the upper four bits of a tag. Zero stays free: memory that nobody wrote is no record.
    const fn code(self) -> u32 {
        match self {
            Self::Message => 1,
            Self::SafeMessage => 2,
            Self::Piece => 3,
            Self::SafePiece => 4,
            Self::Join => 5,
            Self::Leave => 6,
            Self::Close => 7,
        }
    }

    /// Whether messages of this kind ask for safe delivery.
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::SafeMessage | Self::SafePiece)
    }

    /// Whether it carries (part of) a message.
    pub const fn is_data(self) -> bool {
        !matches!(self, Self::Join | Self::Leave | Self::Close)
    }
}

/// The tag of a record of `kind` for `group` (0 where there is none).
pub const fn tag(kind: RecordKind, group: u32) -> u32 {
    (kind.code() << 28) | (group & GROUP_MAX)
}

/// Kind and group of a tag; `None` for a kind that does not exist.
pub const fn untag(tag: u32) -> Option<(RecordKind, u32)> {
    let kind = match tag >> 28 {
        1 => RecordKind::Message,
        2 => RecordKind::SafeMessage,
        3 => RecordKind::Piece,
        4 => RecordKind::SafePiece,
        5 => RecordKind::Join,
        6 => RecordKind::Leave,
        7 => RecordKind::Close,
        _ => return None,
    };
    Some((kind, tag & GROUP_MAX))
}

/// Bytes a record of `len` bytes takes in a ring or a run.
pub const fn record_bytes(len: usize) -> usize {
    RECORD_HEADER_BYTES + len.next_multiple_of(ALIGN)
}

/// Head of a record that carries a piece of a large message. Pieces of one message follow each other
/// in one submit ring without a gap and without other data between them.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PieceHeader {
    /// Bytes of the whole message.
    pub total: U64,
    /// Where this piece starts in it.
    pub offset: U64,
}

/// Bytes of a [`PieceHeader`].
pub const PIECE_HEADER_BYTES: usize = size_of::<PieceHeader>();

/// Head of a fragment run: what travels in a frame when a message does not fit one.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    /// Bytes of the whole message.
    pub total: U64,
    /// Where this fragment starts in it.
    pub offset: U64,
    /// Bytes of this fragment.
    pub len: U32,
    /// Zero.
    pub reserved: U32,
}

/// Bytes of a [`FragmentHeader`].
pub const FRAGMENT_HEADER_BYTES: usize = size_of::<FragmentHeader>();

/// What stands between two fragments of one item: the header of the run that the second one was in its frame.
pub const FRAGMENT_GAP_BYTES: usize = 16;

/// Finds the record at `at` in a run: where its bytes are and where the next record starts. `None`
/// if it does not lie in `body`.
#[inline]
pub fn record_at(body: &[u8], at: usize) -> Option<(core::ops::Range<usize>, usize)> {
    let start = at.checked_add(RECORD_HEADER_BYTES)?;
    let header = body.get(at..start)?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let end = start.checked_add(len)?;
    let next = end.checked_next_multiple_of(ALIGN)?;
    (next <= body.len()).then_some((start..end, next))
}

/// Reads a fragment run: its header and its bytes. `None` if the header lies.
#[inline]
pub fn fragment(body: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (header, rest) = FragmentHeader::ref_from_prefix(body).ok()?;
    let (total, offset, len) = (header.total.get(), header.offset.get(), header.len.get());
    let bytes = rest.get(..len as usize)?;
    (offset.checked_add(len.into())? <= total).then_some((total, offset, bytes))
}

/// Where the fragment after the one of `bytes` bytes at `at` begins, if there is one in this body.
#[inline]
pub fn next_fragment(body: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let next = at.checked_add(FRAGMENT_HEADER_BYTES)?;
    let next = next.checked_add(bytes.checked_next_multiple_of(ALIGN)?)?;
    let next = next.checked_add(FRAGMENT_GAP_BYTES)?;
    (next < body.len()).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_kind_and_group() {
        for kind in [
            RecordKind::Message,
            RecordKind::SafeMessage,
            RecordKind::Piece,
            RecordKind::SafePiece,
            RecordKind::Join,
            RecordKind::Leave,
            RecordKind::Close,
        ] {
            for group in [0, 1, GROUP_MAX] {
                assert_eq!(untag(tag(kind, group)), Some((kind, group)));
            }
        }
        assert_eq!(untag(0), None);
        assert_eq!(untag(15 << 28), None);
    }

    #[test]
    fn a_record_past_the_end_is_no_record() {
        let mut body = vec![0; 24];
        body[0] = 16;
        assert_eq!(record_at(&body, 0), Some((8..24, 24)));
        body[0] = 17;
        assert_eq!(record_at(&body, 0), None);
        assert_eq!(record_at(&body, 20), None);
        body[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(record_at(&body, 0), None);
        assert_eq!(record_at(&body, usize::MAX), None);
    }

    #[test]
    fn a_fragment_past_its_message_is_refused() {
        let head = FragmentHeader {
            total: 10.into(),
            offset: 8.into(),
            len: 2.into(),
            reserved: 0.into(),
        };
        let mut body = head.as_bytes().to_vec();
        body.extend_from_slice(&[7; 8]);
        assert_eq!(fragment(&body), Some((10, 8, &[7, 7][..])));
        assert_eq!(next_fragment(&body, 0, 2), None);
        body.resize(body.len() + FRAGMENT_GAP_BYTES, 0);
        assert_eq!(next_fragment(&body, 0, 2), None, "only its gap");
        body.push(0);
        assert_eq!(
            next_fragment(&body, 0, 2),
            Some(FRAGMENT_HEADER_BYTES + 8 + FRAGMENT_GAP_BYTES)
        );
        assert_eq!(next_fragment(&body, usize::MAX, 2), None);
        assert_eq!(next_fragment(&body, 8, usize::MAX), None);
        body[16] = 255;
        assert_eq!(fragment(&body), None);
        body[16] = 2;
        body[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(fragment(&body), None);
    }
}
