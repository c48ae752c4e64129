//! What goes into the machine and what comes out.

use alloc::rc::Rc;

use frame::{Frame, FrameMut};
use wire::trace::Trace;
use wire::{NodeId, RingId};

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dest {
    /// Every other node, one multicast.
    All,
    /// One node.
    Node(NodeId),
}

/// Which receive queue of the destination a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The token (and the commit token).
    Token,
    /// Everything else.
    Data,
}

/// How long a ring waits for a sign of progress before it is declared lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTimeout {
    /// Derived from the measured rotation, kept between the bounds.
    Auto {
        /// Lower bound.
        min_us: u64,
        /// Upper bound; also the value until enough rotations were seen.
        max_us: u64,
    },
    /// Always this long.
    Fixed {
        /// The timeout.
        us: u64,
    },
}

impl TokenTimeout {
    /// The longest timeout that a node with these bounds asks for, microseconds.
    pub fn max_us(self) -> u64 {
        match self {
            Self::Auto { min_us, max_us } => max_us.max(min_us),
            Self::Fixed { us } => us,
        }
    }
}

/// One unnumbered frame, handed over by a [`Source`] when the ring has room for it.
#[derive(Debug)]
pub struct Payload {
    /// `DATA_HEADER_BYTES` bytes that the machine fills in, then the payload.
    pub frame: FrameMut,
    /// Deliver only once every member has it.
    pub safe: bool,
}

/// Where the machine gets frames to order. Asked only while it holds the right to number them, so
/// whatever was not taken stays where it was and pressure reaches its owner.
///
/// Never asked between queueing an [`Output::Configuration`] and the caller's next call: what is on
/// top must have seen the configuration before it builds a frame for the new ring (its group
/// numbers change with the ring). The caller drains the outputs, then calls `wake`.
pub trait Source {
    /// An estimate of the bytes waiting; zero if and only if `next` would give nothing.
    fn backlog_bytes(&self) -> u64;

    /// The next frame with at most `room` bytes of payload; `None` when nothing is ready (or no
    /// slot is free to build it in).
    fn next(&mut self, room: usize) -> Option<Payload>;

    /// Takes a frame at once that would otherwise wait in the outputs, where nothing waits before it; or gives it back,
    /// and it comes as [`Output::Deliver`]. The same holds for it as for that: it may have the layer above want to
    /// be waked ([`crate::Totem::wake`]), and that is done after the call.
    fn deliver(&mut self, now_ns: u64, delivered: Delivered) -> Option<Delivered> {
        let _ = now_ns;
        Some(delivered)
    }
}

/// A frame in its place of the total order.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The ring that numbered it.
    pub ring: RingId,
    /// Its number there.
    pub seq: u64,
    /// The node that sent it.
    pub origin: NodeId,
    /// Its payload.
    pub payload: Frame,
    /// Whether it was delivered in a transitional configuration.
    pub transitional: bool,
}

/// Regular or transitional (Moser et al. 1994).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigurationKind {
    /// The members of the last regular configuration that go on together.
    Transitional,
    /// A new ring.
    Regular,
}

/// A configuration change, in its place of the total order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Which kind.
    pub kind: ConfigurationKind,
    /// The new ring's identity (for a transitional one: of the ring that is being formed).
    pub ring: RingId,
    /// Members in ascending order.
    pub members: Rc<[NodeId]>,
}

/// What the machine wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a frame. Outputs are in the order in which they must reach the network.
    Send {
        /// To whom.
        to: Dest,
        /// On which queue.
        lane: Lane,
        /// The bytes.
        frame: Frame,
    },
    /// Deliver a frame.
    Deliver(Delivered),
    /// Deliver a configuration change.
    Configuration(Configuration),
    /// Store this number durably, then call `Totem::persisted`. Rings up to it may be formed then.
    Persist {
        /// Highest ring sequence number that may be used once stored.
        ring_seq: u64,
    },
    /// Something to remember.
    Trace(Trace),
    /// A node that was a member is gone for good: its process is confirmed dead, or it left in order.
    /// Should it come back, it is another life.
    Gone {
        /// Which.
        node: NodeId,
    },
    /// Another ring has a newer configuration than this one. Said at most once a second, by the
    /// representative of an installed ring.
    Newer {
        /// A member of that ring.
        node: NodeId,
        /// Its version.
        config_version: u64,
        /// Its hash.
        config_hash: u64,
    },
    /// The leave asked for is done; the others know.
    Left,
}
