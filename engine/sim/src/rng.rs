//! The one source of chance of a run: SplitMix64 (Steele, Lea, Flood 2014), seeded by the run's seed.

/// A deterministic generator. The same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
}

/// One million: chances are given in parts of it.
pub(crate) const PPM: u64 = 1_000_000;

impl Rng {
    /// A generator for a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own for one purpose, so that drawing more there moves nothing elsewhere.
    #[must_use]
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next() ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`; zero for a bound of zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of the multiplication is below 2^-32 for the bounds used here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `ppm` of a million cases.
    pub(crate) fn chance(&mut self, ppm: u64) -> bool {
        ppm != 0 && self.below(PPM) < ppm
    }

    /// A time with an exponential distribution around `mean`, cut at eight times the mean.
    pub(crate) fn around(&mut self, mean: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let factor = -(1.0 - unit).ln();
        (mean as f64 * factor.min(8.0)) as u64
    }

    /// One of the items.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// The finaliser of SplitMix64: a hash of 64 bits.
pub(crate) fn mix(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_seeds_differ() {
        let mut rng = Rng::new(1);
        for _ in 0..1000 {
            assert!(rng.below(7) < 7);
            assert!((3..=9).contains(&rng.between(3, 9)));
            assert!(rng.around(100) <= 800);
        }
        assert!(!rng.chance(0));
        assert!(rng.chance(PPM));
        assert_ne!(Rng::new(1).next(), Rng::new(2).next());
        assert_eq!(Rng::new(9).next(), Rng::new(9).next());
    }
}
