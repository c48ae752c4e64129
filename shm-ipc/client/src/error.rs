//! What can go wrong, and whose fault it is.

use session::{Cause, SubmitError};

/// Why the engine refused a request (numbered as its group layer numbers them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusedReason {
    /// The group's name is empty or longer than 128 bytes.
    BadName,
    /// The session is a member already, or its join is on the way.
    AlreadyMember,
    /// The session is not a member.
    NotMember,
    /// A limit of the node is reached.
    TooMany,
    /// A reason this version of the library does not know.
    Other(u16),
}

impl RefusedReason {
    pub(crate) fn from_code(code: u16) -> Self {
        match code {
            1 => Self::BadName,
            2 => Self::AlreadyMember,
            3 => Self::NotMember,
            4 => Self::TooMany,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadName => f.write_str("the group's name is empty or longer than 128 bytes"),
            Self::AlreadyMember => f.write_str("already a member of this group"),
            Self::NotMember => f.write_str("not a member of this group"),
            Self::TooMany => f.write_str("a limit of the node is reached"),
            Self::Other(code) => write!(f, "reason {code}"),
        }
    }
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No room in the submit ring now (only from calls that do not wait).
    #[error("the submit ring is full")]
    Full,
    /// Longer than the engine takes.
    #[error("a message of {found} bytes, the engine takes {max}")]
    TooLong {
        /// Its length.
        found: u64,
        /// The engine's limit.
        max: u64,
    },
    /// A loan or a try longer than one record of the submit ring may be; `publish` takes such messages.
    #[error("{found} bytes do not fit one piece of the submit ring, which takes {max}")]
    TooLongForOnePiece {
        /// Its length.
        found: usize,
        /// Most bytes of one piece.
        max: usize,
    },
    /// Not (or no longer) a member of the group.
    #[error("not a member of this group")]
    NotMember,
    /// The session is over.
    #[error("the session is over: {}", .0.text())]
    Ended(Cause),
}

impl From<SubmitError> for PublishError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => Self::Full,
            SubmitError::TooLong { found, max } => Self::TooLongForOnePiece { found, max },
            SubmitError::Ended(cause) => Self::Ended(cause),
        }
    }
}

/// Why a group was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The engine refused.
    #[error("the engine refused: {0}")]
    Refused(RefusedReason),
    /// No view in time; the join may still come, as an [`crate::Event::View`].
    #[error("no view of the group in time")]
    Timeout,
    /// While waiting, more arrived for other groups than may be kept; use
    /// [`crate::Client::start_join`] and read on.
    #[error("too much arrived for other groups while waiting for the join")]
    TooMuchArrived,
    /// The session is over.
    #[error("the session is over: {}", .0.text())]
    Ended(Cause),
}

/// Why a request to leave was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaveError {
    /// Not a member of that group.
    #[error("not a member of this group")]
    NotMember,
    /// The session is over.
    #[error("the session is over: {}", .0.text())]
    Ended(Cause),
}
