//! What the machine wants done, and what it says about itself.

use core::ops::Deref;

use wire::link::{HANDSHAKE_BYTES, LINK_HEADER_BYTES, TAG_BYTES};
use wire::trace::Trace;
use wire::{BootId, NodeId};

use crate::counters::Drops;

/// Bytes of a handshake datagram with encryption on; four-byte checksums make it shorter.
pub const HANDSHAKE_DATAGRAM_BYTES: usize = LINK_HEADER_BYTES + HANDSHAKE_BYTES + TAG_BYTES;

/// A datagram of the link layer itself, sealed and ready to send.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeDatagram {
    bytes: [u8; HANDSHAKE_DATAGRAM_BYTES],
    len: usize,
}

impl HandshakeDatagram {
    /// `fill` writes the datagram and returns its length.
    pub(crate) fn new(fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Self> {
        let mut bytes = [0; HANDSHAKE_DATAGRAM_BYTES];
        let len = fill(&mut bytes)?;
        Some(Self { bytes, len })
    }
}

impl Deref for HandshakeDatagram {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What the link layer wants done.
#[derive(Clone, Copy, Debug)]
pub enum Output {
    /// Send this datagram to a node's configured address, on the data queue.
    Send {
        /// To whom.
        to: NodeId,
        /// The whole datagram.
        datagram: HandshakeDatagram,
    },
    /// Something to remember.
    Trace(Trace),
}

/// Why [`crate::Link::next_timeout`] wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A peer did not answer.
    AskAgain,
    /// A key is rolling.
    KeyRoll,
}

/// What is known of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// Its boot, once it has proved itself.
    pub boot: Option<BootId>,
    /// When something authentic of this boot was last received; `None`: never.
    pub heard_ns: Option<u64>,
    /// Frames of it that were handed to the layer above.
    pub opened: u64,
    /// The latest key epoch it holds; `None` until it was heard.
    pub newest_epoch: Option<u8>,
    /// Datagrams dropped that said to be from it. Until a tag fits, anybody can say so.
    pub drops: Drops,
}

/// How datagrams are protected now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityStatus {
    /// Who encrypts; `None` when encryption is off.
    pub provider: Option<crate::Provider>,
    /// The epoch we send under.
    pub sending_epoch: u8,
    /// The latest epoch we hold. Another than `sending_epoch`: we wait until the peers that are alive
    /// hold it too.
    pub newest_epoch: u8,
    /// How many epochs we hold, one or two.
    pub epochs: usize,
}
