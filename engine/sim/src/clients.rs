//! The client processes of one node: what they want to send, and how it is handed over.

use std::collections::{BTreeMap, VecDeque};

use groups::{Clients, GroupHandle, Messages, Pulled, PulledKind};
use wire::run::{ALIGN, FRAGMENT_HEADER_BYTES, RECORD_HEADER_BYTES, begin_fragment};

use crate::content;
use crate::history::{GroupId, MessageId};

/// Longest message that goes out in one piece. It fits an empty frame of any size the scenarios draw.
pub(crate) const WHOLE_BYTES_MAX: usize = 1000;

/// Shortest rest of a frame that a fragment is put into.
const FRAGMENT_ROOM_BYTES_MIN: usize = FRAGMENT_HEADER_BYTES + 64;

/// How far a membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Asked for.
    Joining,
    /// Granted; no view has shown it yet.
    Granted(GroupHandle),
    /// A view shows it.
    Member(GroupHandle),
    /// Asked to end.
    Leaving,
}

/// A message that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Which.
    pub(crate) message: MessageId,
    /// To which group.
    pub(crate) group: GroupId,
    /// Bytes.
    pub(crate) len: usize,
    /// Whether safe delivery is asked for.
    pub(crate) safe: bool,
}

/// One client process.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number on the node.
    pub(crate) id: u32,
    /// Its memberships.
    pub(crate) groups: BTreeMap<GroupId, Phase>,
    /// Messages to send, in order.
    pub(crate) queue: VecDeque<Waiting>,
    /// Bytes of the first message that were taken already.
    taken: usize,
    /// Number of its next message.
    pub(crate) next_number: u64,
    /// Whether it reads late.
    pub(crate) slow: bool,
}

impl Session {
    fn handle(&self, group: GroupId) -> Option<GroupHandle> {
        match self.groups.get(&group) {
            Some(Phase::Member(handle)) => Some(*handle),
            _ => None,
        }
    }

    /// Groups it may send to.
    pub(crate) fn member_of(&self) -> impl Iterator<Item = GroupId> + '_ {
        let member = |(g, p): (&GroupId, &Phase)| matches!(p, Phase::Member(_)).then_some(*g);
        self.groups.iter().filter_map(member)
    }

    /// Whether it has something for this group.
    pub(crate) fn has_waiting(&self, group: GroupId) -> bool {
        self.queue.iter().any(|w| w.group == group)
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.queue.iter().map(|w| w.len).sum::<usize>()
    }
}

/// All client processes of a node, as [`groups::Clients`].
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// Those that live, in order of their numbers.
    pub(crate) sessions: Vec<Session>,
    turn: usize,
    pending_bytes: u64,
    /// Messages whose last byte was taken since this was last emptied.
    pub(crate) sent: Vec<MessageId>,
    /// Whether messages are taken as they are delivered, and not only as events.
    at_once: bool,
    /// What was taken so since this was last emptied.
    pub(crate) delivered: Vec<Messages>,
}

impl Processes {
    /// Nobody yet, on a node that gives messages to its processes at once (as the daemon does) or as events.
    pub(crate) fn new(at_once: bool) -> Self {
        Self { at_once, ..Self::default() }
    }

    /// The process with this number.
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|s| s.id == id)
    }

    /// A new process.
    pub(crate) fn open(&mut self, id: u32, slow: bool) {
        self.sessions.push(Session {
            id,
            groups: BTreeMap::new(),
            queue: VecDeque::new(),
            taken: 0,
            next_number: 0,
            slow,
        });
    }

    /// A process is gone, with what it had not handed over.
    pub(crate) fn close(&mut self, id: u32) {
        let Some(at) = self.sessions.iter().position(|s| s.id == id) else { return };
        let gone = self.sessions.remove(at);
        let bytes: u64 = gone.queue.iter().map(|w| w.len as u64).sum();
        self.pending_bytes -= bytes - gone.taken as u64;
    }

    /// A process has one more message to send.
    pub(crate) fn push(&mut self, id: u32, waiting: Waiting) {
        if let Some(session) = self.get_mut(id) {
            session.queue.push_back(waiting);
            self.pending_bytes += waiting.len as u64;
        }
    }

    /// Whole messages of one session to one group, as many as fit.
    fn whole(&mut self, at: usize, buf: &mut [u8]) -> Option<Pulled> {
        let session = &mut self.sessions[at];
        let first = *session.queue.front()?;
        let group = session.handle(first.group)?;
        let (mut bytes, mut count) = (0, 0u16);
        while let Some(next) = session.queue.front().copied() {
            let same = next.group == first.group && next.safe == first.safe;
            let record = (RECORD_HEADER_BYTES + next.len).next_multiple_of(ALIGN);
            if !same || next.len > WHOLE_BYTES_MAX || bytes + record > buf.len() {
                break;
            }
            let record = &mut buf[bytes..bytes + record];
            record.fill(0);
            record[..4].copy_from_slice(&(next.len as u32).to_le_bytes());
            let body = RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + next.len;
            content::fill(next.message, 0, &mut record[body]);
            bytes += record.len();
            count += 1;
            session.queue.pop_front();
            self.pending_bytes -= next.len as u64;
            self.sent.push(next.message);
        }
        let kind = PulledKind::Messages;
        (count != 0).then_some(Pulled {
            session: session.id,
            group,
            kind,
            count,
            bytes,
            safe: first.safe,
        })
    }

    /// The next piece of a large message.
    fn fragment(&mut self, at: usize, buf: &mut [u8]) -> Option<Pulled> {
        if buf.len() < FRAGMENT_ROOM_BYTES_MIN {
            return None;
        }
        let session = &mut self.sessions[at];
        let first = *session.queue.front()?;
        let group = session.handle(first.group)?;
        let piece = begin_fragment(buf, first.len as u64, session.taken as u64)?;
        content::fill(first.message, session.taken, piece);
        let len = piece.len();
        let bytes = FRAGMENT_HEADER_BYTES + len.next_multiple_of(ALIGN);
        session.taken += len;
        self.pending_bytes -= len as u64;
        if session.taken == first.len {
            session.taken = 0;
            session.queue.pop_front();
            self.sent.push(first.message);
        }
        let (session, kind) = (session.id, PulledKind::Fragment);
        Some(Pulled { session, group, kind, count: 1, bytes, safe: first.safe })
    }
}

impl Clients for Processes {
    fn deliver(&mut self, messages: Messages) -> Option<Messages> {
        if !self.at_once {
            return Some(messages);
        }
        self.delivered.push(messages);
        None
    }

    fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    fn restart(&mut self) {
        for session in &mut self.sessions {
            self.pending_bytes += session.taken as u64;
            session.taken = 0;
        }
    }

    fn pull(&mut self, buf: &mut [u8]) -> Option<Pulled> {
        for step in 0..self.sessions.len() {
            let at = (self.turn + step) % self.sessions.len();
            let Some(first) = self.sessions[at].queue.front() else { continue };
            let large = first.len > WHOLE_BYTES_MAX;
            let pulled = if large { self.fragment(at, buf) } else { self.whole(at, buf) };
            if pulled.is_some() {
                self.turn = at + 1;
                return pulled;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes() -> Processes {
        let mut p = Processes::default();
        p.open(9, false);
        let session = p.get_mut(9).expect("it was opened");
        session.groups.insert(GroupId(0), Phase::Member(GroupHandle(3)));
        p
    }

    fn waiting(number: u32, len: usize) -> Waiting {
        Waiting { message: MessageId(number), group: GroupId(0), len, safe: false }
    }

    #[test]
    fn small_messages_share_a_run() {
        let mut p = processes();
        p.push(9, waiting(1, 10));
        p.push(9, waiting(2, 20));
        assert_eq!(p.pending_bytes(), 30);
        let mut buf = [0; 200];
        let pulled = p.pull(&mut buf).expect("two messages wait");
        assert_eq!((pulled.count, pulled.bytes, pulled.group), (2, 24 + 32, GroupHandle(3)));
        assert_eq!(p.sent, [MessageId(1), MessageId(2)]);
        assert_eq!(p.pending_bytes(), 0);
        assert!(p.pull(&mut buf).is_none());
    }

    #[test]
    fn large_messages_go_in_pieces_and_start_again_on_a_new_ring() {
        let mut p = processes();
        p.push(9, waiting(1, 2000));
        let mut buf = [0; 1224];
        assert_eq!(p.pull(&mut buf).map(|p| p.kind), Some(PulledKind::Fragment));
        assert_eq!(p.pending_bytes(), 800);
        p.restart();
        assert_eq!(p.pending_bytes(), 2000);
        assert!(p.pull(&mut buf).is_some());
        assert!(p.sent.is_empty());
        assert!(p.pull(&mut buf).is_some());
        assert_eq!((p.pending_bytes(), p.sent.len()), (0, 1));
    }
}
