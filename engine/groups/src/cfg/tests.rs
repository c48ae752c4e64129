//! A change among nodes that deliver the same messages in the same order.

use alloc::vec;

use wire::RingId;

use super::*;

const TARGET: Target = Target { config_version: 2, config_hash: 3, key: 4 };
const PLACE: Place = Place { ring: RingId { seq: 1, rep: NodeId(1) }, seq: 5, transitional: false };

fn good() -> Answer {
    Answer { good: true, text: String::new() }
}

/// Nodes that deliver the same messages in the same order.
struct Ring {
    ids: Vec<NodeId>,
    nodes: Vec<Changes>,
}

impl Ring {
    fn new(count: u32) -> Self {
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        Self { nodes: ids.iter().map(|_| Changes::default()).collect(), ids }
    }

    /// Orders everything that waits; gives how many messages were safe.
    fn order(&mut self) -> usize {
        let mut safe_count = 0;
        while let Some(at) = self.nodes.iter().position(Changes::must_send) {
            let mut buf = [0; 512];
            let (bytes, safe) = self.nodes[at].write(&mut buf).unwrap();
            safe_count += usize::from(safe);
            let Ok(control::Control::Cfg(message)) = control::parse(&buf[..bytes]) else {
                panic!("not what was written")
            };
            for (node, me) in self.nodes.iter_mut().zip(&self.ids) {
                assert!(node.deliver(*me, &self.ids, (self.ids[at], PLACE), &message));
            }
        }
        safe_count
    }

    fn events(&mut self) -> Vec<Vec<Event>> {
        self.nodes.iter_mut().map(|node| node.events.drain(..).collect()).collect()
    }
}

#[test]
fn a_change_is_committed_when_all_members_found_it_good() {
    let mut ring = Ring::new(3);
    let change = ChangeId { node: NodeId(2), number: 9 };
    assert!(ring.nodes[1].ask(Request::Prepare { number: 9, target: TARGET }));
    assert_eq!(ring.order(), 0);
    let check = Event::Check { change, target: TARGET, members: ring.ids.clone() };
    assert_eq!(ring.events(), [[check.clone()], [check.clone()], [check]]);
    for at in [2, 0] {
        ring.nodes[at].ask(Request::Answer { change, answer: good() });
    }
    assert_eq!(ring.order(), 0, "one is missing");
    ring.nodes[1].ask(Request::Answer { change, answer: good() });
    assert_eq!(ring.order(), 1, "the commit is safe");
    for events in ring.events() {
        assert_eq!(events.len(), 4);
        assert_eq!(events.last(), Some(&Event::Committed { change, at: PLACE }));
    }
}

#[test]
fn one_bad_answer_ends_it_for_everybody_with_its_text() {
    let mut ring = Ring::new(2);
    let change = ChangeId { node: NodeId(1), number: 1 };
    ring.nodes[0].ask(Request::Prepare { number: 1, target: TARGET });
    ring.order();
    ring.nodes[1].ask(Request::Answer {
        change,
        answer: Answer { good: false, text: "é".repeat(TEXT_BYTES_MAX) },
    });
    ring.order();
    ring.nodes[0].ask(Request::Answer { change, answer: good() });
    assert_eq!(ring.order(), 0, "nothing more to say");
    let why = Abort::Refused { node: NodeId(2), text: "é".repeat(TEXT_BYTES_MAX / 2) };
    for events in ring.events() {
        assert_eq!(events.last(), Some(&Event::Aborted { change, why: why.clone() }));
    }
}

#[test]
fn one_change_at_a_time_and_the_one_that_asked_may_give_up() {
    let mut ring = Ring::new(2);
    ring.nodes[0].ask(Request::Prepare { number: 1, target: TARGET });
    ring.nodes[1].ask(Request::Prepare { number: 1, target: TARGET });
    ring.order();
    let second = ChangeId { node: NodeId(2), number: 1 };
    let busy = Event::Aborted { change: second, why: Abort::Busy { node: NodeId(1) } };
    let events = ring.events();
    assert_eq!((events[0].len(), events[1].last()), (1, Some(&busy)));
    ring.nodes[0].ask(Request::Abort { number: 1, text: "too slow".into() });
    ring.order();
    let first = ChangeId { node: NodeId(1), number: 1 };
    let text = "too slow; no answer from node 1; no answer from node 2".into();
    let why = Abort::Refused { node: NodeId(1), text };
    let aborted = Event::Aborted { change: first, why };
    assert_eq!(ring.events(), [[aborted.clone()], [aborted]]);
    ring.nodes[1].ask(Request::Prepare { number: 2, target: TARGET });
    ring.order();
    assert!(matches!(ring.events()[0][..], [Event::Check { .. }]));
}

#[test]
fn a_new_ring_ends_it_and_what_waited_but_not_who_is_to_be_killed() {
    let mut ring = Ring::new(2);
    ring.nodes[0].ask(Request::Prepare { number: 1, target: TARGET });
    ring.order();
    ring.events();
    let change = ChangeId { node: NodeId(1), number: 1 };
    ring.nodes[1].ask(Request::Answer { change, answer: good() });
    ring.nodes[1].ask(Request::Prepare { number: 5, target: TARGET });
    ring.nodes[1].ask(Request::Kill { node: NodeId(1), text: "why".into() });
    ring.nodes[0].new_ring(NodeId(1));
    ring.nodes[1].new_ring(NodeId(2));
    let aborted = |change| Event::Aborted { change, why: Abort::NewRing };
    let own = ChangeId { node: NodeId(2), number: 5 };
    assert_eq!(ring.events(), [vec![aborted(change)], vec![aborted(change), aborted(own)]]);
    ring.order();
    let killed = Event::Killed { by: NodeId(2), text: "why".into() };
    assert_eq!(ring.events(), [vec![killed], vec![]]);
}

#[test]
fn a_commit_behind_a_gap_has_no_effect() {
    let mut node = Changes::default();
    let members = [NodeId(1), NodeId(2)];
    let mut deliver =
        |from, message| node.deliver(NodeId(2), &members, (NodeId(from), PLACE), &message);
    assert!(deliver(1, Cfg::Prepare { number: 1, target: TARGET }));
    let change = ChangeId { node: NodeId(1), number: 1 };
    assert!(deliver(1, Cfg::Answer { change, good: true, text: &[] }));
    assert!(!deliver(1, Cfg::Answer { change, good: true, text: &[] }), "twice");
    assert!(!deliver(1, Cfg::Commit { number: 1 }), "an answer is missing");
    assert!(!deliver(2, Cfg::Abort { number: 1, text: &[] }), "not its own");
    assert!(node.pending.is_some());
}

#[test]
fn what_waits_is_bounded() {
    let mut node = Changes::default();
    let kill = || Request::Kill { node: NodeId(3), text: String::new() };
    for _ in 0..WAITING_MAX {
        assert!(node.ask(kill()));
    }
    assert!(!node.ask(kill()));
}
