//! Health checks by a callback: a thread of the watched process that says it is well, as long as the callback does.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Callback;
use crate::edge::lock;

/// How often a watched process says that it is well, in an interval after which it would be ended.
const SIGNS_PER_INTERVAL: u32 = 4;

/// What the thread is to do.
pub(crate) struct Health {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    callback: Callback,
    interval: Duration,
    runs: bool,
    has_thread: bool,
    /// The callback said that the process is not well: no sign of life any more.
    is_unwell: bool,
}

impl Health {
    pub(crate) const fn new() -> Self {
        let state = State {
            callback: None,
            interval: Duration::ZERO,
            runs: false,
            has_thread: false,
            is_unwell: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn has_thread(&self) -> bool {
        lock(&self.state).has_thread
    }

    /// Another callback, or none any more.
    pub(crate) fn set_callback(&self, callback: Callback) {
        lock(&self.state).callback = callback;
    }

    /// Starts the thread, for an interval in which the process must say something. It says so with `say`.
    pub(crate) fn start_thread(
        &'static self,
        callback: Callback,
        interval: Option<Duration>,
        say: fn() -> bool,
    ) -> std::io::Result<()> {
        {
            let mut state = lock(&self.state);
            // Without a limit nothing need be said: the thread waits for a change for ever.
            state.interval = interval.map_or(Duration::MAX, |all| {
                (all / SIGNS_PER_INTERVAL).max(Duration::from_millis(1))
            });
            state.callback = callback;
        }
        std::thread::Builder::new().name("sam".to_owned()).spawn(move || self.run(say))?;
        lock(&self.state).has_thread = true;
        Ok(())
    }

    /// Health checks begin or end, if a callback does them.
    pub(crate) fn switch(&self, runs: bool) {
        let mut state = lock(&self.state);
        if state.callback.is_some() || !runs {
            state.runs = runs;
            self.changed.notify_all();
        }
    }

    fn run(&self, say: fn() -> bool) {
        let mut signs = 0;
        let mut state = lock(&self.state);
        loop {
            let was_running = state.runs && !state.is_unwell;
            let pause = if was_running { state.interval } else { Duration::MAX };
            let waited = self.changed.wait_timeout(state, pause);
            let (next, result) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            if !(result.timed_out() && was_running && state.runs) {
                continue;
            }
            let callback = state.callback;
            drop(state);
            if say() {
                signs += 1;
            }
            let mut well = true;
            if signs >= SIGNS_PER_INTERVAL {
                signs = 0;
                // SAFETY: the program gave this function for being called from here, without arguments.
                well = callback.is_none_or(|callback| unsafe { callback() } == 0);
            }
            state = lock(&self.state);
            state.is_unwell |= !well;
        }
    }
}
