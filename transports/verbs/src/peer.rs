//! A peer, its connections and how far they have come.

use crate::cm::Id;
use crate::hello::Purpose;
use crate::objects::AddressHandle;
use crate::sends::SendQueue;

/// First and longest pause between attempts to connect.
pub(crate) const RETRY_NS_MIN: u64 = 20_000_000;
pub(crate) const RETRY_NS_MAX: u64 = 500_000_000;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// None; the lower node asks at this time.
    Idle { try_at_ns: u64 },
    /// The peer's address is being resolved.
    Resolving,
    /// The way to it is.
    Routing,
    /// It was asked.
    Asking,
    /// It asked us, and we accepted.
    Accepting,
    /// It carries messages.
    Up,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) state: State,
    pub(crate) id: Option<Id>,
    pub(crate) queue: Option<SendQueue>,
    /// When the present state began.
    pub(crate) since_ns: u64,
    pub(crate) retry_ns: u64,
}

impl Connection {
    fn new() -> Self {
        let state = State::Idle { try_at_ns: 0 };
        Self { state, id: None, queue: None, since_ns: 0, retry_ns: RETRY_NS_MIN }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(crate) fn set(&mut self, state: State, now_ns: u64) {
        (self.state, self.since_ns) = (state, now_ns);
    }
}

/// One peer.
pub(crate) struct Peer {
    /// For tokens and for data.
    pub(crate) connections: [Connection; 2],
    /// Where its datagrams go, and the number of its queue pair.
    pub(crate) datagrams: Option<(AddressHandle, u32)>,
    /// The last thing heard is that nobody is there.
    pub(crate) gone: bool,
    /// No way to it was found since our port was down.
    pub(crate) unrouted: bool,
    pub(crate) knock: Knock,
}

/// Our asking a lower node to connect to us.
pub(crate) enum Knock {
    /// To be made at this time.
    Due { at_ns: u64 },
    /// Under way since.
    Made { id: Id, since_ns: u64 },
    /// Made.
    Done,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let connections = [Connection::new(), Connection::new()];
        let knock = Knock::Due { at_ns: 0 };
        Self { connections, datagrams: None, gone: false, unrouted: false, knock }
    }
}

/// Place of a purpose's connection.
pub(crate) fn lane(purpose: Purpose) -> Option<usize> {
    match purpose {
        Purpose::Token => Some(0),
        Purpose::Data => Some(1),
        Purpose::Knock => None,
    }
}
