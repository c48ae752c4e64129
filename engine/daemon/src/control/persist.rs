//! Stores what the hot thread asks for, and tries again when the disk does not take them.

use std::io;
use std::time::{Duration, Instant};

use node::Stored;

use crate::state::State;

/// First pause after a failure; doubled up to the longest.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// Longest pause. The engine goes on meanwhile with the numbers it has stored ahead.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What a turn did.
pub(super) enum Turn {
    /// Nothing is due.
    Nothing,
    /// It is durable, after so many failures.
    Stored {
        /// What.
        stored: Stored,
        /// Attempts that failed before.
        failures: u64,
    },
    /// It is not; it will be tried again.
    Failed {
        /// What.
        stored: Stored,
        /// What the system said.
        error: io::Error,
    },
}

/// Keeps the state file.
pub(super) struct Keeper {
    state: State,
    /// What to store, and since which failures.
    wanted: Option<Stored>,
    failures: u64,
    retry_at: Option<Instant>,
    pause: Duration,
}

impl Keeper {
    pub(super) fn new(state: State) -> Self {
        Self { state, wanted: None, failures: 0, retry_at: None, pause: RETRY_MIN }
    }

    /// Asks for something to be stored. It replaces what waits: numbers never fall.
    pub(super) fn ask(&mut self, stored: Stored) {
        self.wanted = Some(stored);
    }

    /// How long until the next attempt, if one waits.
    pub(super) fn retry_in(&self) -> Option<Duration> {
        self.wanted?;
        Some(
            self.retry_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now())),
        )
    }

    /// Stores what is due.
    pub(super) fn turn(&mut self) -> Turn {
        let Some(stored) = self.wanted else { return Turn::Nothing };
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Turn::Nothing;
        }
        match self.state.store(stored) {
            Ok(()) => {
                let failures = std::mem::take(&mut self.failures);
                self.wanted = None;
                self.retry_at = None;
                self.pause = RETRY_MIN;
                Turn::Stored { stored, failures }
            }
            Err(error) => {
                self.failures += 1;
                self.retry_at = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(RETRY_MAX);
                Turn::Failed { stored, error }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_does_not_take_it_is_tried_again_and_the_last_wins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut keeper = Keeper::new(State::new(&path));
        assert!(matches!(keeper.turn(), Turn::Nothing));
        let asked = |ring_seq| Stored { ring_seq, owed_ns: 9 };
        keeper.ask(asked(64));
        let Turn::Failed { stored, error } = keeper.turn() else { panic!("stored") };
        assert_eq!(stored, asked(64));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(matches!(keeper.turn(), Turn::Nothing), "not before the pause is over");
        keeper.ask(Stored { owed_ns: 70, ..asked(128) });
        keeper.ask(asked(128));
        assert!(keeper.retry_in().is_some_and(|pause| pause <= RETRY_MIN));
        std::fs::create_dir(&path).unwrap();
        keeper.retry_at = None;
        let Turn::Stored { stored, failures: 1 } = keeper.turn() else { panic!("not stored") };
        assert_eq!(stored, asked(128));
        assert_eq!(keeper.retry_in(), None);
        assert_eq!(State::new(&path).load(0).unwrap().stored, asked(128));
    }
}
