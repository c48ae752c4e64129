//! The program's half: ask, wait, take notices.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use session::{AskError, Cause, ConnectError, Control};

use crate::codec::{self, Malformed};
use crate::{Answer, Failure, Notice, REQUEST_BYTES_MAX, Reply, Request};

/// Why a question has no answer, or a connection no more notices.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine answered that it cannot, and why.
    #[error("{0}")]
    Failed(Failure),
    /// There is no connection any more.
    #[error("the engine ended the connection: {}", .0.text())]
    Ended(Cause),
    /// The question could not be asked, or was not answered.
    #[error("{0}")]
    Ask(AskError),
    /// The question is longer than [`REQUEST_BYTES_MAX`].
    #[error("a question of {0} bytes, at most {REQUEST_BYTES_MAX} are taken")]
    TooLong(usize),
    /// What came is of another version, or no message.
    #[error("the engine's answer cannot be used: {0}")]
    Malformed(#[from] Malformed),
}

impl Error {
    /// The same as Corosync's programs are told it.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Failed(failure) => *failure,
            Self::Ask(AskError::Timeout(_)) => Failure::Timeout,
            Self::TooLong(_) | Self::Ask(AskError::TooLong { .. }) => Failure::TooBig,
            Self::Ended(_) | Self::Ask(_) | Self::Malformed(_) => Failure::Library,
        }
    }
}

/// A connection to the services of this node's engine: questions one at a time, and notices on a socket of their
/// own.
pub struct Client {
    control: Control,
    node: u32,
    timeout: Duration,
}

impl Client {
    /// Connects to the engine that listens at `path`; `timeout` is for this and for every question.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ConnectError> {
        let (control, node) = Control::connect_for_notices(path, timeout)?;
        Ok(Self { control, node, timeout })
    }

    /// From now on questions may take this long.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// This node's id.
    pub fn node(&self) -> u32 {
        self.node
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn ask(&mut self, request: &Request) -> Result<Answer, Error> {
        let bytes = codec::encode(request);
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(Error::TooLong(bytes.len()));
        }
        let answer = self.control.ask(&bytes, self.timeout).map_err(|error| match error {
            AskError::Ended(cause) => Error::Ended(cause),
            other => Error::Ask(other),
        })?;
        codec::decode::<Reply>(&answer)?.map_err(Error::Failed)
    }

    /// The next notice, without waiting; `None`: none now.
    ///
    /// # Errors
    /// [`Error::Ended`] once the connection is over and all notices are read.
    pub fn next_notice(&mut self) -> Result<Option<Notice>, Error> {
        match self.control.next_notice() {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => Ok(Some(codec::decode(&bytes)?)),
            Err(cause) => Err(Error::Ended(cause)),
        }
    }

    /// Waits for a notice or the end of the connection, at most this long (`None`: for ever). False: the time
    /// is over.
    ///
    /// # Errors
    /// What the kernel says to waiting.
    pub fn wait(&self, timeout: Option<Duration>) -> std::io::Result<bool> {
        self.control.wait_for_notice(timeout)
    }

    /// Readable if and only if there is a notice or the connection is over; a socket whose peer is the engine.
    pub fn notices_fd(&self) -> Option<BorrowedFd<'_>> {
        self.control.notices_fd()
    }
}
