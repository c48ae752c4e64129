//! How sessions end.

use super::session::Life;
use super::{Request, Server};
use crate::descriptor::{Descriptor, Kind};
use crate::hello::Cause;
use crate::link::Departure;

impl Server {
    /// Ends a session of this number for a reason of the engine's own; an unknown number is ignored.
    pub fn evict(&mut self, session: u32, cause: Cause) {
        if let Some(&place) = self.by_id.get(&session) {
            self.doom(place, cause);
            self.evict_doomed();
        }
    }

    /// Remembers to evict: tables may be in use right now.
    pub(super) fn doom(&mut self, place: usize, cause: Cause) {
        self.set_ready(place, 0);
        let Some(session) = self.sessions[place].as_mut() else { return };
        if !std::mem::replace(&mut session.doomed, true) {
            self.doomed.push((place, cause));
        }
    }

    pub(super) fn evict_doomed(&mut self) {
        while let Some((place, cause)) = self.doomed.pop() {
            self.evict_now(place, cause);
        }
    }

    fn evict_now(&mut self, place: usize, cause: Cause) {
        let Some(session) = self.sessions[place].as_ref() else { return };
        if session.is_evicted() {
            return;
        }
        let (id, pid, life) = (session.id, session.pid, session.life);
        let (reader, shared) = (session.seat.reader, session.shared);
        self.counters.evicted += 1;
        match cause {
            Cause::Protocol => self.counters.evicted_protocol += 1,
            Cause::Backlog => self.counters.evicted_backlog += 1,
            Cause::Lease => self.counters.evicted_lease += 1,
            _ => {}
        }
        self.set_ready(place, 0);
        if let Life::Draining(_) = life {
            // Nobody is there any more who could read: no farewell, nothing to keep.
            self.requests.push_back(Request::Closed { session: id, pid, cause });
            return self.finish(place, cause);
        }
        if let Some(reader) = reader {
            // What it may be reading stays; a cursor that makes no sense names nothing worth keeping.
            let held = self.ring.evict(reader, cause as u64);
            if let Ok(held) = held
                && shared
            {
                self.pin(place, held);
            }
        }
        let until_ns = self.now_ns.saturating_add(self.config.eviction_grace_ns);
        self.detach(place);
        let Some(session) = self.sessions[place].as_mut() else { return };
        session.life = Life::Evicted { cause, until_ns };
        let mut farewell = Descriptor::new(Kind::Evicted);
        farewell.count = (cause as u16).into();
        // If the ring is full or broken it learns the reason on its socket.
        let _ = session.seat.push(&farewell, &[]);
        session.touched = true;
        session.news = true;
        self.attention = true;
        self.requests.push_back(Request::Closed { session: id, pid, cause });
        self.link.depart(Departure::Evicted { session: id, cause });
    }

    /// The session's socket is closed.
    pub(super) fn gone(&mut self, id: u32) {
        let Some(&place) = self.by_id.get(&id) else { return };
        let Some(session) = self.sessions[place].as_mut() else { return };
        match session.life {
            Life::Open => {
                session.life = Life::Draining(Cause::Gone);
                session.intake.close();
                // No process, no reader: nothing is kept for it.
                self.detach(place);
                self.forget_reader(place);
            }
            Life::Draining(_) => {}
            Life::Evicted { cause, .. } => self.finish(place, cause),
        }
    }

    /// Ends the sessions whose last messages were pulled.
    pub(super) fn finish_drained(&mut self) {
        let mut at = 0;
        while let Some(&place) = self.order.get(at) {
            at += 1;
            let Some(session) = self.sessions[place].as_mut() else { continue };
            let Life::Draining(cause) = session.life else { continue };
            // After a Close nothing counts; what was broken never gets better.
            let drained = cause == Cause::Closed || session.intake.is_drained();
            if !drained {
                continue;
            }
            let (session, pid) = (session.id, session.pid);
            self.requests.push_back(Request::Closed { session, pid, cause });
            self.finish(place, cause);
            // `finish` took this place out of the order: the next one stands here now.
            at -= 1;
        }
    }

    /// Takes a session out of delivery: it reads nothing more. Its submitted messages stay.
    pub(super) fn detach(&mut self, place: usize) {
        let Some(session) = self.sessions[place].as_mut() else { return };
        session.shared = false;
        self.backlog_total -= session.backlog.bytes();
        session.backlog.clear(&mut self.spare);
        for membership in &session.groups {
            if let Some(group) = self.groups.get_mut(&membership.group) {
                group.members.retain(|member| *member != place);
                if group.members.is_empty() {
                    self.groups.remove(&membership.group);
                }
            }
        }
        self.attention = true;
    }

    fn forget_reader(&mut self, place: usize) {
        let Some(session) = self.sessions[place].as_mut() else { return };
        session.pinned.clear();
        session.held = None;
        if let Some(reader) = session.seat.reader.take() {
            self.ring.remove_reader(reader);
        }
    }

    /// The end: its memory goes back to the control thread, everything kept for it is dropped.
    pub(super) fn finish(&mut self, place: usize, cause: Cause) {
        self.set_ready(place, 0);
        self.detach(place);
        let Some(session) = self.sessions[place].take() else { return };
        self.by_id.remove(&session.id);
        if let Some(reader) = session.seat.reader {
            self.ring.remove_reader(reader);
        }
        if let Some(at) = self.order.iter().position(|p| *p == place) {
            self.order.remove(at);
            if self.turn > at {
                self.turn -= 1;
            }
            if self.turn >= self.order.len() {
                self.turn = 0;
            }
        }
        self.doomed.retain(|(p, _)| *p != place);
        self.counters.closed += 1;
        let id = session.id;
        let memory = Box::new((session.seat, session.intake));
        self.link.depart(Departure::Closed { session: id, cause, memory });
    }
}
