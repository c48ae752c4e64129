//! Payloads of the ring's own numbered frames ([`crate::data::FLAG_CONTROL`]).
//!
//! A member's [`OldState`] is what it still has of its old ring. It travels as the first frames of
//! the new ring, not in the commit token, so that 128 members with any number of gaps fit frames of
//! one MTU.

use crate::codec::{Reader, Writer};
use crate::kind::CONTROL_BYTES_MAX;
use crate::{NodeSet, RingId, WireError};

/// What a control payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ControlKind {
    /// An [`OldState`].
    OldState = 1,
    /// The origin leaves; nothing follows.
    Leave = 2,
}

impl ControlKind {
    /// The kind of a control payload, if this version knows it.
    pub fn of(payload: &[u8]) -> Option<Self> {
        match payload.first()? {
            1 => Some(Self::OldState),
            2 => Some(Self::Leave),
            _ => None,
        }
    }
}

/// One member's old ring, or a part of it when there are many gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldState {
    /// Whether no further part follows.
    pub last: bool,
    /// The old ring.
    pub ring: RingId,
    /// It has everything up to here.
    pub aru: u64,
    /// It knows that every member of the old ring has everything up to here.
    pub stable: u64,
    /// Whose frames it must deliver although they may not come along (Moser et al. 1994, obligation
    /// set).
    pub obliged: NodeSet,
}

/// Bytes of a part without sets and ranges.
const FIXED_BYTES: usize = 1 + 1 + 1 + 1 + 4 + 12 + 8 + 8;

impl OldState {
    /// How many ranges fit one part in a payload of `room` bytes, in a cluster of `nodes` nodes.
    pub fn ranges_max(room: usize, nodes: usize) -> usize {
        let fixed = FIXED_BYTES + 8 * NodeSet::words_for(nodes);
        room.min(CONTROL_BYTES_MAX).saturating_sub(fixed) / 16
    }

    /// Reads a part; each range of frames above `aru` that the member has goes to `range`.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible.
    pub fn parse(
        payload: &[u8],
        nodes: usize,
        mut range: impl FnMut(u64, u64),
    ) -> Result<Self, WireError> {
        let mut r = Reader::new("old state", payload);
        r.expect("kind", ControlKind::OldState as u8)?;
        let last = r.u8()?;
        if last > 1 {
            return Err(r.bad("flags", last.into()));
        }
        let words = r.words()?;
        r.expect("reserved", 0)?;
        let count = r.u32()?;
        let state = Self {
            last: last == 1,
            ring: r.ring()?,
            aru: r.u64()?,
            stable: r.u64()?,
            obliged: r.set(words)?,
        };
        if state.stable > state.aru || !state.obliged.is_subset(&NodeSet::first_n(nodes)) {
            return Err(r.bad("stable", state.stable));
        }
        for _ in 0..count {
            let (from, to) = r.range()?;
            if from <= state.aru {
                return Err(r.bad("range", from));
            }
            range(from, to);
        }
        Ok(state)
    }

    /// Writes a part with these ranges; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8], nodes: usize, ranges: &[(u64, u64)]) -> Option<usize> {
        let words = NodeSet::words_for(nodes);
        let mut w = Writer::new(out);
        w.u8(ControlKind::OldState as u8)
            .u8(self.last.into())
            .u8(words as u8)
            .u8(0)
            .u32(ranges.len() as u32)
            .ring(self.ring)
            .u64(self.aru)
            .u64(self.stable)
            .set(&self.obliged, words);
        for (from, to) in ranges {
            w.u64(*from).u64(*to);
        }
        w.finish()
    }
}
