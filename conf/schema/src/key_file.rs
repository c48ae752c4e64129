//! The cluster key: 64 hexadecimal digits in a file that only its owner can read, or derived from Corosync's key.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::model::KeySource;

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

/// Fewest bytes a cluster key is derived from: what Corosync asks for.
pub const DERIVED_BYTES_MIN: usize = 128;

/// Most bytes a cluster key is derived from.
pub const DERIVED_BYTES_MAX: usize = 4096;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be opened or read.
    #[error("{}: cannot be read: {source}; `{maker} {}` makes one", .file.display(), .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What makes such a file.
        maker: &'static str,
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
    /// Too few or too many bytes to derive a key from.
    #[error("{}: has {bytes} bytes; accepted: {DERIVED_BYTES_MIN} to {DERIVED_BYTES_MAX}", .file.display())]
    Bytes {
        /// The file.
        file: PathBuf,
        /// Bytes found; one more than accepted stands for all that are longer.
        bytes: usize,
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

/// The cluster key of a configuration.
///
/// # Errors
/// See [`KeyFileError`].
pub fn cluster_key(source: &KeySource) -> Result<ClusterKey, KeyFileError> {
    match source {
        KeySource::File(file) => read(file),
        KeySource::CorosyncFile(file) => {
            let bytes = contents(file, "corosync-keygen -k", DERIVED_BYTES_MAX as u64 + 1)?;
            if !(DERIVED_BYTES_MIN..=DERIVED_BYTES_MAX).contains(&bytes.len()) {
                return Err(KeyFileError::Bytes { file: file.clone(), bytes: bytes.len() });
            }
            Ok(derive(&bytes))
        }
        KeySource::Bytes(secret) => Ok(derive(&secret.0)),
    }
}

/// Derives a cluster key from a secret of any length (HKDF-SHA-256, RFC 5869).
fn derive(secret: &[u8]) -> ClusterKey {
    let kdf = hkdf::Hkdf::<sha2::Sha256>::new(Some(b"synchrotron corosync authkey v1"), secret);
    let mut key = [0; KEY_BYTES];
    kdf.expand(b"cluster key", &mut key).expect("32 bytes are less than 255 hashes");
    ClusterKey(key)
}

/// Reads a key file of hexadecimal digits.
///
/// # Errors
/// See [`KeyFileError`].
pub fn read(path: &Path) -> Result<ClusterKey, KeyFileError> {
    let file = || path.to_owned();
    let bytes = contents(path, "synchrotron keygen", FILE_BYTES_MAX)?;
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

/// At most `bytes_max` bytes of a file that others than its owner cannot get at. `maker` makes one.
fn contents(path: &Path, maker: &'static str, bytes_max: u64) -> Result<Vec<u8>, KeyFileError> {
    let file = || path.to_owned();
    let unreadable = |source| KeyFileError::Unreadable { file: file(), maker, source };
    let handle = File::open(path).map_err(unreadable)?;
    let metadata = handle.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile { file: file() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { file: file(), mode });
    }
    let mut bytes = Vec::with_capacity(metadata.size().min(bytes_max) as usize);
    handle.take(bytes_max).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
