//! The datagrams on a session's socket. Little-endian; every one starts with a [`Head`].
//!
//! The client speaks first ([`Hello`]); the engine answers [`Welcome`] with descriptors, or
//! [`Refusal`] and closes. After that the socket carries requests and their answers ([`Request`])
//! and, once, the reason why the engine ends the session ([`Refusal`] again). Its end is how each
//! side notices that the other is gone.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of every datagram: "SYNI".
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"SYNI");

/// The version of handshake and memory layout that this crate speaks.
pub const VERSION: u16 = 1;

/// Longest datagram of a client, in bytes: a value of the configuration map and its key.
pub(crate) const REQUEST_BYTES_MAX: usize = 32768;

/// Longest datagram of the engine, in bytes; longer answers are cut.
pub(crate) const ANSWER_BYTES_MAX: usize = 32768;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Type {
    Hello = 1,
    Welcome = 2,
    Refusal = 3,
    Request = 4,
    Answer = 5,
    Notice = 6,
    Ring = 7,
}

/// Head of every datagram.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Head {
    pub(crate) magic: U32,
    pub(crate) kind: u8,
    /// Bit 0 of an answer: more follows; of a [`Hello`]: [`SOCKET`].
    pub(crate) flags: u8,
    /// The version spoken; of a [`Hello`]: the lowest one.
    pub(crate) version: U16,
}

/// Flag of an answer that goes on in the next datagram.
pub(crate) const MORE: u8 = 1;

/// Flag of a [`Hello`]: what the engine says unasked shall come on a Unix socket of its own. A session's bell is
/// that socket then; a connection for questions gets notices on it.
pub(crate) const SOCKET: u8 = 1;

impl Head {
    pub(crate) fn new(kind: Type) -> Self {
        Self { magic: MAGIC.into(), kind: kind as u8, flags: 0, version: VERSION.into() }
    }

    /// Reads the head of a datagram of this kind and returns what follows.
    pub(crate) fn read(bytes: &[u8], kind: Type) -> Option<(Self, &[u8])> {
        let (head, rest) = Self::read_from_prefix(bytes).ok()?;
        (head.magic.get() == MAGIC && head.kind == kind as u8).then_some((head, rest))
    }
}

/// What the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// Rings.
    Session = 1,
    /// Requests only.
    Control = 2,
}

/// The client's first words.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Hello {
    pub(crate) head: Head,
    /// Highest version the client speaks.
    pub(crate) version_max: U16,
    pub(crate) purpose: u8,
    pub(crate) reserved: u8,
    /// Wanted size of the submit ring in bytes; 0: the engine's default.
    pub(crate) submit_bytes: U32,
    /// Wanted size of the private ring in bytes; 0: the engine's default.
    pub(crate) private_bytes: U32,
    pub(crate) reserved_too: U32,
}

/// The engine's answer. With it come descriptors, in this order: the engine's page with its sleep
/// word, this client's bell at the engine, the client's segment, the engine's segment, the bell of
/// this client; and, if it shares memory, the message region and the delivery ring. A connection for
/// questions gets one or none: the socket for notices, if it asked for that.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Welcome {
    pub(crate) head: Head,
    /// 1: shared, 2: private, 0: control only.
    pub(crate) trust: u8,
    pub(crate) reserved: [u8; 3],
    pub(crate) session: U32,
    pub(crate) node: U32,
    /// Bytes of the delivery ring's segment.
    pub(crate) delivery_bytes: U32,
    pub(crate) region_bytes: U64,
    pub(crate) message_bytes_max: U64,
    pub(crate) submit_bytes: U32,
    pub(crate) private_bytes: U32,
    /// One start of the engine.
    pub(crate) boot: [u8; 16],
}

/// Why the engine refused a client or ended its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Cause {
    /// The client closed its session in good order.
    Closed = 1,
    /// Its socket closed: the process is gone.
    Gone = 2,
    /// No version in common.
    Version = 3,
    /// Its user may not connect.
    NotAuthorised = 4,
    /// The engine has as many clients as it may have.
    TooMany = 5,
    /// It sent something that is not in the protocol, or wrote nonsense into its rings.
    Protocol = 6,
    /// It read too slowly: its backlog outgrew the memory set aside for it.
    Backlog = 7,
    /// It held messages for too long while the engine was short of memory.
    Lease = 8,
    /// The engine stops.
    Stopping = 9,
    /// The engine could not make memory or descriptors for it.
    Resources = 10,
    /// The handshake took too long.
    Late = 11,
}

impl Cause {
    /// The cause with this number.
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::Closed,
            2 => Self::Gone,
            3 => Self::Version,
            4 => Self::NotAuthorised,
            5 => Self::TooMany,
            6 => Self::Protocol,
            7 => Self::Backlog,
            8 => Self::Lease,
            9 => Self::Stopping,
            10 => Self::Resources,
            11 => Self::Late,
            _ => return None,
        })
    }

    /// What to tell a person.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Closed => "closed by the client",
            Self::Gone => "the client's process is gone",
            Self::Version => "no protocol version in common",
            Self::NotAuthorised => "this user may not connect",
            Self::TooMany => "the engine has as many clients as its configuration allows",
            Self::Protocol => "the client broke the session protocol",
            Self::Backlog => "the client read too slowly and its backlog outgrew its limit",
            Self::Lease => "the client held messages for too long while memory was short",
            Self::Stopping => "the engine stops",
            Self::Resources => "the engine is out of memory or descriptors",
            Self::Late => "the handshake took too long",
        }
    }
}

/// No, and why. Also the last datagram of a session that the engine ends.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Refusal {
    pub(crate) head: Head,
    /// See [`Cause`].
    pub(crate) cause: U16,
    /// Versions the engine speaks.
    pub(crate) version_min: U16,
    pub(crate) version_max: U16,
    pub(crate) reserved: U16,
}

impl Refusal {
    pub(crate) fn new(cause: Cause) -> Self {
        Self {
            head: Head::new(Type::Refusal),
            cause: (cause as u16).into(),
            version_min: VERSION.into(),
            version_max: VERSION.into(),
            reserved: 0.into(),
        }
    }
}

/// Head of a request, of (each part of) its answer, and of a notice (number 0); opaque bytes follow. Also, without
/// any, the wish to be rung for (the number is what the ring shall say).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Request {
    pub(crate) head: Head,
    /// The client's number for it; comes back in the answer.
    pub(crate) request: U32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_documentation() {
        assert_eq!(size_of::<Head>(), 8);
        assert_eq!(size_of::<Hello>(), 24);
        assert_eq!(size_of::<Welcome>(), 64);
        assert_eq!(size_of::<Refusal>(), 16);
        assert_eq!(size_of::<Request>(), 12);
    }

    #[test]
    fn causes_keep_their_numbers() {
        for code in 1..=11 {
            assert_eq!(Cause::from_code(code).unwrap() as u16, code);
        }
        assert_eq!(Cause::from_code(0), None);
        assert_eq!(Cause::from_code(12), None);
    }

    #[test]
    fn a_head_of_another_kind_is_refused() {
        let bytes = Head::new(Type::Hello).as_bytes().to_vec();
        assert!(Head::read(&bytes, Type::Hello).is_some());
        assert!(Head::read(&bytes, Type::Welcome).is_none());
        assert!(Head::read(&bytes[..7], Type::Hello).is_none());
    }
}
