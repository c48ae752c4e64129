//! What to do with nothing to do.
//!
//! Waking a sleeping thread costs some 15 us, spinning costs a core (docs/adr/0005). `busy` never
//! sleeps, `park` always does, `adaptive` spins for a while first, but only while nobody else wants
//! the core: a spinning thread yields on every turn, and a yield that takes long means that
//! somebody else ran. Then sleeping at once is better for both, and spinning is tried again a
//! little later.

use schema::Idle;

use crate::clock::monotonic_ns;

/// A yield that nobody took takes well under a microsecond; switching to another thread and back with
/// that thread running in between takes more than this.
const SHARED_NS: u64 = 5_000;

/// How long a core counts as shared after the last sign of it.
const SHARED_FOR_NS: u64 = 5_000_000;

/// What the loop shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Look again at once.
    Spin,
    /// Let others run, then look again.
    Yield,
    /// Sleep until something happens.
    Park,
}

/// Decides how the hot thread rests.
#[derive(Debug)]
pub(crate) struct Strategy {
    idle: Idle,
    spin_ns: u64,
    /// When the current spell without work began.
    idle_since_ns: Option<u64>,
    /// Until when the core counts as shared.
    shared_until_ns: u64,
}

impl Strategy {
    pub(crate) fn new(idle: Idle, spin_ns: u64) -> Self {
        Self { idle, spin_ns, idle_since_ns: None, shared_until_ns: 0 }
    }

    /// A turn of the loop found something to do.
    pub(crate) fn worked(&mut self) {
        self.idle_since_ns = None;
    }

    /// A turn found nothing: what now?
    pub(crate) fn rest(&mut self, now_ns: u64) -> Rest {
        match self.idle {
            Idle::Busy => Rest::Spin,
            Idle::Park => Rest::Park,
            Idle::Adaptive => {
                let since = *self.idle_since_ns.get_or_insert(now_ns);
                let spun = now_ns.saturating_sub(since) >= self.spin_ns;
                if spun || now_ns < self.shared_until_ns { Rest::Park } else { Rest::Yield }
            }
        }
    }

    /// Yields, and learns from how long that took whether the core is shared.
    pub(crate) fn yield_core(&mut self, now_ns: u64) {
        std::thread::yield_now();
        self.yielded(monotonic_ns().saturating_sub(now_ns));
    }

    fn yielded(&mut self, took_ns: u64) {
        if took_ns > SHARED_NS {
            let since = self.idle_since_ns.unwrap_or(0);
            self.shared_until_ns = since + took_ns + SHARED_FOR_NS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_strategy_rests_in_its_own_way() {
        assert_eq!(Strategy::new(Idle::Busy, 50).rest(1 << 40), Rest::Spin);
        assert_eq!(Strategy::new(Idle::Park, 50).rest(0), Rest::Park);
    }

    #[test]
    fn adaptive_spins_for_its_time_after_every_piece_of_work() {
        let mut strategy = Strategy::new(Idle::Adaptive, 50);
        assert_eq!(strategy.rest(1000), Rest::Yield);
        assert_eq!(strategy.rest(1049), Rest::Yield);
        assert_eq!(strategy.rest(1050), Rest::Park);
        strategy.worked();
        assert_eq!(strategy.rest(2000), Rest::Yield);
    }

    #[test]
    fn adaptive_does_not_spin_on_a_core_that_others_want() {
        let mut strategy = Strategy::new(Idle::Adaptive, 50_000);
        assert_eq!(strategy.rest(1000), Rest::Yield);
        strategy.yielded(SHARED_NS + 1);
        strategy.worked();
        assert_eq!(strategy.rest(2000), Rest::Park);
        strategy.worked();
        let later = 1000 + SHARED_NS + 1 + SHARED_FOR_NS;
        assert_eq!(strategy.rest(later), Rest::Yield);
        strategy.yielded(300);
        assert_eq!(strategy.rest(later + 1), Rest::Yield);
    }
}
