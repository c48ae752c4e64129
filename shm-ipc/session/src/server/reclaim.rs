//! Once per batch: show what was written, wake who sleeps, drop what everybody has passed.

use ring::bell::full_fence;

use super::Server;
use super::intake::Broken;
use super::session::Life;
use crate::delivery::Lag;
use crate::hello::Cause;

/// The engine is short of slots when less than one in this many of a class is free.
const SHORTAGE: u32 = 8;

/// Readers this close to the newest item are not the cause of a shortage.
const CLOSE_SLOTS: u64 = 16;

impl Server {
    /// Shows everything delivered since the last call to its readers, gives the room of what was pulled back
    /// to its senders, and rings for those who sleep.
    pub fn publish(&mut self) {
        self.ring.publish();
        for place in &self.order {
            let Some(session) = self.sessions[*place].as_mut() else { continue };
            if session.touched {
                session.seat.publish();
                // Who waits for room need not know of anything else.
                session.touched = session.intake.release();
            }
        }
        full_fence();
        for place in &self.order {
            let Some(session) = self.sessions[*place].as_mut() else { continue };
            let touched = std::mem::take(&mut session.touched);
            let news = std::mem::take(&mut session.news);
            let ring = news || touched && !session.seat.rings_for_news_only();
            if ring && session.seat.ring_bell() {
                self.counters.bells += 1;
            }
        }
    }

    /// Drops frames that all readers have passed, moves backlogs on, takes laggards off the delivery ring while
    /// memory is short, and ends what has had its time. Call once per turn of the loop and at least every
    /// 100 ms.
    pub fn reclaim(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if self.ring.used().slots > 0 {
            self.ring.drop_passed();
        }
        let short = self.is_short();
        if short && self.ring.used().slots > CLOSE_SLOTS {
            self.spill_lagging(Lag { slots: CLOSE_SLOTS, bytes: u64::MAX });
        }
        if std::mem::take(&mut self.attention) || short {
            for place in 0..self.sessions.len() {
                if self.look_after(place, short).is_err() {
                    self.doom(place, Cause::Protocol);
                }
            }
        }
        self.measure_room();
        self.evict_doomed();
    }

    /// Whether slots run out.
    fn is_short(&self) -> bool {
        let stats = self.pool.stats();
        stats.small_free < stats.small_total / SHORTAGE
            || stats.large_free < stats.large_total / SHORTAGE
    }

    /// What one session needs beside delivery.
    fn look_after(&mut self, place: usize, short: bool) -> Result<(), Broken> {
        let now_ns = self.now_ns;
        let Some(session) = self.sessions[place].as_mut() else { return Ok(()) };
        if let Life::Evicted { cause, until_ns } = session.life {
            self.attention = true;
            if now_ns >= until_ns {
                self.finish(place, cause);
            }
            return Ok(());
        }
        if !session.pinned.is_empty() {
            let ended = match (session.seat.reader, &session.held) {
                (Some(reader), Some(held)) => self.ring.lease_ended(reader, held),
                _ => true,
            };
            if ended {
                session.pinned.clear();
                session.held = None;
            }
            let held_ns = now_ns.saturating_sub(session.pinned_since_ns);
            if short && !session.pinned.is_empty() && held_ns >= self.config.lease_ns {
                self.doom(place, Cause::Lease);
                return Ok(());
            }
        }
        self.refill(place)?;
        self.resume(place)?;
        let Some(session) = self.sessions[place].as_ref() else { return Ok(()) };
        // A reader on its private ring may be ready to resume at any time.
        self.attention |=
            !session.pinned.is_empty() || !session.backlog.is_empty() || session.wants_resume();
        Ok(())
    }
}
