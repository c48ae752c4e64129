//! The portable provider: the `aes-gcm` crate.

use aes_gcm::aead::KeyInit;
use aes_gcm::{AeadInPlace, Aes256Gcm};
use wire::link::TAG_BYTES;

use super::{Aead, BadTag, KEY_BYTES, NONCE_BYTES, Provider};

/// A key of the `aes-gcm` crate.
pub(super) struct Key(Aes256Gcm);

impl Key {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }
}

impl Aead for Key {
    fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        body: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        self.0.encrypt_in_place_detached(nonce.into(), aad, body).ok().map(Into::into)
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), BadTag> {
        self.0.decrypt_in_place_detached(nonce.into(), aad, body, tag.into()).map_err(|_| BadTag)
    }

    fn provider(&self) -> Provider {
        Provider::AesGcm
    }
}
