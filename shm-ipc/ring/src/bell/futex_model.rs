//! A futex for loom: compare and block are one step, as in the kernel.
//!
//! loom has no futexes. A yielding loop over the comparison is what remains of one when "blocked"
//! and "woken" are left out: it ends in every execution in which the ringer rings, and a lost
//! wake-up shows as loom's report that the loop cannot make progress.

use std::io;
use std::time::Duration;

use crate::sync::{AtomicU32, Ordering};

pub(super) fn wait(word: &AtomicU32, value: u32, _timeout: Option<Duration>) -> io::Result<bool> {
    while word.load(Ordering::Relaxed) == value {
        loom::thread::yield_now();
    }
    Ok(true)
}

pub(super) fn wake_all(_word: &AtomicU32) {}
