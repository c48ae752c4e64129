//! Keys: what is derived from the cluster's name and key, and the epochs that roll.

use alloc::vec::Vec;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use wire::{BootId, NodeId};

use crate::Security;
use crate::aead::{KEY_BYTES, Provider};
use crate::protection::Protection;

/// Two key epochs are valid while a key rolls: the one in use and the one after it.
pub const EPOCHS_MAX: usize = 2;

/// First bytes hashed for the cluster tag, so that it is no other hash of the name.
const TAG_LABEL: &[u8] = b"synchrotron cluster tag v1\0";

/// First bytes of the salt that binds keys to the cluster's name.
const SALT_LABEL: &[u8] = b"synchrotron cluster salt v1\0";

/// What a derived key is for (RFC 5869, section 3.2); sender, boot and epoch follow.
const FRAME_KEY_LABEL: &[u8; 24] = b"synchrotron frame key v1";

/// First bytes hashed for a key's fingerprint.
const FINGERPRINT_LABEL: &[u8] = b"synchrotron key fingerprint v1\0";

/// What a cluster key may be called in the open: the first 8 bytes of a SHA-256.
pub fn fingerprint(key: &[u8; KEY_BYTES]) -> u64 {
    let hash = Sha256::new().chain_update(FINGERPRINT_LABEL).chain_update(key).finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(bytes)
}

/// The number of a key's epoch: a byte of its fingerprint, so that everybody who holds the key knows
/// it, whenever it started. Two keys that follow each other must differ in it.
pub fn epoch_of(key: &[u8; KEY_BYTES]) -> u8 {
    fingerprint(key).to_le_bytes()[0]
}

/// The cluster's name as it stands in every header: the first 8 bytes of a SHA-256.
pub fn cluster_tag(cluster_name: &str) -> u64 {
    let hash = Sha256::new().chain_update(TAG_LABEL).chain_update(cluster_name).finalize();
    let mut tag = [0; 8];
    tag.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(tag)
}

/// Binds keys to the cluster's name: one key in two clusters still gives different keys.
type Salt = [u8; 32];

/// What the keys of one epoch are derived from.
enum Secret {
    /// Encryption is off.
    None,
    /// HKDF-SHA256 after its extract step; the cluster key itself is not kept.
    Key { provider: Provider, hkdf: Hkdf<Sha256> },
}

impl Secret {
    fn new(salt: &Salt, key: &[u8; KEY_BYTES], provider: Provider) -> Self {
        Self::Key { provider, hkdf: Hkdf::new(Some(salt), key) }
    }

    /// The protection of one sender's datagrams: a key of its own for every sender, boot and epoch,
    /// so a counter may start anew with each boot.
    fn protection(&self, epoch: u8, sender: NodeId, boot: BootId) -> Protection {
        let Self::Key { provider, hkdf } = self else { return Protection::Checksum };
        let mut key = [0; KEY_BYTES];
        let sender = sender.0.to_le_bytes();
        hkdf.expand_multi_info(&[FRAME_KEY_LABEL, &[epoch], &sender, &boot.0], &mut key)
            .expect("32 bytes are far below HKDF's limit of 8160");
        Protection::Sealed(provider.key(&key))
    }
}

/// One key epoch of this node.
struct Epoch {
    number: u8,
    secret: Secret,
    /// Protects what we send.
    own: Protection,
}

/// The protections of one peer's boot, one for each epoch we hold.
pub(crate) struct PeerKeys(Vec<(u8, Protection)>);

impl PeerKeys {
    /// The protection under an epoch, if we hold it.
    pub(crate) fn get(&self, epoch: u8) -> Option<&Protection> {
        self.0.iter().find(|(number, _)| *number == epoch).map(|(_, protection)| protection)
    }

    /// Forgets every other epoch.
    pub(crate) fn keep(&mut self, epoch: u8) {
        self.0.retain(|(number, _)| *number == epoch);
    }
}

/// The key epochs this node holds, oldest first, and which of them it sends under.
pub(crate) struct Keyring {
    me: NodeId,
    boot: BootId,
    salt: Salt,
    epochs: Vec<Epoch>,
    sending: usize,
}

impl Keyring {
    pub(crate) fn new(me: NodeId, boot: BootId, cluster_name: &str, security: Security) -> Self {
        let salt = Sha256::new().chain_update(SALT_LABEL).chain_update(cluster_name).finalize();
        let salt = salt.into();
        let (number, secret) = match security {
            Security::Off => (0, Secret::None),
            Security::Aes256Gcm { key, epoch, provider } => {
                (epoch, Secret::new(&salt, &key, provider))
            }
        };
        let mut epochs = Vec::with_capacity(EPOCHS_MAX);
        epochs.push(Epoch { number, own: secret.protection(number, me, boot), secret });
        Self { me, boot, salt, epochs, sending: 0 }
    }

    /// Who encrypts; `None` when encryption is off.
    pub(crate) fn provider(&self) -> Option<Provider> {
        match &self.epochs[0].secret {
            Secret::None => None,
            Secret::Key { provider, .. } => Some(*provider),
        }
    }

    /// Whether datagrams are encrypted.
    pub(crate) fn is_sealed(&self) -> bool {
        self.provider().is_some()
    }

    /// Whether we hold this epoch.
    pub(crate) fn holds(&self, epoch: u8) -> bool {
        self.epochs.iter().any(|held| held.number == epoch)
    }

    /// The epoch we send under.
    pub(crate) fn sending(&self) -> u8 {
        self.epochs[self.sending].number
    }

    /// The latest epoch we hold.
    pub(crate) fn newest(&self) -> u8 {
        self.epochs[self.epochs.len() - 1].number
    }

    /// Our own protection under an epoch we hold; any other gives the one we send under.
    pub(crate) fn own(&self, epoch: u8) -> (u8, &Protection) {
        let held = self.epochs.iter().find(|held| held.number == epoch);
        let held = held.unwrap_or(&self.epochs[self.sending]);
        (held.number, &held.own)
    }

    /// The protection of a boot under one epoch.
    pub(crate) fn derive(&self, epoch: u8, sender: NodeId, boot: BootId) -> Option<Protection> {
        let held = self.epochs.iter().find(|held| held.number == epoch)?;
        Some(held.secret.protection(epoch, sender, boot))
    }

    /// The protections of a boot under every epoch we hold.
    pub(crate) fn derive_all(&self, sender: NodeId, boot: BootId) -> PeerKeys {
        let mut keys = Vec::with_capacity(EPOCHS_MAX);
        for held in &self.epochs {
            keys.push((held.number, held.secret.protection(held.number, sender, boot)));
        }
        PeerKeys(keys)
    }

    /// Adds a key after the one in use, or replaces the one that waits there.
    pub(crate) fn stage(&mut self, key: &[u8; KEY_BYTES], number: u8) {
        let Some(provider) = self.provider() else { return };
        // What is older than the key in use has been waited for long enough; what is newer is replaced.
        let in_use = self.epochs.swap_remove(self.sending);
        self.epochs.clear();
        self.epochs.push(in_use);
        self.sending = 0;
        let secret = Secret::new(&self.salt, key, provider);
        let own = secret.protection(number, self.me, self.boot);
        self.epochs.push(Epoch { number, secret, own });
    }

    /// From now on sends under the newest epoch.
    pub(crate) fn switch(&mut self) {
        self.sending = self.epochs.len() - 1;
    }

    /// Forgets every epoch but the newest, if that is the one in use.
    pub(crate) fn retire(&mut self) {
        if self.sending == self.epochs.len() - 1 {
            self.epochs.drain(..self.sending);
            self.sending = 0;
        }
    }

    /// How many epochs we hold.
    pub(crate) fn len(&self) -> usize {
        self.epochs.len()
    }
}
