//! All members of a ring whose barrier ended have one configuration: version and hash are the same. The
//! version of a node that runs never falls, and one version and hash hold one thing.

use std::collections::BTreeMap;

use wire::RingId;

use crate::history::{LifeId, ReloadStep, What};

use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    let mut of_ring: BTreeMap<RingId, (LifeId, (u64, u64))> = BTreeMap::new();
    for life in case.history.life_ids() {
        let who = || case.history.who(life);
        let mut standing = (0, 0);
        for entry in &case.history.life(life).entries {
            match &entry.what {
                What::Configured { version, hash } => standing = (*version, *hash),
                What::Reload { step: ReloadStep::TakenOver { version, hash, .. }, .. } => {
                    let rises = *version > standing.0 || (*version, *hash) == standing;
                    out.require(rises, || {
                        format!("{} went from {standing:?} to {:?}", who(), (version, hash))
                    });
                    standing = (*version, *hash);
                }
                What::Synced { ring } => {
                    let (other, known) = *of_ring.entry(*ring).or_insert((life, standing));
                    out.require(known == standing, || {
                        let other = case.history.who(other);
                        format!("{other} was in {ring} with {known:?}, {} with {standing:?}", who())
                    });
                }
                _ => {}
            }
        }
    }
}
