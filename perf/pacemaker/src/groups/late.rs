//! How late messages were: the buckets that `member.c` counts in, of all members together.

use std::collections::BTreeMap;

use serde::Serialize;

/// Times between each power of two and the next are kept apart in so many steps.
const STEPS: u32 = 32;

/// Counts by bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late {
    counts: BTreeMap<u32, u64>,
}

/// In microseconds, known to 3 %.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Lateness {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
}

impl Late {
    /// Counts what a member said: `BUCKET:COUNT`.
    pub(crate) fn add(&mut self, word: &str) -> Option<()> {
        let (bucket, count) = word.split_once(':')?;
        *self.counts.entry(bucket.parse().ok()?).or_default() += count.parse::<u64>().ok()?;
        Some(())
    }

    /// Both together.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (&bucket, count) in &other.counts {
            *self.counts.entry(bucket).or_default() += count;
        }
    }

    /// The median and the like; nothing of nothing.
    pub(crate) fn lateness(&self) -> Option<Lateness> {
        let max = *self.counts.last_key_value()?.0;
        let at = |share: f64| {
            let total: u64 = self.counts.values().sum();
            let rank = (total as f64 * share) as u64;
            let mut below = 0;
            let found = self.counts.iter().find(|&(_, count)| {
                below += count;
                below > rank
            });
            us_of(found.map_or(max, |(&bucket, _)| bucket))
        };
        Some(Lateness { p50_us: at(0.5), p99_us: at(0.99), max_us: us_of(max) })
    }
}

/// The shortest time of a bucket.
fn us_of(bucket: u32) -> f64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    (bucket - shift * STEPS) as f64 * f64::from(shift).exp2() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_turned_back_into_times() {
        // As `bucket_of` in member.c has them: 31, 32, 63, 64 and 1_000_000 ns.
        let known = [(31, 0.031), (32, 0.032), (63, 0.063), (64, 0.064), (509, 999.424)];
        for (bucket, us) in known {
            assert!((us_of(bucket) - us).abs() < 1e-9, "{bucket}: {} {us}", us_of(bucket));
        }
    }

    #[test]
    fn of_all_members_together() {
        let (mut one, mut other) = (Late::default(), Late::default());
        assert!(one.lateness().is_none());
        one.add("509:99").unwrap();
        other.add("541:1").unwrap();
        assert!(other.add("x:1").is_none());
        one.merge(&other);
        let Lateness { p50_us, p99_us, max_us } = one.lateness().unwrap();
        assert!((p50_us - 999.424).abs() < 1e-9);
        assert!((p99_us - 1998.848).abs() < 1e-9);
        assert!((max_us - 1998.848).abs() < 1e-9);
    }
}
