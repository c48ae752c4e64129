//! What keeps a resting ring alive and wakes it: beacon, answer, want.

use crate::codec::{Reader, Writer};
use crate::kind::Kind;
use crate::{NodeId, RingId, WireError};

/// The holder of a token that rests, or is kept, shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Its ring.
    pub ring: RingId,
    /// The visit in which the token stays.
    pub visit: u64,
    /// Highest number given to a frame; all of them were sent.
    pub seq: u64,
    /// Every member has everything up to here.
    pub stable: u64,
    /// Whether members are to answer.
    pub answer: bool,
    /// Whether the holder goes on numbering frames; else the token rests.
    pub kept: bool,
    /// Whether this member was asked before and has not answered: how long it takes now says nothing.
    pub again: bool,
    /// The how many-eth beacon of this visit that is to be answered, from one; zero if it is not.
    pub number: u64,
    /// Every member has answered the beacon of this number or a later one; zero if none.
    pub proven: u64,
    /// The token timeout that the holder goes by, microseconds.
    pub timeout_us: u32,
}

/// Most ranges of missing frames that one answer names: one frame in a hundred of five windows. What does not fit is
/// named in the next.
pub const MISSING_MAX: usize = 16;

/// A member answers a beacon, and says what it misses of the frames that the beacon speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its ring.
    pub ring: RingId,
    /// The visit of the beacon.
    pub visit: u64,
    /// The member has everything up to here.
    pub aru: u64,
    /// The number of the beacon.
    pub number: u64,
    /// Bytes that the member can take in now.
    pub credit: u64,
    /// Whether the beacon asked again, or the member answers it again: how long that took says nothing.
    pub again: bool,
}

/// Flags of a beacon.
const FLAG_ANSWER: u8 = 1;
const FLAG_KEPT: u8 = 2;
const FLAG_AGAIN: u8 = 4;
/// Flag of an answer.
const FLAG_UNTIMED: u8 = 1;

/// What a member wants of whoever has the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wish {
    /// The token: it has something to send.
    Token = 0,
    /// A sign of life: it has heard nothing for longer than it should.
    Sign = 1,
    /// That the token goes round, so that the members agree on a longer timeout.
    Rotation = 2,
}

/// A member wants something of the token's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its ring.
    pub ring: RingId,
    /// Who wants it (a former holder passes the wish for the token on).
    pub node: NodeId,
    /// What.
    pub wish: Wish,
}

impl Beacon {
    /// Reads a beacon.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("beacon", frame);
        r.expect("kind", Kind::Beacon as u8)?;
        let flags = r.u8()?;
        if flags & !(FLAG_ANSWER | FLAG_KEPT | FLAG_AGAIN) != 0 {
            return Err(r.bad("flags", flags.into()));
        }
        let (ring, visit, seq, stable) = (r.ring()?, r.u64()?, r.u64()?, r.u64()?);
        if stable > seq {
            return Err(r.bad("stable", stable));
        }
        let (number, proven, timeout_us) = (r.u64()?, r.u64()?, r.u32()?);
        if proven > number {
            return Err(r.bad("proven", proven));
        }
        let (answer, kept) = (flags & FLAG_ANSWER != 0, flags & FLAG_KEPT != 0);
        let again = flags & FLAG_AGAIN != 0;
        Ok(Self { ring, visit, seq, stable, answer, kept, again, number, proven, timeout_us })
    }

    /// Writes a beacon; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let (answer, kept) = (flag(self.answer, FLAG_ANSWER), flag(self.kept, FLAG_KEPT));
        Writer::new(out)
            .u8(Kind::Beacon as u8)
            .u8(answer | kept | flag(self.again, FLAG_AGAIN))
            .ring(self.ring)
            .u64(self.visit)
            .u64(self.seq)
            .u64(self.stable)
            .u64(self.number)
            .u64(self.proven)
            .u32(self.timeout_us)
            .finish()
    }
}

impl Answer {
    /// Reads an answer; `each` is called for every range that the member misses, first and last number.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible. What `each` was given then is to be forgotten.
    pub fn parse(frame: &[u8], mut each: impl FnMut(u64, u64)) -> Result<Self, WireError> {
        let mut r = Reader::new("answer", frame);
        r.expect("kind", Kind::Answer as u8)?;
        let flags = r.u8()?;
        if flags & !FLAG_UNTIMED != 0 {
            return Err(r.bad("flags", flags.into()));
        }
        let (ring, visit, aru, number) = (r.ring()?, r.u64()?, r.u64()?, r.u64()?);
        let (credit, missing) = (r.u64()?, r.u8()?);
        if usize::from(missing) > MISSING_MAX {
            return Err(r.bad("ranges", missing.into()));
        }
        for _ in 0..missing {
            let (from, to) = r.range()?;
            if from <= aru {
                return Err(r.bad("range", from));
            }
            each(from, to);
        }
        Ok(Self { ring, visit, aru, number, credit, again: flags != 0 })
    }

    /// Writes an answer; `None` if `out` is too small or there are more than [`MISSING_MAX`] ranges.
    pub fn emit(&self, missing: &[(u64, u64)], out: &mut [u8]) -> Option<usize> {
        if missing.len() > MISSING_MAX {
            return None;
        }
        let mut w = Writer::new(out);
        w.u8(Kind::Answer as u8)
            .u8(if self.again { FLAG_UNTIMED } else { 0 })
            .ring(self.ring)
            .u64(self.visit)
            .u64(self.aru)
            .u64(self.number)
            .u64(self.credit)
            .u8(missing.len() as u8);
        for (from, to) in missing {
            w.u64(*from).u64(*to);
        }
        w.finish()
    }
}

impl Want {
    /// Reads a wish.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("want", frame);
        r.expect("kind", Kind::Want as u8)?;
        let wish = match r.u8()? {
            0 => Wish::Token,
            1 => Wish::Sign,
            2 => Wish::Rotation,
            other => return Err(r.bad("wish", other.into())),
        };
        Ok(Self { ring: r.ring()?, node: NodeId(r.u32()?), wish })
    }

    /// Writes a wish; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        Writer::new(out)
            .u8(Kind::Want as u8)
            .u8(self.wish as u8)
            .ring(self.ring)
            .u32(self.node.0)
            .finish()
    }
}
