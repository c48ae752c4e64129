//! Histories in which the configuration changes.

use groups::Cause;
use groups::cfg::Place;
use wire::cfg::ChangeId;
use wire::{NodeId, RingId};

use super::story::{FIRST, SECOND, Story, member};
use crate::check::Checker;
use crate::history::{End, Entry, ReloadStep, What};

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
