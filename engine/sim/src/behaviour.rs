//! What client processes do: come and go, join and leave, send, and now and then ask for nonsense.

use groups::{Event, GroupHandle, RefusedReason};
use node::Input;
use wire::{NodeId, RingId};

use crate::clients::{Phase, WHOLE_BYTES_MAX, Waiting};
use crate::content::LEN_MIN;
use crate::event::Event as WorldEvent;
use crate::history::{Ask, GroupId, LifeId, Message, MessageId, What};
use crate::world::World;

/// A handle no node gives out.
const NO_HANDLE: GroupHandle = GroupHandle(u32::MAX);

impl World {
    /// One step of the clients of a node, and the next one planned.
    pub(crate) fn clients_step(&mut self, host: usize, life: LifeId) {
        let Some(r) = self.running(host, life) else { return };
        if r.leaving || self.healed {
            return;
        }
        let sessions: Vec<u32> = self
            .running(host, life)
            .map_or_else(Vec::new, |r| r.processes.sessions.iter().map(|s| s.id).collect());
        let room = (sessions.len() as u64) < self.scenario.load.sessions_max;
        if sessions.is_empty() || room && self.client_rng.chance(300_000) {
            let slow = self.client_rng.chance(self.scenario.load.slow_ppm);
            let session = self.open(host, life, slow);
            let group = self.any_group();
            self.join(host, life, session, group);
        } else {
            let session = *self.client_rng.pick(&sessions);
            match self.client_rng.below(100) {
                0..=69 => self.send_batch(host, life, session),
                70..=84 => self.join_another(host, life, session),
                85..=91 => self.leave_one(host, life, session),
                92..=95 => self.ask_nonsense(host, life, session),
                _ => self.close(host, life, session),
            }
        }
        let next = self.now_ns + self.client_rng.around(self.scenario.load.step_ns);
        self.schedule(next, WorldEvent::Clients { host, life });
    }

    fn any_group(&mut self) -> GroupId {
        GroupId(self.client_rng.below(self.scenario.load.groups) as u32)
    }

    fn open(&mut self, host: usize, life: LifeId, slow: bool) -> u32 {
        let Some(r) = self.running(host, life) else { return 0 };
        let session = r.next_session;
        r.next_session += 1;
        r.processes.open(session, slow);
        self.record(life, What::Opened { session });
        // Process ids are used again, unlike sessions.
        let pid = 100 + self.client_rng.below(8) as u32;
        self.control(host, life, Input::Open { session, pid });
        session
    }

    fn close(&mut self, host: usize, life: LifeId, session: u32) {
        let Some(r) = self.running(host, life) else { return };
        r.processes.close(session);
        r.joins.retain(|(s, _), _| *s != session);
        r.leaves.retain(|(s, _)| *s != session);
        self.record(life, What::Closed { session });
        self.control(host, life, Input::Close { session });
    }

    /// All clients of a node end.
    pub(crate) fn close_all(&mut self, host: usize, life: LifeId) {
        let Some(r) = self.running(host, life) else { return };
        let sessions: Vec<u32> = r.processes.sessions.iter().map(|s| s.id).collect();
        for session in sessions {
            self.close(host, life, session);
        }
    }

    fn ask(
        &mut self,
        life: LifeId,
        session: u32,
        group: Option<GroupId>,
        ask: Ask,
        refusal: Option<RefusedReason>,
        host: usize,
    ) -> u32 {
        let Some(r) = self.running(host, life) else { return 0 };
        r.next_request += 1;
        let request = r.next_request;
        self.record(life, What::Asked { session, request, group, ask, refusal });
        request
    }

    fn join(&mut self, host: usize, life: LifeId, session: u32, group: GroupId) {
        let Some(r) = self.running(host, life) else { return };
        let Some(s) = r.processes.get_mut(session) else { return };
        let refusal = match s.groups.get(&group) {
            None => None,
            // Until the leave is ordered it is a member, and when that will be nobody can tell.
            Some(Phase::Leaving) => return,
            Some(_) => Some(RefusedReason::AlreadyMember),
        };
        if refusal.is_none() {
            s.groups.insert(group, Phase::Joining);
        }
        let request = self.ask(life, session, Some(group), Ask::Join, refusal, host);
        if let Some(r) = self.running(host, life)
            && refusal.is_none()
        {
            r.joins.insert((session, request), group);
            r.asked.insert((session, request), group);
        }
        let name = self.history.groups[group.0 as usize].clone();
        self.control(host, life, Input::Join { session, request, name });
    }

    fn join_another(&mut self, host: usize, life: LifeId, session: u32) {
        let group = self.any_group();
        self.join(host, life, session, group);
    }

    fn leave_one(&mut self, host: usize, life: LifeId, session: u32) {
        let Some(r) = self.running(host, life) else { return };
        let Some(s) = r.processes.get_mut(session) else { return };
        let idle = s.member_of().find(|g| !s.has_waiting(*g));
        let Some(group) = idle else { return };
        let Some(Phase::Member(handle)) = s.groups.insert(group, Phase::Leaving) else { return };
        r.leaves.insert((session, group));
        let request = self.ask(life, session, Some(group), Ask::Leave, None, host);
        self.control(host, life, Input::Leave { session, request, group: handle });
    }

    /// Requests that must be refused.
    fn ask_nonsense(&mut self, host: usize, life: LifeId, session: u32) {
        if self.client_rng.chance(500_000) {
            let len = if self.client_rng.chance(500_000) { 0 } else { 129 };
            let refusal = Some(RefusedReason::BadName);
            let request = self.ask(life, session, None, Ask::Join, refusal, host);
            self.control(host, life, Input::Join { session, request, name: vec![b'x'; len] });
        } else {
            let refusal = Some(RefusedReason::NotMember);
            let request = self.ask(life, session, None, Ask::Leave, refusal, host);
            self.control(host, life, Input::Leave { session, request, group: NO_HANDLE });
        }
    }

    fn send_batch(&mut self, host: usize, life: LifeId, session: u32) {
        let load = self.scenario.load;
        let Some(r) = self.running(host, life) else { return };
        let Some(s) = r.processes.get_mut(session) else { return };
        let groups: Vec<GroupId> = s.member_of().collect();
        if groups.is_empty() || s.waiting_bytes() > load.queue_bytes_max as usize {
            return;
        }
        let group = *self.client_rng.pick(&groups);
        let safe = self.client_rng.chance(load.safe_ppm);
        if self.client_rng.chance(load.large_ppm) {
            let len = self.client_rng.between(WHOLE_BYTES_MAX as u64 + 1, load.large_bytes_max);
            self.offer(host, life, session, group, len as u32, safe);
        } else {
            for _ in 0..self.client_rng.between(1, load.batch_max) {
                let len = self.client_rng.between(u64::from(LEN_MIN), load.small_bytes_max);
                self.offer(host, life, session, group, len as u32, safe);
            }
        }
        self.control(host, life, Input::Submitted);
    }

    fn offer(
        &mut self,
        host: usize,
        life: LifeId,
        session: u32,
        group: GroupId,
        len: u32,
        safe: bool,
    ) -> Option<MessageId> {
        let message = MessageId(self.history.messages.len() as u32);
        let r = self.running(host, life)?;
        let s = r.processes.get_mut(session)?;
        let number = s.next_number;
        s.next_number += 1;
        let waiting = Waiting { message, group, len: len as usize, safe };
        r.processes.push(session, waiting);
        self.history.messages.push(Message { life, session, group, number, len, safe });
        Some(message)
    }

    /// The clients of a node react to what they are told.
    pub(crate) fn clients_see(&mut self, host: usize, life: LifeId, event: &Event) {
        let fresh = self.fresh_group();
        let Some(r) = self.running(host, life) else { return };
        match event {
            Event::Joined { session, request, group } => {
                let Some(id) = r.joins.remove(&(*session, *request)) else { return };
                if let Some(s) = r.processes.get_mut(*session) {
                    s.groups.insert(id, Phase::Granted(*group));
                }
            }
            Event::View(view) => {
                let Some(at) = self.history.groups.iter().position(|n| *n == view.name) else {
                    return;
                };
                let (group, node) = (GroupId(at as u32), self.hosts[host].id);
                let Some(r) = self.running(host, life) else { return };
                if group == fresh {
                    r.fresh_view.clone_from(&view.members);
                }
                for member in view.members.iter().filter(|m| m.node == node) {
                    let session = r.processes.get_mut(member.session);
                    let phase = session.and_then(|s| s.groups.get_mut(&group));
                    if let Some(phase @ Phase::Granted(_)) = phase {
                        *phase = Phase::Member(view.group);
                    }
                }
                for (gone, cause) in &view.left {
                    if gone.node == node && *cause == groups::Cause::Leave {
                        r.leaves.remove(&(gone.session, group));
                        if let Some(s) = r.processes.get_mut(gone.session) {
                            s.groups.remove(&group);
                        }
                    }
                }
            }
            Event::Configuration(c) => {
                if c.kind == totem::ConfigurationKind::Regular {
                    r.ring = Some((c.ring, c.members.to_vec()));
                }
            }
            Event::Synced { ring } => r.synced = Some(*ring),
            Event::Messages(_)
            | Event::Refused { .. }
            | Event::NotSent { .. }
            | Event::Quorum(_) => {}
        }
    }

    /// After healing every node gets one more client, whose message has to reach all.
    pub(crate) fn begin_fresh(&mut self, host: usize) {
        let Some(life) = self.life_of(host) else { return };
        if self.running(host, life).is_some_and(|r| r.leaving) {
            return;
        }
        let session = self.open(host, life, false);
        let group = self.fresh_group();
        self.join(host, life, session, group);
    }

    /// Sends a fresh message from every node once all are in one view of the fresh group and one ring,
    /// and again should the ring change.
    pub(crate) fn send_fresh(&mut self, ring: RingId) {
        let live = self.fellows();
        let nodes: Vec<NodeId> = live.iter().map(|h| self.hosts[*h].id).collect();
        let ready = live.iter().filter_map(|h| self.hosts[*h].running.as_ref()).all(|r| {
            r.synced == Some(ring)
                && nodes.iter().all(|n| r.fresh_view.iter().any(|m| m.node == *n))
        });
        if !ready || self.fresh_ring == Some(ring) {
            return;
        }
        self.fresh_ring = Some(ring);
        let group = self.fresh_group();
        for host in live {
            let (Some(life), node) = (self.life_of(host), self.hosts[host].id) else { continue };
            let safe = self.client_rng.chance(500_000);
            let Some(r) = self.running(host, life) else { continue };
            let Some(own) = r.fresh_view.iter().find(|m| m.node == node) else { continue };
            let session = own.session;
            let sent = self.offer(host, life, session, group, 100, safe);
            if let Some(r) = self.running(host, life) {
                r.fresh = sent;
            }
            self.control(host, life, Input::Submitted);
        }
    }
}
