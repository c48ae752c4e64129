//! A new ring.

use alloc::vec::Vec;

use wire::quorum::Quorum;
use wire::{NodeId, RingId};

use super::api::Event;
use super::decide::breaks_tie;
use super::machine::Votequorum;
use super::options::TieBreaker;
use super::table::{DEVICE, NodeFlags, NodeState};

/// Rings that may fail one after the other without coming into force before ties are not broken any more.
const WHOLES_MAX: usize = 16;

impl Votequorum {
    /// A new ring with these members is to be synchronised: says what this node counts for. Every member
    /// does; [`Votequorum::sync_end`] follows when all of it was delivered. `held`: the quorum that this
    /// node had, if it had one, was in force until now. Else others may have gone on without it.
    pub fn sync_start(&mut self, now_ns: u64, ring: RingId, members: &[NodeId], held: bool) {
        self.in_sync = true;
        if !held {
            self.left_behind();
        }
        let breaker = &self.tie_breaker;
        let mine = |whole: &Vec<NodeId>| breaks_tie(breaker, whole, members);
        let breaks = self.quorate && !self.wholes.is_empty() && self.wholes.iter().all(mine);
        self.us_mut().flags.set(NodeFlags::BREAKS_TIE, breaks);
        if !self.wholes.is_empty() {
            self.wholes.push(members.to_vec());
        }
        if self.wholes.len() > WHOLES_MAX {
            self.wholes.clear();
        }
        self.device.sync_waits = false;
        if members.len() > 1 {
            self.us_mut().flags.remove(NodeFlags::FIRST);
        }
        let gone: Vec<NodeId> =
            self.members.iter().copied().filter(|node| !members.contains(node)).collect();
        for node in &gone {
            if let Some(entry) = self.table.get_mut(*node) {
                entry.state = NodeState::Dead;
            }
        }
        self.start_last_man(now_ns, members.len() as u64, !gone.is_empty());
        self.previous = core::mem::replace(&mut self.members, members.to_vec());
        self.ring = ring;
        self.await_device(now_ns);
        self.send_info(self.me);
        if !self.extra.is_empty() {
            self.say_extra();
        }
        self.send_info(DEVICE);
        if let Some(name) = self.device.name.clone() {
            self.send(&Quorum::Register { name: &name });
        }
        self.event(Event::NodeList { ring, members: members.to_vec() });
    }

    /// Whether the device still has to say what it thinks of the new ring.
    pub fn waits_for_device(&self) -> bool {
        self.device.sync_waits && self.us().flags.contains(NodeFlags::DEVICE_REGISTERED)
    }

    /// What all members count for was delivered.
    pub fn sync_end(&mut self) {
        self.recalculate(false, false);
        self.tell_quorum();
        self.note_whole();
        self.in_sync = false;
    }

    /// The quorum was not in force any more when the ring changed. Where the rules let a smaller part go
    /// on than half of all, that part may have gone on without this node, which must not take its
    /// memory of a quorum to others then.
    fn left_behind(&mut self) {
        self.wholes.clear();
        let (expected, floor) = (self.us().expected_votes, self.expected_floor);
        if self.quorate && self.last_man_standing && expected < floor {
            self.quorate = false;
            self.us_mut().flags.remove(NodeFlags::QUORATE);
            self.expect_all();
            self.set_waiting(self.wait_for_all);
        }
    }

    fn start_last_man(&mut self, now_ns: u64, members: u64, somebody_left: bool) {
        if !self.last_man_standing {
            return;
        }
        let needed = u64::from(self.needed);
        let lowest_is_here = self.extremes.lowest.is_some_and(|node| self.table.is_member(node));
        let tie = self.tie_breaker != TieBreaker::Off && lowest_is_here;
        if members >= needed && somebody_left || members <= needed && tie {
            let window_ns = u64::from(self.start.last_man_standing_window_ms) * 1_000_000;
            self.last_man_ns = Some(now_ns.saturating_add(window_ns));
        }
    }
}
