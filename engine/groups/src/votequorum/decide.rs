//! What follows from the table of nodes: plain functions.

use wire::NodeId;

use super::options::TieBreaker;
use super::table::{NodeFlags, Table};

/// Votes of a quorum when `expected` are expected and `total` are here: more than half of either
/// (the rule of OpenVMS clusters that Corosync took over).
pub fn votes_needed(expected: u32, total: u32) -> u32 {
    let half_and_more = |votes: u32| (votes / 2).saturating_add(1);
    half_and_more(expected).max(half_and_more(total))
}

/// The highest number of votes that any node that counts expects.
pub fn highest_expected(table: &Table) -> u32 {
    table.members().map(|(_, entry)| entry.expected_votes).max().unwrap_or(0)
}

/// The extremes of the node ids that were in a partition when it was last quorate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extremes {
    pub(crate) lowest: Option<NodeId>,
    pub(crate) highest: Option<NodeId>,
}

impl Extremes {
    pub(crate) fn of(table: &Table, me: NodeId) -> Self {
        let ids = || table.members().map(|(node, _)| node).chain([me]);
        Self { lowest: ids().min(), highest: ids().max() }
    }
}

/// Whether `members` are the half of `whole` that goes on if it was split evenly: the one with the
/// lowest or highest node of the whole, or with the first of a list that was in the whole.
pub(crate) fn breaks_tie(breaker: &TieBreaker, whole: &[NodeId], members: &[NodeId]) -> bool {
    let decides = match breaker {
        TieBreaker::Off => None,
        TieBreaker::Lowest => whole.iter().min(),
        TieBreaker::Highest => whole.iter().max(),
        TieBreaker::List(list) => list.iter().find(|node| whole.contains(node)),
    };
    decides.is_some_and(|node| members.contains(node))
}

/// Whether some node that counts has a device that votes and wins.
pub(crate) fn has_winning_device(table: &Table) -> bool {
    let wins = NodeFlags::DEVICE_MASTER_WINS | NodeFlags::DEVICE_VOTES;
    table.members().any(|(_, entry)| entry.flags.contains(wins))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::votequorum::{Entry, NodeState};

    fn table(members: &[u32], dead: &[u32]) -> Table {
        let mut table = Table::default();
        let all = [(members, NodeState::Member), (dead, NodeState::Dead)];
        for (nodes, state) in all {
            for node in nodes {
                let flags = NodeFlags::empty();
                let entry = Entry { state, votes: 1, expected_votes: *node, flags };
                table.insert(NodeId(*node), entry);
            }
        }
        table
    }

    fn ids(nodes: &[u32]) -> alloc::vec::Vec<NodeId> {
        nodes.iter().map(|node| NodeId(*node)).collect()
    }

    #[test]
    fn a_quorum_is_more_than_half() {
        let cases = [(0, 0, 1), (1, 1, 1), (2, 1, 2), (3, 1, 2), (4, 2, 3), (5, 7, 4), (8, 3, 5)];
        for (expected, total, needed) in cases {
            assert_eq!(votes_needed(expected, total), needed, "{expected} {total}");
        }
        assert_eq!(votes_needed(u32::MAX, u32::MAX), 1 << 31);
    }

    #[test]
    fn only_members_count() {
        let table = table(&[1, 3], &[2, 9]);
        assert_eq!((table.votes(), highest_expected(&table)), (2, 3));
        let extremes = Extremes::of(&table, NodeId(3));
        assert_eq!((extremes.lowest, extremes.highest), (Some(NodeId(1)), Some(NodeId(3))));
    }

    #[test]
    fn ties_are_broken_by_who_was_there_before() {
        let all = ids(&[1, 2, 3, 4]);
        let half = |breaker: &TieBreaker, members: &[u32]| breaks_tie(breaker, &all, &ids(members));
        assert!(half(&TieBreaker::Lowest, &[1, 2]) && !half(&TieBreaker::Lowest, &[3, 4]));
        assert!(half(&TieBreaker::Highest, &[3, 4]) && !half(&TieBreaker::Highest, &[1, 2]));
        let list = TieBreaker::List(ids(&[9, 2, 3]));
        assert!(half(&list, &[1, 2]) && !half(&list, &[3, 4]), "2 may live in the other half");
        assert!(!half(&TieBreaker::List(ids(&[9])), &[1, 2]) && !half(&TieBreaker::Off, &[1, 2]));
        assert!(breaks_tie(&list, &ids(&[3, 4]), &ids(&[3])), "2 was gone before");
    }
}
