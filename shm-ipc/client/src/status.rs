//! Asking an engine about itself.

use std::path::Path;
use std::time::Duration;

use session::{AskError, ConnectError, Control};

/// How long an engine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The answer is no text.
    #[error("the engine's answer is not text")]
    NotText,
}

/// What the engine that listens at `path` says about itself, as JSON. Needs no session.
///
/// # Errors
/// See [`StatusError`].
pub fn status(path: impl AsRef<Path>) -> Result<String, StatusError> {
    let mut control = Control::connect(path.as_ref(), TIMEOUT)?;
    let answer = control.ask(b"status", TIMEOUT)?;
    String::from_utf8(answer).map_err(|_| StatusError::NotText)
}
