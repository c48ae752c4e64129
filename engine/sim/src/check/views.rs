//! Group views: every node that has members of a group sees the same sequence of views, each follows
//! from the one before, and the reasons it gives are true.

use std::collections::{BTreeMap, BTreeSet};

use groups::Cause;
use wire::{MemberId, NodeId, RingId};

use crate::history::{GroupId, History, LifeId, Readers, Segment, ViewRecord, What};

use super::reasons::Deeds;
use super::synchrony::{Way, way_after};
use super::union::by_ring;
use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    let deeds = Deeds::of(case.history);
    for id in case.history.life_ids() {
        Walk::new(case.history, id).run(out, &deeds);
    }
    super::reasons::answers(case, out);
    agreement(case, out);
    for segments in by_ring(case).values() {
        nobody_misses_one(case, out, segments);
    }
    final_members(case.history, out);
}

/// One life's views in their order.
struct Walk<'h> {
    history: &'h History,
    id: LifeId,
    node: NodeId,
    ring: Option<RingId>,
    /// Nodes that went through everything with this one since its last barrier.
    together: BTreeSet<NodeId>,
    /// Who of them came along to the present ring: the barrier is about those, even when it ends as the ring does.
    came_along: BTreeSet<NodeId>,
    /// Members of the transitional configuration that ends the ring, once it came.
    along: Option<Vec<NodeId>>,
    ring_members: Vec<NodeId>,
    /// Groups with local members, their members, and the ring of the last view.
    groups: BTreeMap<GroupId, Vec<MemberId>>,
    /// Members whose nodes were not together with us when the ring began; the barrier has to show them gone.
    must_go: BTreeSet<(GroupId, MemberId)>,
    in_barrier: bool,
    readers: Readers,
}

impl<'h> Walk<'h> {
    fn new(history: &'h History, id: LifeId) -> Self {
        let node = history.life(id).node;
        Self {
            history,
            id,
            node,
            ring: None,
            together: [node].into(),
            came_along: [node].into(),
            along: None,
            ring_members: Vec::new(),
            groups: BTreeMap::new(),
            must_go: BTreeSet::new(),
            in_barrier: false,
            readers: Readers::default(),
        }
    }

    fn run(&mut self, out: &mut Findings, deeds: &Deeds) {
        for entry in &self.history.life(self.id).entries {
            self.readers.see(self.node, &entry.what);
            match &entry.what {
                What::Transitional { members, .. } => {
                    self.together.retain(|n| members.contains(n));
                    self.along = Some(members.to_vec());
                }
                What::Regular { ring, members, .. } => self.regular(*ring, members),
                What::Synced { ring } => self.synced(out, *ring),
                What::View(view) => self.view(out, deeds, entry.at_ns, view),
                What::Delivered(d) => {
                    out.require(!self.in_barrier || Some(d.at.ring) != self.ring, || {
                        format!("{} delivered {} before its barrier ended", self.who(), d.at)
                    });
                    let known = self.groups.get(&d.group);
                    let member = known.is_some_and(|members| members.contains(&d.sender));
                    out.require(member, || {
                        format!("{} delivered {} from a stranger {:?}", self.who(), d.at, d.sender)
                    });
                }
                _ => {}
            }
        }
    }

    fn who(&self) -> String {
        self.history.who(self.id)
    }

    fn regular(&mut self, ring: RingId, members: &[NodeId]) {
        self.ring = Some(ring);
        self.ring_members = members.to_vec();
        self.along = None;
        self.in_barrier = true;
        self.came_along = self.together.clone();
        let away = |m: &&MemberId| !self.together.contains(&m.node);
        self.must_go = self
            .groups
            .iter()
            .flat_map(|(g, members)| members.iter().filter(away).map(|m| (*g, *m)))
            .collect();
    }

    fn synced(&mut self, out: &mut Findings, ring: RingId) {
        out.require(self.in_barrier && self.ring == Some(ring), || {
            format!("{} ended a barrier of {ring} while in {:?}", self.who(), self.ring)
        });
        self.in_barrier = false;
        // A barrier may end in the transitional configuration: who does not come along is not together with us.
        let along = |node: &&NodeId| self.along.as_ref().is_none_or(|along| along.contains(node));
        self.together = self.ring_members.iter().filter(along).copied().collect();
        out.require(self.must_go.is_empty(), || {
            format!("{} did not see {:?} go with their nodes", self.who(), self.must_go)
        });
        self.must_go.clear();
        for (group, members) in &self.groups {
            let stranger = members.iter().find(|m| !self.ring_members.contains(&m.node));
            out.require(stranger.is_none(), || {
                format!("{} keeps {stranger:?} in group {} of {ring}", self.who(), group.0)
            });
        }
    }

    fn view(&mut self, out: &mut Findings, deeds: &Deeds, at_ns: u64, view: &ViewRecord) {
        let at = || {
            format!("{}: view of group {} at {}:{}", self.who(), view.group.0, view.ring, view.seq)
        };
        out.require(Some(view.ring) == self.ring, || format!("{} in ring {:?}", at(), self.ring));
        let order = |m: &MemberId| (m.node, m.pid, m.session);
        out.require(view.members.windows(2).all(|p| order(&p[0]) < order(&p[1])), || {
            format!("{}: members out of order: {:?}", at(), view.members)
        });
        self.follows(out, view, &at);
        for (m, cause) in view.joined.iter().chain(&view.left) {
            let known = match cause {
                Cause::NodeDown | Cause::NodeUp => {
                    self.in_barrier && !self.together.contains(&m.node)
                }
                // The end of a barrier shows the joins that waited when the ring broke.
                Cause::Join if self.in_barrier => {
                    self.came_along.contains(&m.node) && deeds.explain(m, view.group, *cause, at_ns)
                }
                _ => !self.in_barrier && deeds.explain(m, view.group, *cause, at_ns),
            };
            out.require(known, || format!("{}: no reason for {cause:?} of {m:?}", at()));
        }
        let came = |c: &Cause| matches!(c, Cause::Join | Cause::NodeUp);
        let honest = view.joined.iter().all(|(_, c)| came(c))
            && view.left.iter().all(|(_, c)| !came(c))
            && view.joined.len() + view.left.len() > 0;
        out.require(honest, || format!("{}: {:?} came, {:?} went", at(), view.joined, view.left));
        for (m, cause) in &view.left {
            if *cause == Cause::NodeDown {
                self.must_go.remove(&(view.group, *m));
            }
        }
        if self.readers.any(self.node, view) {
            self.groups.insert(view.group, view.members.clone());
        } else {
            self.groups.remove(&view.group);
        }
    }

    /// The members are those of the last view, without those who went, with those who came.
    fn follows(&self, out: &mut Findings, view: &ViewRecord, at: &dyn Fn() -> String) {
        let now: BTreeSet<MemberId> = view.members.iter().copied().collect();
        match self.groups.get(&view.group) {
            Some(before) => {
                let mut expected: BTreeSet<MemberId> = before.iter().copied().collect();
                let known = view.left.iter().all(|(m, _)| expected.remove(m));
                let new = view.joined.iter().all(|(m, _)| expected.insert(*m));
                out.require(known && new && expected == now, || {
                    format!(
                        "{}: {:?} less {:?} plus {:?} is not {:?}",
                        at(),
                        before,
                        view.left,
                        view.joined,
                        view.members
                    )
                });
            }
            None => {
                let own = view
                    .joined
                    .iter()
                    .any(|(m, c)| m.node == self.node && *c == Cause::Join && now.contains(m));
                // Others may go with the very change that ends the wait of the join.
                out.require(own, || format!("{}: the first view does not show our own join", at()));
            }
        }
    }
}

/// Views with one name (group, ring, frame) are one everywhere, except where parts of the ring that
/// separate miss frames of each other: then they are one for those who take the same way out. A
/// frame may make several; who joins or leaves within it sees only some of them.
fn agreement(case: &Case<'_>, out: &mut Findings) {
    type Seen<'h> = BTreeMap<LifeId, Vec<&'h [MemberId]>>;
    type Name<'h> = (GroupId, RingId, (u64, u32), Option<Way<'h>>);
    let mut all: BTreeMap<Name<'_>, Seen<'_>> = BTreeMap::new();
    for id in case.history.life_ids() {
        let mut way = None;
        for entry in &case.history.life(id).entries {
            way = way_after(way, &entry.what);
            if let What::View(view) = &entry.what {
                let place = (view.seq, view.offset);
                let seen = all.entry((view.group, view.ring, place, way)).or_default();
                seen.entry(id).or_default().push(&view.members);
            }
        }
    }
    for ((group, ring, (seq, _), _), seen) in all {
        let Some(longest) = seen.values().max_by_key(|list| list.len()) else { continue };
        for (id, list) in &seen {
            let mut rest = longest.iter();
            let same = list.iter().all(|members| rest.any(|other| other == members));
            out.require(same, || {
                format!(
                    "{} has other members than others in the view of group {} at {ring}:{seq}: {list:?}, {longest:?}",
                    case.history.who(*id),
                    group.0
                )
            });
        }
    }
}

/// A view that one life saw in a ring, all saw that had members of the group and came that far.
fn nobody_misses_one(case: &Case<'_>, out: &mut Findings, segments: &[&Segment]) {
    let mut views: BTreeSet<(GroupId, u64)> = BTreeSet::new();
    let mut per_segment = Vec::new();
    for segment in segments {
        let regular_end = segment.transition.as_ref().map_or(segment.entries.end, |t| t.entry);
        let entries = &case.history.life(segment.life).entries[segment.entries.start..regular_end];
        let own: BTreeSet<(GroupId, u64)> = entries
            .iter()
            .filter_map(|e| match &e.what {
                What::View(v) => Some((v.group, v.seq)),
                _ => None,
            })
            .collect();
        views.extend(&own);
        per_segment.push(own);
    }
    for (segment, own) in segments.iter().zip(per_segment) {
        for (group, seq) in views.difference(&own) {
            let spans = segment.spans_of(*group);
            let member = spans
                .iter()
                .any(|s| s.after.is_none_or(|a| *seq > a) && s.until.is_none_or(|u| *seq < u));
            out.require(!member || segment.cut.seq <= *seq, || {
                format!(
                    "{} missed the view of group {} at {}:{seq}",
                    case.history.who(segment.life),
                    group.0,
                    segment.ring
                )
            });
        }
    }
}

/// The ring a life was in at the end.
fn last_ring(history: &History, id: LifeId) -> Option<RingId> {
    history.life(id).entries.iter().rev().find_map(|e| match e.what {
        What::Regular { ring, .. } => Some(ring),
        _ => None,
    })
}

/// At rest every survivor sees those as members that are.
fn final_members(history: &History, out: &mut Findings) {
    let Some(expected) = &history.expected_members else { return };
    for id in history.life_ids().filter(|id| history.survived(*id)) {
        let mut last: BTreeMap<GroupId, &ViewRecord> = BTreeMap::new();
        let node = history.life(id).node;
        let mut readers = Readers::default();
        for entry in &history.life(id).entries {
            readers.see(node, &entry.what);
            if let What::View(view) = &entry.what {
                last.insert(view.group, view);
            }
        }
        for (group, members) in expected {
            if !members.iter().any(|(life, _)| *life == id) {
                continue;
            }
            let want: BTreeSet<(NodeId, u32)> = members
                .iter()
                .filter(|(life, _)| last_ring(history, *life) == last_ring(history, id))
                .map(|(life, s)| (history.life(*life).node, *s))
                .collect();
            let have: BTreeSet<(NodeId, u32)> = last
                .get(group)
                .map(|v| v.members.iter().map(|m| (m.node, m.session)).collect())
                .unwrap_or_default();
            out.require(want == have, || {
                format!("node {node} ends with {have:?} in group {}, there are {want:?}", group.0)
            });
        }
        for (group, view) in &last {
            let here = readers.any(node, view);
            let due = expected.get(group).is_some_and(|m| m.iter().any(|(life, _)| *life == id));
            out.require(here == due, || {
                format!("node {node} ends as member of group {}: {here}, should: {due}", group.0)
            });
        }
    }
}
