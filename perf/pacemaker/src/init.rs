//! The first process of a machine: buries its dead, and ends when whoever started the machine does.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};

/// How often the dead are buried.
const ROUND: Duration = Duration::from_millis(20);

/// Runs until standard input ends. When the first process of a process namespace ends, the kernel ends all others.
///
/// # Errors
/// When the kernel refuses to tell.
pub(crate) fn run() -> anyhow::Result<()> {
    let stdin = io::stdin();
    let timeout = Timespec { tv_sec: 0, tv_nsec: ROUND.as_nanos() as i64 };
    loop {
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => {}
            // Nothing is ever written: this is the end.
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}
