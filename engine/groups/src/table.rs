//! The replicated table: which groups there are, who is in them, which number each has on the wire.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use wire::{MemberId, NodeId};

use crate::GroupHandle;

/// Handles that there are: as many as the tag of a record in a submit ring has room for. Far more than groups, so
/// that one that was given up is not given to another group before everybody has forgotten it.
const HANDLES: u32 = 1 << 28;

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Rc<[u8]>,
    /// Sorted by node, session.
    pub(crate) members: Vec<MemberId>,
    /// Set while a local session is a member or waits to be.
    pub(crate) handle: Option<GroupHandle>,
    /// The local members and those who wait to be, sorted by session.
    pub(crate) local: Vec<Local>,
    /// Place of the member that sent last: most often the one that sends next.
    pub(crate) recent: Cell<usize>,
    /// Joins that were ordered and wait for messages that had begun, in their order. There are none
    /// in a group without members: only members have messages under way.
    pub(crate) waiting: Vec<Waiting>,
}

/// A join that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) member: MemberId,
    /// When it was ordered, on the scale of `OpenMessages::stamp`.
    pub(crate) since: u64,
}

/// Who was taken out of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    Member(MemberId),
    /// Nobody has seen it as a member.
    Waiting,
}

/// A local member of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) session: u32,
    /// Set when it becomes a member. Cleared when it asked to leave or is closed: nothing of it is sent
    /// from then on.
    pub(crate) sending: bool,
}

impl Group {
    /// A group of this name with nobody in it.
    pub(crate) fn new(name: Rc<[u8]>) -> Self {
        Self {
            name,
            members: Vec::new(),
            handle: None,
            local: Vec::new(),
            recent: Cell::new(0),
            waiting: Vec::new(),
        }
    }

    /// The member with this session of this node.
    #[inline]
    pub(crate) fn member(&self, node: NodeId, session: u32) -> Option<MemberId> {
        let recent = self.members.get(self.recent.get());
        if let Some(member) = recent.filter(|m| (m.node, m.session) == (node, session)) {
            return Some(*member);
        }
        let at = self.position(node, session).ok()?;
        self.recent.set(at);
        Some(self.members[at])
    }

    fn position(&self, node: NodeId, session: u32) -> Result<usize, usize> {
        self.members.binary_search_by_key(&(node, session), |m| (m.node, m.session))
    }

    /// The members as views show them: sorted by node, pid, session.
    pub(crate) fn members_by_pid(&self) -> Vec<MemberId> {
        let mut members = self.members.clone();
        members.sort_unstable_by_key(|m| (m.node, m.pid, m.session));
        members
    }

    #[inline]
    pub(crate) fn may_send(&self, session: u32) -> bool {
        let at = self.local.binary_search_by_key(&session, |l| l.session);
        at.is_ok_and(|at| self.local[at].sending)
    }

    pub(crate) fn set_sending(&mut self, session: u32, sending: bool) {
        if let Ok(at) = self.local.binary_search_by_key(&session, |l| l.session) {
            self.local[at].sending = sending;
        }
    }

    /// `session` of this node gets what the group gets from here on; it may not send yet.
    pub(crate) fn add_local(&mut self, session: u32) {
        if let Err(at) = self.local.binary_search_by_key(&session, |l| l.session) {
            self.local.insert(at, Local { session, sending: false });
        }
    }

    /// Makes somebody a member; `false` if it was one.
    fn insert(&mut self, member: MemberId) -> bool {
        let at = self.position(member.node, member.session);
        at.inspect_err(|at| self.members.insert(*at, member)).is_err()
    }

    fn waiting_at(&self, node: NodeId, session: u32) -> Option<usize> {
        self.waiting.iter().position(|w| (w.member.node, w.member.session) == (node, session))
    }

    /// Whether a session of a node is a member or waits to be.
    fn has(&self, node: NodeId, session: u32) -> bool {
        self.position(node, session).is_ok() || self.waiting_at(node, session).is_some()
    }

    /// Sessions of a node that are members or wait to be, in an order that stays while nothing changes.
    pub(crate) fn sessions_of(&self, node: NodeId) -> impl Iterator<Item = &MemberId> {
        let waiting = self.waiting.iter().map(|w| &w.member);
        self.members.iter().chain(waiting).filter(move |m| m.node == node)
    }

    /// Makes those members whose wait is over because nothing older than them is open any more: all
    /// that were ordered before the message that is now the oldest began.
    pub(crate) fn admit(&mut self, oldest: Option<u64>) -> Vec<MemberId> {
        let over = self.waiting.partition_point(|w| oldest.is_none_or(|begun| w.since < begun));
        let admitted: Vec<MemberId> = self.waiting.drain(..over).map(|w| w.member).collect();
        for member in &admitted {
            self.insert(*member);
        }
        admitted
    }
}

/// All groups. A group's place in `slots` is its number on the wire: the lowest free one when its
/// first member joins, and by name after a barrier. A number may be given to another group of the
/// same ring: no run with the old meaning can still come, because a sender stops sending before the
/// leave that ends its membership is numbered.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Option<Group>>,
    free: BTreeSet<u32>,
    by_name: BTreeMap<Rc<[u8]>, u32>,
    by_handle: BTreeMap<GroupHandle, u32>,
    memberships: BTreeMap<NodeId, u32>,
    next_handle: u32,
}

impl Table {
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Group> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    #[inline]
    pub(crate) fn number_of(&self, handle: GroupHandle) -> Option<u32> {
        self.by_handle.get(&handle).copied()
    }

    pub(crate) fn number_of_name(&self, name: &[u8]) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The groups whose name is `from` or later, by name.
    pub(crate) fn by_name_from<'a>(
        &'a self,
        from: &[u8],
    ) -> impl Iterator<Item = (u32, &'a Group)> + use<'a> {
        use core::ops::Bound::{Included, Unbounded};
        self.by_name
            .range::<[u8], _>((Included(from), Unbounded))
            .filter_map(|(_, &number)| Some((number, self.get(number)?)))
    }

    /// Memberships of a node, those included that wait.
    pub(crate) fn memberships(&self, node: NodeId) -> u32 {
        self.memberships.get(&node).copied().unwrap_or(0)
    }

    /// Adds a join that waits, making the group if need be; [`Group::admit`] makes it a member. `None` if it
    /// is one or waits already.
    pub(crate) fn add(&mut self, name: &[u8], waiting: Waiting) -> Option<u32> {
        let number = match self.number_of_name(name) {
            Some(number) => number,
            None => self.insert(Group::new(name.into())),
        };
        let MemberId { node, session, .. } = waiting.member;
        let group = self.get_mut(number).filter(|group| !group.has(node, session))?;
        group.waiting.push(waiting);
        *self.memberships.entry(node).or_insert(0) += 1;
        Some(number)
    }

    fn insert(&mut self, group: Group) -> u32 {
        let number = self.free.pop_first().unwrap_or(self.slots.len() as u32);
        self.by_name.insert(group.name.clone(), number);
        if let Some(handle) = group.handle {
            self.by_handle.insert(handle, number);
        }
        match self.slots.get_mut(number as usize) {
            Some(slot) => *slot = Some(group),
            None => self.slots.push(Some(group)),
        }
        number
    }

    /// Takes a member, or one that waits to be, out of a group; `None` if it was not in it. The
    /// caller then calls [`Table::tidy`].
    pub(crate) fn remove(&mut self, number: u32, node: NodeId, session: u32) -> Option<Removed> {
        let group = self.get_mut(number)?;
        let removed = match group.position(node, session) {
            Ok(at) => Removed::Member(group.members.remove(at)),
            Err(_) => {
                group.waiting.remove(group.waiting_at(node, session)?);
                Removed::Waiting
            }
        };
        if let Some(count) = self.memberships.get_mut(&node) {
            *count = count.saturating_sub(1);
        }
        Some(removed)
    }

    /// Gives a group a handle if it has none; `None` when there is no such group.
    pub(crate) fn give_handle(&mut self, number: u32) -> Option<GroupHandle> {
        if let Some(handle) = self.get(number)?.handle {
            return Some(handle);
        }
        let mut handle = GroupHandle(self.next_handle);
        while self.by_handle.contains_key(&handle) {
            handle.0 = (handle.0 + 1) % HANDLES;
        }
        self.next_handle = (handle.0 + 1) % HANDLES;
        self.get_mut(number)?.handle = Some(handle);
        self.by_handle.insert(handle, number);
        Some(handle)
    }

    /// Takes away the handle of a group without local members, and the group if it has no members.
    pub(crate) fn tidy(&mut self, number: u32) {
        let Some(group) = self.get_mut(number) else { return };
        if group.local.is_empty()
            && let Some(handle) = group.handle.take()
        {
            self.by_handle.remove(&handle);
        }
        let Some(group) = self.get(number) else { return };
        if group.members.is_empty() {
            let name = group.name.clone();
            self.by_name.remove(&name);
            self.slots[number as usize] = None;
            self.free.insert(number);
        }
    }

    /// Numbers of the groups that this session of this node is in or waits for.
    pub(crate) fn groups_of(&self, node: NodeId, session: u32) -> Vec<u32> {
        let numbered = self.slots.iter().enumerate();
        numbered
            .filter(|(_, g)| g.as_ref().is_some_and(|g| g.has(node, session)))
            .map(|(number, _)| number as u32)
            .collect()
    }

    /// Takes all groups out, by name, for a rebuild with [`Table::rebuild`].
    pub(crate) fn take_all(&mut self) -> BTreeMap<Rc<[u8]>, Group> {
        self.by_name.clear();
        self.by_handle.clear();
        self.free.clear();
        self.memberships.clear();
        self.slots.drain(..).flatten().map(|g| (g.name.clone(), g)).collect()
    }

    /// Appends a group with members; called in the order of names after [`Table::take_all`].
    pub(crate) fn rebuild(&mut self, group: Group) -> u32 {
        for member in &group.members {
            *self.memberships.entry(member.node).or_insert(0) += 1;
        }
        self.insert(group)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(table: &mut Table, name: &[u8]) -> GroupHandle {
        let member = MemberId { node: NodeId(1), session: 1, pid: 1 };
        let number = table.add(name, Waiting { member, since: 0 }).unwrap();
        table.give_handle(number).unwrap()
    }

    /// A program that joins new groups without end must not use the handles up for all.
    #[test]
    fn handles_start_again_when_all_were_given() {
        let mut table = Table { next_handle: HANDLES - 1, ..Table::default() };
        assert_eq!(join(&mut table, b"last"), GroupHandle(HANDLES - 1));
        assert_eq!(join(&mut table, b"first"), GroupHandle(0));
        table.next_handle = HANDLES - 1;
        assert_eq!(join(&mut table, b"next"), GroupHandle(1), "two are in use");
    }
}
