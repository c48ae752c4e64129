//! Nothing is delivered twice, nothing that was not sent, nothing changed on the way; each sender's
//! messages come in its order and, within one configuration, without holes.

use std::collections::{HashMap, HashSet};

use crate::history::{Delivery, GroupId, History, LifeId, MessageId, Segment, What};

use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    let sent = sent_times(case.history);
    for id in case.history.life_ids() {
        let mut seen = HashSet::new();
        for entry in &case.history.life(id).entries {
            match &entry.what {
                What::Delivered(d) => {
                    out.require(seen.insert(d.message), || {
                        format!(
                            "{} delivered {} twice",
                            case.history.who(id),
                            case.history.describe(d.message)
                        )
                    });
                    one(case.history, out, id, d, entry.at_ns, &sent);
                }
                What::Foreign { at, why } => {
                    out.add(|| format!("{} delivered at {at}: {why}", case.history.who(id)));
                }
                _ => {}
            }
        }
    }
    let order = sending_order(case.history);
    for segment in case.segments {
        in_sending_order(case, out, segment);
        without_holes(case, out, segment, &order);
    }
}

fn sent_times(history: &History) -> HashMap<MessageId, u64> {
    let entries = history.lives.iter().flat_map(|life| &life.entries);
    entries
        .filter_map(|e| match e.what {
            What::Sent(message) => Some((message, e.at_ns)),
            _ => None,
        })
        .collect()
}

/// One delivery against what was sent.
fn one(
    history: &History,
    out: &mut Findings,
    id: LifeId,
    d: &Delivery,
    at_ns: u64,
    sent: &HashMap<MessageId, u64>,
) {
    let message = history.message(d.message);
    let (who, what) = (|| history.who(id), || history.describe(d.message));
    match sent.get(&d.message) {
        None => out.add(|| format!("{} delivered {}, which was never sent", who(), what())),
        Some(when) => out.require(*when <= at_ns, || {
            format!("{} delivered {} at {at_ns} ns, sent at {when} ns", who(), what())
        }),
    }
    out.require(d.group == message.group, || {
        format!("{} delivered {} to group {}", who(), what(), d.group.0)
    });
    let node = history.life(message.life).node;
    out.require(d.sender.node == node && d.sender.session == message.session, || {
        format!("{} delivered {} as sent by {:?}", who(), what(), d.sender)
    });
    out.require(d.safe || !message.safe, || {
        format!("{} delivered {} as agreed only", who(), what())
    });
}

/// Messages of one session come in the order in which the node took them, over all groups.
fn in_sending_order(case: &Case<'_>, out: &mut Findings, segment: &Segment) {
    let mut last: HashMap<(LifeId, u32), u64> = HashMap::new();
    for d in &segment.deliveries {
        let m = case.history.message(d.message);
        if let Some(before) = last.insert((m.life, m.session), m.number) {
            out.require(before < m.number, || {
                format!(
                    "{} delivered {} after number {before} of the same session",
                    case.history.who(segment.life),
                    case.history.describe(d.message)
                )
            });
        }
    }
}

/// For each message: the one its session sent to the same group before.
fn sending_order(history: &History) -> HashMap<MessageId, MessageId> {
    let mut last: HashMap<(LifeId, u32, GroupId), MessageId> = HashMap::new();
    let mut before = HashMap::new();
    for life in &history.lives {
        for entry in &life.entries {
            let What::Sent(message) = entry.what else { continue };
            let m = history.message(message);
            if let Some(previous) = last.insert((m.life, m.session, m.group), message) {
                before.insert(message, previous);
            }
        }
    }
    before
}

/// In one regular configuration, between two messages of a sender that a life delivered while it had a
/// member in the group all along, there is none that it did not deliver.
fn without_holes(
    case: &Case<'_>,
    out: &mut Findings,
    segment: &Segment,
    order: &HashMap<MessageId, MessageId>,
) {
    let mut last: HashMap<(LifeId, u32, GroupId), &Delivery> = HashMap::new();
    for d in &segment.deliveries[..segment.regular] {
        let m = case.history.message(d.message);
        let Some(previous) = last.insert((m.life, m.session, m.group), d) else { continue };
        let whole = segment.spans_of(d.group).iter().any(|span| {
            span.after.is_none_or(|a| a < previous.at.seq)
                && span.until.is_none_or(|u| d.at.seq < u)
        });
        let expected = order.get(&d.message).copied();
        out.require(!whole || expected == Some(previous.message), || {
            format!(
                "{} delivered {} right after {}, but {} was sent between them",
                case.history.who(segment.life),
                case.history.describe(d.message),
                case.history.describe(previous.message),
                expected.map_or_else(|| "nothing".to_owned(), |m| case.history.describe(m))
            )
        });
    }
}
