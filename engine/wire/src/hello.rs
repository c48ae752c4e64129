//! How nodes with several links show each other which of them work: hello.
//!
//! A node sends the same hello on every link, once for each receive queue. Whoever gets it on one link and
//! misses it on another knows which link loses; what the sender says that it hears tells the way back.

use crate::codec::{Reader, Writer};
use crate::kind::{CONTROL_BYTES_MAX, Kind};
use crate::{NODES_MAX, NodeSet, WireError};

/// Most links between two nodes; a set of them is a byte.
pub const LINKS_MAX: usize = 8;

/// Bytes of a hello before the sets.
const FIXED_BYTES: usize = 1 + 1 + 1 + 1 + 1 + 8 + 8 + 4;

/// Highest number of a hello: at one a nanosecond it is reached in 292 years. What counts on from one never
/// overflows.
const SEQ_MAX: u64 = u64::MAX >> 1;

/// Flags.
const URGENT: u8 = 1;
const TOKEN_QUEUE: u8 = 2;

const _: () = assert!(FIXED_BYTES + LINKS_MAX * NODES_MAX / 8 <= CONTROL_BYTES_MAX);

/// A node shows itself on every link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// A link has just failed, or is suspected to have: answer with hellos of your own, at once.
    pub urgent: bool,
    /// Sent to the token's queue, else to that of data.
    pub token_queue: bool,
    /// The link it was sent on.
    pub link: u8,
    /// Which life of the sender's links this is; `seq` starts anew with each.
    pub life: u64,
    /// The how many-eth hello of this life, from one.
    pub seq: u64,
    /// Hash of the node list that positions in `hears` are about.
    pub list: u32,
    /// How many links the sender has.
    pub links: u8,
    /// By link: whom the sender hears on it.
    pub hears: [NodeSet; LINKS_MAX],
}

impl Hello {
    /// Reads a hello.
    ///
    /// # Errors
    /// When bytes are missing or a field is impossible.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("hello", frame);
        r.expect("kind", Kind::Hello as u8)?;
        let flags = r.u8()?;
        if flags & !(URGENT | TOKEN_QUEUE) != 0 {
            return Err(r.bad("flags", flags.into()));
        }
        let (link, links) = (r.u8()?, r.u8()?);
        if links == 0 || usize::from(links) > LINKS_MAX {
            return Err(r.bad("links", links.into()));
        }
        if link >= links {
            return Err(r.bad("link", link.into()));
        }
        let words = r.words()?;
        let (life, seq, list) = (r.u64()?, r.u64()?, r.u32()?);
        if seq == 0 || seq > SEQ_MAX {
            return Err(r.bad("seq", seq));
        }
        let mut hears = [NodeSet::EMPTY; LINKS_MAX];
        for set in hears.iter_mut().take(links.into()) {
            *set = r.set(words)?;
        }
        let (urgent, token_queue) = (flags & URGENT != 0, flags & TOKEN_QUEUE != 0);
        Ok(Self { urgent, token_queue, link, life, seq, list, links, hears })
    }

    /// Writes a hello for a list of `nodes` nodes; `None` if `out` is too small.
    pub fn emit(&self, nodes: usize, out: &mut [u8]) -> Option<usize> {
        let words = NodeSet::words_for(nodes);
        let urgent = if self.urgent { URGENT } else { 0 };
        let flags = urgent | if self.token_queue { TOKEN_QUEUE } else { 0 };
        let mut w = Writer::new(out);
        w.u8(Kind::Hello as u8)
            .u8(flags)
            .u8(self.link)
            .u8(self.links)
            .u8(words as u8)
            .u64(self.life)
            .u64(self.seq)
            .u32(self.list);
        for set in self.hears.iter().take(self.links.into()) {
            w.set(set, words);
        }
        w.finish()
    }
}
