//! Ring identities (Amir et al. 1995, section 4.1): a ring id names one set of members for ever, is
//! installed at most once by each, grows at each, and is stored by its representative before it is used.

use std::collections::BTreeMap;
use std::rc::Rc;

use wire::{NodeId, RingId};

use crate::history::{LifeId, What};

use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    let mut members_of: BTreeMap<RingId, Rc<[NodeId]>> = BTreeMap::new();
    let mut installed: BTreeMap<(RingId, NodeId), LifeId> = BTreeMap::new();
    for id in case.history.life_ids() {
        let node = case.history.life(id).node;
        let who = || case.history.who(id);
        let mut last: Option<RingId> = None;
        for entry in &case.history.life(id).entries {
            let What::Regular { ring, members, stored } = &entry.what else { continue };
            out.require(members.windows(2).all(|pair| pair[0] < pair[1]), || {
                format!("{} installed {ring} with members out of order: {members:?}", who())
            });
            out.require(members.contains(&node), || {
                format!("{} installed {ring} without itself: {members:?}", who())
            });
            out.require(members.first() == Some(&ring.rep), || {
                format!("{} installed {ring}, whose lowest member is {:?}", who(), members.first())
            });
            out.require(last.is_none_or(|before| before.seq < ring.seq), || {
                format!("{} installed {ring} after {last:?}", who())
            });
            last = Some(*ring);
            let known = members_of.entry(*ring).or_insert_with(|| members.clone());
            out.require(known == members, || {
                format!("ring {ring} has members {known:?} and, at {}, {members:?}", who())
            });
            if let Some(other) = installed.insert((*ring, node), id) {
                out.add(|| {
                    format!("{} installed {ring}, as life {} of it had before", who(), other.0)
                });
            }
            out.require(ring.rep != node || ring.seq <= *stored, || {
                format!("{} represents {ring} with only {stored} on its disk", who())
            });
        }
    }
}
