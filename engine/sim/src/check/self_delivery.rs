//! Self-delivery (Moser et al. 1994, specification 3): what a node took from a client is delivered at
//! that node, in the configuration it was sent in or in the transitional one after it, unless the node fails.

use std::collections::HashMap;

use crate::history::{Delivery, MessageId, Segment, What};

use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    for id in case.history.life_ids() {
        let segments: Vec<&Segment> = case.segments.iter().filter(|s| s.life == id).collect();
        let delivered: HashMap<MessageId, Delivery> =
            segments.iter().flat_map(|s| s.deliveries.iter().map(|d| (d.message, *d))).collect();
        for entry in &case.history.life(id).entries {
            let message = match entry.what {
                What::Sent(message) => message,
                What::NotSent { session, count } => {
                    out.add(|| {
                        let who = case.history.who(id);
                        format!("{who} did not send {count} messages of member {session}")
                    });
                    continue;
                }
                _ => continue,
            };
            match delivered.get(&message) {
                Some(d) => right_ring(case, out, &segments, entry.at_ns, d),
                None => {
                    let due = overdue(&segments, entry.at_ns) || case.history.survived(id);
                    if due {
                        out.add(|| {
                            format!(
                                "{} took {} and never delivered it to itself",
                                case.history.who(id),
                                case.history.describe(message)
                            )
                        });
                    }
                }
            }
        }
    }
}

/// Whether the configuration a message was sent in is over. A node may install a ring and send on it
/// in one instant, so what was sent in that instant may belong to the next ring.
fn overdue(segments: &[&Segment], sent_ns: u64) -> bool {
    segments.iter().any(|s| s.previous.is_some() && s.from_ns > sent_ns)
}

/// The message is delivered on the ring it was sent in.
fn right_ring(case: &Case<'_>, out: &mut Findings, all: &[&Segment], sent_ns: u64, d: &Delivery) {
    let current = all.iter().any(|s| {
        s.ring == d.at.ring && s.from_ns <= sent_ns && s.until_ns.is_none_or(|u| u >= sent_ns)
    });
    out.require(current, || {
        format!(
            "{} was sent in another configuration than {}, where it is delivered",
            case.history.describe(d.message),
            d.at.ring
        )
    });
}
