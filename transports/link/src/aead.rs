//! Who encrypts: a small trait and the providers behind it (docs/adr/0004).

mod aes_gcm;
#[cfg(feature = "aws-lc")]
mod aws_lc;

use alloc::boxed::Box;

use wire::link::TAG_BYTES;

/// Bytes of an AES-256 key.
pub const KEY_BYTES: usize = 32;

/// Bytes of a nonce (NIST SP 800-38D, section 8.2: 96 bits).
pub const NONCE_BYTES: usize = 12;

/// The tag did not fit: the bytes are not what the key's owner sealed. They may be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTag;

/// One AES-256-GCM key, ready for use. A nonce must never be used twice with one key; the link layer
/// takes it from a counter.
pub trait Aead {
    /// Encrypts `body` where it stands and returns the tag over `aad` and `body`; `None` when the
    /// provider refuses (`body` is longer than the mode allows, 2^36 bytes).
    fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        body: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]>;

    /// Checks the tag and decrypts `body` where it stands.
    ///
    /// # Errors
    /// [`BadTag`]; `body` then holds nothing of use.
    fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), BadTag>;

    /// Who does the work.
    fn provider(&self) -> Provider;
}

/// An implementation of AES-256-GCM. All give the same bytes; nodes of one cluster may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The `aes-gcm` crate: Rust only, always there.
    AesGcm,
    /// The `aws-lc-rs` crate: about six times faster at packet size, needs a C compiler to build.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

impl Provider {
    /// Every provider of this build, the fastest first.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "aws-lc")]
        Self::AwsLc,
        Self::AesGcm,
    ];

    /// The provider to use when nobody chose one.
    pub fn fastest() -> Self {
        Self::ALL[0]
    }

    /// The name used in configuration and status.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "aes-gcm",
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => "aws-lc",
        }
    }

    /// The provider with this name, if this build has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|provider| provider.name() == name)
    }

    /// Expands a key.
    pub fn key(self, key: &[u8; KEY_BYTES]) -> Box<dyn Aead> {
        match self {
            Self::AesGcm => Box::new(aes_gcm::Key::new(key)),
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => Box::new(aws_lc::Key::new(key)),
        }
    }
}
