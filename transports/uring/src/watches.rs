//! Descriptors watched for the engine: doorbells of clients, the control thread's bell.

use std::os::fd::RawFd;

/// Most descriptors watched at once: one doorbell per client session, and a few of our own. A
/// session costs the engine far more than an entry here, so its limit comes first.
pub(crate) const WATCHES_MAX: usize = 65536;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// A poll is armed or about to be.
    Live,
    /// Unwatched; the kernel has not said yet that the poll is over.
    Ending,
    /// The kernel refused to poll the descriptor; reported once, waiting to be unwatched.
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    key: u64,
    fd: RawFd,
    state: State,
    /// Reported as ready and not yet passed on.
    ready: bool,
}

/// The table of watches. A number is used again only when the kernel has ended the poll before.
#[derive(Default)]
pub(crate) struct Watches {
    table: Vec<Watch>,
    free: Vec<u32>,
}

/// What a poll's completion means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing to do.
    Nothing,
    /// The poll ended by itself and must be armed again.
    Rearm(RawFd),
}

impl Watches {
    /// Takes up a watch; `None` when there are too many.
    pub(crate) fn add(&mut self, fd: RawFd, key: u64) -> Option<u32> {
        let watch = Watch { key, fd, state: State::Live, ready: false };
        if let Some(number) = self.free.pop() {
            self.table[number as usize] = watch;
            return Some(number);
        }
        if self.table.len() >= WATCHES_MAX {
            return None;
        }
        self.table.push(watch);
        Some(self.table.len() as u32 - 1)
    }

    /// Ends the watch of this key; returns the poll's number if it must be cancelled.
    pub(crate) fn end(&mut self, key: u64) -> Option<u32> {
        let active = |w: &Watch| w.key == key && matches!(w.state, State::Live | State::Refused);
        let number = self.table.iter().position(active)?;
        if self.table[number].state == State::Refused {
            self.table[number].state = State::Free;
            self.free.push(number as u32);
            return None;
        }
        self.table[number].state = State::Ending;
        Some(number as u32)
    }

    /// A poll's completion: `result` as the kernel gave it, `last` if the poll is over with it.
    /// Returns what to do and whether to tell the engine now.
    pub(crate) fn completed(&mut self, number: u32, result: i32, last: bool) -> (Outcome, bool) {
        let Some(watch) = self.table.get_mut(number as usize) else {
            return (Outcome::Nothing, false);
        };
        match watch.state {
            State::Free | State::Refused => (Outcome::Nothing, false),
            State::Ending => {
                if last {
                    watch.state = State::Free;
                    self.free.push(number);
                }
                (Outcome::Nothing, false)
            }
            State::Live => {
                let tell = !watch.ready;
                watch.ready = true;
                if last && result < 0 {
                    // The reader finds out what is wrong with its descriptor.
                    watch.state = State::Refused;
                    return (Outcome::Nothing, tell);
                }
                let outcome = if last { Outcome::Rearm(watch.fd) } else { Outcome::Nothing };
                (outcome, tell)
            }
        }
    }

    /// Passes a report on; `None` if the watch ended meanwhile.
    pub(crate) fn take_ready(&mut self, number: u32) -> Option<u64> {
        let watch = self.table.get_mut(number as usize)?;
        watch.ready = false;
        matches!(watch.state, State::Live | State::Refused).then_some(watch.key)
    }
}
