//! Exit codes, in the manner of `sysexits.h`, so that a service manager can tell what starting
//! again would mend.

use std::fmt;
use std::process::ExitCode;

/// How the engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Asked to stop; the leave was announced.
    Done = 0,
    /// Failed while running.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A bug: the hot thread panicked.
    Bug = 70,
    /// The system lacks something: io_uring, sockets, memory, a core, a limit.
    System = 71,
    /// A directory, file or socket cannot be made or written.
    Files = 73,
    /// Another engine uses this state directory.
    Busy = 75,
    /// The configuration is wrong; starting again does not mend it.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the engine does not start or does not go on: the message and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What to tell a person: who is at fault, what was found, what would help.
    pub message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
