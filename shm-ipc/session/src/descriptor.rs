//! What travels in the delivery ring and at the head of each record of a private ring: 56 bytes that
//! say what an item is and, for items with a body, where in the region it lies.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A member of a group: one session of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The node its program runs on.
    pub node: u32,
    /// The session on that node.
    pub session: u32,
    /// The program's process id there.
    pub pid: u32,
}

/// A place in the total order; equal at every node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    /// Sequence number of the ring that numbered the frame.
    pub ring_seq: u64,
    /// That ring's representative.
    pub ring_rep: u32,
    /// The frame's number in that ring.
    pub seq: u64,
    /// The run's place in the frame.
    pub offset: u32,
}

/// What an item of a delivery ring or private ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Body: `count` records of one sender to one group.
    Messages = 1,
    /// Body: one fragment run.
    Fragment = 2,
    /// Body: (part of) a view, see [`crate::view`]; [`Descriptor::MORE`] is set on all parts but the last.
    View = 3,
    /// A join was ordered; `session` is the addressee, `position` the request, `group` the handle.
    Joined = 4,
    /// A request was refused; `session` is the addressee, `position` the request, `count` the reason.
    Refused = 5,
    /// `seq` messages of `session` to `group` were taken but not sent; `count` is the reason.
    NotSent = 6,
    /// Body: a configuration of the ring (node ids, `u32` each); `count` is 0 for a regular one, 1 for a transitional
    /// one, 2 when the groups are agreed in the regular one told before.
    Configuration = 7,
    /// Private ring only: go on in the delivery ring at index `seq`, epoch `ring_seq`.
    Resume = 8,
    /// Private ring only: the session is over; `count` is the cause.
    Evicted = 9,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Messages,
            2 => Self::Fragment,
            3 => Self::View,
            4 => Self::Joined,
            5 => Self::Refused,
            6 => Self::NotSent,
            7 => Self::Configuration,
            8 => Self::Resume,
            9 => Self::Evicted,
            _ => return None,
        })
    }
}

/// One item. Written by the engine only; clients map it read-only.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Descriptor {
    /// Where the body starts in the region; zero in a private ring, where the body follows.
    pub body_offset: U64,
    /// Bytes of the body.
    pub body_bytes: U32,
    /// The group's handle on this node.
    pub group: U32,
    /// The sender's node.
    pub node: U32,
    /// The sender's session, or the addressee's.
    pub session: U32,
    /// The sender's process id.
    pub pid: U32,
    /// Messages in the body, or as the kind says.
    pub count: U16,
    /// See [`Kind`].
    pub kind: u8,
    /// [`Descriptor::SAFE`], [`Descriptor::MORE`].
    pub flags: u8,
    /// [`Order::ring_seq`].
    pub ring_seq: U64,
    /// [`Order::seq`], or as the kind says.
    pub seq: U64,
    /// [`Order::ring_rep`].
    pub ring_rep: U32,
    /// [`Order::offset`], or as the kind says.
    pub position: U32,
}

/// Bytes of a [`Descriptor`].
pub const DESCRIPTOR_BYTES: usize = size_of::<Descriptor>();

impl Descriptor {
    /// Flag: delivered as safe.
    pub const SAFE: u8 = 1;
    /// Flag: more parts of the same view follow.
    pub const MORE: u8 = 2;

    /// A descriptor of `kind` with everything else zero.
    pub fn new(kind: Kind) -> Self {
        Self { kind: kind as u8, ..Self::new_zeroed() }
    }

    /// All fields zero.
    fn new_zeroed() -> Self {
        zerocopy::FromZeros::new_zeroed()
    }

    /// The same, from `member`.
    pub fn from_member(mut self, member: Member) -> Self {
        self.node = member.node.into();
        self.session = member.session.into();
        self.pid = member.pid.into();
        self
    }

    /// The same, at `order`.
    pub fn at(mut self, order: Order) -> Self {
        self.ring_seq = order.ring_seq.into();
        self.ring_rep = order.ring_rep.into();
        self.seq = order.seq.into();
        self.position = order.offset.into();
        self
    }

    /// What it is; `None` for a number this version does not know.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.kind)
    }

    /// Who sent it.
    pub fn member(&self) -> Member {
        Member { node: self.node.get(), session: self.session.get(), pid: self.pid.get() }
    }

    /// Where it stands in the total order.
    pub fn order(&self) -> Order {
        Order {
            ring_seq: self.ring_seq.get(),
            ring_rep: self.ring_rep.get(),
            seq: self.seq.get(),
            offset: self.position.get(),
        }
    }

    /// Whether only the session named in `session` is meant.
    pub fn is_addressed(&self) -> bool {
        matches!(self.kind(), Some(Kind::Joined | Kind::Refused | Kind::NotSent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_keeps_what_it_was_given() {
        let member = Member { node: 3, session: 9, pid: 77 };
        let order = Order { ring_seq: 5, ring_rep: 1, seq: 1 << 40, offset: 64 };
        let item = Descriptor::new(Kind::Messages).from_member(member).at(order);
        let copy = Descriptor::read_from_bytes(item.as_bytes()).unwrap();
        assert_eq!(item.as_bytes().len(), 56);
        assert_eq!(copy.member(), member);
        assert_eq!(copy.order(), order);
        assert_eq!(copy.kind(), Some(Kind::Messages));
        assert_eq!(Descriptor::new_zeroed().kind(), None);
    }
}
