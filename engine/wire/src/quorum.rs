//! Quorum messages: the content of control messages of kind 5. Nodes say what votes they have, ask
//! for new ones, name their quorum device, and take part in the quorum part of a sync barrier.

use crate::codec::{Reader, Writer};
use crate::{NodeId, RingId, WireError};

/// Most bytes of a quorum device's name: Corosync's 255 without the final zero.
pub const DEVICE_NAME_BYTES_MAX: usize = 254;

/// Most nodes that one [`Quorum::Present`] says are gone. Who is left out is only waited for.
pub const GONE_MAX: usize = 32;

/// Most bytes that a quorum device has to say for itself: as many as Corosync's.
pub const EXTRA_BYTES_MAX: usize = 4096;

/// Most bytes of it in one message: what fits where the rename of a device does.
pub const EXTRA_PART_BYTES_MAX: usize = QUORUM_BYTES_MAX - 1 - 2 - 2;

/// Bytes that hold the content of any quorum message: the rename of a device.
pub const QUORUM_BYTES_MAX: usize = 1 + 2 * (1 + DEVICE_NAME_BYTES_MAX);

const GONE_ENTRY_BYTES: usize = 12;
const _: () = assert!(1 + 12 + 1 + 1 + GONE_MAX * GONE_ENTRY_BYTES <= QUORUM_BYTES_MAX);

/// What a node (or its view of the quorum device) counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node; zero for the quorum device.
    pub node: NodeId,
    /// Its votes.
    pub votes: u32,
    /// The votes it expects in the whole cluster.
    pub expected_votes: u32,
    /// Bits of `groups::votequorum::NodeFlags`.
    pub flags: u32,
}

/// A part of what the sender's quorum device has to say for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraPart<'a> {
    /// Bytes of the whole, at most [`EXTRA_BYTES_MAX`]; zero: it has nothing to say any more.
    pub total: u16,
    /// Where the part begins.
    pub offset: u16,
    /// The part; empty only if the whole is.
    pub bytes: &'a [u8],
}

/// A checked quorum message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum<'a> {
    /// What the sender (or its quorum device) counts for.
    Info(NodeInfo),
    /// All nodes are to expect this many votes.
    SetExpected {
        /// The votes.
        votes: u32,
    },
    /// A node (or the device, zero) is to have other votes.
    SetVotes {
        /// Which.
        node: NodeId,
        /// How many.
        votes: u32,
    },
    /// Nobody is to wait for all nodes any longer.
    CancelWaitForAll,
    /// The sender has a quorum device of this name.
    Register {
        /// Its name.
        name: &'a [u8],
    },
    /// The sender's quorum device is gone.
    Unregister {
        /// Its name.
        name: &'a [u8],
    },
    /// The quorum device has another name from now on.
    Rename {
        /// Its name so far.
        old: &'a [u8],
        /// Its name from now on.
        new: &'a [u8],
    },
    /// The sender has said what it counts for in this ring's sync barrier.
    Present {
        /// The ring.
        ring: RingId,
        /// The sender has nothing to wait for: no `Ready` follows.
        ready: bool,
        /// Nodes that the sender knows to be gone for good.
        gone: Gone<'a>,
    },
    /// The sender has waited long enough, in this ring's sync barrier.
    Ready {
        /// The ring.
        ring: RingId,
        /// Microseconds that the sender would still have to wait if a quorum came about.
        wait_us: u64,
    },
    /// What the sender's quorum device has to say for itself; parts follow each other.
    Extra(ExtraPart<'a>),
}

/// Nodes that are gone: each with the boot number it had (`control::StateHeader::boot`), because a new
/// life of it is another matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone<'a> {
    entries: &'a [u8],
}

impl<'a> Gone<'a> {
    /// Nobody.
    pub const NONE: Gone<'static> = Gone { entries: &[] };

    /// Writes entries, at most [`GONE_MAX`], into `buf` and reads them back.
    pub fn write(
        buf: &'a mut [u8; GONE_MAX * GONE_ENTRY_BYTES],
        gone: impl Iterator<Item = (NodeId, u64)>,
    ) -> Self {
        let mut end = 0;
        for ((node, boot), to) in gone.zip(buf.chunks_exact_mut(GONE_ENTRY_BYTES)) {
            to[..4].copy_from_slice(&node.0.to_le_bytes());
            to[4..].copy_from_slice(&boot.to_le_bytes());
            end += GONE_ENTRY_BYTES;
        }
        Self { entries: &buf[..end] }
    }

    /// An empty buffer for [`Gone::write`].
    pub const fn buffer() -> [u8; GONE_MAX * GONE_ENTRY_BYTES] {
        [0; GONE_MAX * GONE_ENTRY_BYTES]
    }

    /// The nodes and their boot numbers.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, u64)> + use<'a> {
        self.entries.chunks_exact(GONE_ENTRY_BYTES).map(|entry| {
            let (mut node, mut boot) = ([0; 4], [0; 8]);
            node.copy_from_slice(&entry[..4]);
            boot.copy_from_slice(&entry[4..]);
            (NodeId(u32::from_le_bytes(node)), u64::from_le_bytes(boot))
        })
    }
}

const INFO: u8 = 1;
const SET_EXPECTED: u8 = 2;
const SET_VOTES: u8 = 3;
const CANCEL_WAIT: u8 = 4;
const REGISTER: u8 = 5;
const UNREGISTER: u8 = 6;
const RENAME: u8 = 7;
const PRESENT: u8 = 8;
const READY: u8 = 9;
const EXTRA: u8 = 10;

impl<'a> Quorum<'a> {
    /// Reads a message that fills `content`.
    ///
    /// # Errors
    /// When bytes are missing or left over, or a field has a value that no sender writes.
    pub fn parse(content: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("quorum message", content);
        let message = match r.u8()? {
            INFO => Self::Info(NodeInfo {
                node: NodeId(r.u32()?),
                votes: r.u32()?,
                expected_votes: r.u32()?,
                flags: r.u32()?,
            }),
            SET_EXPECTED => Self::SetExpected { votes: r.u32()? },
            SET_VOTES => Self::SetVotes { node: NodeId(r.u32()?), votes: r.u32()? },
            CANCEL_WAIT => Self::CancelWaitForAll,
            REGISTER => Self::Register { name: name(&mut r)? },
            UNREGISTER => Self::Unregister { name: name(&mut r)? },
            RENAME => Self::Rename { old: name(&mut r)?, new: name(&mut r)? },
            PRESENT => {
                let (ring, ready, count) = (r.ring()?, r.u8()?, usize::from(r.u8()?));
                if ready > 1 {
                    return Err(r.bad("ready", ready.into()));
                }
                if count > GONE_MAX {
                    return Err(r.bad("gone", count as u64));
                }
                let entries = r.take(count * GONE_ENTRY_BYTES)?;
                Self::Present { ring, ready: ready == 1, gone: Gone { entries } }
            }
            READY => Self::Ready { ring: r.ring()?, wait_us: r.u64()? },
            EXTRA => {
                let (total, offset) = (r.u16()?, r.u16()?);
                if usize::from(total) > EXTRA_BYTES_MAX {
                    return Err(r.bad("extra length", total.into()));
                }
                let bytes = r.take(r.left())?;
                let rest = usize::from(total).checked_sub(usize::from(offset));
                if rest.is_none_or(|rest| bytes.len() > rest) || bytes.is_empty() && total > 0 {
                    return Err(r.bad("extra part", bytes.len() as u64));
                }
                Self::Extra(ExtraPart { total, offset, bytes })
            }
            other => return Err(r.bad("operation", other.into())),
        };
        match r.left() {
            0 => Ok(message),
            left => Err(r.bad("bytes left over", left as u64)),
        }
    }

    /// Writes the message; its length, or `None` if `out` is shorter than that or a name or list is
    /// too long.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut w = Writer::new(out);
        match *self {
            Self::Info(info) => {
                w.u8(INFO).u32(info.node.0).u32(info.votes).u32(info.expected_votes).u32(info.flags)
            }
            Self::SetExpected { votes } => w.u8(SET_EXPECTED).u32(votes),
            Self::SetVotes { node, votes } => w.u8(SET_VOTES).u32(node.0).u32(votes),
            Self::CancelWaitForAll => w.u8(CANCEL_WAIT),
            Self::Register { name } => w.u8(REGISTER).u8(length(name)?).put(name),
            Self::Unregister { name } => w.u8(UNREGISTER).u8(length(name)?).put(name),
            Self::Rename { old, new } => {
                w.u8(RENAME).u8(length(old)?).put(old).u8(length(new)?).put(new)
            }
            Self::Present { ring, ready, gone } => {
                let count = (gone.entries.len() / GONE_ENTRY_BYTES) as u8;
                w.u8(PRESENT).ring(ring).u8(ready.into()).u8(count).put(gone.entries)
            }
            Self::Ready { ring, wait_us } => w.u8(READY).ring(ring).u64(wait_us),
            Self::Extra(ExtraPart { bytes, .. }) if bytes.len() > EXTRA_PART_BYTES_MAX => {
                return None;
            }
            Self::Extra(ExtraPart { total, offset, bytes }) => {
                w.u8(EXTRA).u16(total).u16(offset).put(bytes)
            }
        }
        .finish()
    }
}

fn name<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let bytes = usize::from(r.u8()?);
    if bytes == 0 || bytes > DEVICE_NAME_BYTES_MAX {
        return Err(r.bad("name length", bytes as u64));
    }
    r.take(bytes)
}

fn length(name: &[u8]) -> Option<u8> {
    u8::try_from(name.len())
        .ok()
        .filter(|bytes| (1..=DEVICE_NAME_BYTES_MAX).contains(&(*bytes).into()))
}
