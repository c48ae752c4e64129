//! Slots: a node at rest, whose readers have caught up, keeps only a bounded handful; a node that is
//! gone keeps none.

use super::{Case, Findings};

/// Slots that a node at rest may keep: the token for its retransmission, a frame being built per
/// lane, and the last frames of the ring until the next visit proves that all have them. Anything
/// that leaks per frame passes this within a run.
pub(crate) const IDLE_SLOTS_MAX: u64 = 16;

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    for account in &case.history.slots {
        let who = || case.history.who(account.life);
        out.require(account.idle <= IDLE_SLOTS_MAX, || {
            format!("{} holds {} slots at rest, at most {IDLE_SLOTS_MAX}", who(), account.idle)
        });
        out.require(account.dropped == 0, || {
            format!("{} left {} slots behind", who(), account.dropped)
        });
    }
}
