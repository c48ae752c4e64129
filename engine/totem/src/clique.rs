//! Asymmetric paths: from the same `hears` matrix all nodes compute the same groups in which everybody hears
//! everybody, the largest first, ties to the one with the lowest node.

use wire::NodeSet;

/// Steps of the search for the largest group before the greedy answer is taken. Everybody counts the same
/// steps, so everybody stops at the same answer.
const STEPS_MAX: u32 = 20_000;

/// The group that `me` belongs to when `nodes` split into groups in which everybody hears everybody.
/// `hears(a)` is the set of nodes that `a` hears.
pub(crate) fn group_of(me: usize, nodes: NodeSet, hears: impl Fn(usize) -> NodeSet) -> NodeSet {
    let mutual = |a: usize| -> NodeSet {
        let mut set: NodeSet =
            hears(a).intersection(&nodes).iter().filter(|b| hears(*b).contains(a)).collect();
        set.insert(a);
        set
    };
    let mut rest = nodes;
    while rest.contains(me) {
        let group = largest(rest, &mutual);
        if group.contains(me) {
            return group;
        }
        rest = rest.minus(&group);
    }
    NodeSet::single(me)
}

/// The largest group within `rest`, lowest nodes first.
fn largest(rest: NodeSet, mutual: &impl Fn(usize) -> NodeSet) -> NodeSet {
    // Who hears everybody and is heard by everybody belongs to every largest group.
    let core: NodeSet = rest.iter().filter(|a| rest.is_subset(&mutual(*a))).collect();
    let mut search = Search { best: NodeSet::EMPTY, best_len: 0, steps: 0 };
    search.extend(NodeSet::EMPTY, 0, rest.minus(&core), mutual);
    core.union(&search.best)
}

struct Search {
    best: NodeSet,
    best_len: usize,
    steps: u32,
}

impl Search {
    /// Depth first, lowest position first: among equals the first found, which has the lowest nodes, stays.
    fn extend(
        &mut self,
        group: NodeSet,
        len: usize,
        candidates: NodeSet,
        mutual: &impl Fn(usize) -> NodeSet,
    ) {
        if len > self.best_len {
            self.best = group;
            self.best_len = len;
        }
        let mut left = candidates;
        let mut left_len = left.len();
        while let Some(next) = left.first() {
            self.steps += 1;
            if len + left_len <= self.best_len || self.steps > STEPS_MAX {
                return;
            }
            left.remove(next);
            left_len -= 1;
            let mut with = group;
            with.insert(next);
            self.extend(with, len + 1, left.intersection(&mutual(next)), mutual);
        }
    }
}
