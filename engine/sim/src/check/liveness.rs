//! Liveness: after healing, within a bound, one ring of all live nodes, synchronised, every request
//! answered, every message taken, and a fresh message of every node delivered everywhere. The world
//! looks for these while the run goes on and notes what is missing when the bound is reached.

use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    for missing in &case.history.missing {
        out.add(|| {
            let waited = case.history.ended_ns.saturating_sub(case.history.healed_ns);
            format!("{} ms after healing: {missing}", waited / 1_000_000)
        });
    }
}
