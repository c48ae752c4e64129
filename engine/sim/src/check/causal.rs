//! Causal order (Moser et al. 1994, specification 5): a message sent by a node after it delivered
//! another is never delivered before that other one, nor without it where both had to be delivered.

use std::collections::{HashMap, HashSet};

use wire::RingId;

use crate::history::{Delivery, LifeId, MessageId, Position, Segment, What};

use super::union::by_ring;
use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    let sent = sent_after(case);
    after_its_causes(case, out, &sent);
    let places: HashMap<(LifeId, RingId), &Segment> =
        case.segments.iter().map(|s| ((s.life, s.ring), s)).collect();
    for segments in by_ring(case).values() {
        for segment in segments {
            with_its_causes(case, out, segment, &sent, &places);
        }
    }
}

/// For each message: how many deliveries its node had made in the ring it was in, and the place of the last.
struct Causes {
    count: HashMap<(MessageId, RingId), usize>,
    last: HashMap<MessageId, Position>,
}

fn sent_after(case: &Case<'_>) -> Causes {
    let mut causes = Causes { count: HashMap::new(), last: HashMap::new() };
    for life in &case.history.lives {
        let mut ring = None;
        let mut count = 0;
        let mut last = None;
        for entry in &life.entries {
            match &entry.what {
                What::Regular { ring: new, .. } => {
                    ring = Some(*new);
                    count = 0;
                }
                What::Delivered(d) => {
                    count += 1;
                    last = Some(d.at);
                }
                What::Sent(message) => {
                    if let Some(ring) = ring {
                        causes.count.insert((*message, ring), count);
                    }
                    if let Some(last) = last {
                        causes.last.insert(*message, last);
                    }
                }
                _ => {}
            }
        }
    }
    causes
}

/// A message's place is after everything its node had delivered when it was sent.
fn after_its_causes(case: &Case<'_>, out: &mut Findings, sent: &Causes) {
    for segment in case.segments {
        for d in &segment.deliveries {
            if let Some(last) = sent.last.get(&d.message) {
                out.require(*last < d.at, || {
                    format!(
                        "{} stands at {}, but its node had delivered {last} before sending it",
                        case.history.describe(d.message),
                        d.at
                    )
                });
            }
        }
    }
}

/// Who delivers a message has delivered what the sender had delivered on that ring before sending it.
fn with_its_causes(
    case: &Case<'_>,
    out: &mut Findings,
    segment: &Segment,
    sent: &Causes,
    places: &HashMap<(LifeId, RingId), &Segment>,
) {
    let mut mine: HashSet<MessageId> = HashSet::new();
    let mut looked_at: HashMap<LifeId, usize> = HashMap::new();
    for d in &segment.deliveries {
        let sender = case.history.message(d.message).life;
        let causes = sent.count.get(&(d.message, d.at.ring)).copied().unwrap_or(0);
        if let Some(theirs) = places.get(&(sender, d.at.ring)) {
            let from = looked_at.entry(sender).or_insert(0);
            let prior: &[Delivery] = theirs.deliveries.get(*from..causes).unwrap_or(&[]);
            for cause in prior {
                let there = mine.contains(&cause.message) || !segment.must_see(cause);
                out.require(there, || {
                    format!(
                        "{} delivered {} without {}, which its sender had delivered before",
                        case.history.who(segment.life),
                        case.history.describe(d.message),
                        case.history.describe(cause.message)
                    )
                });
            }
            *from = causes.max(*from);
        }
        mine.insert(d.message);
    }
}
