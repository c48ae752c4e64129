//! Whether to look again or to sleep.
//!
//! To be woken takes some 20 us if the core has gone to sleep as well, an answer of the engine on another core
//! about as long: so a program that has just been active looks for a while before it sleeps. It yields between
//! two looks, and a yield that takes long means that somebody else wants the core: then sleeping at once is better
//! for both.

use std::time::{Duration, Instant};

/// Looks before the core is offered to others.
const LOOKS: u32 = 4;

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
    pub(crate) fn look_again(&mut self, now: Instant, look_for: Duration) -> bool {
        let again = self.may_look(now, look_for);
        if again {
            self.looks += 1;
            if self.looks > LOOKS {
                std::thread::yield_now();
                self.yielded(now, now.elapsed());
            }
        }
        again
    }

    fn may_look(&mut self, now: Instant, look_for: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) < look_for && self.shared_until.is_none_or(|until| now >= until)
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
        let look_for = Duration::from_micros(50);
        assert!(
            patience.may_look(start, look_for) && patience.may_look(start + look_for / 2, look_for)
        );
        assert!(!patience.may_look(start + look_for, look_for));
        patience.found();
        let later = start + 2 * look_for;
        assert!(patience.may_look(later, look_for));
        patience.yielded(later, SHARED + Duration::from_nanos(1));
        patience.found();
        assert!(!patience.may_look(later + SHARED, look_for));
        patience.found();
        assert!(patience.may_look(later + 2 * SHARED + SHARED_FOR, look_for));
    }
}
