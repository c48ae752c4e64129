//! Asymmetric paths: from the same `hears` matrix all nodes compute the same groups in which
//! everybody hears everybody, the largest first, ties to the one with the lowest node.

use alloc::vec::Vec;

use wire::NodeSet;

/// Steps of the search for the largest groups before greedy answers are taken: a few milliseconds.
/// Everybody counts the same steps, so everybody stops at the same answer.
const STEPS_MAX: u32 = 20_000;

/// The group that `me` belongs to when `nodes` split into groups in which everybody hears
/// everybody. `hears(a)` is the set of nodes that `a` hears.
pub(crate) fn group_of(me: usize, nodes: NodeSet, hears: impl Fn(usize) -> NodeSet) -> NodeSet {
    let last = nodes.iter().last().unwrap_or(0);
    let rows: Vec<NodeSet> = (0..=last).map(&hears).collect();
    let mutual: Vec<NodeSet> = (0..=last)
        .map(|a| {
            let both = |b: &usize| *b == a || rows[*b].contains(a);
            let mut set = rows[a];
            set.insert(a);
            set.intersection(&nodes).iter().filter(both).collect()
        })
        .collect();
    let mut search = Search { mutual: &mutual, best: NodeSet::EMPTY, best_len: 0, steps: 0 };
    let mut rest = nodes;
    while rest.contains(me) {
        let group = search.largest(rest);
        if group.contains(me) {
            return group;
        }
        rest = rest.minus(&group);
    }
    NodeSet::single(me)
}

struct Search<'a> {
    /// By position: who hears the node and is heard by it, itself included.
    mutual: &'a [NodeSet],
    best: NodeSet,
    best_len: usize,
    steps: u32,
}

impl Search<'_> {
    /// The largest group within `rest`, lowest nodes first.
    fn largest(&mut self, rest: NodeSet) -> NodeSet {
        // Who hears everybody and is heard by everybody belongs to every largest group.
        let core: NodeSet = rest.iter().filter(|a| rest.is_subset(&self.mutual[*a])).collect();
        self.best = NodeSet::EMPTY;
        self.best_len = 0;
        self.extend(NodeSet::EMPTY, 0, rest.minus(&core));
        core.union(&self.best)
    }

    /// Depth first, lowest position first: among equals the first found, which has the lowest
    /// nodes, stays.
    fn extend(&mut self, group: NodeSet, len: usize, candidates: NodeSet) {
        if len > self.best_len {
            self.best = group;
            self.best_len = len;
        }
        let mut left = candidates;
        let mut left_len = left.len();
        while let Some(next) = left.first() {
            self.steps += 1;
            // Out of steps: the first branch is still followed to its end, which is the greedy
            // answer.
            let spent = self.steps > STEPS_MAX && self.best_len > len;
            if len + left_len <= self.best_len || spent {
                return;
            }
            left.remove(next);
            left_len -= 1;
            let mut with = group;
            with.insert(next);
            self.extend(with, len + 1, left.intersection(&self.mutual[next]));
        }
    }
}
