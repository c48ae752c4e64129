//! Control messages of the group layer: the bodies of [`RunKind::Control`](crate::run::RunKind)
//! runs.
//!
//! A run carries one message: a [`ControlHeader`], `bytes` bytes of content, zero padding to a
//! multiple of 8. `Join`, `Leave` and `ProcessDown` say what a session of the frame's origin does;
//! `State` is one piece of what a node has to say at a sync barrier: its boot number and the
//! sessions it has in each group. `Cfg` is about the configuration, see [`crate::cfg`].
//! sessions it has in each group. `Quorum` is about votes, see [`crate::quorum`].

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::cfg::{CFG_BYTES_MAX, Cfg};
use crate::quorum::{QUORUM_BYTES_MAX, Quorum};
use crate::run::ALIGN;
use crate::{NodeId, RingId, WireError};

/// Most bytes of a group's name. Corosync's `CPG_MAX_NAME_LENGTH`.
pub const NAME_BYTES_MAX: usize = 128;

/// Bytes that hold a state with one entry of the longest name and one session.
const STATE_BYTES_MIN: usize = (CONTROL_HEADER_BYTES
    + size_of::<StateHeader>()
    + size_of::<EntryHeader>()
    + NAME_BYTES_MAX
    + size_of::<SessionEntry>())
.next_multiple_of(ALIGN);

/// Bytes that hold any one message: the longest is about a quorum device's names.
pub const CONTROL_BYTES_MIN: usize =
    (CONTROL_HEADER_BYTES + QUORUM_BYTES_MAX).next_multiple_of(ALIGN);
const _: () = assert!(STATE_BYTES_MIN <= CONTROL_BYTES_MIN);
const _: () = assert!(CFG_BYTES_MAX <= QUORUM_BYTES_MAX);

/// Header of a control message, 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ControlHeader {
    /// 1 join, 2 leave, 3 process down, 4 state, 5 quorum, 6 configuration.
    pub kind: u8,
    /// Bit 0, in a state: the last piece. Other bits are zero.
    pub flags: u8,
    /// Zero.
    pub reserved: U16,
    /// Bytes of the content, without padding.
    pub bytes: U32,
}

/// Bytes of a [`ControlHeader`].
pub const CONTROL_HEADER_BYTES: usize = size_of::<ControlHeader>();

const JOIN: u8 = 1;
const LEAVE: u8 = 2;
const PROCESS_DOWN: u8 = 3;
const STATE: u8 = 4;
const CFG: u8 = 6;
const QUORUM: u8 = 5;
const STATE_FINAL: u8 = 1;

/// One session of the frame's origin, 8 bytes: the content of a process-down and the head of the
/// content of a join and a leave, where the group's name follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SessionEntry {
    /// The session.
    pub session: U32,
    /// Its process.
    pub pid: U32,
}

/// Head of a state's content, 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StateHeader {
    /// The ring whose barrier this is for: its sequence number.
    pub ring_seq: U64,
    /// Its representative.
    pub ring_rep: U32,
    /// Number of this piece, from zero.
    pub part: U32,
    /// A number drawn at every start of the origin.
    pub boot: U64,
}

/// Head of one group in a state: `name_bytes` bytes of name and `sessions` session entries follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EntryHeader {
    /// Bytes of the name.
    pub name_bytes: U16,
    /// How many sessions.
    pub sessions: U16,
}

/// A checked control message.
#[derive(Clone, Copy, Debug)]
pub enum Control<'a> {
    /// A session joins a group.
    Join {
        /// The session.
        session: u32,
        /// Its process.
        pid: u32,
        /// The group.
        name: &'a [u8],
    },
    /// A session leaves a group.
    Leave {
        /// The session.
        session: u32,
        /// Its process.
        pid: u32,
        /// The group.
        name: &'a [u8],
    },
    /// A session is gone from all its groups.
    ProcessDown {
        /// The session.
        session: u32,
        /// Its process.
        pid: u32,
    },
    /// A piece of a node's state.
    State(State<'a>),
    /// Something about the configuration.
    Cfg(Cfg<'a>),
    /// Something about votes.
    Quorum(Quorum<'a>),
}

/// A piece of what a node says at a sync barrier. Its entries were checked when it was parsed.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// The ring whose barrier this is for.
    pub ring: RingId,
    /// Number of this piece, from zero.
    pub part: u32,
    /// A number drawn at every start of the origin.
    pub boot: u64,
    /// Whether this is the last piece.
    pub last: bool,
    entries: &'a [u8],
}

/// One group in a state.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The group's name, 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: &'a [u8],
    /// Sessions of the origin that are members.
    pub sessions: &'a [SessionEntry],
}

impl<'a> State<'a> {
    /// The groups this piece speaks of. A large group may be spread over several entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut rest = self.entries;
        core::iter::from_fn(move || {
            let (entry, after) = parse_entry(rest).ok()?;
            rest = after;
            Some(entry)
        })
    }
}

const WHAT: &str = "control";

fn bad(field: &'static str, found: u64) -> WireError {
    WireError::BadField { what: WHAT, field, found }
}

fn prefix<T>(bytes: &[u8]) -> Result<(&T, &[u8]), WireError>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    let found = bytes.len();
    T::ref_from_prefix(bytes).map_err(|_| WireError::Truncated {
        what: WHAT,
        needed: size_of::<T>(),
        found,
    })
}

fn check_name(name: &[u8]) -> Result<&[u8], WireError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(bad("name length", name.len() as u64));
    }
    Ok(name)
}

fn parse_entry(bytes: &[u8]) -> Result<(Entry<'_>, &[u8]), WireError> {
    let (head, rest) = prefix::<EntryHeader>(bytes)?;
    let name_bytes = usize::from(head.name_bytes.get());
    let (name, rest) = rest.split_at_checked(name_bytes).ok_or(WireError::Truncated {
        what: WHAT,
        needed: name_bytes,
        found: rest.len(),
    })?;
    let sessions = usize::from(head.sessions.get());
    let (sessions, rest) = <[SessionEntry]>::ref_from_prefix_with_elems(rest, sessions)
        .map_err(|_| bad("sessions", sessions as u64))?;
    Ok((Entry { name: check_name(name)?, sessions }, rest))
}

fn parse_state(content: &[u8], flags: u8) -> Result<State<'_>, WireError> {
    let (head, entries) = prefix::<StateHeader>(content)?;
    let mut rest = entries;
    while !rest.is_empty() {
        (_, rest) = parse_entry(rest)?;
    }
    Ok(State {
        ring: RingId { seq: head.ring_seq.get(), rep: NodeId(head.ring_rep.get()) },
        part: head.part.get(),
        boot: head.boot.get(),
        last: flags & STATE_FINAL != 0,
        entries,
    })
}

/// Checks the body of a control run and says what it is.
///
/// # Errors When a length does not agree with the bytes there are, or a field has a value that no
/// sender writes.
pub fn parse(body: &[u8]) -> Result<Control<'_>, WireError> {
    let (head, rest) = prefix::<ControlHeader>(body)?;
    let bytes = head.bytes.get() as usize;
    if bytes > rest.len() || rest.len() - bytes >= ALIGN {
        return Err(bad("bytes", bytes as u64));
    }
    let content = &rest[..bytes];
    let flags = if head.kind == STATE { STATE_FINAL } else { 0 };
    if head.flags & !flags != 0 {
        return Err(bad("flags", head.flags.into()));
    }
    if head.reserved.get() != 0 {
        return Err(bad("reserved", head.reserved.get().into()));
    }
    if head.kind == STATE {
        return Ok(Control::State(parse_state(content, head.flags)?));
    }
    if head.kind == CFG {
        return Ok(Control::Cfg(Cfg::parse(content)?));
    }
    if head.kind == QUORUM {
        return Ok(Control::Quorum(Quorum::parse(content)?));
    }
    let (who, name) = prefix::<SessionEntry>(content)?;
    let (session, pid) = (who.session.get(), who.pid.get());
    match head.kind {
        JOIN => Ok(Control::Join { session, pid, name: check_name(name)? }),
        LEAVE => Ok(Control::Leave { session, pid, name: check_name(name)? }),
        PROCESS_DOWN if name.is_empty() => Ok(Control::ProcessDown { session, pid }),
        PROCESS_DOWN => Err(bad("bytes", bytes as u64)),
        other => Err(bad("kind", other.into())),
    }
}

/// Writes a join; returns the body's length, `None` if `buf` is too short or the name is not 1 to
/// [`NAME_BYTES_MAX`] bytes long.
pub fn write_join(buf: &mut [u8], session: u32, pid: u32, name: &[u8]) -> Option<usize> {
    check_name(name).ok()?;
    write_session(buf, JOIN, session, pid, name)
}

/// Writes a leave; returns as [`write_join`].
pub fn write_leave(buf: &mut [u8], session: u32, pid: u32, name: &[u8]) -> Option<usize> {
    check_name(name).ok()?;
    write_session(buf, LEAVE, session, pid, name)
}

/// Writes a process-down; returns the body's length, `None` if `buf` is too short.
pub fn write_process_down(buf: &mut [u8], session: u32, pid: u32) -> Option<usize> {
    write_session(buf, PROCESS_DOWN, session, pid, &[])
}

/// Writes a message about the configuration; returns the body's length, `None` if `buf` is too short
/// or a text too long.
pub fn write_cfg(buf: &mut [u8], message: &Cfg<'_>) -> Option<usize> {
    let bytes = message.emit(buf.get_mut(CONTROL_HEADER_BYTES..)?)?;
    let end = (CONTROL_HEADER_BYTES + bytes).next_multiple_of(ALIGN);
    buf.get_mut(CONTROL_HEADER_BYTES + bytes..end)?.fill(0);
    buf[..CONTROL_HEADER_BYTES].copy_from_slice(header(CFG, 0, bytes).as_bytes());
    Some(end)
}

/// Writes a quorum message; returns the body's length, `None` if `buf` is too short or a name is too
/// long.
pub fn write_quorum(buf: &mut [u8], message: &Quorum<'_>) -> Option<usize> {
    let bytes = message.emit(buf.get_mut(CONTROL_HEADER_BYTES..)?)?;
    let end = (CONTROL_HEADER_BYTES + bytes).next_multiple_of(ALIGN);
    buf.get_mut(CONTROL_HEADER_BYTES + bytes..end)?.fill(0);
    buf[..CONTROL_HEADER_BYTES].copy_from_slice(header(QUORUM, 0, bytes).as_bytes());
    Some(end)
}

fn write_session(buf: &mut [u8], kind: u8, session: u32, pid: u32, name: &[u8]) -> Option<usize> {
    let who = SessionEntry { session: session.into(), pid: pid.into() };
    let bytes = size_of::<SessionEntry>() + name.len();
    let end = (CONTROL_HEADER_BYTES + bytes).next_multiple_of(ALIGN);
    let buf = buf.get_mut(..end)?;
    buf.fill(0);
    let (head, content) = buf.split_at_mut(CONTROL_HEADER_BYTES);
    head.copy_from_slice(header(kind, 0, bytes).as_bytes());
    let (to, rest) = content.split_at_mut(size_of::<SessionEntry>());
    to.copy_from_slice(who.as_bytes());
    rest[..name.len()].copy_from_slice(name);
    Some(end)
}

fn header(kind: u8, flags: u8, bytes: usize) -> ControlHeader {
    ControlHeader { kind, flags, reserved: 0.into(), bytes: (bytes as u32).into() }
}

/// Writes one piece of a state into a buffer, entry by entry.
pub struct StateWriter<'a> {
    buf: &'a mut [u8],
    at: usize,
    entry_at: usize,
    sessions: u16,
}

impl<'a> StateWriter<'a> {
    /// Starts a piece; `None` if `buf` is too short for one entry of the longest name.
    pub fn new(buf: &'a mut [u8], ring: RingId, part: u32, boot: u64) -> Option<Self> {
        if buf.len() < STATE_BYTES_MIN {
            return None;
        }
        let head = StateHeader {
            ring_seq: ring.seq.into(),
            ring_rep: ring.rep.0.into(),
            part: part.into(),
            boot: boot.into(),
        };
        let at = CONTROL_HEADER_BYTES + size_of::<StateHeader>();
        buf[CONTROL_HEADER_BYTES..at].copy_from_slice(head.as_bytes());
        // The padding must fit too, so nothing is written past the last whole multiple.
        let whole = buf.len() / ALIGN * ALIGN;
        Some(Self { buf: &mut buf[..whole], at, entry_at: at, sessions: 0 })
    }

    /// Starts a group, if it and one session still fit and its name has a valid length.
    pub fn group(&mut self, name: &[u8]) -> bool {
        let head = size_of::<EntryHeader>();
        let needed = head + name.len() + size_of::<SessionEntry>();
        if check_name(name).is_err() || self.buf.len() - self.at < needed {
            return false;
        }
        let entry = EntryHeader { name_bytes: (name.len() as u16).into(), sessions: 0.into() };
        self.entry_at = self.at;
        self.sessions = 0;
        self.buf[self.at..self.at + head].copy_from_slice(entry.as_bytes());
        self.at += head;
        self.buf[self.at..self.at + name.len()].copy_from_slice(name);
        self.at += name.len();
        true
    }

    /// Adds a session to the group started last, if it fits.
    pub fn session(&mut self, session: u32, pid: u32) -> bool {
        let end = self.at + size_of::<SessionEntry>();
        if end > self.buf.len() || self.sessions == u16::MAX {
            return false;
        }
        let entry = SessionEntry { session: session.into(), pid: pid.into() };
        self.buf[self.at..end].copy_from_slice(entry.as_bytes());
        self.at = end;
        self.sessions += 1;
        let at = self.entry_at + 2;
        self.buf[at..at + 2].copy_from_slice(&self.sessions.to_le_bytes());
        true
    }

    /// Ends the piece and returns the body's length.
    pub fn finish(self, last: bool) -> usize {
        let bytes = self.at - CONTROL_HEADER_BYTES;
        let flags = if last { STATE_FINAL } else { 0 };
        self.buf[..CONTROL_HEADER_BYTES].copy_from_slice(header(STATE, flags, bytes).as_bytes());
        let end = self.at.next_multiple_of(ALIGN);
        self.buf[self.at..end].fill(0);
        end
    }
}
