//! At no time are two parts of the cluster quorate: judged while the run goes on (`crate::quorum`),
//! because it is a matter of time and not of order.

use super::{Case, Findings};

pub(crate) fn check(case: &Case<'_>, out: &mut Findings) {
    for clash in &case.history.quorum_clashes {
        out.add(|| clash.clone());
    }
}
