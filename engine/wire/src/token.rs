//! The token (Amir et al. 1995 sec. 3, extended as `docs/protocol.md` says).

use crate::codec::{Reader, Writer};
use crate::kind::{CONTROL_BYTES_MAX, Kind};
use crate::{NodeId, RingId, WireError};

/// Most ranges one token asks for.
pub const RANGES_MAX: usize = 64;

/// Bytes of a token without ranges.
pub const TOKEN_BYTES_MIN: usize = 4 + 4 + 12 + 4 + 4 + 8 * 5 + 2 * FACTS_BYTES;

/// Bytes of a token with all its ranges.
pub const TOKEN_BYTES_MAX: usize = TOKEN_BYTES_MIN + RANGES_MAX * 16;

const _: () = assert!(TOKEN_BYTES_MAX <= CONTROL_BYTES_MAX);

const FACTS_BYTES: usize = 8 + 8 + 4 + 4;

/// The visit is out of turn.
const FLAG_DETOUR: u8 = 1;

/// What one rotation finds out about the members; the representative starts a new collection at
/// each of its visits and puts the finished one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Least free receive room of any member, bytes.
    pub credit: u64,
    /// Bytes waiting at all members together.
    pub backlog: u64,
    /// Longest token timeout that any member asks for, microseconds.
    pub timeout_us: u32,
    /// Members that sent or had something to send.
    pub senders: u16,
    /// Members that missed so many frames that they were overrun.
    pub losers: u16,
}

impl Facts {
    /// Nothing collected yet.
    pub const NONE: Self =
        Self { credit: u64::MAX, backlog: 0, timeout_us: 0, senders: 0, losers: 0 };
}

/// Ranges of sequence numbers, both ends included, at most [`RANGES_MAX`].
#[derive(Clone, Copy, Debug)]
pub struct Ranges {
    len: usize,
    items: [(u64, u64); RANGES_MAX],
}

impl Ranges {
    /// No range.
    pub const NONE: Self = Self { len: 0, items: [(0, 0); RANGES_MAX] };

    /// Adds a range; `false` when the list is full.
    pub fn push(&mut self, from: u64, to: u64) -> bool {
        if self.len == RANGES_MAX {
            return false;
        }
        self.items[self.len] = (from, to);
        self.len += 1;
        true
    }

    /// Adds a range and joins it with those it overlaps or touches. When the list is full and
    /// nothing touches, the range is forgotten: whoever misses it asks again.
    pub fn add(&mut self, from: u64, to: u64) {
        let (mut from, mut to) = (from, to);
        let mut index = 0;
        while index < self.len {
            let (first, last) = self.items[index];
            if first <= to.saturating_add(1) && from <= last.saturating_add(1) {
                from = from.min(first);
                to = to.max(last);
                self.len -= 1;
                self.items[index] = self.items[self.len];
                index = 0;
            } else {
                index += 1;
            }
        }
        self.push(from, to);
    }

    /// Whether no further range fits.
    pub fn is_full(&self) -> bool {
        self.len == RANGES_MAX
    }

    /// The ranges.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.items[..self.len]
    }

    /// Whether `seq` lies in one of them.
    pub fn contains(&self, seq: u64) -> bool {
        self.as_slice().iter().any(|(from, to)| (*from..=*to).contains(&seq))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl PartialEq for Ranges {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Ranges {}

/// The right to number frames, and what the ring knows about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The ring it belongs to.
    pub ring: RingId,
    /// Grows by one with every hop.
    pub visit: u64,
    /// Out of turn: may lower `aru` and number frames, nothing else.
    pub detour: bool,
    /// Whose regular visit is due next (after a detour the token goes there).
    pub regular_next: NodeId,
    /// To whom it goes. Somebody else whom the network shows it to must not take it: there would be two.
    pub to: NodeId,
    /// Highest number given to a frame.
    pub seq: u64,
    /// All members had everything up to here when they last looked.
    pub aru: u64,
    /// Who lowered `aru`; `None` when it equals `seq`.
    pub aru_setter: Option<NodeId>,
    /// Every member is known to have everything up to here.
    pub stable: u64,
    /// Bytes multicast in the last rotation.
    pub in_flight: u64,
    /// What the last whole rotation found out.
    pub in_force: Facts,
    /// What this rotation found out so far.
    pub collecting: Facts,
    /// Frames that somebody misses.
    pub ranges: Ranges,
}

impl Token {
    /// The first token of a ring.
    pub fn first(ring: RingId, timeout_us: u32) -> Self {
        Self {
            ring,
            visit: 1,
            detour: false,
            regular_next: ring.rep,
            to: ring.rep,
            seq: 0,
            aru: 0,
            aru_setter: None,
            stable: 0,
            in_flight: 0,
            in_force: Facts { timeout_us, ..Facts::NONE },
            collecting: Facts { timeout_us, ..Facts::NONE },
            ranges: Ranges::NONE,
        }
    }

    /// Reads a token.
    ///
    /// # Errors
    /// When bytes are missing or fields contradict each other.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("token", frame);
        r.expect("kind", Kind::Token as u8)?;
        let flags = r.u8()?;
        if flags & !FLAG_DETOUR != 0 {
            return Err(r.bad("flags", flags.into()));
        }
        let count = usize::from(r.u16()?);
        let setter = r.u32()?;
        let mut token = Self {
            ring: r.ring()?,
            regular_next: NodeId(r.u32()?),
            to: NodeId(r.u32()?),
            visit: r.u64()?,
            detour: flags & FLAG_DETOUR != 0,
            seq: r.u64()?,
            aru: r.u64()?,
            aru_setter: (setter != 0).then_some(NodeId(setter)),
            stable: r.u64()?,
            in_flight: r.u64()?,
            in_force: Self::facts(&mut r)?,
            collecting: Self::facts(&mut r)?,
            ranges: Ranges::NONE,
        };
        if count > RANGES_MAX {
            return Err(r.bad("ranges", count as u64));
        }
        if token.detour == (token.to == token.regular_next) {
            return Err(r.bad("to", token.to.0.into()));
        }
        if token.aru > token.seq || token.stable > token.seq {
            return Err(r.bad("aru", token.aru));
        }
        for _ in 0..count {
            let (from, to) = r.range()?;
            if to > token.seq {
                return Err(r.bad("range", to));
            }
            token.ranges.push(from, to);
        }
        Ok(token)
    }

    fn facts(r: &mut Reader<'_>) -> Result<Facts, WireError> {
        Ok(Facts {
            credit: r.u64()?,
            backlog: r.u64()?,
            timeout_us: r.u32()?,
            senders: r.u16()?,
            losers: r.u16()?,
        })
    }

    /// Writes the token; `None` if `out` has fewer than [`TOKEN_BYTES_MAX`] bytes and it does not
    /// fit.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut w = Writer::new(out);
        w.u8(Kind::Token as u8)
            .u8(if self.detour { FLAG_DETOUR } else { 0 })
            .u16(self.ranges.as_slice().len() as u16)
            .u32(self.aru_setter.map_or(0, |node| node.0))
            .ring(self.ring)
            .u32(self.regular_next.0)
            .u32(self.to.0)
            .u64(self.visit)
            .u64(self.seq)
            .u64(self.aru)
            .u64(self.stable)
            .u64(self.in_flight);
        for facts in [&self.in_force, &self.collecting] {
            w.u64(facts.credit)
                .u64(facts.backlog)
                .u32(facts.timeout_us)
                .u16(facts.senders)
                .u16(facts.losers);
        }
        for (from, to) in self.ranges.as_slice() {
            w.u64(*from).u64(*to);
        }
        w.finish()
    }
}
