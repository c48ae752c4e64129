//! Between the delivery ring and private rings: when a reader changes over, and what is copied then.

use ring::broadcast::Held;

use super::Server;
use super::intake::Broken;
use super::session::Session;
use crate::delivery::Lag;
use crate::descriptor::{Descriptor, Kind};
use crate::hello::Cause;

/// A reader is taken off the delivery ring when it is this share of its greatest backlog behind, in
/// bytes: the copy is short then, and there is room left for senders to feel the pressure
/// (docs/adr/0009-pressure.md).
const LAG_SHARE: u64 = 4;

impl Server {
    /// Before a push: takes readers that lag too far behind off the delivery ring, so that it never
    /// fills, and so that what has to be copied for them is little beside the backlog they may
    /// have.
    pub(super) fn make_room(&mut self) {
        let slots = self.config.lag_slots as u64;
        let bytes = self.config.backlog_bytes_max as u64 / LAG_SHARE;
        let is_full = |used: Lag| used.slots >= slots || used.bytes >= bytes;
        if is_full(self.ring.used()) {
            self.ring.drop_passed();
            if is_full(self.ring.used()) {
                self.spill_lagging(Lag { slots: slots / 2, bytes: bytes / 2 });
            }
        }
    }

    /// Spills every reader that is more than `limit` behind, in slots or in bytes.
    pub(super) fn spill_lagging(&mut self, limit: Lag) {
        for place in 0..self.sessions.len() {
            let Some(session) = self.sessions[place].as_ref() else { continue };
            let wanted = session.shared && !session.doomed;
            let Some(reader) = session.seat.reader.filter(|_| wanted) else { continue };
            let spilled = match self.ring.lag(reader) {
                Ok(lag) if lag.slots <= limit.slots && lag.bytes <= limit.bytes => continue,
                Ok(_) => self.spill(place),
                Err(Broken) => Err(Broken),
            };
            if spilled.is_err() {
                self.doom(place, Cause::Protocol);
            }
        }
        self.ring.drop_passed();
    }

    /// Takes a reader off the delivery ring and copies everything it has not released.
    pub(super) fn spill(&mut self, place: usize) -> Result<(), Broken> {
        let Some(session) = self.sessions[place].as_mut() else { return Err(Broken) };
        let reader = session.seat.reader.ok_or(Broken)?;
        session.shared = false;
        session.copied_items = 0;
        session.seat.diverted();
        let held = self.ring.divert(reader)?;
        self.pin(place, held);
        self.counters.spilled += 1;
        for position in held.from..self.ring.head() {
            let Some((item, frame)) = self.ring.get(position) else { continue };
            let session = self.sessions[place].as_ref().filter(|s| !s.doomed);
            let Some(session) = session else { break };
            if concerns(session, &item) {
                let body: &[u8] = frame.as_deref().unwrap_or_default();
                self.copy_to(place, &item, body, position + 1);
            }
        }
        if let Some(session) = self.sessions[place].as_mut() {
            session.forget_left();
        }
        Ok(())
    }

    /// Keeps the frames that a reader may be reading in place.
    pub(super) fn pin(&mut self, place: usize, held: Held) {
        let Some(session) = self.sessions[place].as_mut() else { return };
        for position in held.from..held.until {
            if let Some((_, Some(frame))) = self.ring.get(position) {
                session.pinned.push(frame);
            }
        }
        session.held = Some(held);
        session.pinned_since_ns = self.now_ns;
        self.attention = true;
    }

    /// Puts a reader onto the delivery ring if it reads enough to be worth it and has caught up.
    pub(super) fn resume(&mut self, place: usize) -> Result<(), Broken> {
        let Some(session) = self.sessions[place].as_mut() else { return Ok(()) };
        let ready =
            session.wants_resume() && session.backlog.is_empty() && session.pinned.is_empty();
        let Some(reader) = session.seat.reader.filter(|_| ready) else { return Ok(()) };
        if !session.seat.has_caught_up()? {
            return Ok(());
        }
        let Some(back) = self.ring.resume(reader) else { return Ok(()) };
        let mut item = Descriptor::new(Kind::Resume);
        item.seq = back.index.into();
        item.ring_seq = back.epoch.into();
        if !session.seat.push(&item, &[])? {
            // Who has caught up has room: its index went back.
            return Err(Broken);
        }
        session.shared = true;
        session.touched = true;
        session.news = true;
        self.counters.resumed += 1;
        Ok(())
    }

    /// Moves what waits behind a private ring into it.
    pub(super) fn refill(&mut self, place: usize) -> Result<(), Broken> {
        let Some(session) = self.sessions[place].as_mut() else { return Ok(()) };
        while let Some(record) = session.backlog.front() {
            if !session.seat.push_record(record)? {
                break;
            }
            session.touched = true;
            session.news = true;
            self.backlog_total -= record.len();
            session.pace.took(record.len());
            session.backlog.pop(&mut self.spare);
        }
        Ok(())
    }
}

/// Whether an item of the past may be for this session. Too much is fine: the client library knows exactly
/// when it was a member of what.
fn concerns(session: &Session, item: &Descriptor) -> bool {
    if item.is_addressed() {
        return item.session.get() == session.id;
    }
    item.kind() == Some(Kind::Configuration) || session.may_want(item.group.get())
}
