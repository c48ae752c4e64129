//! Changes of the configuration: whoever takes one over does so at one place of one ring's order and gets the same;
//! nobody takes over what a member refused, or what it did not find good itself; whoever goes on from a
//! ring together has taken over the same in it; and what was committed in an unbroken ring is taken over by every
//! member that gets to know how the ring ended.

use std::collections::{BTreeMap, BTreeSet};

use groups::cfg::Place;
use wire::RingId;
use wire::cfg::ChangeId;

use crate::history::{LifeId, ReloadStep, Segment, What};

use super::{Case, Findings};

/// What one life took over.
struct Taken {
    life: LifeId,
    at: Place,
    file: (u64, u64, u8),
}

/// What all lives said about one change.
#[derive(Default)]
struct Story {
    taken: Vec<Taken>,
    good: BTreeSet<LifeId>,
    bad: Vec<LifeId>,
    refused: Vec<LifeId>,
}

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    let stories = stories(case, out);
    for (change, story) in &stories {
        one_change(case, out, *change, story);
    }
    let taken: BTreeSet<(LifeId, RingId, ChangeId)> = stories
        .iter()
        .flat_map(|(change, story)| story.taken.iter().map(|t| (t.life, t.at.ring, *change)))
        .collect();
    let by_ring = super::union::by_ring(case);
    for (change, story) in &stories {
        let Some(first) = story.taken.first() else { continue };
        let unbroken = story.taken.iter().find(|taken| !taken.at.transitional);
        for segment in by_ring.get(&first.at.ring).into_iter().flatten() {
            let has = taken.contains(&(segment.life, segment.ring, *change));
            let ended = segment.next.is_some();
            let rested = segment.next.is_none() && case.history.survived(segment.life);
            if let Some(unbroken) = unbroken {
                out.require(has || !(ended || rested), || {
                    let (who, other) =
                        (case.history.who(segment.life), case.history.who(unbroken.life));
                    format!(
                        "{who} did not take over {change:?}, as {other} did in {}",
                        segment.ring
                    )
                });
            }
            let fellow =
                story.taken.iter().find(|t| ended && goes_along(&by_ring, t.life, segment));
            if let Some(fellow) = fellow {
                out.require(has, || {
                    let (who, other) =
                        (case.history.who(segment.life), case.history.who(fellow.life));
                    format!("{who} went on from {} with {other} without {change:?}", segment.ring)
                });
            }
        }
    }
}

/// Whether a life went the same way out of a segment's ring.
fn goes_along(by_ring: &BTreeMap<RingId, Vec<&Segment>>, life: LifeId, segment: &Segment) -> bool {
    let other = by_ring.get(&segment.ring).into_iter().flatten().find(|s| s.life == life);
    let way = |s: &Segment| s.transition.as_ref().map(|t| (t.to, t.members.clone()));
    other.is_some_and(|other| other.next == segment.next && way(other) == way(segment))
}

fn stories(case: &Case<'_>, out: &mut Findings) -> BTreeMap<ChangeId, Story> {
    let mut stories: BTreeMap<ChangeId, Story> = BTreeMap::new();
    for life in case.history.life_ids() {
        for entry in &case.history.life(life).entries {
            let What::Reload { change, step } = entry.what else { continue };
            let story = stories.entry(change).or_default();
            match step {
                ReloadStep::Answered { good: true } => {
                    story.good.insert(life);
                }
                ReloadStep::Answered { good: false } => story.bad.push(life),
                ReloadStep::TakenOver { at, version, hash, key } => {
                    story.taken.push(Taken { life, at, file: (version, hash, key) });
                }
                ReloadStep::Unchecked => out.add(|| {
                    let who = case.history.who(life);
                    format!("{who} was told to take over {change:?}, which it had not found good")
                }),
                ReloadStep::Refused => story.refused.push(life),
                ReloadStep::NewRing => {}
            }
        }
    }
    stories
}

/// One change is the same thing at one place for all, or nothing for all.
fn one_change(case: &Case<'_>, out: &mut Findings, change: ChangeId, story: &Story) {
    let Some(first) = story.taken.first() else { return };
    let who = |life: LifeId| case.history.who(life);
    for taken in &story.taken {
        out.require((taken.at.ring, taken.at.seq) == (first.at.ring, first.at.seq), || {
            let (a, b) = (who(first.life), who(taken.life));
            format!("{a} took over {change:?} at {:?}, {b} at {:?}", first.at, taken.at)
        });
        out.require(taken.file == first.file, || {
            let (a, b) = (who(first.life), who(taken.life));
            format!("{a} took over {change:?} as {:?}, {b} as {:?}", first.file, taken.file)
        });
        out.require(story.good.contains(&taken.life), || {
            format!("{} took over {change:?} without having found it good", who(taken.life))
        });
    }
    for against in story.bad.iter().chain(&story.refused) {
        out.add(|| {
            let (a, b) = (who(first.life), who(*against));
            format!("{a} took over {change:?}, which was refused as {b} saw it")
        });
    }
}
