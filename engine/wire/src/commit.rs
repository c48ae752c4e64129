//! The commit token: confirms that all members agree on the ring (Amir et al. 1995 sec. 4.3). Its
//! one pass brings every member from Gather to Commit; the ring's first token brings it to
//! Recovery.

use crate::codec::{Reader, Writer};
use crate::kind::Kind;
use crate::{NodeSet, RingId, WireError};

/// A commit token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The ring to form.
    pub ring: RingId,
    /// How many members had it before.
    pub hop: u32,
    /// The members.
    pub members: NodeSet,
}

impl Commit {
    /// Reads a commit token of a cluster of `nodes` nodes.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible.
    pub fn parse(frame: &[u8], nodes: usize) -> Result<Self, WireError> {
        let mut r = Reader::new("commit", frame);
        r.expect("kind", Kind::Commit as u8)?;
        r.expect("flags", 0)?;
        let words = r.words()?;
        r.expect("reserved", 0)?;
        let commit = Self { hop: r.u32()?, ring: r.ring()?, members: r.set(words)? };
        if !commit.members.is_subset(&NodeSet::first_n(nodes)) || commit.members.is_empty() {
            return Err(r.bad("members", nodes as u64));
        }
        if commit.hop as usize > commit.members.len() {
            return Err(r.bad("hop", commit.hop.into()));
        }
        Ok(commit)
    }

    /// Writes a commit token; `None` if `out` is too small.
    pub fn emit(&self, out: &mut [u8], nodes: usize) -> Option<usize> {
        let words = NodeSet::words_for(nodes);
        Writer::new(out)
            .u8(Kind::Commit as u8)
            .u8(0)
            .u8(words as u8)
            .u8(0)
            .u32(self.hop)
            .ring(self.ring)
            .set(&self.members, words)
            .finish()
    }
}
