//! The replicated table: which groups there are, who is in them, which number each has on the wire.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use wire::{MemberId, NodeId};

use crate::GroupHandle;

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Rc<[u8]>,
    /// Sorted by node, session.
    pub(crate) members: Vec<MemberId>,
    /// Set while a local session is a member.
    pub(crate) handle: Option<GroupHandle>,
    /// The local members, sorted by session.
    pub(crate) local: Vec<Local>,
    /// Place of the member that sent last: most often the one that sends next.
    pub(crate) recent: Cell<usize>,
}

/// A local member of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) session: u32,
    /// Cleared when it asked to leave or is closed: nothing of it is sent from then on.
    pub(crate) sending: bool,
}

impl Group {
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

    pub(crate) fn stop_sending(&mut self, session: u32) {
        if let Ok(at) = self.local.binary_search_by_key(&session, |l| l.session) {
            self.local[at].sending = false;
        }
    }

    /// Makes `session` a local member that may send.
    pub(crate) fn add_local(&mut self, session: u32) {
        if let Err(at) = self.local.binary_search_by_key(&session, |l| l.session) {
            self.local.insert(at, Local { session, sending: true });
        }
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

    /// Memberships of a node.
    pub(crate) fn memberships(&self, node: NodeId) -> u32 {
        self.memberships.get(&node).copied().unwrap_or(0)
    }

    /// Adds a member, making the group if need be. `None` if it was one already.
    pub(crate) fn add(&mut self, name: &[u8], member: MemberId) -> Option<u32> {
        let number = match self.number_of_name(name) {
            Some(number) => number,
            None => self.insert(Group {
                name: name.into(),
                members: Vec::new(),
                handle: None,
                local: Vec::new(),
                recent: Cell::new(0),
            }),
        };
        let group = self.get_mut(number)?;
        let at = group.position(member.node, member.session).err()?;
        group.members.insert(at, member);
        *self.memberships.entry(member.node).or_insert(0) += 1;
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

    /// Takes a member out of a group; `None` if it was not in it. The caller then calls
    /// [`Table::tidy`].
    pub(crate) fn remove(&mut self, number: u32, node: NodeId, session: u32) -> Option<MemberId> {
        let group = self.get_mut(number)?;
        let at = group.position(node, session).ok()?;
        let member = group.members.remove(at);
        if let Some(count) = self.memberships.get_mut(&node) {
            *count = count.saturating_sub(1);
        }
        Some(member)
    }

    /// Gives a group a handle if it has none; `None` when handles are used up.
    pub(crate) fn give_handle(&mut self, number: u32) -> Option<GroupHandle> {
        if let Some(handle) = self.get(number)?.handle {
            return Some(handle);
        }
        let handle = GroupHandle(self.next_handle);
        self.next_handle = self.next_handle.checked_add(1)?;
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

    /// Numbers of the groups that this session of this node is in.
    pub(crate) fn groups_of(&self, node: NodeId, session: u32) -> Vec<u32> {
        let numbered = self.slots.iter().enumerate();
        numbered
            .filter(|(_, g)| g.as_ref().is_some_and(|g| g.member(node, session).is_some()))
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
