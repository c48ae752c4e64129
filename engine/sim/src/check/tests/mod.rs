//! Hand-made histories: a good one that no checker minds, and for each checker bad ones made of it.

use std::rc::Rc;

use groups::Cause;
use groups::cfg::Place;
use wire::cfg::ChangeId;
use wire::{MemberId, NodeId, RingId};

use super::{Checker, check};
use crate::history::{
    Ask, Delivery, End, Entry, GroupId, History, Life, LifeId, Message, MessageId, Position,
    Receipts, ReloadStep, SlotAccount, ViewRecord, What,
};

const GROUP: GroupId = GroupId(0);
const FIRST: RingId = RingId { seq: 1, rep: NodeId(1) };
const SECOND: RingId = RingId { seq: 2, rep: NodeId(1) };

fn member(node: u32) -> MemberId {
    MemberId { node: NodeId(node), session: 10 * node, pid: 7 }
}

fn nodes(ids: &[u32]) -> Rc<[NodeId]> {
    ids.iter().map(|id| NodeId(*id)).collect()
}

/// Three nodes with one client each in one group. Builds histories entry by entry.
struct Story {
    history: History,
    now_ns: u64,
}

impl Story {
    /// All on the first ring, all members, synchronised; node by node.
    fn begin() -> Self {
        let mut history = History {
            nodes: nodes(&[1, 2, 3]).to_vec(),
            groups: vec![b"g".to_vec()],
            receipts: Some(Receipts::new()),
            ..History::default()
        };
        for node in 1..=3 {
            let life = Life { node: NodeId(node), started_ns: 0, end: None, entries: Vec::new() };
            history.lives.push(life);
        }
        let mut story = Self { history, now_ns: 0 };
        for node in 1..=3 {
            story.regular(node, FIRST, &[1, 2, 3]);
            story.synced(node, FIRST);
        }
        for new in 1..=3 {
            let (session, request, group) = (10 * new, 1, Some(GROUP));
            let asked = What::Asked { session, request, group, ask: Ask::Join, refusal: None };
            story.add(new, asked);
            let seq = 10 + u64::from(new);
            for node in 1..=new {
                if node == new {
                    story.add(node, What::Joined { session, request, group: GROUP });
                }
                let members = (1..=new).map(member).collect();
                story.view(node, FIRST, seq, members, vec![(member(new), Cause::Join)], vec![]);
            }
        }
        story
    }

    fn add(&mut self, node: u32, what: What) {
        self.now_ns += 1000;
        let at_ns = self.now_ns;
        self.history.lives[node as usize - 1].entries.push(Entry { at_ns, what });
    }

    fn regular(&mut self, node: u32, ring: RingId, members: &[u32]) {
        self.add(node, What::Regular { ring, members: nodes(members), stored: 64 });
    }

    fn synced(&mut self, node: u32, ring: RingId) {
        self.add(node, What::Synced { ring });
    }

    fn view(
        &mut self,
        node: u32,
        ring: RingId,
        seq: u64,
        members: Vec<MemberId>,
        joined: Vec<(MemberId, Cause)>,
        left: Vec<(MemberId, Cause)>,
    ) {
        let record = ViewRecord { group: GROUP, ring, seq, offset: 0, members, joined, left };
        self.add(node, What::View(record));
    }

    fn sent(&mut self, node: u32, safe: bool) -> MessageId {
        let id = MessageId(self.history.messages.len() as u32);
        let session = 10 * node;
        let number = self.history.messages.iter().filter(|m| m.session == session).count() as u64;
        let life = LifeId(node - 1);
        self.history.messages.push(Message { life, session, group: GROUP, number, len: 8, safe });
        self.add(node, What::Sent(id));
        id
    }

    fn delivered(&mut self, node: u32, id: MessageId, ring: RingId, seq: u64) {
        let m = self.history.messages[id.0 as usize];
        let at = Position { ring, seq, offset: 16, index: 0 };
        let sender = member(m.life.0 + 1);
        let d = Delivery { message: id, group: GROUP, at, first: at, safe: m.safe, sender };
        self.add(node, What::Delivered(d));
    }

    /// Goes on to the second ring with these members; `together` come along from the first.
    fn change(&mut self, node: u32, together: &[u32], members: &[u32]) {
        let along = nodes(together);
        self.add(node, What::Transitional { ring: SECOND, members: along });
        self.regular(node, SECOND, members);
    }

    /// Everything came to rest.
    fn findings(&self) -> Vec<Checker> {
        let mut all: Vec<Checker> = check(&self.history).iter().map(|f| f.checker).collect();
        all.dedup();
        all
    }
}

/// A message of node 1 delivered everywhere.
fn one_message() -> (Story, MessageId) {
    let mut story = Story::begin();
    let id = story.sent(1, false);
    for node in 1..=3 {
        story.delivered(node, id, FIRST, 20);
    }
    (story, id)
}

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

fn reload(story: &mut Story, node: u32, step: ReloadStep) {
    let change = ChangeId { node: NodeId(1), number: 1 };
    story.add(node, What::Reload { change, step });
}

fn taken_over(ring: RingId, seq: u64, transitional: bool) -> ReloadStep {
    let at = Place { ring, seq, transitional };
    ReloadStep::TakenOver { at, version: 3, hash: 8, key: 0 }
}

/// Everybody found a change good.
fn good_change() -> Story {
    let mut story = Story::begin();
    for node in 1..=3 {
        let entry = Entry { at_ns: 0, what: What::Configured { version: 2, hash: 7 } };
        story.history.lives[node as usize - 1].entries.insert(0, entry);
        reload(&mut story, node, ReloadStep::Answered { good: true });
    }
    story
}

#[test]
fn reload_minds_other_places_and_members_left_behind() {
    let mut story = good_change();
    for node in 1..=3 {
        reload(&mut story, node, taken_over(FIRST, 30, false));
    }
    assert_eq!(story.findings(), []);

    let mut story = good_change();
    for node in 1..=3 {
        reload(&mut story, node, taken_over(FIRST, 30 + u64::from(node == 3), false));
    }
    assert_eq!(story.findings(), [Checker::Reload]);

    let mut story = good_change();
    for node in 1..=2 {
        reload(&mut story, node, taken_over(FIRST, 30, false));
    }
    assert_eq!(story.findings(), [Checker::Reload]);
    // Whoever dies never gets to know.
    story.history.lives[2].end = Some((story.now_ns, End::Crash));
    assert_eq!(story.findings(), []);
}

#[test]
fn reload_minds_what_was_refused_or_never_checked() {
    let mut story = good_change();
    reload(&mut story, 3, ReloadStep::Refused);
    for node in 1..=2 {
        reload(&mut story, node, taken_over(FIRST, 30, true));
    }
    assert_eq!(story.findings(), [Checker::Reload]);

    let mut story = Story::begin();
    reload(&mut story, 1, taken_over(FIRST, 30, true));
    assert_eq!(story.findings(), [Checker::Reload]);

    let mut story = good_change();
    reload(&mut story, 1, ReloadStep::Unchecked);
    assert_eq!(story.findings(), [Checker::Reload]);
}

#[test]
fn reload_minds_who_goes_on_together_with_different_configurations() {
    let gone_on = |behind: &[u32]| {
        let mut story = good_change();
        for node in 1..=2 {
            story.change(node, &[1, 2], &[1, 2]);
            if !behind.contains(&node) {
                reload(&mut story, node, taken_over(FIRST, 30, true));
            }
            let left = vec![(member(3), Cause::NodeDown)];
            story.view(node, SECOND, 3, vec![member(1), member(2)], vec![], left);
            story.synced(node, SECOND);
        }
        story.history.lives[2].end = Some((story.now_ns, End::Crash));
        story.findings()
    };
    // All of those who go on together, or none of them; also if the third has taken it over alone.
    assert_eq!(gone_on(&[]), []);
    assert_eq!(gone_on(&[1, 2]), []);
    assert_eq!(gone_on(&[2]), [Checker::Reload, Checker::OneConfiguration]);
}

#[test]
fn one_configuration_minds_a_mixed_ring_and_a_step_back() {
    let mut story = good_change();
    for node in 1..=3 {
        let version = if node == 3 { 1 } else { 2 };
        let configured = What::Configured { version, hash: 7 };
        story.history.lives[node as usize - 1].entries[0].what = configured;
    }
    assert_eq!(story.findings(), [Checker::OneConfiguration]);

    let mut story = good_change();
    for node in 1..=3 {
        let at = Place { ring: FIRST, seq: 30, transitional: false };
        let step = ReloadStep::TakenOver { at, version: 2, hash: 6, key: 0 };
        reload(&mut story, node, step);
    }
    assert_eq!(story.findings(), [Checker::OneConfiguration]);
}
