//! What to do with nothing to do.
//!
//! Waking a sleeping thread costs some 15 us, spinning costs a core (docs/adr/0005). `busy` never
//! sleeps, `park` always does, `adaptive` spins for a while first, but only while nobody else wants
//! the core: a spinning thread yields on every turn, and a yield that takes long means that
//! somebody else ran. Then sleeping at once is better for both, and spinning is tried again a
//! little later. Signs of life, which wake an idle engine many times a second, are no reason to spin.
//!
//! `busy` is meant for a core of its own and yields nothing there. Whether it has one shows by itself:
//! a thread that is put off its core notices the gap between two turns. It then hands the core over
//! whenever it has nothing to do, or else whoever shares it would wait for a slice of the scheduler,
//! milliseconds, at every hop.

use schema::Idle;

use crate::clock::monotonic_ns;

/// A yield that nobody took takes well under a microsecond; switching to another thread and back with
/// that thread running in between takes more than this.
const SHARED_NS: u64 = 5_000;

/// How long a core counts as shared after the last sign of it.
const SHARED_FOR_NS: u64 = 5_000_000;

/// Two turns without work further apart than this: the thread was put off its core in between. A turn takes a
/// microsecond or two, an interrupt some more.
const GAP_NS: u64 = 50_000;

/// A yield of `busy` that takes longer than this has let somebody run: no switch of threads and back is quicker, and
/// a yield that nobody took takes a third of it.
const HANDED_OVER_NS: u64 = 1_000;

/// How long `busy` hands its core over after the last sign that it is shared. Longer than for `adaptive`, since what
/// it finds out by spinning costs it a whole slice of the scheduler.
const HAND_OVER_FOR_NS: u64 = 100_000_000;

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
    /// When the last turn without work ended, of those since the last one with work.
    rested_ns: Option<u64>,
}

impl Strategy {
    pub(crate) fn new(idle: Idle, spin_ns: u64) -> Self {
        Self { idle, spin_ns, idle_since_ns: None, shared_until_ns: 0, rested_ns: None }
    }

    /// A turn of the loop found something to do, from which more may follow soon (`stirred`) or not.
    pub(crate) fn worked(&mut self, stirred: bool) {
        if stirred {
            self.idle_since_ns = None;
        }
        self.rested_ns = None;
    }

    /// A turn found nothing: what now?
    pub(crate) fn rest(&mut self, now_ns: u64) -> Rest {
        match self.idle {
            Idle::Busy => {
                if self.rested_ns.is_some_and(|rested| now_ns.saturating_sub(rested) > GAP_NS) {
                    self.shared_until_ns = now_ns + HAND_OVER_FOR_NS;
                }
                self.rested_ns = Some(now_ns);
                if now_ns < self.shared_until_ns { Rest::Yield } else { Rest::Spin }
            }
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
        self.yielded(now_ns, monotonic_ns().saturating_sub(now_ns));
    }

    fn yielded(&mut self, now_ns: u64, took_ns: u64) {
        if self.idle == Idle::Busy {
            self.rested_ns = Some(now_ns + took_ns);
            if took_ns > HANDED_OVER_NS {
                self.shared_until_ns = now_ns + took_ns + HAND_OVER_FOR_NS;
            }
        } else if took_ns > SHARED_NS {
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
        strategy.worked(false);
        assert_eq!(strategy.rest(1060), Rest::Park);
        strategy.worked(true);
        assert_eq!(strategy.rest(2000), Rest::Yield);
    }

    #[test]
    fn adaptive_does_not_spin_on_a_core_that_others_want() {
        let mut strategy = Strategy::new(Idle::Adaptive, 50_000);
        assert_eq!(strategy.rest(1000), Rest::Yield);
        strategy.yielded(1000, SHARED_NS + 1);
        strategy.worked(true);
        assert_eq!(strategy.rest(2000), Rest::Park);
        strategy.worked(true);
        let later = 1000 + SHARED_NS + 1 + SHARED_FOR_NS;
        assert_eq!(strategy.rest(later), Rest::Yield);
        strategy.yielded(later, 300);
        assert_eq!(strategy.rest(later + 1), Rest::Yield);
    }

    #[test]
    fn busy_hands_over_only_a_core_that_is_taken_from_it() {
        let mut strategy = Strategy::new(Idle::Busy, 50_000);
        assert_eq!(strategy.rest(1_000), Rest::Spin);
        assert_eq!(strategy.rest(1_000 + GAP_NS), Rest::Spin);
        // Work in between explains any gap.
        strategy.worked(true);
        assert_eq!(strategy.rest(10 * GAP_NS), Rest::Spin);
        let put_off = 11 * GAP_NS + 1;
        assert_eq!(strategy.rest(put_off), Rest::Yield);
        // As long as somebody takes the core it is offered.
        let later = put_off + HAND_OVER_FOR_NS - 1;
        strategy.yielded(later, HANDED_OVER_NS + 1);
        assert_eq!(strategy.rest(later + HAND_OVER_FOR_NS), Rest::Yield);
    }

    #[test]
    fn busy_keeps_a_core_that_nobody_wants_any_more() {
        let mut strategy = Strategy::new(Idle::Busy, 50_000);
        assert_eq!(strategy.rest(1_000), Rest::Spin);
        let put_off = 1_001 + GAP_NS;
        assert_eq!(strategy.rest(put_off), Rest::Yield);
        let end = put_off + HAND_OVER_FOR_NS;
        strategy.yielded(end - 1, 300);
        assert_eq!(strategy.rest(end + 300), Rest::Spin);
    }
}
