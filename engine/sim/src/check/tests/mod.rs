//! Hand-made histories: a good one that no checker minds, and for each checker bad ones made of it.

mod reload;
mod story;

use groups::Cause;
use wire::{NodeId, RingId};

use super::Checker;
use crate::history::{End, Entry, Life, LifeId, Position, SlotAccount, What};
use story::{FIRST, SECOND, Story, member, nodes, one_message};

#[test]
fn nobody_minds_a_good_history() {
    let (mut story, _) = one_message();
    let answer = story.sent(2, false);
    for node in 1..=3 {
        story.delivered(node, answer, FIRST, 21);
    }
    assert_eq!(story.findings(), []);
    for node in 1..=2 {
        story.change(node, &[1, 2], &[1, 2]);
        let left = vec![(member(3), Cause::NodeDown)];
        story.view(node, SECOND, 3, vec![member(1), member(2)], vec![], left);
        story.synced(node, SECOND);
    }
    story.history.lives[2].end = Some((story.now_ns, End::Crash));
    assert_eq!(story.findings(), []);
}

#[test]
fn order_minds_two_orders_and_a_hole() {
    let mut story = Story::begin();
    let (a, b) = (story.sent(1, false), story.sent(2, false));
    for node in 1..=3 {
        let (first, second) = if node == 3 { (b, a) } else { (a, b) };
        story.delivered(node, first, FIRST, 20);
        story.delivered(node, second, FIRST, 21);
    }
    assert!(story.findings().contains(&Checker::AgreedOrder));

    let mut story = Story::begin();
    let (a, b) = (story.sent(1, false), story.sent(2, false));
    for node in 1..=3 {
        if node != 3 {
            story.delivered(node, a, FIRST, 20);
        }
        story.delivered(node, b, FIRST, 21);
    }
    assert!(story.findings().contains(&Checker::AgreedOrder));
}

#[test]
fn order_minds_a_stranger_s_message_after_a_gap() {
    let mut story = Story::begin();
    let (lost, late) = (story.sent(3, false), story.sent(3, false));
    story.delivered(3, lost, FIRST, 20);
    story.delivered(3, late, FIRST, 21);
    story.history.lives[2].end = Some((story.now_ns, End::Crash));
    for node in 1..=2 {
        story.add(node, What::Transitional { ring: SECOND, members: nodes(&[1, 2]) });
        story.delivered(node, late, FIRST, 21);
        story.regular(node, SECOND, &[1, 2]);
        let left = vec![(member(3), Cause::NodeDown)];
        story.view(node, SECOND, 3, vec![member(1), member(2)], vec![], left);
        story.synced(node, SECOND);
    }
    assert!(story.findings().contains(&Checker::AgreedOrder));
}

#[test]
fn safe_minds_a_member_without_the_frame() {
    let mut story = Story::begin();
    let id = story.sent(1, true);
    let when = story.now_ns;
    for life in 0..2 {
        let receipts = story.history.receipts.as_mut().expect("the story has receipts");
        receipts.entry((FIRST, 20)).or_default().push((LifeId(life), when));
    }
    story.delivered(1, id, FIRST, 20);
    assert!(story.findings().contains(&Checker::SafeDelivery));
    let receipts = story.history.receipts.as_mut().expect("the story has receipts");
    receipts.entry((FIRST, 20)).or_default().push((LifeId(2), when));
    story.delivered(2, id, FIRST, 20);
    story.delivered(3, id, FIRST, 20);
    assert_eq!(story.findings(), []);
}

#[test]
fn safe_minds_a_member_that_goes_on_without_it() {
    let mut story = Story::begin();
    story.history.receipts = None;
    let id = story.sent(1, true);
    story.delivered(1, id, FIRST, 20);
    story.history.lives[0].end = Some((story.now_ns, End::Crash));
    for node in 2..=3 {
        story.change(node, &[2, 3], &[2, 3]);
    }
    assert!(story.findings().contains(&Checker::SafeDelivery));
}

#[test]
fn self_delivery_minds_what_was_taken_and_lost() {
    let mut story = Story::begin();
    story.sent(1, false);
    assert_eq!(story.findings(), [Checker::SelfDelivery]);
    story.history.lives[0].end = Some((story.now_ns, End::Crash));
    assert_eq!(story.findings(), []);
}

#[test]
fn synchrony_minds_different_messages_before_one_change() {
    let mut story = Story::begin();
    let id = story.sent(3, false);
    story.delivered(3, id, FIRST, 20);
    story.history.lives[2].end = Some((story.now_ns, End::Crash));
    story.delivered(1, id, FIRST, 20);
    for node in 1..=2 {
        story.change(node, &[1, 2], &[1, 2]);
        let left = vec![(member(3), Cause::NodeDown)];
        story.view(node, SECOND, 3, vec![member(1), member(2)], vec![], left);
        story.synced(node, SECOND);
    }
    assert_eq!(story.findings(), [Checker::VirtualSynchrony]);
}

#[test]
fn synchrony_minds_a_transitional_configuration_with_the_wrong_members() {
    let (mut story, _) = one_message();
    for node in 1..=2 {
        story.change(node, if node == 1 { &[1] } else { &[1, 2] }, &[1, 2]);
    }
    assert!(story.findings().contains(&Checker::VirtualSynchrony));
}

#[test]
fn causality_minds_an_effect_without_its_cause() {
    let mut story = Story::begin();
    let cause = story.sent(1, false);
    story.delivered(1, cause, FIRST, 20);
    story.delivered(2, cause, FIRST, 20);
    let effect = story.sent(2, false);
    for node in 1..=3 {
        story.delivered(node, effect, FIRST, 21);
    }
    assert!(story.findings().contains(&Checker::CausalOrder));
}

#[test]
fn integrity_minds_repetition_invention_holes_and_change() {
    let (mut story, id) = one_message();
    story.delivered(2, id, FIRST, 22);
    assert!(story.findings().contains(&Checker::Integrity));

    let (mut story, _) = one_message();
    story.history.lives[0].entries.retain(|e| !matches!(e.what, What::Sent(_)));
    assert_eq!(story.findings(), [Checker::Integrity]);

    let (mut story, _) = one_message();
    let (_, last) = (story.sent(1, false), story.sent(1, false));
    for node in 1..=3 {
        story.delivered(node, last, FIRST, 23);
    }
    assert_eq!(story.findings(), [Checker::SelfDelivery, Checker::Integrity]);

    let (mut story, _) = one_message();
    let at = Position { ring: FIRST, seq: 30, offset: 0, index: 0 };
    story.add(1, What::Foreign { at, why: "other bytes".to_owned() });
    assert_eq!(story.findings(), [Checker::Integrity]);
}

#[test]
fn views_mind_other_members_false_reasons_and_missing_ones() {
    let gone = |story: &mut Story, node, cause| {
        let rest = vec![member(1), member(2)];
        story.view(node, FIRST, 30, rest, vec![], vec![(member(3), cause)]);
    };
    let mut story = Story::begin();
    story.add(3, What::Closed { session: 30 });
    for node in 1..=3 {
        gone(&mut story, node, Cause::ProcessDown);
    }
    assert_eq!(story.findings(), []);

    let mut story = Story::begin();
    for node in 1..=3 {
        gone(&mut story, node, Cause::ProcessDown);
    }
    assert_eq!(story.findings(), [Checker::Views], "nobody closed");

    let mut story = Story::begin();
    story.add(3, What::Closed { session: 30 });
    gone(&mut story, 1, Cause::ProcessDown);
    gone(&mut story, 3, Cause::ProcessDown);
    let id = story.sent(1, false);
    for node in 1..=2 {
        story.delivered(node, id, FIRST, 31);
    }
    assert!(story.findings().contains(&Checker::Views), "node 2 missed the view");

    let (mut story, _) = one_message();
    for node in 1..=2 {
        story.change(node, &[1, 2], &[1, 2]);
        story.synced(node, SECOND);
    }
    story.history.lives[2].end = Some((story.now_ns, End::Crash));
    assert_eq!(story.findings(), [Checker::Views], "nobody saw node 3 go");
}

#[test]
fn ring_ids_mind_reuse_and_what_is_not_stored() {
    let (mut story, _) = one_message();
    story.history.lives.push(Life {
        node: NodeId(1),
        started_ns: story.now_ns,
        end: None,
        entries: Vec::new(),
    });
    story.history.lives[0].end = Some((story.now_ns, End::Crash));
    let at_ns = story.now_ns;
    let members = nodes(&[1, 2, 3]);
    let again = What::Regular { ring: FIRST, members, stored: 64 };
    story.history.lives[3].entries.push(Entry { at_ns, what: again });
    assert!(story.findings().contains(&Checker::RingIds));

    let (mut story, _) = one_message();
    let What::Regular { stored, .. } = &mut story.history.lives[0].entries[0].what else {
        panic!("the first entry is the first ring")
    };
    *stored = 0;
    assert_eq!(story.findings(), [Checker::RingIds]);
}

#[test]
fn slots_mind_leaks() {
    let (mut story, _) = one_message();
    let life = LifeId(0);
    story.history.slots.push(SlotAccount { life, idle: super::slots::IDLE_SLOTS_MAX, dropped: 0 });
    assert_eq!(story.findings(), []);
    story.history.slots.push(SlotAccount { life, idle: 0, dropped: 1 });
    assert_eq!(story.findings(), [Checker::Slots]);
    story.history.slots = vec![SlotAccount { life, idle: 100, dropped: 0 }];
    assert_eq!(story.findings(), [Checker::Slots]);
}

#[test]
fn liveness_minds_what_is_missing() {
    let (mut story, _) = one_message();
    story.history.missing.push("two rings".to_owned());
    assert_eq!(story.findings(), [Checker::Liveness]);
}

#[test]
fn quorum_membership_minds_going_back_and_equal_numbers() {
    let mut story = Story::begin();
    story.history.lives[0].end = Some((story.now_ns, End::Crash));
    story.history.lives.push(Life {
        node: NodeId(1),
        started_ns: story.now_ns,
        end: None,
        entries: Vec::new(),
    });
    let at_ns = story.now_ns;
    let ring = RingId { seq: 0, rep: NodeId(1) };
    let back = What::Regular { ring, members: nodes(&[1, 3]), stored: 64 };
    story.history.lives[3].entries.push(Entry { at_ns, what: back });
    assert!(story.findings().contains(&Checker::QuorumMembership));

    let mut story = Story::begin();
    let other = RingId { seq: 1, rep: NodeId(2) };
    let members = nodes(&[2, 3]);
    story.add(2, What::Regular { ring: other, members, stored: 64 });
    assert!(story.findings().contains(&Checker::QuorumMembership));
}
