//! Agreed order (Moser et al. 1994, specifications 6 and 1): deliveries follow one total order. In a
//! regular configuration a node delivers a prefix of it; in the transitional one there may be gaps,
//! but after a gap only messages whose sender comes along.

use std::collections::HashMap;

use crate::history::{Delivery, MessageId, Position, Segment, What};

use super::union::{by_ring, require_all, union};
use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    one_place_each(case, out);
    for segment in case.segments {
        ascending(case, out, segment);
    }
    before_any_ring(case, out);
    for segments in by_ring(case).values() {
        let all = union(segments.iter().map(|s| &s.deliveries[..s.regular]));
        for segment in segments {
            let own = &segment.deliveries[..segment.regular];
            require_all(case, out, segment, own, &all, Some(segment.cut));
        }
        let all = union(segments.iter().map(|s| &s.deliveries[..]));
        for segment in segments {
            gaps(case, out, segment, &all);
        }
    }
}

/// A message has one place everywhere, and a place has one message.
fn one_place_each(case: &Case<'_>, out: &mut Findings) {
    let mut places: HashMap<MessageId, Position> = HashMap::new();
    let mut holders: HashMap<Position, MessageId> = HashMap::new();
    for segment in case.segments {
        for d in &segment.deliveries {
            let place = *places.entry(d.message).or_insert(d.at);
            out.require(place == d.at, || {
                format!(
                    "{} stands at {place} and, at {}, at {}",
                    case.history.describe(d.message),
                    case.history.who(segment.life),
                    d.at
                )
            });
            let holder = *holders.entry(d.at).or_insert(d.message);
            out.require(holder == d.message, || {
                format!(
                    "place {} has {} and, at {}, {}",
                    d.at,
                    case.history.describe(holder),
                    case.history.who(segment.life),
                    case.history.describe(d.message)
                )
            });
        }
    }
}

/// One life delivers in ascending places of the ring it is in.
fn ascending(case: &Case<'_>, out: &mut Findings, segment: &Segment) {
    let mut last: Option<Position> = None;
    for d in &segment.deliveries {
        out.require(d.at.ring == segment.ring, || {
            format!(
                "{} delivered {} of {} while in ring {}",
                case.history.who(segment.life),
                case.history.describe(d.message),
                d.at,
                segment.ring
            )
        });
        if let Some(last) = last {
            out.require(last < d.at, || {
                format!("{} delivered {} after {last}", case.history.who(segment.life), d.at)
            });
        }
        last = Some(d.at);
    }
}

/// Nothing is delivered before the first regular configuration.
fn before_any_ring(case: &Case<'_>, out: &mut Findings) {
    for id in case.history.life_ids() {
        let early = case
            .history
            .life(id)
            .entries
            .iter()
            .take_while(|e| !matches!(e.what, What::Regular { .. }))
            .any(|e| matches!(e.what, What::Delivered(_) | What::View(_)));
        out.require(!early, || {
            format!("{} delivered something before its first ring", case.history.who(id))
        });
    }
}

/// After the first message that somebody delivered and this life did not, only messages of nodes that
/// go on together with it.
fn gaps(case: &Case<'_>, out: &mut Findings, segment: &Segment, all: &[Delivery]) {
    let Some(transition) = &segment.transition else { return };
    let mine: std::collections::HashSet<MessageId> =
        segment.deliveries.iter().map(|d| d.message).collect();
    let hole = all.iter().find(|d| !mine.contains(&d.message) && segment.must_see(d));
    let Some(hole) = hole else { return };
    for d in segment.deliveries.iter().filter(|d| d.at > hole.at) {
        let sender = case.history.life(case.history.message(d.message).life).node;
        out.require(transition.members.contains(&sender), || {
            format!(
                "{} delivered {} at {} after missing {}, but its sender does not come along to {:?}",
                case.history.who(segment.life),
                case.history.describe(d.message),
                d.at,
                hole.at,
                transition.members
            )
        });
    }
}
