//! Runs: how messages are packed into a data frame's payload.
//!
//! A payload is a sequence of runs. A run is a [`RunHeader`] and `bytes` bytes of body (a multiple of
//! 8). The body of a [`RunKind::Messages`] run is `count` records, each a [`RECORD_HEADER_BYTES`]-byte header
//! (`len: u32`, `tag: u32`, zero today) followed by `len` bytes and padding to a multiple of 8: the very layout
//! that clients write into their submit rings, so that one copy carries a whole run. The body of a
//! [`RunKind::Fragment`] run is one [`FragmentHeader`] and the fragment's bytes, padded likewise. A
//! [`RunKind::Control`] run belongs to `engine/groups`.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::WireError;

/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 8;

/// Records, runs and run bodies start at multiples of this many bytes from the payload's start.
pub const ALIGN: usize = 8;

/// What a run carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// Whole messages of one session to one group.
    Messages,
    /// One piece of a message that does not fit a frame.
    Fragment,
    /// A control message of the group layer itself; `session` and `group` are zero.
    Control,
}

/// Header of a run, 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RunHeader {
    /// The group's number as agreed in the total order.
    pub group: U32,
    /// The sending session on the frame's origin node.
    pub session: U32,
    /// Bytes of the body; a multiple of [`ALIGN`].
    pub bytes: U32,
    /// Messages in the body (1 for a fragment or control).
    pub count: U16,
    /// See [`RunKind`].
    pub kind: u8,
    /// Bit 0: safe delivery asked for.
    pub flags: u8,
}

/// Bytes of a [`RunHeader`].
pub const RUN_HEADER_BYTES: usize = size_of::<RunHeader>();

/// Flag of a run whose messages ask for safe delivery.
pub const RUN_SAFE: u8 = 1;

/// Header of a fragment's body, 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    /// Bytes of the whole message.
    pub total: U64,
    /// Where this piece starts in it.
    pub offset: U64,
    /// Bytes of this piece.
    pub len: U32,
    /// Zero.
    pub reserved: U32,
}

/// Bytes of a [`FragmentHeader`].
pub const FRAGMENT_HEADER_BYTES: usize = size_of::<FragmentHeader>();

/// Begins the body of a fragment run in `buf`: the header, and the padding after as much of a message of `total`
/// bytes from `offset` on as there is room for. Returns the place for that piece, whose bytes are left as they
/// are; the body is [`FRAGMENT_HEADER_BYTES`] and the piece's length, rounded up to [`ALIGN`]. `None`: no room for
/// any piece.
pub fn begin_fragment(buf: &mut [u8], total: u64, offset: u64) -> Option<&mut [u8]> {
    let room = buf.len().checked_sub(FRAGMENT_HEADER_BYTES)? / ALIGN * ALIGN;
    if room == 0 {
        return None;
    }
    let len = total.saturating_sub(offset).min(room as u64) as usize;
    let header = FragmentHeader {
        total: total.into(),
        offset: offset.into(),
        len: (len as u32).into(),
        reserved: 0.into(),
    };
    let (head, rest) = buf.split_at_mut(FRAGMENT_HEADER_BYTES);
    head.copy_from_slice(header.as_bytes());
    rest[len..len.next_multiple_of(ALIGN)].fill(0);
    Some(&mut rest[..len])
}

/// Walks the fragments in the bodies of consecutive fragment runs, each with the header of its run before it but the
/// first. Stops at the first that does not lie whole in `bodies`.
pub fn fragments(bodies: &[u8]) -> Fragments<'_> {
    Fragments { bodies, at: 0 }
}

/// Iterator of [`fragments`].
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    bodies: &'a [u8],
    at: usize,
}

/// One of several fragments.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Where it begins in the bodies.
    pub at: usize,
    /// Bytes of the whole message.
    pub total: u64,
    /// Where this piece starts in it.
    pub offset: u64,
    /// The piece.
    pub bytes: &'a [u8],
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let (header, rest) = FragmentHeader::ref_from_prefix(self.bodies.get(at..)?).ok()?;
        let bytes = rest.get(..header.len.get() as usize)?;
        self.at =
            at + FRAGMENT_HEADER_BYTES + bytes.len().next_multiple_of(ALIGN) + RUN_HEADER_BYTES;
        Some(Fragment { at, total: header.total.get(), offset: header.offset.get(), bytes })
    }
}

/// One run of a checked payload.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What it carries.
    pub kind: RunKind,
    /// The group's agreed number.
    pub group: u32,
    /// The sending session.
    pub session: u32,
    /// Messages in the body.
    pub count: u16,
    /// Whether safe delivery was asked for.
    pub safe: bool,
    /// Where the body starts in the payload.
    pub body_offset: usize,
    /// The body.
    pub body: &'a [u8],
}

/// Walks the runs of a payload. Stops for good at the first error.
pub fn runs(payload: &[u8]) -> Runs<'_> {
    Runs { payload, at: 0 }
}

/// Iterator of [`runs`].
pub struct Runs<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Runs<'a> {
    type Item = Result<Run<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let run = parse_run(self.payload, self.at);
        self.at = match &run {
            Ok(run) => run.body_offset + run.body.len(),
            Err(_) => self.payload.len(),
        };
        Some(run)
    }
}

fn parse_run(payload: &[u8], at: usize) -> Result<Run<'_>, WireError> {
    const WHAT: &str = "run";
    let truncated = |needed, found| WireError::Truncated { what: WHAT, needed, found };
    let bad = |field, found| WireError::BadField { what: WHAT, field, found };
    let rest = &payload[at..];
    let (header, rest) = RunHeader::read_from_prefix(rest)
        .map_err(|_| truncated(RUN_HEADER_BYTES, payload.len() - at))?;
    let bytes = header.bytes.get() as usize;
    if bytes > rest.len() {
        return Err(truncated(bytes, rest.len()));
    }
    if !bytes.is_multiple_of(ALIGN) {
        return Err(bad("bytes", bytes as u64));
    }
    let kind = match header.kind {
        0 => RunKind::Messages,
        1 => RunKind::Fragment,
        2 => RunKind::Control,
        other => return Err(bad("kind", other.into())),
    };
    if header.flags & !RUN_SAFE != 0 {
        return Err(bad("flags", header.flags.into()));
    }
    Ok(Run {
        kind,
        group: header.group.get(),
        session: header.session.get(),
        count: header.count.get(),
        safe: header.flags & RUN_SAFE != 0,
        body_offset: at + RUN_HEADER_BYTES,
        body: &rest[..bytes],
    })
}

impl RunKind {
    /// The number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Messages => 0,
            Self::Fragment => 1,
            Self::Control => 2,
        }
    }
}

/// Reads a record's length at `at` and returns where its bytes are and where the next record starts;
/// `None` if it does not lie inside `body`.
pub fn record_at(body: &[u8], at: usize) -> Option<(core::ops::Range<usize>, usize)> {
    let header = body.get(at..at.checked_add(RECORD_HEADER_BYTES)?)?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let start = at + RECORD_HEADER_BYTES;
    let end = start.checked_add(len)?;
    let next = end.checked_next_multiple_of(ALIGN)?;
    (next <= body.len()).then_some((start..end, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_takes_what_there_is_room_for() {
        let mut buf = [0xff; FRAGMENT_HEADER_BYTES + 23];
        let piece = begin_fragment(&mut buf, 100, 40).expect("room for 16 bytes");
        assert_eq!(piece.len(), 16, "a multiple of 8 while more is to come");
        let (header, _) = FragmentHeader::read_from_prefix(&buf).expect("enough bytes");
        let fields = (header.total.get(), header.offset.get(), header.len.get());
        assert_eq!(fields, (100, 40, 16));
    }

    #[test]
    fn fragments_that_follow_each_other_are_walked_up_to_the_first_that_is_cut_off() {
        let mut bodies = [0; 2 * FRAGMENT_HEADER_BYTES + 24 + RUN_HEADER_BYTES + 8];
        begin_fragment(&mut bodies, 19, 0).expect("room")[..19].fill(1);
        let second = FRAGMENT_HEADER_BYTES + 24 + RUN_HEADER_BYTES;
        begin_fragment(&mut bodies[second..], 100, 0).expect("room").fill(2);
        let seen = |bodies| {
            let all =
                fragments(bodies).map(|f| (f.at, f.total, f.offset, f.bytes.len(), f.bytes[0]));
            all.collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(seen(&bodies), [(0, 19, 0, 19, 1), (second, 100, 0, 8, 2)]);
        assert_eq!(seen(&bodies[..bodies.len() - 1]).len(), 1);
        assert!(seen(&bodies[..FRAGMENT_HEADER_BYTES]).is_empty());
    }

    #[test]
    fn the_last_fragment_is_padded_with_zeros() {
        let mut buf = [0xff; 64];
        assert_eq!(begin_fragment(&mut buf, 100, 97).expect("room").len(), 3);
        assert_eq!(buf[FRAGMENT_HEADER_BYTES..][..9], [255, 255, 255, 0, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn without_room_for_a_piece_there_is_no_fragment() {
        assert!(begin_fragment(&mut [0; FRAGMENT_HEADER_BYTES + ALIGN - 1], 100, 0).is_none());
        assert!(begin_fragment(&mut [0; FRAGMENT_HEADER_BYTES + ALIGN], 100, 0).is_some());
        assert!(begin_fragment(&mut [], 100, 0).is_none());
    }
}
