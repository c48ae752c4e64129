//! What can be wrong with bytes from the wire.

/// Why bytes were refused. The peer (or whoever forged its frame) is at fault, never we.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the format needs.
    #[error("{what}: {found} bytes, needs {needed}")]
    Truncated {
        /// The format being read.
        what: &'static str,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there were.
        found: usize,
    },
    /// A field has a value that the format does not allow.
    #[error("{what}: {field} is {found}")]
    BadField {
        /// The format being read.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// What it held.
        found: u64,
    },
}
