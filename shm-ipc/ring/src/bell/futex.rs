//! Futexes on words in shared memory.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex;

use crate::sync::AtomicU32;

/// Blocks while `word` holds `value`. True: woken, or it does not hold it; false: timed out.
pub(super) fn wait(word: &AtomicU32, value: u32, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(super::fd::timespec);
    // Not FUTEX_PRIVATE: the word is shared between processes.
    match futex::wait(word, futex::Flags::empty(), value, timeout.as_ref()) {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(true),
        Err(Errno::TIMEDOUT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Wakes whoever waits on `word`.
pub(super) fn wake_all(word: &AtomicU32) {
    // It fails only for addresses that are no futex; ours is an aligned word of a mapping.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}
