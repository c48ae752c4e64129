//! The cluster key: 64 hexadecimal digits in a file that only its owner can read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a cluster key (AES-256).
pub const KEY_BYTES: usize = 32;

/// Most bytes a key file may have: 64 digits, white space around them, and a comment's worth of slack.
const FILE_BYTES_MAX: u64 = 4096;

/// A cluster key; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey(pub [u8; KEY_BYTES]);

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be opened or read.
    #[error("{}: cannot be read: {source}; `synchrotron keygen {}` makes one", .file.display(), .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the kernel answered.
        source: std::io::Error,
    },
    /// It is a directory, a device or the like.
    #[error("{}: is not a regular file", .file.display())]
    NotAFile {
        /// The file.
        file: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error("{}: mode {mode:04o} lets others than its owner at it; accepted: 0600 or 0400 (`chmod 600`)",
        .file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not the right number of digits.
    #[error("{}: has {digits} digits; accepted: {} hexadecimal digits", .file.display(), KEY_BYTES * 2)]
    Length {
        /// The file.
        file: PathBuf,
        /// Characters found, without white space around them.
        digits: usize,
    },
    /// Something that is not a digit; which is not said, since it is a secret.
    #[error("{}: character {at} is no hexadecimal digit; accepted: {} hexadecimal digits", .file.display(),
        KEY_BYTES * 2)]
    Digit {
        /// The file.
        file: PathBuf,
        /// Which character, from 1.
        at: usize,
    },
}

/// Reads a key file.
///
/// # Errors
/// See [`KeyFileError`].
pub fn read(path: &Path) -> Result<ClusterKey, KeyFileError> {
    let file = || path.to_owned();
    let unreadable = |source| KeyFileError::Unreadable { file: file(), source };
    let handle = File::open(path).map_err(unreadable)?;
    let metadata = handle.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile { file: file() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { file: file(), mode });
    }
    let mut bytes = Vec::with_capacity(metadata.size().min(FILE_BYTES_MAX) as usize);
    handle.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    let digits = bytes.trim_ascii();
    if digits.len() != KEY_BYTES * 2 {
        return Err(KeyFileError::Length { file: file(), digits: digits.len() });
    }
    let mut key = [0; KEY_BYTES];
    for (at, digit) in digits.iter().enumerate() {
        let value = (*digit as char).to_digit(16);
        let value = value.ok_or_else(|| KeyFileError::Digit { file: file(), at: at + 1 })?;
        key[at / 2] = key[at / 2] << 4 | value as u8;
    }
    Ok(ClusterKey(key))
}
