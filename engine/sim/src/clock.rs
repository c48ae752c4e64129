//! A node's own clock: monotonic, but not of the world's rate and not of its epoch.

use crate::rng::PPM;

/// Converts between the world's time and one node's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What the node's clock showed at the world's zero.
    offset_ns: u64,
    /// Nanoseconds the node counts in a million of the world's.
    rate: u64,
}

impl Clock {
    /// A clock that is `drift_ppm` fast (or slow, if negative).
    pub(crate) fn new(offset_ns: u64, drift_ppm: i64) -> Self {
        Self { offset_ns, rate: (PPM as i64 + drift_ppm).max(1) as u64 }
    }

    /// What the node's clock shows at a time of the world.
    pub(crate) fn local(&self, world_ns: u64) -> u64 {
        let ns = u128::from(world_ns) * u128::from(self.rate) / u128::from(PPM);
        self.offset_ns + ns as u64
    }

    /// The first time of the world at which the node's clock shows at least `local_ns`.
    pub(crate) fn world(&self, local_ns: u64) -> u64 {
        let ns = u128::from(local_ns.saturating_sub(self.offset_ns)) * u128::from(PPM);
        ns.div_ceil(u128::from(self.rate)).min(u128::from(u64::MAX)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_when_it_fires() {
        for drift in [-50_000, -37, 0, 211, 50_000] {
            let clock = Clock::new(12_345, drift);
            for local in [12_345, 12_346, 1_000_003, 77_777_777_777] {
                let at = clock.world(local);
                assert!(clock.local(at) >= local);
                assert!(at == 0 || clock.local(at - 1) < local);
            }
        }
    }
}
