//! Asking an engine about itself.

use std::path::Path;
use std::time::Duration;

use session::{AskError, ConnectError, Control};

/// How long an engine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long the nodes may take to agree on a reload: the engine gives up after 20 s.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(25);

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
    ask(path, "status", TIMEOUT)
}

/// Asks the engine that listens at `path` to take over what the configuration files of all nodes say now.
/// The answer is JSON: `reload` is `committed` (with `changed` keys and `notes` of nodes) or `refused` (with
/// the `node` that did, and `why`).
///
/// # Errors
/// See [`StatusError`].
pub fn reload(path: impl AsRef<Path>) -> Result<String, StatusError> {
    ask(path, "reload", RELOAD_TIMEOUT)
}

fn ask(path: impl AsRef<Path>, question: &str, timeout: Duration) -> Result<String, StatusError> {
    let mut control = Control::connect(path.as_ref(), TIMEOUT)?;
    let answer = control.ask(question.as_bytes(), timeout)?;
    String::from_utf8(answer).map_err(|_| StatusError::NotText)
}
