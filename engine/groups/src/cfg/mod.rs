//! Changes of the configuration that all members make at one place of the order, or none does.
//!
//! A node *prepares* a change: every member checks its own file and answers, in order. When all members of
//! the ring have answered that it is good, the node that asked *commits*; every member takes the change over
//! where it delivers that, so all do so at the same place. One bad answer, a word of the node that asked, or a
//! new ring ends the change for everybody. The commit is a safe message: who takes a change over knows
//! that every member has the commit and will take it over too, even if the ring breaks at that moment.
//! (A node that is cut off just before may stay behind, and is kept out as the one with the older configuration.
//! When it meets the others again its owner is told ([`Event::Newer`]), and asks for the change in its own ring
//! if its file says the same.)

mod api;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use totem::Delivered;
use wire::NodeId;
use wire::cfg::{Cfg, ChangeId, TEXT_BYTES_MAX, Target};
use wire::control;

pub use api::{Abort, Answer, Event, Place, Request};

use crate::Groups;

/// Messages of this node that may wait for the ring. A change has one at a time; the rest are for
/// nodes asked to leave.
const WAITING_MAX: usize = 64;

/// A message that waits for the ring.
#[derive(Debug)]
enum Waiting {
    Prepare { number: u64, target: Target },
    Answer { change: ChangeId, answer: Answer },
    Commit { number: u64 },
    Abort { number: u64, text: String },
    Kill { node: NodeId, text: String },
}

impl Waiting {
    fn message(&self) -> Cfg<'_> {
        match self {
            Self::Prepare { number, target } => Cfg::Prepare { number: *number, target: *target },
            Self::Answer { change, answer } => {
                let text = answer.text.as_bytes();
                Cfg::Answer { change: *change, good: answer.good, text }
            }
            Self::Commit { number } => Cfg::Commit { number: *number },
            Self::Abort { number, text } => Cfg::Abort { number: *number, text: text.as_bytes() },
            Self::Kill { node, text } => Cfg::Kill { node: *node, text: text.as_bytes() },
        }
    }
}

/// The change under way, as every member knows it.
#[derive(Debug)]
struct Pending {
    change: ChangeId,
    /// Members whose answer was not delivered yet.
    missing: Vec<NodeId>,
}

/// Changes of the configuration as one node sees them.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pending: Option<Pending>,
    waiting: VecDeque<Waiting>,
    pub(crate) events: VecDeque<Event>,
    #[cfg(feature = "mutations")]
    pub(crate) mutation: Option<totem::Mutation>,
}

impl Changes {
    pub(crate) fn must_send(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes the next message; gives its length and whether it asks for safe delivery.
    pub(crate) fn write(&mut self, buf: &mut [u8]) -> Option<(usize, bool)> {
        let next = self.waiting.front()?;
        let bytes = control::write_cfg(buf, &next.message())?;
        let safe = matches!(next, Waiting::Commit { .. });
        #[cfg(feature = "mutations")]
        let safe = safe && self.mutation != Some(totem::Mutation::CommitUnsafe);
        self.waiting.pop_front();
        Some((bytes, safe))
    }

    /// A new ring: whatever is under way is over, for every member alike.
    pub(crate) fn new_ring(&mut self, me: NodeId) {
        let why = || Abort::NewRing;
        if let Some(Pending { change, .. }) = self.pending.take() {
            self.events.push_back(Event::Aborted { change, why: why() });
        }
        for waiting in core::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Prepare { number, .. } => {
                    let change = ChangeId { node: me, number };
                    self.events.push_back(Event::Aborted { change, why: why() });
                }
                Waiting::Kill { .. } => self.waiting.push_back(waiting),
                Waiting::Answer { .. } | Waiting::Commit { .. } | Waiting::Abort { .. } => {}
            }
        }
    }

    /// Takes a request; what it leads to comes in order. False when too many wait.
    fn ask(&mut self, request: Request) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.waiting.push_back(match request {
            Request::Prepare { number, target } => Waiting::Prepare { number, target },
            Request::Answer { change, answer: Answer { good, text } } => {
                if self.pending.as_ref().is_none_or(|pending| pending.change != change) {
                    // It ended meanwhile.
                    return true;
                }
                Waiting::Answer { change, answer: Answer { good, text: cut(text) } }
            }
            Request::Abort { number, text } => {
                let text = cut(self.with_missing(number, text));
                Waiting::Abort { number, text }
            }
            Request::Kill { node, text } => Waiting::Kill { node, text: cut(text) },
        });
        true
    }

    /// The text, with the members that have not answered.
    fn with_missing(&self, number: u64, mut text: String) -> String {
        let missing = self.pending.iter().filter(|pending| pending.change.number == number);
        for node in missing.flat_map(|pending| &pending.missing) {
            // A text always has room; it is cut to what a message may have.
            let _ = write!(text, "; no answer from node {node}");
            if text.len() > TEXT_BYTES_MAX {
                break;
            }
        }
        text
    }

    /// A message in its place of the order. False if it fits nothing that is under way.
    fn deliver(
        &mut self,
        me: NodeId,
        members: &[NodeId],
        (from, at): (NodeId, Place),
        message: &Cfg<'_>,
    ) -> bool {
        match *message {
            Cfg::Prepare { number, target } => {
                self.prepare(me, members, ChangeId { node: from, number }, target);
                true
            }
            Cfg::Answer { change, good, text } => {
                let answer = Answer { good, text: String::from_utf8_lossy(text).into_owned() };
                self.answered(me, (from, at), change, answer)
            }
            Cfg::Commit { number } => {
                let change = ChangeId { node: from, number };
                // Without a gap before it every answer was delivered.
                let whole =
                    |pending: &Pending| pending.change == change && pending.missing.is_empty();
                let fits = self.pending.as_ref().is_some_and(whole);
                if fits {
                    self.pending = None;
                    self.events.push_back(Event::Committed { change, at });
                }
                fits
            }
            Cfg::Abort { number, text } => {
                let change = ChangeId { node: from, number };
                let text = String::from_utf8_lossy(text).into_owned();
                self.end(change, Abort::Refused { node: from, text })
            }
            Cfg::Kill { node, text } => {
                if node == me {
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.events.push_back(Event::Killed { by: from, text });
                }
                true
            }
        }
    }

    fn prepare(&mut self, me: NodeId, members: &[NodeId], change: ChangeId, target: Target) {
        match &self.pending {
            Some(other) if change.node == me => {
                let why = Abort::Busy { node: other.change.node };
                self.events.push_back(Event::Aborted { change, why });
            }
            Some(_) => {}
            None => {
                let members = members.to_vec();
                self.pending = Some(Pending { change, missing: members.clone() });
                self.events.push_back(Event::Check { change, target, members });
            }
        }
    }

    #[cfg_attr(not(feature = "mutations"), allow(unused_variables, reason = "the place"))]
    fn answered(
        &mut self,
        me: NodeId,
        (from, at): (NodeId, Place),
        change: ChangeId,
        answer: Answer,
    ) -> bool {
        let Some(pending) = self.pending.as_mut().filter(|p| p.change == change) else {
            // A bad answer before it ended the change.
            return true;
        };
        let Ok(place) = pending.missing.binary_search(&from) else { return false };
        pending.missing.remove(place);
        let all = pending.missing.is_empty();
        let (good, text) = (answer.good, answer.text.clone());
        self.events.push_back(Event::Answered { change, node: from, answer });
        if !good {
            self.end(change, Abort::Refused { node: from, text });
        } else if all && change.node == me {
            self.waiting.push_back(Waiting::Commit { number: change.number });
        }
        #[cfg(feature = "mutations")]
        if good
            && all
            && me.0.is_multiple_of(2)
            && self.mutation == Some(totem::Mutation::CommitEarly)
        {
            self.pending = None;
            self.events.push_back(Event::Committed { change, at });
        }
        true
    }

    fn end(&mut self, change: ChangeId, why: Abort) -> bool {
        let fits = self.pending.as_ref().is_some_and(|pending| pending.change == change);
        if fits {
            self.pending = None;
            self.events.push_back(Event::Aborted { change, why });
        }
        fits
    }
}

impl Groups {
    /// Takes a request about the configuration. False when too many wait already.
    pub fn change(&mut self, request: Request) -> bool {
        let taken = self.changes.ask(request);
        self.wake |= taken;
        taken
    }

    /// The next thing that happened to a change.
    pub fn poll_change(&mut self) -> Option<Event> {
        self.changes.events.pop_front()
    }

    /// The change that was asked for in this ring and is neither committed nor given up, if there is one.
    pub fn change_under_way(&self) -> Option<ChangeId> {
        self.changes.pending.as_ref().map(|pending| pending.change)
    }

    /// Sets the limits of local sessions anew; those there are stay.
    pub fn set_limits(&mut self, limits: crate::Limits) {
        self.config.limits = limits;
    }

    /// Another ring was met that has a newer configuration.
    pub fn newer(&mut self, node: NodeId, config_version: u64, config_hash: u64) {
        self.changes.events.push_back(Event::Newer { node, config_version, config_hash });
    }

    pub(crate) fn deliver_cfg(&mut self, delivered: &Delivered, message: &Cfg<'_>) {
        let members: Vec<NodeId> = self.boots.keys().copied().collect();
        let &Delivered { ring, seq, origin, transitional, .. } = delivered;
        let place = (origin, Place { ring, seq, transitional });
        if !self.changes.deliver(self.config.me, &members, place, message) {
            self.counters.peer_void += 1;
        }
        // An answer may have been the last: then the commit waits.
        self.wake |= self.changes.must_send();
    }
}

/// At most [`TEXT_BYTES_MAX`] bytes of a text, whole characters.
fn cut(mut text: String) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests;
