//! Taking frames out of the total order.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;

use totem::Delivered;
use wire::control::{self, Control, State};
use wire::run::{
    ALIGN, FRAGMENT_HEADER_BYTES, FragmentHeader, RUN_HEADER_BYTES, Run, RunKind, runs,
};
use wire::trace::{Code, Level, Trace};
use wire::{MemberId, NodeId};
use zerocopy::FromBytes;

use crate::barrier::{Agreed, Barrier};
use crate::config::MEMBERSHIPS_PER_NODE_MAX;
use crate::open::Followed;
use crate::table::{Group, Removed, Waiting};
use crate::{Cause, Event, GroupHandle, Groups, Messages, RefusedReason, View};

/// Members that came or went with one change.
type Changes = Vec<(MemberId, Cause)>;

impl Groups {
    /// A frame in its place of the total order. What its bytes claim is checked; what does not hold
    /// is counted and dropped, at every node alike.
    pub fn deliver(&mut self, now_ns: u64, delivered: Delivered) {
        self.deliver_to(now_ns, &delivered, &mut Some);
    }

    /// As [`Groups::deliver`]. What no event waits before is given to `show` first: what it gives back becomes an
    /// event.
    pub(crate) fn deliver_to(
        &mut self,
        now_ns: u64,
        delivered: &Delivered,
        show: &mut impl FnMut(Messages) -> Option<Messages>,
    ) {
        self.counters.frames_delivered += 1;
        if self.ring != Some(delivered.ring) {
            self.counters.peer_out_of_place += 1;
            return;
        }
        for run in runs(&delivered.payload) {
            let Ok(run) = run else {
                self.counters.peer_malformed += 1;
                return;
            };
            match run.kind {
                RunKind::Messages | RunKind::Fragment => self.deliver_run(delivered, &run, show),
                RunKind::Control => {
                    self.view_offset = run.body_offset as u32;
                    self.deliver_control(now_ns, delivered, run.body);
                }
            }
        }
    }

    #[inline]
    fn deliver_run(
        &mut self,
        delivered: &Delivered,
        run: &Run<'_>,
        show: &mut impl FnMut(Messages) -> Option<Messages>,
    ) {
        if self.barrier.is_some() {
            self.counters.peer_out_of_place += 1;
            return;
        }
        if run.kind == RunKind::Messages && self.open.is_empty() {
            return self.show_run(delivered, run, show);
        }
        let Followed { fits, ended } = self.follow(delivered.origin, run);
        if fits {
            self.show_run(delivered, run, show);
        }
        // Hardly ever does anybody wait.
        let waits = |group: &Group| !group.waiting.is_empty();
        if let Some(number) = ended.filter(|number| self.table.get(*number).is_some_and(waits)) {
            self.view_offset = (run.body_offset + run.body.len()) as u32;
            self.admit(delivered, number, Vec::new());
        }
    }

    /// What a run means for the messages that are open. Every node comes to the same answer, also where the
    /// group has no member.
    fn follow(&mut self, origin: NodeId, run: &Run<'_>) -> Followed {
        let (counters, session) = (&mut self.counters, run.session);
        if run.kind == RunKind::Messages {
            // A correct engine finishes a session's message first.
            return Followed { fits: true, ended: self.open.abandon(origin, session) };
        }
        let refused = Followed { fits: false, ended: None };
        let Some(group) = self.table.get(run.group) else {
            counters.peer_unknown_group += 1;
            return refused;
        };
        if group.member(origin, session).is_none() {
            counters.peer_not_member += 1;
            return refused;
        }
        let Some(header) = fragment_header(run).filter(|_| run.count != 0) else {
            counters.peer_malformed += 1;
            return refused;
        };
        let followed = self.open.fragment(origin, session, run.group, header);
        counters.peer_stray_fragments += u64::from(!followed.fits);
        followed
    }

    /// Gives a run to the local members of its group, if there are any.
    #[inline]
    fn show_run(
        &mut self,
        delivered: &Delivered,
        run: &Run<'_>,
        show: &mut impl FnMut(Messages) -> Option<Messages>,
    ) {
        let counters = &mut self.counters;
        let Some(group) = self.table.get(run.group) else {
            counters.peer_unknown_group += 1;
            return;
        };
        let Some(handle) = group.handle else {
            counters.runs_foreign += 1;
            return;
        };
        let Some(sender) = group.member(delivered.origin, run.session) else {
            counters.peer_not_member += 1;
            return;
        };
        if run.count == 0 {
            counters.peer_malformed += 1;
            return;
        }
        counters.runs_delivered += 1;
        counters.messages_delivered += u64::from(run.count);
        let (offset, end) = (run.body_offset as u32, run.body_offset + run.body.len());
        // Most messages that do not fit a frame end where the next one begins: one item for both.
        if run.kind == RunKind::Fragment
            && let Some(Event::Messages(last)) = self.events.back_mut()
            && last.is_continued_by(delivered, run, handle, &sender)
        {
            last.body = delivered.payload.slice(last.offset as usize..end);
            last.count += run.count;
            return;
        }
        let messages = Messages {
            group: handle,
            sender,
            kind: run.kind,
            count: run.count,
            safe: run.safe,
            ring: delivered.ring,
            seq: delivered.seq,
            offset,
            body: delivered.payload.slice(run.body_offset..end),
        };
        // A fragment waits for what may follow it in its frame.
        let at_once = run.kind == RunKind::Messages && self.events.is_empty();
        let left = if at_once { show(messages) } else { Some(messages) };
        self.events.extend(left.map(Event::Messages));
    }

    fn deliver_control(&mut self, now_ns: u64, at: &Delivered, body: &[u8]) {
        let Ok(message) = control::parse(body) else {
            self.counters.peer_malformed += 1;
            return;
        };
        let in_barrier = self.barrier.is_some();
        let origin = at.origin;
        match message {
            Control::State(state) if in_barrier => self.deliver_state(now_ns, at, &state),
            Control::Quorum(message) => {
                if !self.quorum.deliver(now_ns, origin, &message) {
                    self.counters.peer_out_of_place += 1;
                }
                self.collect_quorum();
                self.try_end_barrier(now_ns, at);
            }
            Control::Join { session, pid, name } if !in_barrier => {
                self.deliver_join(at, MemberId { node: origin, session, pid }, name);
            }
            Control::Leave { session, name, .. } if !in_barrier => {
                let number = self.table.number_of_name(name);
                let changed = number.is_some_and(|n| self.depart(at, n, session, Cause::Leave));
                self.counters.peer_void += u64::from(!changed);
            }
            Control::ProcessDown { session, .. } if !in_barrier => {
                // None are left when its last leave was on the way as it died.
                for number in self.table.groups_of(origin, session) {
                    self.depart(at, number, session, Cause::ProcessDown);
                }
            }
            Control::Cfg(message) if !in_barrier => self.deliver_cfg(at, &message),
            _ => self.counters.peer_out_of_place += 1,
        }
    }

    fn deliver_join(&mut self, at: &Delivered, member: MemberId, name: &[u8]) {
        let MemberId { node, session, .. } = member;
        let local = node == self.config.me;
        let added = if self.table.memberships(node) < MEMBERSHIPS_PER_NODE_MAX {
            let since = self.open.stamp();
            self.table.add(name, Waiting { member, since })
        } else {
            None
        };
        let request = if local { self.sessions.ordered(session, name) } else { None };
        let Some(number) = added else {
            self.counters.peer_void += 1;
            if let Some(request) = request {
                self.sessions.left(session, name);
                self.refuse(session, request, RefusedReason::TooMany);
            }
            return;
        };
        // Without a request the session was closed meanwhile: its process-down is on the way.
        if let Some(request) = request
            && let Some(group) = self.table.give_handle(number)
        {
            if let Some(group) = self.table.get_mut(number) {
                group.add_local(session);
            }
            self.events.push_back(Event::Joined { session, request, group });
        }
        self.admit(at, number, Vec::new());
        let waits = self.table.get(number).is_some_and(|group| !group.waiting.is_empty());
        self.counters.joins_waited += u64::from(waits);
    }

    /// Makes members of those whose wait is over, and shows them together with those who left at this place: one
    /// place of the order makes one view of a group.
    fn admit(&mut self, at: &Delivered, number: u32, left: Changes) {
        let oldest = self.oldest_in(number);
        let Some(group) = self.table.get_mut(number) else { return };
        let admitted = group.admit(oldest);
        for member in admitted.iter().filter(|m| m.node == self.config.me) {
            if self.sessions.admitted(member.session, &group.name) {
                group.set_sending(member.session, true);
            }
        }
        if !(admitted.is_empty() && left.is_empty()) {
            let joined = admitted.into_iter().map(|member| (member, Cause::Join)).collect();
            self.push_view(at, number, joined, left);
        }
    }

    /// When the oldest message began that joins of a group may have to wait for.
    fn oldest_in(&self, number: u32) -> Option<u64> {
        #[cfg(feature = "mutations")]
        if self.mutation == Some(totem::Mutation::JoinAtOnce) {
            return None;
        }
        self.open.oldest_in(number)
    }

    /// Takes a member out of a group and shows it; `false` if it was not in it.
    fn depart(&mut self, at: &Delivered, number: u32, session: u32, cause: Cause) -> bool {
        let Some(removed) = self.table.remove(number, at.origin, session) else { return false };
        if let Removed::Member(member) = removed {
            // What it had begun never ends; joins that waited for it wait no more.
            self.open.leave(at.origin, session, number);
            self.admit(at, number, [(member, cause)].into());
        }
        if at.origin == self.config.me
            && let Some(group) = self.table.get_mut(number)
        {
            group.local.retain(|local| local.session != session);
            self.sessions.left(session, &group.name);
        }
        self.table.tidy(number);
        true
    }

    fn deliver_state(&mut self, now_ns: u64, at: &Delivered, state: &State<'_>) {
        let Some(barrier) = &mut self.barrier else { return };
        if !barrier.accept(at.origin, state) {
            self.counters.peer_out_of_place += 1;
            return;
        }
        self.try_end_barrier(now_ns, at);
    }

    /// Ends the barrier at this point of the total order if nobody has anything left to say.
    fn try_end_barrier(&mut self, now_ns: u64, at: &Delivered) {
        let complete = |barrier: &Barrier| barrier.is_complete();
        if !self.quorum.is_complete() || !self.barrier.as_ref().is_some_and(complete) {
            return;
        }
        if let Some(barrier) = self.barrier.take() {
            let took_us = now_ns.saturating_sub(barrier.started_ns) / 1000;
            let members = self.end_barrier(now_ns, at, barrier.into_agreed());
            let groups = self.table.len() as u64;
            let args = [at.ring.seq, members, groups, took_us];
            self.traces.push_back(Trace::new(Level::Info, Code::Synced, &args));
        }
    }

    /// Replaces the table by what all members said: groups are numbered by name, and each that has
    /// a local member and changed is shown once. Returns the number of nodes.
    fn end_barrier(&mut self, now_ns: u64, at: &Delivered, agreed: Agreed) -> u64 {
        let Agreed { mut groups, boots } = agreed;
        let old_boots = core::mem::take(&mut self.boots);
        // A node that missed a part of the order, or is another boot, lost what it had: it is shown
        // as gone and come, even when its sessions look the same.
        let together: BTreeSet<NodeId> = self
            .together
            .iter()
            .copied()
            .filter(|n| old_boots.get(n).is_none_or(|old| boots.get(n) == Some(old)))
            .collect();
        let mut old_groups = self.table.take_all();
        let names: BTreeSet<Rc<[u8]>> = old_groups.keys().chain(groups.keys()).cloned().collect();
        let mut changed: BTreeMap<u32, (Changes, Changes)> = BTreeMap::new();
        for name in names {
            let mut group = old_groups.remove(&name).unwrap_or_else(|| Group::new(name.clone()));
            let members = groups.remove(&name).unwrap_or_default();
            let left = missing(&group.members, &members, &together, |_| Cause::NodeDown);
            // Of nodes that stayed with us only those are new whose joins waited: nothing is open any more.
            let joined = missing(&members, &group.members, &together, |m| {
                if together.contains(&m.node) { Cause::Join } else { Cause::NodeUp }
            });
            group.members = members;
            for Waiting { member, .. } in core::mem::take(&mut group.waiting) {
                let local = member.node == self.config.me;
                if local && self.sessions.admitted(member.session, &name) {
                    group.set_sending(member.session, true);
                }
            }
            if group.members.is_empty() {
                continue;
            }
            let number = self.table.rebuild(group);
            if !(joined.is_empty() && left.is_empty()) {
                changed.insert(number, (joined, left));
            }
        }
        for (number, (joined, left)) in changed {
            self.push_view(at, number, joined, left);
        }
        self.together = boots.keys().copied().collect();
        self.boots = boots;
        self.boots_ring = at.ring.seq;
        self.counters.barriers += 1;
        self.wake = true;
        let stayed: Vec<NodeId> = together.into_iter().collect();
        self.quorum.end(now_ns, &stayed);
        self.collect_quorum();
        self.events.push_back(Event::Synced { ring: at.ring });
        self.boots.len() as u64
    }

    /// Tells the local members of a group, if there are any, what it looks like now.
    fn push_view(&mut self, at: &Delivered, number: u32, joined: Changes, left: Changes) {
        let Some(group) = self.table.get(number) else { return };
        let Some(handle) = group.handle else { return };
        self.counters.views += 1;
        self.events.push_back(Event::View(Box::new(View {
            group: handle,
            name: group.name.to_vec(),
            ring: at.ring,
            seq: at.seq,
            offset: self.view_offset,
            members: group.members_by_pid(),
            joined,
            left,
        })));
    }
}

impl Messages {
    /// Whether a fragment follows these fragments in the same frame, from the same sender to the same group.
    fn is_continued_by(
        &self,
        at: &Delivered,
        run: &Run<'_>,
        group: GroupHandle,
        sender: &MemberId,
    ) -> bool {
        let end = self.offset as usize + self.body.len();
        self.kind == RunKind::Fragment
            && (self.seq, self.ring) == (at.seq, at.ring)
            && end + RUN_HEADER_BYTES == run.body_offset
            && (self.group, self.safe) == (group, run.safe)
            && self.sender == *sender
            && self.count.checked_add(run.count).is_some()
    }
}

/// Those of `these` that are not among `others` or whose node did not stay with us. Both are sorted
/// by node and session.
fn missing(
    these: &[MemberId],
    others: &[MemberId],
    together: &BTreeSet<NodeId>,
    cause: impl Fn(&MemberId) -> Cause,
) -> Changes {
    let gone = |m: &&MemberId| !together.contains(&m.node) || others.binary_search(m).is_err();
    let mut changes: Changes = these.iter().filter(gone).map(|m| (*m, cause(m))).collect();
    changes.sort_unstable_by_key(|(m, _)| (m.node, m.pid, m.session));
    changes
}

/// A fragment's header, if it agrees with its body, which has nothing more in it, and with itself.
fn fragment_header<'b>(run: &Run<'b>) -> Option<&'b FragmentHeader> {
    let (header, piece) = FragmentHeader::ref_from_prefix(run.body).ok()?;
    debug_assert_eq!(run.body.len() - piece.len(), FRAGMENT_HEADER_BYTES);
    let len = u64::from(header.len.get());
    let end = header.offset.get().checked_add(len)?;
    let fills = len.next_multiple_of(ALIGN as u64) == piece.len() as u64;
    (fills && end <= header.total.get()).then_some(header)
}
