//! What a transport is: something that moves datagrams between nodes in slots of the engine's region.
//!
//! A transport knows addresses and queues, no protocol. The engine calls it from one thread only:
//! [`Transport::send`] any number of times, [`Transport::flush`] once, then [`Transport::poll`]
//! until nothing is left, and [`Transport::wait`] when the idle strategy says so.
//!
//! Several transports are used together as [`links`].
//!
//! Besides the trait there are what drivers have in common ([`Staged`], [`counters!`]), a network in memory
//! ([`memory`]), wrappers that lose ([`lossy`]) or record ([`pcap`]) what passes through any transport, and, with the
//! feature `conformance`, the suite that every implementation must pass.
#![forbid(unsafe_code)]

use std::os::fd::BorrowedFd;

use frame::FrameMut;

#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
pub mod links;
pub mod lossy;
pub mod memory;
pub mod pcap;
mod staged;

pub use staged::Staged;

/// Which of a node's two receive queues (sockets, queue pairs) a datagram belongs to. They are kept
/// apart so that the engine can choose which to read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The token and nothing else.
    Token,
    /// Everything else.
    Data,
}

/// Where a burst goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dest {
    /// All nodes (not ourselves).
    All,
    /// The node at this position of the configured node list.
    Peer(u16),
}

/// A datagram, or several datagrams of equal size (the last may be shorter) in one buffer.
#[derive(Debug)]
pub struct Burst {
    /// The bytes.
    pub bytes: FrameMut,
    /// Bytes of each datagram but the last; at least 1. `bytes.len()` or more: one datagram.
    pub segment_bytes: usize,
}

/// Something a transport has to tell.
#[derive(Debug)]
pub enum Event {
    /// Datagrams arrived.
    Received {
        /// The queue they came in on.
        queue: Queue,
        /// Bytes and segment size.
        burst: Burst,
    },
    /// A unicast to this peer was answered with "nobody there" (ICMP port unreachable, queue-pair
    /// error). A hint: anybody can forge it.
    Unreachable {
        /// Position in the node list.
        peer: u16,
    },
    /// A descriptor given to [`Transport::watch`] is readable.
    Ready {
        /// The key it was watched under.
        key: u64,
    },
}

/// What a transport can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Largest datagram in bytes that travels unfragmented.
    pub datagram_bytes: usize,
    /// Largest datagram in bytes on [`Queue::Token`], whose buffers are small; at most
    /// `datagram_bytes`.
    pub token_bytes: usize,
    /// Most datagrams in one burst.
    pub burst_segments: usize,
    /// Most bytes in one burst.
    pub burst_bytes: usize,
    /// Whether [`Dest::All`] is one send (else the transport repeats it for every peer).
    pub multicast: bool,
}

impl Caps {
    /// Whether a burst keeps the limits.
    ///
    /// # Errors
    /// [`SendError::TooBig`] if not.
    pub fn check(&self, queue: Queue, bytes: usize, segment_bytes: usize) -> Result<(), SendError> {
        let datagram = segment_bytes.min(bytes);
        let fits = match queue {
            Queue::Token => bytes == datagram && bytes <= self.token_bytes,
            Queue::Data => {
                datagram <= self.datagram_bytes
                    && bytes <= self.burst_bytes
                    && bytes.div_ceil(segment_bytes.max(1)) <= self.burst_segments
            }
        };
        if fits { Ok(()) } else { Err(SendError::TooBig { bytes, segment_bytes }) }
    }
}

/// Why a burst was not taken. Datagrams may be lost anyway, so callers count and go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The send queue is full; poll and try later.
    #[error("send queue full")]
    Full,
    /// The burst breaks a limit of [`Caps`].
    #[error(
        "burst of {bytes} bytes in segments of {segment_bytes} is larger than the transport takes"
    )]
    TooBig {
        /// Bytes of the burst.
        bytes: usize,
        /// Bytes of a segment.
        segment_bytes: usize,
    },
    /// No peer has this position.
    #[error("no peer at position {0}")]
    NoSuchPeer(u16),
}

/// Moves datagrams. See the crate's documentation for the order of calls.
pub trait Transport {
    /// What this transport can do; fixed after it was made, except that `datagram_bytes` and
    /// `token_bytes` may fall when the path's MTU falls. What they allowed at first is still taken
    /// then, since frames once made must go through, but travels in fragments.
    fn caps(&self) -> Caps;

    /// Takes a burst for sending. The slot is freed when the kernel or card is done with it. On
    /// [`Queue::Token`] a burst is one datagram, and [`Dest::All`] is a unicast to each peer.
    ///
    /// # Errors
    /// See [`SendError`]; the burst is dropped.
    fn send(&mut self, to: Dest, queue: Queue, burst: Burst) -> Result<(), SendError>;

    /// Hands everything sent since the last call to the kernel or card.
    fn flush(&mut self);

    /// Collects at most `budget` events into `sink`, returns how many there were. `prefer` is read
    /// first when both queues have something.
    fn poll(&mut self, budget: usize, prefer: Queue, sink: &mut dyn FnMut(Event)) -> usize;

    /// Sleeps until there is something to poll or `timeout_ns` is over (`None`: for ever).
    fn wait(&mut self, timeout_ns: Option<u64>);

    /// Whether nothing will ever come: then nobody has to wait for it.
    fn is_silent(&self) -> bool {
        false
    }

    /// A descriptor that rings (becomes readable, once more if it is) when there is something to poll, for
    /// somebody else to wait for, edge-triggered: only after [`Transport::doze`], and until the next call of
    /// anything else. `None`: there is none.
    fn doorbell(&mut self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Does what [`Transport::wait`] does before it sleeps, and says after how many nanoseconds it wants to be
    /// polled although its doorbell is silent: 0 if it would not sleep, because there is something to poll,
    /// `u64::MAX` if never.
    fn doze(&mut self) -> u64 {
        self.flush();
        u64::MAX
    }

    /// Makes `wait` end and `poll` say [`Event::Ready`] with `key` when `fd` is or becomes readable,
    /// until [`Transport::unwatch`]. Edge-triggered: after [`Event::Ready`], read until nothing is
    /// left. `fd` may be closed after [`Transport::unwatch`], not before.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn watch(&mut self, fd: BorrowedFd<'_>, key: u64) -> std::io::Result<()>;

    /// Ends a watch.
    fn unwatch(&mut self, key: u64);

    /// Names and values of everything this transport counts, for status and metrics.
    fn counters(&self, sink: &mut dyn FnMut(&'static str, u64));
}
