//! What goes into the server and what comes out.

use frame::Frame;

use crate::descriptor::{Member, Order};
use crate::hello::Cause;
use crate::view::View;

/// What clients want from the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A client connected.
    Open {
        /// Its session from now on.
        session: u32,
        /// Its process.
        pid: u32,
        /// Its user.
        uid: u32,
        /// Its primary group.
        gid: u32,
    },
    /// It wants to join a group.
    Join {
        /// Who.
        session: u32,
        /// Its number for this request; give it back in [`Delivery::Joined`] or [`Delivery::Refused`].
        request: u32,
        /// The group's name as the client wrote it, of any length up to 508 bytes: check it.
        name: Vec<u8>,
    },
    /// It wants to leave a group. Everything it had submitted before was pulled before.
    Leave {
        /// Who.
        session: u32,
        /// Its number for this request.
        request: u32,
        /// Which group.
        group: u32,
    },
    /// It is gone; everything it had submitted in good order was pulled before.
    Closed {
        /// Who.
        session: u32,
        /// Its process.
        pid: u32,
        /// Why.
        cause: Cause,
    },
}

/// One run that [`super::Server::pull`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Who sends.
    pub session: u32,
    /// To which group.
    pub group: u32,
    /// Whether it is a fragment run (see [`crate::layout::FragmentHeader`]) and not whole records.
    pub fragment: bool,
    /// Whether safe delivery is asked for.
    pub safe: bool,
    /// Messages in it; 1 for a fragment.
    pub count: u16,
    /// Bytes written, a multiple of [`crate::layout::ALIGN`].
    pub bytes: usize,
}

/// A run of messages in its place of the total order.
#[derive(Debug)]
pub struct Messages {
    /// The group's handle on this node.
    pub group: u32,
    /// Who sent it.
    pub sender: Member,
    /// Whether `body` is fragments, with [`crate::layout::FRAGMENT_GAP_BYTES`] between them, and not whole records.
    pub fragment: bool,
    /// Whether it was delivered as safe.
    pub safe: bool,
    /// Messages, or fragments, in it.
    pub count: u16,
    /// Its place.
    pub order: Order,
    /// The run's body; kept until every reader has passed it.
    pub body: Frame,
}

/// Something to tell clients. Calls must come in the total order.
#[derive(Debug)]
pub enum Delivery<'a> {
    /// Messages for the local members of a group.
    Messages(Messages),
    /// A view for the local members of a group.
    View {
        /// The group's handle.
        group: u32,
        /// Its place.
        order: Order,
        /// What it says. Local members that left with it are members no more afterwards.
        view: View<'a>,
    },
    /// A join was ordered; the view that shows it comes next.
    Joined {
        /// Who asked.
        session: u32,
        /// Its number for the request.
        request: u32,
        /// The group's handle from now on.
        group: u32,
    },
    /// A request was refused.
    Refused {
        /// Who asked.
        session: u32,
        /// Its number for the request.
        request: u32,
        /// Why; the numbers are the engine's, the client library knows them.
        reason: u8,
    },
    /// Messages that were pulled will not be ordered after all.
    NotSent {
        /// Whose.
        session: u32,
        /// The group they were for.
        group: u32,
        /// How many.
        count: u64,
        /// Why; numbered like the reasons of `Refused`.
        reason: u8,
    },
    /// A configuration of the ring itself, for everybody.
    Configuration {
        /// Transitional or regular.
        transitional: bool,
        /// Whether it was told before, and now the groups are agreed in it.
        synced: bool,
        /// Its place; `seq` and `offset` are zero.
        order: Order,
        /// Nodes in it.
        nodes: &'a [u32],
    },
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions opened.
    pub opened: u64,
    /// Sessions that ended.
    pub closed: u64,
    /// Sessions ended by the engine.
    pub evicted: u64,
    /// Of these, because of what they wrote.
    pub evicted_protocol: u64,
    /// Of these, because their backlog outgrew its bound.
    pub evicted_backlog: u64,
    /// Of these, because they held messages while memory was short.
    pub evicted_lease: u64,
    /// Runs pulled from submit rings.
    pub runs_pulled: u64,
    /// Messages pulled (a fragmented one counts once per fragment).
    pub messages_pulled: u64,
    /// Bytes pulled.
    pub bytes_pulled: u64,
    /// Messages refused because their sender was not a member.
    pub not_sent: u64,
    /// Descriptors put into the delivery ring.
    pub descriptors: u64,
    /// Items copied into private rings.
    pub copied_items: u64,
    /// Bytes copied into private rings.
    pub copied_bytes: u64,
    /// Readers taken off the delivery ring because they lagged.
    pub spilled: u64,
    /// Readers put onto the delivery ring.
    pub resumed: u64,
    /// Bells rung.
    pub bells: u64,
}

impl Counters {
    /// Names and values, for status and metrics.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("opened", self.opened),
            ("closed", self.closed),
            ("evicted", self.evicted),
            ("evicted_protocol", self.evicted_protocol),
            ("evicted_backlog", self.evicted_backlog),
            ("evicted_lease", self.evicted_lease),
            ("runs_pulled", self.runs_pulled),
            ("messages_pulled", self.messages_pulled),
            ("bytes_pulled", self.bytes_pulled),
            ("not_sent", self.not_sent),
            ("descriptors", self.descriptors),
            ("copied_items", self.copied_items),
            ("copied_bytes", self.copied_bytes),
            ("spilled", self.spilled),
            ("resumed", self.resumed),
            ("bells", self.bells),
        ]
        .into_iter()
    }
}

/// One session, for status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// Its number.
    pub session: u32,
    /// Its process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Groups it is a member of.
    pub groups: usize,
    /// Whether it may map the shared memory.
    pub shared: bool,
    /// Whether it reads from the delivery ring now.
    pub on_delivery_ring: bool,
    /// Bytes waiting for it in memory of the engine.
    pub backlog_bytes: usize,
    /// Bytes it has submitted that were not pulled yet.
    pub submitted_bytes: usize,
    /// Whether it was told to go.
    pub evicted: bool,
}
