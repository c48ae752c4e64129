//! Who has which frames, as the datagrams in the clear show it, and whether the ring claims more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wire::{NodeId, RingId};

/// What one node has of one ring.
#[derive(Debug, Default)]
struct Held {
    /// Everything up to here.
    aru: u64,
    /// And these.
    ahead: BTreeSet<u64>,
}

/// What all nodes have. A node that was started again counts as the same: it cannot be on a ring that it was on
/// before, so nothing is confused.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    held: HashMap<(RingId, NodeId), Held>,
    /// The highest number claimed stable per ring, to look at each claim once.
    claimed: BTreeMap<RingId, u64>,
}

impl Holdings {
    /// A node has a frame.
    pub(crate) fn add(&mut self, node: NodeId, ring: RingId, seq: u64) {
        let held = self.held.entry((ring, node)).or_default();
        if seq > held.aru {
            held.ahead.insert(seq);
            while held.ahead.remove(&(held.aru + 1)) {
                held.aru += 1;
            }
        }
    }

    /// Somebody says that all members of a ring have everything up to `stable`: a member that does not.
    pub(crate) fn refute(
        &mut self,
        ring: RingId,
        members: &[NodeId],
        stable: u64,
    ) -> Option<(NodeId, u64)> {
        let claimed = self.claimed.entry(ring).or_default();
        if stable <= *claimed {
            return None;
        }
        *claimed = stable;
        let aru = |node: &NodeId| self.held.get(&(ring, *node)).map_or(0, |held| held.aru);
        members.iter().map(|node| (*node, aru(node))).find(|(_, aru)| *aru < stable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_beyond_what_a_member_has_is_refuted() {
        let ring = RingId { seq: 3, rep: NodeId(1) };
        let members = [NodeId(1), NodeId(2)];
        let mut holdings = Holdings::default();
        for seq in [1, 2, 3] {
            holdings.add(NodeId(1), ring, seq);
        }
        for seq in [1, 3] {
            holdings.add(NodeId(2), ring, seq);
        }
        assert_eq!(holdings.refute(ring, &members, 1), None);
        assert_eq!(holdings.refute(ring, &members, 2), Some((NodeId(2), 1)));
        holdings.add(NodeId(2), ring, 2);
        assert_eq!(holdings.refute(ring, &members, 3), None);
    }
}
