//! Join: a node's proposal of who should form the next ring (Amir et al. 1995 sec. 4.2).

use crate::codec::{Reader, Writer};
use crate::kind::{CONTROL_BYTES_MAX, Kind};
use crate::{NODES_MAX, NodeSet, RingId, WireError};

/// The sender's configuration and what it can speak: compared before anything else is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compat {
    /// Lowest version of the ring protocol it speaks.
    pub protocol_min: u8,
    /// Highest.
    pub protocol_max: u8,
    /// Version of its configuration; a running ring refuses older ones.
    pub config_version: u64,
    /// Hash of what must be equal everywhere (the node list among it).
    pub config_hash: u64,
}

impl Compat {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            protocol_min: r.u8()?,
            protocol_max: r.u8()?,
            config_version: r.u64()?,
            config_hash: r.u64()?,
        })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.protocol_min)
            .u8(self.protocol_max)
            .u64(self.config_version)
            .u64(self.config_hash);
    }
}

/// A Join; the rows of the `hears` matrix follow it in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// See [`Compat`].
    pub compat: Compat,
    /// Highest ring sequence number the sender knows.
    pub ring_seq: u64,
    /// The ring the sender was in last.
    pub last_ring: RingId,
    /// Whom it knows of.
    pub proc: NodeSet,
    /// Whom it leaves out.
    pub fail: NodeSet,
    /// Whom it received a Join from in this gather, itself included.
    pub hears: NodeSet,
}

/// Bytes of a Join without rows and sets.
const FIXED_BYTES: usize = 1 + 1 + 1 + 1 + 18 + 8 + 12;

const _: () = assert!(FIXED_BYTES + 3 * NODES_MAX / 8 <= CONTROL_BYTES_MAX);

impl Join {
    /// How many rows fit a Join of a cluster of `nodes` nodes.
    pub fn rows_max(nodes: usize) -> usize {
        let set = 8 * NodeSet::words_for(nodes);
        ((CONTROL_BYTES_MAX - FIXED_BYTES - 3 * set) / (2 + set)).min(u8::MAX.into())
    }

    /// Reads the [`Compat`] alone, which every version writes at the same place.
    ///
    /// # Errors
    /// When bytes are missing.
    pub fn parse_compat(frame: &[u8]) -> Result<Compat, WireError> {
        let mut r = Reader::new("join", frame);
        r.expect("kind", Kind::Join as u8)?;
        r.take(3)?;
        Compat::read(&mut r)
    }

    /// Reads a Join of a cluster of `nodes` nodes and gives each row of the matrix to `row`.
    ///
    /// # Errors
    /// When bytes are missing or a position is outside the node list.
    pub fn parse(
        frame: &[u8],
        nodes: usize,
        mut row: impl FnMut(usize, NodeSet),
    ) -> Result<Self, WireError> {
        let mut r = Reader::new("join", frame);
        r.expect("kind", Kind::Join as u8)?;
        r.expect("flags", 0)?;
        let words = r.words()?;
        if words != NodeSet::words_for(nodes) {
            return Err(r.bad("words", words as u64));
        }
        let rows = r.u8()?;
        let join = Self {
            compat: Compat::read(&mut r)?,
            ring_seq: r.u64()?,
            last_ring: r.ring()?,
            proc: r.set(words)?,
            fail: r.set(words)?,
            hears: r.set(words)?,
        };
        let all = NodeSet::first_n(nodes);
        if ![join.proc, join.fail, join.hears].iter().all(|set| set.is_subset(&all)) {
            return Err(r.bad("sets", nodes as u64));
        }
        for _ in 0..rows {
            let position = usize::from(r.u16()?);
            let set = r.set(words)?;
            if position >= nodes || !set.is_subset(&all) {
                return Err(r.bad("row", position as u64));
            }
            row(position, set);
        }
        Ok(join)
    }

    /// Writes a Join with at most [`Join::rows_max`] rows; `None` if `out` is too small.
    pub fn emit(
        &self,
        out: &mut [u8],
        nodes: usize,
        rows: impl Iterator<Item = (usize, NodeSet)>,
    ) -> Option<usize> {
        let words = NodeSet::words_for(nodes);
        let mut w = Writer::new(out);
        w.u8(Kind::Join as u8).u8(0).u8(words as u8).u8(0);
        self.compat.write(&mut w);
        w.u64(self.ring_seq).ring(self.last_ring);
        w.set(&self.proc, words).set(&self.fail, words).set(&self.hears, words);
        let mut count = 0;
        for (position, set) in rows.take(Self::rows_max(nodes)) {
            w.u16(position as u16).set(&set, words);
            count += 1;
        }
        let len = w.finish()?;
        out[3] = count;
        Some(len)
    }
}
