//! Deliberate faults between a node and its clients, and around it: what the checkers would see if the
//! node were wrong in ways that are hard to bring about inside it. For tests of the checkers.

use frame::Frame;
use groups::{Cause, Event};

use crate::history::{Position, What};

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// Now and then a message is not delivered.
    Drop,
    /// Now and then a message is delivered again.
    Repeat,
    /// Now and then two neighbours change places.
    Swap,
    /// Now and then a message seems to stand elsewhere in the order.
    Displace,
    /// Now and then a view comes without one of its members.
    ForgetMember,
    /// Now and then a view gives another reason than the true one.
    WrongReason,
    /// Now and then a slot is never given back.
    LeakSlot,
    /// Clients see no fragment before their first view.
    ForgetBeginnings,
    /// The disk forgets what was stored.
    ForgetDisk,
    /// After healing one node hears nobody.
    StayDeaf,
    /// What a member refused is taken over by whoever had found it good.
    TakeOverRefused,
    /// A node does not follow rings with a newer configuration.
    IgnoreNewer,
}

/// Every how many things "now and then" is.
const EVERY: u64 = 40;

/// Applies a [`Tamper`] to one node's output.
#[derive(Debug)]
pub(crate) struct Tamperer {
    what: Option<Tamper>,
    count: u64,
    leaked: Vec<Frame>,
}

impl Tamperer {
    /// For one life.
    pub(crate) fn new(what: Option<Tamper>) -> Self {
        Self { what, count: 0, leaked: Vec::new() }
    }

    fn due(&mut self) -> bool {
        self.count += 1;
        self.count.is_multiple_of(EVERY)
    }

    /// Sees an event before it is read.
    pub(crate) fn event(&mut self, event: &Event) {
        if let (Some(Tamper::LeakSlot), Event::Messages(run)) = (self.what, event)
            && self.count < 100 * EVERY
        {
            self.count += 1;
            self.leaked.push(run.body.clone());
        }
    }

    /// Changes what an event was read as.
    pub(crate) fn entries(&mut self, entries: &mut Vec<What>) {
        let Some(what) = self.what else { return };
        let deliveries = entries.iter().filter(|e| matches!(e, What::Delivered(_))).count();
        match what {
            Tamper::Drop if deliveries > 0 && self.due() => {
                let at = entries.iter().position(|e| matches!(e, What::Delivered(_)));
                at.map(|at| entries.remove(at));
            }
            Tamper::Repeat if deliveries > 0 && self.due() => {
                let again = entries.iter().find(|e| matches!(e, What::Delivered(_))).cloned();
                entries.extend(again);
            }
            Tamper::Swap if deliveries > 1 && self.due() => entries.swap(0, 1),
            Tamper::Displace if deliveries > 0 && self.due() => {
                for entry in entries.iter_mut() {
                    if let What::Delivered(d) = entry {
                        d.at = Position { index: d.at.index + 1, ..d.at };
                    }
                }
            }
            Tamper::ForgetMember | Tamper::WrongReason => self.views(what, entries),
            _ => {}
        }
    }

    fn views(&mut self, what: Tamper, entries: &mut [What]) {
        for entry in entries {
            let What::View(view) = entry else { continue };
            self.count += 1;
            if !self.count.is_multiple_of(5) {
                continue;
            }
            if what == Tamper::ForgetMember {
                view.members.pop();
            } else if let Some((_, cause)) = view.joined.first_mut().or(view.left.first_mut()) {
                let down = matches!(cause, Cause::Leave | Cause::NodeDown);
                *cause = if down { Cause::ProcessDown } else { Cause::NodeUp };
            }
        }
    }
}
