//! The outer header of every datagram and the body of the link layer's own handshake.
//!
//! A datagram is a [`LinkHeader`] (authenticated, in the clear), `body_len` bytes of body (encrypted
//! when [`FLAG_SEALED`] is set), a tag (16 bytes; a 4-byte CRC-32C when encryption is off) and any
//! number of zero bytes that pad it to the size of its burst. The tag covers header and body, so the
//! authenticated length says where the datagram really ends.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{BootId, NodeId, WireError};

/// First bytes of every datagram.
pub const MAGIC: [u8; 4] = *b"SYNC";

/// The version of every format inside a datagram, upper layers included.
pub const VERSION: u8 = 1;

/// The body is encrypted and a 16-byte tag follows it; otherwise a CRC-32C does.
pub const FLAG_SEALED: u8 = 1;

/// Bytes of the tag after an encrypted body (AES-256-GCM).
pub const TAG_BYTES: usize = 16;

/// Bytes of the checksum after a body in the clear (CRC-32C, Castagnoli, little-endian).
pub const CRC_BYTES: usize = 4;

/// Bytes of a [`LinkHeader`].
pub const LINK_HEADER_BYTES: usize = size_of::<RawHeader>();

/// Most bytes a body can have: what the header's 16-bit length can say. (A UDP datagram has at most
/// 65,507 bytes.)
pub const BODY_BYTES_MAX: usize = u16::MAX as usize;

/// What the body of a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A frame of the layer above.
    Frame,
    /// A [`Handshake`]: the link layers of two nodes prove their boots to each other.
    Handshake,
}

impl LinkKind {
    /// The number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Frame => 0,
            Self::Handshake => 1,
        }
    }
}

/// The outer header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHeader {
    /// What the body is.
    pub kind: LinkKind,
    /// Whether the body is encrypted.
    pub sealed: bool,
    /// The key epoch this datagram is sealed under; zero when encryption is off.
    pub epoch: u8,
    /// The latest key epoch the sender holds, so that all know when a new key may be used.
    pub newest_epoch: u8,
    /// Bytes of the body.
    pub body_len: u16,
    /// Who sent it.
    pub sender: NodeId,
    /// The cluster's name, hashed.
    pub cluster: u64,
    /// Which start of the sender.
    pub boot: BootId,
    /// Number of this datagram in the sender's boot: never repeats, so it is the nonce.
    pub counter: u64,
}

/// Why a header was refused, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("datagram of {found} bytes, a link header has {LINK_HEADER_BYTES}")]
    Truncated {
        /// Bytes there were.
        found: usize,
    },
    /// Not one of our datagrams.
    #[error("magic is {found:02x?}")]
    BadMagic {
        /// What it held.
        found: [u8; 4],
    },
    /// Another version of the protocol.
    #[error("protocol version {found}, we speak {VERSION}")]
    WrongVersion {
        /// The sender's version.
        found: u8,
    },
    /// A field has a value that this version does not define.
    #[error(transparent)]
    BadField(WireError),
}

/// The header as it stands on the wire: 48 bytes, no padding, little-endian.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 4],
    version: u8,
    kind: u8,
    flags: u8,
    epoch: u8,
    newest_epoch: u8,
    reserved: u8,
    body_len: U16,
    sender: U32,
    cluster: U64,
    boot: [u8; 16],
    counter: U64,
}

impl LinkHeader {
    /// Reads the header at the start of a datagram. Lengths are the caller's to compare: the tag's
    /// size depends on [`LinkHeader::sealed`].
    ///
    /// # Errors
    /// See [`HeaderError`].
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Self, HeaderError> {
        let (raw, _) = RawHeader::read_from_prefix(datagram)
            .map_err(|_| HeaderError::Truncated { found: datagram.len() })?;
        if raw.magic != MAGIC {
            return Err(HeaderError::BadMagic { found: raw.magic });
        }
        if raw.version != VERSION {
            return Err(HeaderError::WrongVersion { found: raw.version });
        }
        let bad = |field, found: u8| {
            HeaderError::BadField(WireError::BadField {
                what: "link header",
                field,
                found: found.into(),
            })
        };
        let kind = match raw.kind {
            0 => LinkKind::Frame,
            1 => LinkKind::Handshake,
            other => return Err(bad("kind", other)),
        };
        if raw.flags & !FLAG_SEALED != 0 {
            return Err(bad("flags", raw.flags));
        }
        if raw.reserved != 0 {
            return Err(bad("reserved", raw.reserved));
        }
        Ok(Self {
            kind,
            sealed: raw.flags & FLAG_SEALED != 0,
            epoch: raw.epoch,
            newest_epoch: raw.newest_epoch,
            body_len: raw.body_len.get(),
            sender: NodeId(raw.sender.get()),
            cluster: raw.cluster.get(),
            boot: BootId(raw.boot),
            counter: raw.counter.get(),
        })
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; LINK_HEADER_BYTES] {
        let raw = RawHeader {
            magic: MAGIC,
            version: VERSION,
            kind: self.kind.code(),
            flags: if self.sealed { FLAG_SEALED } else { 0 },
            epoch: self.epoch,
            newest_epoch: self.newest_epoch,
            reserved: 0,
            body_len: U16::new(self.body_len),
            sender: U32::new(self.sender.0),
            cluster: U64::new(self.cluster),
            boot: self.boot.0,
            counter: U64::new(self.counter),
        };
        zerocopy::transmute!(raw)
    }
}

/// A question only a living boot can answer: a number never asked before by the asking boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

/// Body of a handshake: asks, answers, or both. The answer names the boot that asked, so it is worth
/// nothing to any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// "Which boot are you? Answer with this."
    pub ask: Option<Nonce>,
    /// The nonce asked, and the boot that asked it.
    pub answer: Option<(Nonce, BootId)>,
}

/// A handshake as it stands on the wire: 56 bytes. What is absent is zero.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHandshake {
    asks: u8,
    answers: u8,
    reserved: [u8; 6],
    ask: [u8; 16],
    answer: [u8; 16],
    answer_boot: [u8; 16],
}

/// Bytes of a [`Handshake`].
pub const HANDSHAKE_BYTES: usize = size_of::<RawHandshake>();

impl Handshake {
    /// Reads a handshake body, which must have exactly [`HANDSHAKE_BYTES`] bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`] for another length, [`WireError::BadField`] for a flag that is neither
    /// 0 nor 1, something in a field that is said to be absent, or a handshake that says nothing.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "handshake";
        let raw = RawHandshake::read_from_bytes(body).map_err(|_| WireError::Truncated {
            what: WHAT,
            needed: HANDSHAKE_BYTES,
            found: body.len(),
        })?;
        let bad = |field, found: u8| WireError::BadField { what: WHAT, field, found: found.into() };
        if raw.asks > 1 || (raw.asks == 0 && raw.ask != [0; 16]) {
            return Err(bad("asks", raw.asks));
        }
        let answered = raw.answer != [0; 16] || raw.answer_boot != [0; 16];
        if raw.answers > 1 || (raw.answers == 0 && answered) {
            return Err(bad("answers", raw.answers));
        }
        if raw.reserved != [0; 6] {
            return Err(bad("reserved", raw.reserved[0]));
        }
        if raw.asks == 0 && raw.answers == 0 {
            return Err(bad("asks", 0));
        }
        Ok(Self {
            ask: (raw.asks == 1).then_some(Nonce(raw.ask)),
            answer: (raw.answers == 1).then_some((Nonce(raw.answer), BootId(raw.answer_boot))),
        })
    }

    /// The body's bytes.
    pub fn to_bytes(&self) -> [u8; HANDSHAKE_BYTES] {
        let (answer, answer_boot) =
            self.answer.map_or(([0; 16], [0; 16]), |(nonce, boot)| (nonce.0, boot.0));
        let raw = RawHandshake {
            asks: self.ask.is_some().into(),
            answers: self.answer.is_some().into(),
            reserved: [0; 6],
            ask: self.ask.map_or([0; 16], |nonce| nonce.0),
            answer,
            answer_boot,
        };
        zerocopy::transmute!(raw)
    }
}
