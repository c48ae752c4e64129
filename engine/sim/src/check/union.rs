//! What several lives delivered in one configuration, put together and held against each of them.

use std::collections::BTreeMap;

use wire::RingId;

use crate::history::{Delivery, MessageId, Position, Segment};

use super::{Case, Findings};

/// Segments by the ring they belong to.
pub(crate) fn by_ring<'h>(case: &Case<'h>) -> BTreeMap<RingId, Vec<&'h Segment>> {
    let mut rings: BTreeMap<RingId, Vec<&Segment>> = BTreeMap::new();
    for segment in case.segments {
        rings.entry(segment.ring).or_default().push(segment);
    }
    rings
}

/// Deliveries of several segments of one ring in the total order, each once.
pub(crate) fn union<'s>(parts: impl Iterator<Item = &'s [Delivery]>) -> Vec<Delivery> {
    let mut all: Vec<Delivery> = parts.flatten().copied().collect();
    all.sort_unstable_by_key(|d| (d.at, d.message));
    all.dedup_by_key(|d| (d.at, d.message));
    all
}

/// Requires that `own` (in the total order) has every delivery of `all` before `end` that the life
/// had to see.
pub(crate) fn require_all(
    case: &Case<'_>,
    out: &mut Findings,
    segment: &Segment,
    own: &[Delivery],
    all: &[Delivery],
    end: Option<Position>,
) {
    let mine: std::collections::HashSet<MessageId> = own.iter().map(|d| d.message).collect();
    for d in all.iter().take_while(|d| end.is_none_or(|e| d.at < e)) {
        if !mine.contains(&d.message) && segment.must_see(d) {
            out.add(|| {
                format!(
                    "{} did not deliver {} at {} in ring {}, others did",
                    case.history.who(segment.life),
                    case.history.describe(d.message),
                    d.at,
                    segment.ring,
                )
            });
        }
    }
}
