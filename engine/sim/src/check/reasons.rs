//! What clients did, as the reasons for what views show, and the answers they got.

use std::collections::{BTreeMap, BTreeSet};

use groups::Cause;
use wire::{MemberId, NodeId};

use crate::history::{Ask, GroupId, History, LifeId, What};

use super::{Case, Findings};

/// What the clients of all nodes did, with the time of the first occasion.
pub(crate) struct Deeds {
    asked: BTreeMap<(NodeId, u32, GroupId, bool), u64>,
    closed: BTreeMap<(NodeId, u32), u64>,
}

impl Deeds {
    pub(crate) fn of(history: &History) -> Self {
        let mut deeds = Self { asked: BTreeMap::new(), closed: BTreeMap::new() };
        for life in &history.lives {
            for entry in &life.entries {
                match entry.what {
                    What::Asked { session, group: Some(group), ask, refusal: None, .. } => {
                        let key = (life.node, session, group, ask == Ask::Join);
                        deeds.asked.entry(key).or_insert(entry.at_ns);
                    }
                    What::Closed { session } => {
                        deeds.closed.entry((life.node, session)).or_insert(entry.at_ns);
                    }
                    _ => {}
                }
            }
        }
        deeds
    }

    /// Whether the member did by then what the cause says.
    pub(crate) fn explain(&self, m: &MemberId, group: GroupId, cause: Cause, at_ns: u64) -> bool {
        let when = match cause {
            Cause::Join => self.asked.get(&(m.node, m.session, group, true)),
            Cause::Leave => self.asked.get(&(m.node, m.session, group, false)),
            Cause::ProcessDown => self.closed.get(&(m.node, m.session)),
            Cause::NodeDown | Cause::NodeUp => None,
        };
        when.is_some_and(|when| *when <= at_ns)
    }
}

/// Every request of a client that stays is answered once and rightly; a granted join is shown once, by
/// the first view that has the client as a member.
pub(crate) fn answers(case: &Case<'_>, out: &mut Findings) {
    for id in case.history.life_ids() {
        let mut open: BTreeMap<(u32, u32), &What> = BTreeMap::new();
        let mut closed: BTreeSet<u32> = BTreeSet::new();
        let mut to_show: BTreeSet<(GroupId, u32)> = BTreeSet::new();
        for entry in &case.history.life(id).entries {
            match &entry.what {
                What::Closed { session } => {
                    closed.insert(*session);
                    open.retain(|(s, _), _| s != session);
                }
                What::Asked { session, request, .. } => {
                    open.insert((*session, *request), &entry.what);
                }
                What::Joined { session, request, group } => {
                    let asked = open.remove(&(*session, *request));
                    answered(case, out, id, asked, &entry.what, closed.contains(session));
                    to_show.insert((*group, *session));
                }
                What::Refused { session, request, .. } => {
                    let asked = open.remove(&(*session, *request));
                    answered(case, out, id, asked, &entry.what, closed.contains(session));
                }
                What::View(view) => {
                    let node = case.history.life(id).node;
                    let own = |m: &&MemberId| m.node == node;
                    for member in view.members.iter().filter(own) {
                        let due = to_show.remove(&(view.group, member.session));
                        let came = view.joined.iter().any(|(m, _)| m == member);
                        out.require(!due || came, || {
                            format!("{}: {member:?} is there and never came", case.history.who(id))
                        });
                    }
                }
                _ => {}
            }
        }
        if case.history.survived(id) {
            unanswered(case, out, id, &open);
            let waits = to_show.iter().find(|(_, session)| !closed.contains(session));
            out.require(waits.is_none(), || {
                format!("{}: no view for the join of {waits:?}", case.history.who(id))
            });
        }
    }
}

/// One answer against what was asked.
fn answered(
    case: &Case<'_>,
    out: &mut Findings,
    id: LifeId,
    asked: Option<&What>,
    answer: &What,
    closed: bool,
) {
    let right = match (asked, answer) {
        (
            Some(What::Asked { group, ask: Ask::Join, refusal: None, .. }),
            What::Joined { group: g, .. },
        ) => *group == Some(*g),
        (Some(What::Asked { refusal: Some(want), .. }), What::Refused { reason, .. }) => {
            want == reason
        }
        (None, _) => closed,
        _ => false,
    };
    out.require(right, || {
        format!("{}: asked {asked:?}, answered {answer:?}", case.history.who(id))
    });
}

/// At rest no join is open, and no leave without a view that shows it.
fn unanswered(case: &Case<'_>, out: &mut Findings, id: LifeId, open: &BTreeMap<(u32, u32), &What>) {
    let life = case.history.life(id);
    for what in open.values() {
        let What::Asked { session, group, ask, .. } = what else { continue };
        let done = *ask == Ask::Leave
            && life.entries.iter().any(|e| match &e.what {
                What::View(view) => {
                    Some(view.group) == *group
                        && view.left.iter().any(|(m, cause)| {
                            m.node == life.node && m.session == *session && *cause == Cause::Leave
                        })
                }
                _ => false,
            });
        out.require(done, || format!("{}: no answer to {what:?}", case.history.who(id)));
    }
}
