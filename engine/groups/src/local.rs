//! Local sessions and what they asked for.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;

use wire::control::{self, NAME_BYTES_MAX};

use crate::RefusedReason;

/// How far a session's membership of a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Asked for, not ordered yet.
    Joining { request: u32 },
    /// Ordered, but messages that began before have to end first.
    Waiting,
    /// In the group.
    Joined,
    /// Asked to leave, not ordered yet.
    Leaving,
}

/// A control message that waits for the ring.
#[derive(Debug)]
pub(crate) enum Request {
    Join { session: u32, pid: u32, name: Rc<[u8]> },
    Leave { session: u32, pid: u32, name: Rc<[u8]> },
    ProcessDown { session: u32, pid: u32 },
}

impl Request {
    fn session(&self) -> u32 {
        match *self {
            Self::Join { session, .. }
            | Self::Leave { session, .. }
            | Self::ProcessDown { session, .. } => session,
        }
    }

    /// Writes the message into `buf`; `None` if it is too short.
    pub(crate) fn write(&self, buf: &mut [u8]) -> Option<usize> {
        match self {
            Self::Join { session, pid, name } => control::write_join(buf, *session, *pid, name),
            Self::Leave { session, pid, name } => control::write_leave(buf, *session, *pid, name),
            Self::ProcessDown { session, pid } => control::write_process_down(buf, *session, *pid),
        }
    }
}

/// An open session.
#[derive(Debug)]
struct Session {
    pid: u32,
    groups: Vec<(Rc<[u8]>, Phase)>,
}

/// The open sessions and the queue of their requests, which is bounded: a session has at most a
/// join and a leave per membership and one process-down, and both sessions and memberships have
/// limits.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<u32, Session>,
    /// Memberships of open sessions, in any phase.
    memberships: u32,
    pub(crate) requests: VecDeque<Request>,
}

impl Sessions {
    pub(crate) fn len(&self) -> u32 {
        self.open.len() as u32
    }

    pub(crate) fn is_open(&self, session: u32) -> bool {
        self.open.contains_key(&session)
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    pub(crate) fn open(&mut self, session: u32, pid: u32) {
        self.open.entry(session).or_insert(Session { pid, groups: Vec::new() });
    }

    /// Forgets a session; its requests that wait are withdrawn, and if others may know it as a
    /// member a process-down is queued.
    pub(crate) fn close(&mut self, session: u32) {
        let Some(gone) = self.open.remove(&session) else { return };
        self.memberships -= gone.groups.len() as u32;
        let mut withdrawn = 0;
        self.requests.retain(|request| {
            let keep = request.session() != session;
            withdrawn += usize::from(!keep && matches!(request, Request::Join { .. }));
            keep
        });
        if gone.groups.len() > withdrawn {
            self.requests.push_back(Request::ProcessDown { session, pid: gone.pid });
        }
    }

    pub(crate) fn join(
        &mut self,
        session: u32,
        request: u32,
        name: &[u8],
        memberships_max: u32,
    ) -> Result<(), RefusedReason> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(RefusedReason::BadName);
        }
        // A session that is not open here was not let in for want of room.
        let entry = self.open.get_mut(&session).ok_or(RefusedReason::TooMany)?;
        if entry.groups.iter().any(|(n, _)| **n == *name) {
            return Err(RefusedReason::AlreadyMember);
        }
        if self.memberships >= memberships_max {
            return Err(RefusedReason::TooMany);
        }
        let name: Rc<[u8]> = name.into();
        entry.groups.push((name.clone(), Phase::Joining { request }));
        self.memberships += 1;
        self.requests.push_back(Request::Join { session, pid: entry.pid, name });
        Ok(())
    }

    pub(crate) fn leave(&mut self, session: u32, name: &[u8]) -> Result<(), RefusedReason> {
        let entry = self.open.get_mut(&session).ok_or(RefusedReason::NotMember)?;
        let membership = entry.groups.iter_mut().find(|(n, _)| **n == *name);
        let Some((name, phase @ Phase::Joined)) = membership else {
            return Err(RefusedReason::NotMember);
        };
        *phase = Phase::Leaving;
        let request = Request::Leave { session, pid: entry.pid, name: name.clone() };
        self.requests.push_back(request);
        Ok(())
    }

    /// Writes the request that waits longest, which waits no longer then; `None` if there is none or
    /// `buf` is too short.
    pub(crate) fn write(&mut self, buf: &mut [u8]) -> Option<usize> {
        let bytes = self.requests.front()?.write(buf)?;
        self.requests.pop_front();
        Some(bytes)
    }

    /// The session's join was ordered: its request's number, if it is still open and waits for it.
    pub(crate) fn ordered(&mut self, session: u32, name: &[u8]) -> Option<u32> {
        let phase = self.phase(session, name)?;
        let Phase::Joining { request } = *phase else { return None };
        *phase = Phase::Waiting;
        Some(request)
    }

    /// The session is a member from here on; `false` if it was closed meanwhile.
    pub(crate) fn admitted(&mut self, session: u32, name: &[u8]) -> bool {
        match self.phase(session, name) {
            Some(phase @ Phase::Waiting) => {
                *phase = Phase::Joined;
                true
            }
            _ => false,
        }
    }

    fn phase(&mut self, session: u32, name: &[u8]) -> Option<&mut Phase> {
        let groups = &mut self.open.get_mut(&session)?.groups;
        groups.iter_mut().find(|(n, _)| **n == *name).map(|(_, phase)| phase)
    }

    /// The session is not in the group any more.
    pub(crate) fn left(&mut self, session: u32, name: &[u8]) {
        let Some(entry) = self.open.get_mut(&session) else { return };
        let before = entry.groups.len();
        entry.groups.retain(|(n, _)| **n != *name);
        self.memberships -= (before - entry.groups.len()) as u32;
    }
}
