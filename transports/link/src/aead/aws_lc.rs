//! The fast provider: the `aws-lc-rs` crate.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use wire::link::TAG_BYTES;

use super::{Aead, BadTag, KEY_BYTES, NONCE_BYTES, Provider};

/// A key of the `aws-lc-rs` crate. "Less safe" is that crate's name for a key whose user sees to it
/// that nonces do not repeat, which a counter of the link layer does.
pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes");
        Self(LessSafeKey::new(unbound))
    }
}

impl Aead for Key {
    fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        body: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), body).ok()?;
        tag.as_ref().try_into().ok()
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), BadTag> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, body)
            .map(|_| ())
            .map_err(|_| BadTag)
    }

    fn provider(&self) -> Provider {
        Provider::AwsLc
    }
}
