//! The sync barrier: after every new ring each member says which of its sessions are in which
//! groups, and nothing else is sent until everybody's last piece was delivered. That point of the
//! total order ends the barrier, at every member alike.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

use wire::control::{State, StateWriter};
use wire::{MemberId, NodeId, RingId};

use crate::config::MEMBERSHIPS_PER_NODE_MAX;
use crate::table::Table;

/// What one member has said so far.
#[derive(Debug, Default)]
struct Origin {
    boot: u64,
    parts: u32,
    memberships: u32,
    last: bool,
}

/// Where the next piece of our own state starts.
#[derive(Debug, Default)]
struct Cursor {
    part: u32,
    /// First group of the next piece.
    name: Vec<u8>,
    /// Our sessions of that group that were in earlier pieces.
    skip: usize,
}

/// A barrier that has not ended.
#[derive(Debug)]
pub(crate) struct Barrier {
    pub(crate) ring: RingId,
    pub(crate) started_ns: u64,
    origins: BTreeMap<NodeId, Origin>,
    groups: BTreeMap<Rc<[u8]>, Vec<MemberId>>,
    /// Gone once our last piece is in a frame.
    cursor: Option<Cursor>,
}

/// What all members said together.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) groups: BTreeMap<Rc<[u8]>, Vec<MemberId>>,
    pub(crate) boots: BTreeMap<NodeId, u64>,
}

impl Barrier {
    pub(crate) fn new(ring: RingId, members: &[NodeId], now_ns: u64) -> Self {
        Self {
            ring,
            started_ns: now_ns,
            origins: members.iter().map(|&node| (node, Origin::default())).collect(),
            groups: BTreeMap::new(),
            cursor: Some(Cursor::default()),
        }
    }

    /// Whether a piece of our state has still to be sent.
    pub(crate) fn must_send(&self) -> bool {
        self.cursor.is_some()
    }

    /// Writes the next piece of our state into `buf`; `None` if there is none or `buf` is too
    /// short. The table does not change while a barrier stands, so the cursor stays good.
    pub(crate) fn write_part(
        &mut self,
        buf: &mut [u8],
        table: &Table,
        me: NodeId,
        boot: u64,
    ) -> Option<usize> {
        let cursor = self.cursor.as_mut()?;
        let mut writer = StateWriter::new(buf, self.ring, cursor.part, boot)?;
        let mut skip = core::mem::take(&mut cursor.skip);
        for (_, group) in table.by_name_from(&cursor.name) {
            let mine = group.sessions_of(me).skip(skip);
            let written = write_group(&mut writer, &group.name, mine);
            if let Err(sessions) = written {
                cursor.name.clear();
                cursor.name.extend_from_slice(&group.name);
                cursor.skip = skip + sessions;
                cursor.part += 1;
                return Some(writer.finish(false));
            }
            skip = 0;
        }
        self.cursor = None;
        Some(writer.finish(true))
    }

    /// Takes a member's piece in. `false` if it is out of place.
    pub(crate) fn accept(&mut self, node: NodeId, state: &State<'_>) -> bool {
        let Some(origin) = self.origins.get_mut(&node) else { return false };
        let fits = state.ring == self.ring
            && !origin.last
            && state.part == origin.parts
            && (state.part == 0 || state.boot == origin.boot);
        if !fits {
            return false;
        }
        origin.boot = state.boot;
        origin.parts += 1;
        origin.last = state.last;
        for entry in state.entries() {
            if entry.sessions.is_empty() {
                continue;
            }
            let members = match self.groups.get_mut(entry.name) {
                Some(members) => members,
                None => self.groups.entry(entry.name.into()).or_default(),
            };
            for session in entry.sessions {
                // Every node counts the same pieces in the same order, so all stop at the same one.
                if origin.memberships == MEMBERSHIPS_PER_NODE_MAX {
                    break;
                }
                origin.memberships += 1;
                let (session, pid) = (session.session.get(), session.pid.get());
                members.push(MemberId { node, session, pid });
            }
        }
        true
    }

    /// Whether every member's last piece is here.
    pub(crate) fn is_complete(&self) -> bool {
        self.origins.values().all(|origin| origin.last)
    }

    pub(crate) fn into_agreed(mut self) -> Agreed {
        for members in self.groups.values_mut() {
            members.sort_unstable_by_key(|m| (m.node, m.session, m.pid));
            members.dedup_by_key(|m| (m.node, m.session));
        }
        self.groups.retain(|_, members| !members.is_empty());
        let boots = self.origins.iter().map(|(&node, origin)| (node, origin.boot)).collect();
        Agreed { groups: self.groups, boots }
    }
}

/// Writes a group's entry; the error says how many sessions were written before the buffer was
/// full.
fn write_group<'m>(
    writer: &mut StateWriter<'_>,
    name: &[u8],
    members: impl Iterator<Item = &'m MemberId>,
) -> Result<(), usize> {
    for (written, member) in members.enumerate() {
        if written == 0 && !writer.group(name) {
            return Err(0);
        }
        if !writer.session(member.session, member.pid) {
            return Err(written);
        }
    }
    Ok(())
}
