//! The members of one ring and this node's place among them.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use wire::{NodeId, NodeSet};

/// Members in ascending order: the order in which the token travels.
#[derive(Clone)]
pub(crate) struct Members {
    pub(crate) ids: Rc<[NodeId]>,
    /// The same as positions in the node list.
    pub(crate) set: NodeSet,
    me: usize,
    /// Place of the member asked for last: most often the next one's as well.
    recent: Cell<usize>,
}

impl Members {
    pub(crate) fn new(set: NodeSet, nodes: &[NodeId], me: NodeId) -> Self {
        let ids: Vec<NodeId> = set.iter().filter_map(|pos| nodes.get(pos).copied()).collect();
        let me = ids.iter().position(|id| *id == me).unwrap_or(0);
        Self { ids: ids.into(), set, me, recent: Cell::new(me) }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.ids.len() <= 1
    }

    /// Whether this node has the lowest id.
    pub(crate) fn am_representative(&self) -> bool {
        self.me == 0
    }

    #[inline]
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        if self.ids.get(self.recent.get()) == Some(&node) {
            return true;
        }
        let found = self.ids.binary_search(&node);
        found.inspect(|at| self.recent.set(*at)).is_ok()
    }

    pub(crate) fn me(&self) -> NodeId {
        self.ids[self.me]
    }

    pub(crate) fn successor(&self) -> NodeId {
        self.ids[(self.me + 1) % self.ids.len()]
    }

    pub(crate) fn predecessor(&self) -> NodeId {
        self.ids[(self.me + self.ids.len() - 1) % self.ids.len()]
    }
}
