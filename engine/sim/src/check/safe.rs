//! Safe delivery (Moser et al. 1994, specification 7): a safe message delivered in a configuration is
//! in the hands of every member of that configuration at that moment, and every one of them that does not
//! fail delivers it, in that configuration or in the transitional one after it. What all of this rests on, the
//! ring's word that every member has the frames up to a number, is looked at whenever a token gives it.

use std::collections::HashMap;

use wire::NodeId;

use crate::history::{Delivery, LifeId, Segment, What};

use super::union::{by_ring, require_all, union};
use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    for claim in &case.history.overclaims {
        out.add(|| claim.clone());
    }
    for segments in by_ring(case).values() {
        all_deliver(case, out, segments);
        if case.history.receipts.is_some() {
            let members: HashMap<NodeId, LifeId> =
                segments.iter().map(|s| (case.history.life(s.life).node, s.life)).collect();
            for segment in segments {
                all_have(case, out, segment, &members);
            }
        }
    }
}

/// What one life delivered as safe in the regular configuration, every life of the configuration
/// that went on to another one delivered too.
fn all_deliver(case: &Case<'_>, out: &mut Findings, segments: &[&Segment]) {
    let safe: Vec<Vec<Delivery>> = segments
        .iter()
        .map(|s| s.deliveries[..s.regular].iter().filter(|d| is_safe(case, d)).copied().collect())
        .collect();
    let all = union(safe.iter().map(Vec::as_slice));
    for segment in segments {
        let ended_by_change = segment.next.is_some();
        if ended_by_change {
            require_all(case, out, segment, &segment.deliveries, &all, None);
        }
    }
}

fn is_safe(case: &Case<'_>, d: &Delivery) -> bool {
    case.history.message(d.message).safe
}

/// At the moment of a safe delivery every member of the configuration it is delivered in has the
/// frame. (Times of one instant count as before: a node may number and deliver in one step.)
fn all_have(
    case: &Case<'_>,
    out: &mut Findings,
    segment: &Segment,
    lives: &HashMap<NodeId, LifeId>,
) {
    let life = case.history.life(segment.life);
    let times = life.entries[segment.entries.clone()].iter().filter_map(|e| match e.what {
        What::Delivered(_) => Some(e.at_ns),
        _ => None,
    });
    for (index, (d, at_ns)) in segment.deliveries.iter().zip(times).enumerate() {
        if !is_safe(case, d) {
            continue;
        }
        let members = match &segment.transition {
            Some(t) if segment.is_transitional(index) => &t.members,
            _ => &segment.members,
        };
        for member in members.iter() {
            out.require(had(case, d, *member, lives.get(member), at_ns), || {
                format!(
                    "{} delivered {} at {} when node {member} of the configuration {members:?} did not have it",
                    case.history.who(segment.life),
                    case.history.describe(d.message),
                    d.at
                )
            });
        }
    }
}

/// Whether a member had a frame by a time: the life of it that installed the ring, or, if it died before
/// it could, any life of it. Who numbered it has it, even if it never had to send it.
fn had(case: &Case<'_>, d: &Delivery, member: NodeId, life: Option<&LifeId>, at_ns: u64) -> bool {
    let sender = case.history.message(d.message).life;
    if life == Some(&sender) {
        return true;
    }
    let receipts = case.history.receipts.as_ref();
    let Some(holders) = receipts.and_then(|r| r.get(&(d.at.ring, d.at.seq))) else { return false };
    holders.iter().any(|(who, when)| {
        let is_member = match life {
            Some(life) => who == life,
            None => case.history.life(*who).node == member,
        };
        is_member && *when <= at_ns
    })
}
