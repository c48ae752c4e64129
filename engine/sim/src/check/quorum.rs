//! The membership part of "no two quorate sides": configurations with a majority of the node list
//! form one chain. Any two of them share a node; no such node goes back from the newer to the older, in the
//! same life or after a restart, and no two have the same number. Until when the members of the older one
//! may still act is judged by `one_quorum`.

use std::collections::BTreeMap;

use wire::{NodeId, RingId};

use crate::history::What;

use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    let majority = case.history.nodes.len() / 2 + 1;
    let mut by_number: BTreeMap<u64, RingId> = BTreeMap::new();
    // Lives are in order of time, so the lives of one node are too.
    let mut newest: BTreeMap<NodeId, RingId> = BTreeMap::new();
    for id in case.history.life_ids() {
        let node = case.history.life(id).node;
        for entry in &case.history.life(id).entries {
            let What::Regular { ring, members, .. } = &entry.what else { continue };
            if members.len() < majority {
                continue;
            }
            let same = *by_number.entry(ring.seq).or_insert(*ring);
            out.require(same == *ring, || {
                format!("two majorities with one number: {same} and {ring}")
            });
            let before = newest.entry(node).or_insert(*ring);
            out.require(before.seq <= ring.seq, || {
                format!(
                    "{} installed the majority {ring} after the newer majority {before}",
                    case.history.who(id)
                )
            });
            *before = (*before).max(*ring);
        }
    }
}
