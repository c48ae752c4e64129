//! One client as the engine thread sees it.

use frame::Frame;
use ring::broadcast::Held;

use super::backlog::Backlog;
use super::intake::Intake;
use super::pressure::Pace;
use crate::access::Trust;
use crate::hello::Cause;
use crate::link::NewSession;
use crate::seat::{LEASE_MAX, Seat};

/// Groups a session left that are remembered until its reader has passed the view with which it left.
const LEFT_MAX: usize = 8;

/// A reader goes (back) to the delivery ring only after this many copies; one with little to read stays
/// where it is, so that an idle program on a busy node is left in peace.
const RESUME_ITEMS: u64 = 32;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Normal.
    Open,
    /// It closed or its process is gone: what it had submitted is still sent, then it ends.
    Draining(Cause),
    /// Told to go. What it may be reading is kept until it has gone or `until_ns`.
    Evicted { cause: Cause, until_ns: u64 },
}

/// A group of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) group: u32,
    /// It asked to leave; nothing more of it goes to the group.
    pub(super) leaving: bool,
}

/// One client.
pub(super) struct Session {
    pub(super) id: u32,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) trust: Trust,
    pub(super) seat: Box<Seat>,
    pub(super) intake: Intake,
    pub(super) life: Life,
    /// To be evicted at the end of the current call; nothing more goes to it, so that what it reads
    /// has no holes.
    pub(super) doomed: bool,
    /// Whether it reads from the delivery ring now, and not from its private ring.
    pub(super) shared: bool,
    /// Bytes in the submit ring that `pull` can have now; zero when a control record is next.
    pub(super) ready_bytes: usize,
    /// Bytes in the submit ring when last looked at.
    pub(super) seen_bytes: usize,
    /// Bytes this session may still send in its turn.
    pub(super) deficit: i64,
    /// Sorted by group.
    pub(super) groups: Vec<Membership>,
    /// Groups it left lately; items for it may still be in the delivery ring.
    left: Vec<u32>,
    pub(super) backlog: Backlog,
    /// How fast it reads what waits there.
    pub(super) pace: Pace,
    /// What it may still be reading though it has left the delivery ring, and since when.
    pub(super) held: Option<Held>,
    pub(super) pinned: Vec<Frame>,
    pub(super) pinned_since_ns: u64,
    /// Items copied to it since it last left the delivery ring.
    pub(super) copied_items: u64,
    /// Something was delivered to it, or taken from it, since the last `publish`.
    pub(super) touched: bool,
    /// Something was delivered to it since the last `publish`.
    pub(super) news: bool,
}

impl Session {
    pub(super) fn new(new: NewSession, message_bytes_max: u64) -> Self {
        Self {
            id: new.session,
            pid: new.pid,
            uid: new.uid,
            gid: new.gid,
            trust: new.trust,
            seat: new.seat,
            intake: Intake::new(new.submit, message_bytes_max),
            life: Life::Open,
            doomed: false,
            shared: false,
            ready_bytes: 0,
            seen_bytes: 0,
            deficit: 0,
            groups: Vec::with_capacity(16),
            left: Vec::with_capacity(LEFT_MAX),
            backlog: Backlog::default(),
            pace: Pace::default(),
            held: None,
            pinned: Vec::with_capacity(LEASE_MAX as usize),
            pinned_since_ns: 0,
            copied_items: 0,
            touched: false,
            news: false,
        }
    }

    pub(super) fn membership(&mut self, group: u32) -> Option<&mut Membership> {
        let at = self.groups.binary_search_by_key(&group, |m| m.group).ok()?;
        self.groups.get_mut(at)
    }

    pub(super) fn enter(&mut self, group: u32) {
        match self.groups.binary_search_by_key(&group, |m| m.group) {
            Ok(at) => self.groups[at].leaving = false,
            Err(at) => self.groups.insert(at, Membership { group, leaving: false }),
        }
    }

    pub(super) fn quit(&mut self, group: u32) {
        self.groups.retain(|m| m.group != group);
        // One more than is looked through says "all of them".
        if self.shared && self.left.len() <= LEFT_MAX && !self.left.contains(&group) {
            self.left.push(group);
        }
    }

    /// Whether items of the past for this group may be for it. Past `LEFT_MAX` groups left lately the
    /// answer is yes for all.
    pub(super) fn may_want(&self, group: u32) -> bool {
        self.left.len() > LEFT_MAX
            || self.left.contains(&group)
            || self.groups.binary_search_by_key(&group, |m| m.group).is_ok()
    }

    /// Its reader is off the delivery ring: nothing of the past is left there for it.
    pub(super) fn forget_left(&mut self) {
        self.left.clear();
    }

    /// Whether it should go to the delivery ring as soon as it has caught up.
    pub(super) fn wants_resume(&self) -> bool {
        self.trust == Trust::Shared
            && self.life == Life::Open
            && !self.shared
            && self.copied_items >= RESUME_ITEMS
    }

    pub(super) fn is_evicted(&self) -> bool {
        matches!(self.life, Life::Evicted { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Else a program that joins and leaves without end would use the engine's memory up.
    #[test]
    fn groups_left_are_remembered_up_to_a_bound() {
        let (seat, submit, _fds) = Seat::create(Config::new("/x").ring_sizes(0, 0), None).unwrap();
        let (trust, seat) = (Trust::Shared, Box::new(seat));
        let new = NewSession { session: 1, pid: 2, uid: 3, gid: 4, trust, seat, submit };
        let mut session = Session::new(new, 1000);
        session.shared = true;
        for group in 0..1000 {
            session.enter(group);
            session.quit(group);
        }
        assert_eq!(session.left.len(), LEFT_MAX + 1);
        assert!(session.may_want(999) && session.may_want(5000), "past the bound: all");
        session.forget_left();
        assert!(!session.may_want(999));
    }
}
