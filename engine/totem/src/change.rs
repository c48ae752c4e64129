//! What may change while the machine runs: the timeout, the configuration's version, the node list.
//!
//! Frames name nodes by number, but sets of nodes are bits per position of the node list. Sets travel only
//! while a ring is being formed, and only among nodes whose hashes of the list are equal; so
//! an installed ring goes on under a new list, and only what this node keeps by position is moved.
//!
//! All members of the ring whose order says so take a configuration over at the same place. Whoever is no
//! longer in that ring by then (the place was delivered in a transitional configuration, or while the next ring
//! was being formed) gathers anew: members of the next ring may come from elsewhere and not have it.

use alloc::vec::Vec;

use wire::{NodeId, NodeSet, RingId};

use crate::cause::{Cause, Evidence};
use crate::detector::Detector;
use crate::gather::Gather;
use crate::machine::Totem;
use crate::members::Members;
use crate::merge::Others;
use crate::ordering::Ordering;
use crate::timers::Timer;
use crate::{Owed, State, TokenTimeout};

/// A new configuration. All members of a ring take it over at one place of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The ring in whose order that place is.
    pub ring: RingId,
    /// The whole node list in ascending order, this node and all members of that ring included.
    pub nodes: Vec<NodeId>,
    /// When a silent ring is declared lost.
    pub token_timeout: TokenTimeout,
    /// See [`crate::Tuning`].
    pub consensus_us: Option<u64>,
    /// Version of the configuration.
    pub config_version: u64,
    /// Hash of what must be equal on all nodes.
    pub config_hash: u64,
}

/// Where the positions of an old node list are in a new one.
pub(crate) struct Moved<'a> {
    old: &'a [NodeId],
    new: &'a [NodeId],
}

impl Moved<'_> {
    pub(crate) fn pos(&self, pos: usize) -> Option<usize> {
        self.new.binary_search(self.old.get(pos)?).ok()
    }

    pub(crate) fn set(&self, set: &NodeSet) -> NodeSet {
        set.iter().filter_map(|pos| self.pos(pos)).collect()
    }

    /// The same things by new position; new nodes get `default`.
    pub(crate) fn all<T: Clone>(&self, old: &[T], default: T) -> Vec<T> {
        let mut all = alloc::vec![default; self.new.len()];
        for (pos, thing) in old.iter().enumerate() {
            if let Some(to) = self.pos(pos) {
                all[to] = thing.clone();
            }
        }
        all
    }
}

impl Moved<'_> {
    /// What is owed to the nodes of the new list. A node that is not in it any more is not owed anything: it
    /// is refused.
    fn owed(&self, old: &[Owed]) -> Vec<Owed> {
        let owed = |node: &NodeId| {
            let known = old.iter().find(|owed| owed.node == *node);
            known.copied().unwrap_or(Owed { node: *node, until_ns: 0, ring_seq: 0 })
        };
        self.new.iter().map(owed).collect()
    }
}

impl Totem {
    /// Takes over a new configuration.
    ///
    /// # Errors
    /// A node that the new list would have to have: this one or a member of the ring. Nothing has
    /// changed then.
    pub fn change(&mut self, now_ns: u64, change: Change) -> Result<(), NodeId> {
        let Change { ring, nodes, token_timeout, consensus_us, config_version, config_hash } =
            change;
        let lacks = |node: &&NodeId| nodes.binary_search(*node).is_err();
        // Members of a later ring that are not in the list are left out of the next.
        let of_ring = self.ring.members.ids.iter().filter(|_| self.ring.ring == ring);
        if let Some(node) = core::iter::once(&self.ctx.me).chain(of_ring).find(lacks) {
            return Err(*node);
        }
        let old = (self.config.config_version, self.config.config_hash);
        let is_other = old != (config_version, config_hash);
        self.config.config_version = config_version;
        self.config.config_hash = config_hash;
        self.ctx.set_token_timeout(token_timeout);
        self.ctx.tuning.consensus_us = consensus_us;
        if nodes != self.ctx.nodes {
            self.renumber(nodes);
        }
        let settled = match self.state {
            State::Operational => self.ring.ring == ring || self.ring.members.is_alone(),
            State::Left => true,
            State::Gather | State::Commit | State::Recovery => false,
        };
        if settled {
            self.look_for_others(now_ns);
        } else if is_other {
            // What was agreed so far was said under the old configuration, in the old positions.
            let proc = self.ring.members.set;
            self.enter_gather(now_ns, Evidence::of(Cause::Reload, 0), proc, NodeSet::EMPTY);
        }
        Ok(())
    }

    /// There may be more nodes outside the ring than before.
    fn look_for_others(&mut self, now_ns: u64) {
        let members = &self.ring.members;
        let lacks_some = members.am_representative() && members.len() < self.ctx.nodes.len();
        if self.state == State::Operational && lacks_some {
            self.ctx.timers.set_earlier(Timer::Probe, now_ns);
        }
    }

    fn renumber(&mut self, nodes: Vec<NodeId>) {
        let old = self.ctx.set_nodes(nodes);
        let new = self.ctx.nodes.clone();
        let moved = Moved { old: &old, new: &new };
        let me = self.ctx.me;
        self.ring.renumber(&moved, me);
        self.forming.renumber(&moved, me);
        self.others.renumber(&moved);
        self.detector.renumber(&moved);
        self.owed = moved.owed(&self.owed);
        self.obliged = moved.set(&self.obliged);
        self.gather = Gather::new(new.len());
        self.config.nodes = new;
    }
}

impl Ordering {
    fn renumber(&mut self, moved: &Moved<'_>, me: NodeId) {
        self.members = Members::new(moved.set(&self.members.set), moved.new, me);
        self.heard_ns = moved.all(&self.heard_ns, 0);
        self.asked.renumber(moved);
        self.life.answered = moved.all(&self.life.answered, 0);
        self.wants = moved.set(&self.wants);
        self.leavers = moved.set(&self.leavers);
    }
}

impl Others {
    fn renumber(&mut self, moved: &Moved<'_>) {
        self.nodes = moved.all(&self.nodes, crate::merge::Other::default());
        self.hear_me = moved.set(&self.hear_me);
        self.answering = moved.set(&self.answering);
    }
}

impl Detector {
    fn renumber(&mut self, moved: &Moved<'_>) {
        self.suspects.retain_mut(|suspect| match moved.pos(suspect.pos) {
            Some(pos) => {
                suspect.pos = pos;
                true
            }
            None => false,
        });
    }
}
