//! Whether to look again or to sleep.
//!
//! To be woken takes some 20 us if the core has gone to sleep as well, an answer of the engine on another core
//! about as long: so a program that has just been active looks for a while before it sleeps. It yields between
//! two looks, and a yield that takes long means that somebody else wants the core: then sleeping at once is better
//! for both.

use std::time::{Duration, Instant};

/// Looks before the clock is asked.
const LOOKS: u32 = 16;

/// How long to look before sleeping: a wake-up of the engine and of ourselves.
const LOOK_FOR: Duration = Duration::from_micros(50);

/// A yield that nobody took takes well under a microsecond.
const SHARED: Duration = Duration::from_micros(5);

/// How long a core counts as shared after the last sign of it.
const SHARED_FOR: Duration = Duration::from_millis(5);

/// Decides between looking and sleeping.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    looks: u32,
    /// When the present spell without anything to do began.
    since: Option<Instant>,
    shared_until: Option<Instant>,
}

impl Patience {
    /// There was something, or something was published: an answer may come soon.
    #[inline]
    pub(crate) fn found(&mut self) {
        self.looks = 0;
        self.since = None;
    }

    /// There was nothing. True: look again. False: sleep.
    pub(crate) fn look_again(&mut self) -> bool {
        self.looks = self.looks.saturating_add(1);
        if self.looks <= LOOKS {
            std::hint::spin_loop();
            return true;
        }
        let now = Instant::now();
        let again = self.may_look(now);
        if again {
            std::thread::yield_now();
            self.yielded(now, now.elapsed());
        }
        again
    }

    fn may_look(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) < LOOK_FOR && self.shared_until.is_none_or(|until| now >= until)
    }

    fn yielded(&mut self, at: Instant, took: Duration) {
        if took > SHARED {
            self.shared_until = Some(at + took + SHARED_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_for_its_time_after_everything_found_and_not_on_a_shared_core() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        assert!(patience.may_look(start) && patience.may_look(start + LOOK_FOR / 2));
        assert!(!patience.may_look(start + LOOK_FOR));
        patience.found();
        let later = start + 2 * LOOK_FOR;
        assert!(patience.may_look(later));
        patience.yielded(later, SHARED + Duration::from_nanos(1));
        patience.found();
        assert!(!patience.may_look(later + SHARED));
        patience.found();
        assert!(patience.may_look(later + 2 * SHARED + SHARED_FOR));
    }
}
