//! Virtual synchrony (Moser et al. 1994, specifications 2 and 4): who passes from one configuration
//! to the next together delivered the same messages before it, and agrees on who comes along. The same
//! holds between two views of a group.

use std::collections::BTreeMap;

use wire::{MemberId, NodeId, RingId};

use groups::Cause;

use crate::history::{GroupId, History, LifeId, MessageId, Readers, Segment, ViewRecord, What};

use super::union::{by_ring, require_all, union};
use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    for segments in by_ring(case).values() {
        together(case, out, segments);
    }
    transitional_members(case, out);
    for stretch in stretches(case.history).values() {
        same_messages(case, out, stretch);
    }
}

/// Lives that leave a ring through the same transitional configuration to the same ring.
fn together(case: &Case<'_>, out: &mut Findings, segments: &[&Segment]) {
    let mut parties: BTreeMap<(RingId, &[NodeId]), Vec<&Segment>> = BTreeMap::new();
    for segment in segments {
        if let (Some(transition), Some(next)) = (&segment.transition, segment.next) {
            parties.entry((next, &transition.members)).or_default().push(segment);
        }
    }
    for party in parties.values() {
        let all = union(party.iter().map(|s| &s.deliveries[..]));
        for segment in party {
            require_all(case, out, segment, &segment.deliveries, &all, None);
        }
    }
}

/// The transitional configuration before a ring holds exactly those that come to it from the same
/// ring; every regular configuration but the first has one before it.
fn transitional_members(case: &Case<'_>, out: &mut Findings) {
    let mut origins: BTreeMap<RingId, BTreeMap<NodeId, Option<RingId>>> = BTreeMap::new();
    for segment in case.segments {
        let node = case.history.life(segment.life).node;
        origins.entry(segment.ring).or_default().insert(node, segment.previous);
    }
    for segment in case.segments {
        let Some(next) = segment.next else { continue };
        let who = || case.history.who(segment.life);
        let Some(transition) = &segment.transition else {
            out.add(|| {
                format!("{} went from {} to {next} with no transition", who(), segment.ring)
            });
            continue;
        };
        out.require(transition.to == next, || {
            format!("{} announced ring {} and installed {next}", who(), transition.to)
        });
        for (node, origin) in &origins[&next] {
            let along = transition.members.contains(node);
            out.require(along == (*origin == Some(segment.ring)), || {
                format!(
                    "{} went from {} to {next} with {:?}, but node {node} came from {origin:?}",
                    who(),
                    segment.ring,
                    transition.members
                )
            });
        }
        out.require(transition.members.iter().all(|n| segment.members.contains(n)), || {
            format!("{} goes on with strangers: {:?}", who(), transition.members)
        });
    }
}

/// Two views of a group that follow each other.
type Between<'h> = (GroupId, Key<'h>, Key<'h>);

/// What identifies a view: its frame, its members, and the transitional configuration it was delivered in, if
/// any, because parts of a ring that separate may go on differently.
type Key<'h> = (RingId, u64, &'h [MemberId], Option<Way<'h>>);

/// A way out of a ring.
pub(super) type Way<'h> = (RingId, &'h [NodeId]);

/// What one life saw between two views.
struct Stretch<'h> {
    life: LifeId,
    messages: Vec<MessageId>,
    to: &'h ViewRecord,
}

fn key<'h>(view: &'h ViewRecord, way: Option<Way<'h>>) -> Key<'h> {
    (view.ring, view.seq, &view.members, way)
}

/// The transitional configuration after an entry.
pub(super) fn way_after<'h>(way: Option<Way<'h>>, what: &'h What) -> Option<Way<'h>> {
    match what {
        What::Transitional { ring, members } => Some((*ring, members)),
        What::Regular { .. } => None,
        _ => way,
    }
}

fn stretches(history: &History) -> BTreeMap<Between<'_>, Vec<Stretch<'_>>> {
    let mut all: BTreeMap<Between<'_>, Vec<Stretch<'_>>> = BTreeMap::new();
    for life in history.life_ids() {
        let mut last: BTreeMap<GroupId, (&ViewRecord, Option<Way<'_>>)> = BTreeMap::new();
        let mut messages: BTreeMap<GroupId, Vec<MessageId>> = BTreeMap::new();
        let mut readers = Readers::default();
        let mut way = None;
        for entry in &history.life(life).entries {
            readers.see(history.life(life).node, &entry.what);
            way = way_after(way, &entry.what);
            match &entry.what {
                What::Delivered(d) => {
                    messages.entry(d.group).or_default().push(d.message);
                }
                What::View(view) => {
                    let seen = messages.remove(&view.group).unwrap_or_default();
                    if let Some((from, then)) = last.insert(view.group, (view, way)) {
                        let between = (view.group, key(from, then), key(view, way));
                        let stretch = Stretch { life, messages: seen, to: view };
                        all.entry(between).or_default().push(stretch);
                    }
                    if !readers.any(history.life(life).node, view) {
                        last.remove(&view.group);
                    }
                }
                _ => {}
            }
        }
    }
    all
}

/// Lives that do not call each other gone between two views saw the same messages between them.
fn same_messages(case: &Case<'_>, out: &mut Findings, stretch: &[Stretch<'_>]) {
    for (index, a) in stretch.iter().enumerate() {
        for b in &stretch[index + 1..] {
            if apart(case.history, a, b) || apart(case.history, b, a) {
                continue;
            }
            if a.messages == b.messages {
                continue;
            }
            let odd = a
                .messages
                .iter()
                .find(|m| !b.messages.contains(m))
                .or_else(|| b.messages.iter().find(|m| !a.messages.contains(m)));
            let text = odd.map_or_else(
                || "another order".to_owned(),
                |m| format!("only one of them has {}", case.history.describe(*m)),
            );
            out.add(|| {
                format!(
                    "{} and {} saw different messages before the view of group {} at {}:{}: {text}",
                    case.history.who(a.life),
                    case.history.who(b.life),
                    a.to.group.0,
                    a.to.ring,
                    a.to.seq
                )
            });
        }
    }
}

/// Whether `a` says that members on the node of `b` were gone in between.
fn apart(history: &History, a: &Stretch<'_>, b: &Stretch<'_>) -> bool {
    let node = history.life(b.life).node;
    a.to.left.iter().any(|(m, cause)| m.node == node && *cause == Cause::NodeDown)
}
