//! While nothing fails but links, and one of them works everywhere, nobody may notice.

use super::{Case, Findings};
use crate::history::What;

pub(super) fn check(case: &Case<'_>, out: &mut Findings) {
    let Some(from_ns) = case.history.one_view_from_ns else { return };
    for life in &case.history.lives {
        for entry in &life.entries {
            let during = entry.at_ns > from_ns && entry.at_ns < case.history.healed_ns;
            if let (true, What::Regular { ring, .. }) = (during, &entry.what) {
                out.add(|| {
                    let ms = entry.at_ns / 1_000_000;
                    format!("node {} installs {ring} at {ms} ms", life.node)
                });
            }
        }
    }
}
