//! The link layer: turns frames into datagrams that only this cluster's nodes can make, and back.
//!
//! A pure machine: it sees received datagrams and the time, and yields frames of the layer above and,
//! through [`Link::poll_output`], datagrams of its own to send. It knows no sockets and no clock.
//!
//! * Every datagram has an authenticated header ([`wire::link::LinkHeader`]) with the version, the
//!   cluster's name (hashed), the sender, its boot and a counter, then an encrypted body and a tag
//!   (AES-256-GCM), or a body in the clear and a CRC-32C where encryption is off.
//! * Keys are derived for each (sender, boot, key epoch) with HKDF-SHA256 (RFC 5869); the nonce is
//!   the counter, so no nonce is ever used twice with a key.
//! * A datagram is taken at most once: each boot of each peer has a replay window ([`WINDOW_FRAMES`]).
//! * A boot is believed only once it has answered a fresh question of ours, so what an attacker
//!   recorded of earlier boots is worth nothing. See `handshake.rs`.
//! * Two keys are valid while a key rolls ([`Link::rotate_key`]).
//! * Which of several links to a peer work, and which are used, is the business of [`paths`].
//!
//! Whatever else arrives is counted by reason ([`DropReason`]) and dropped. Who does not have the key
//! can make this machine neither grow nor send more than a bounded number of datagrams a second, and
//! only ever to configured addresses.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod aead;
mod counters;
mod handshake;
mod keys;
mod link;
mod output;
pub mod paths;
mod peer;
mod protection;
mod roll;
mod window;

use alloc::vec::Vec;
use core::fmt;

use wire::{BootId, NodeId};

pub use aead::{Aead, BadTag, KEY_BYTES, NONCE_BYTES, Provider};
pub use counters::{Counters, DropReason, Drops};
pub use keys::{EPOCHS_MAX, cluster_tag, epoch_of, fingerprint};
pub use link::{Link, Opened};
pub use output::{
    HANDSHAKE_DATAGRAM_BYTES, HandshakeDatagram, Output, PeerStatus, SecurityStatus, Timer,
};
pub use roll::RollError;
pub use window::WINDOW_FRAMES;

/// How datagrams are protected.
#[derive(Clone)]
pub enum Security {
    /// A checksum against accidents; nothing against people.
    Off,
    /// AES-256-GCM.
    Aes256Gcm {
        /// The cluster's key: 32 random bytes, the same on every node.
        key: [u8; KEY_BYTES],
        /// The key's number, the same on every node whenever it started: [`epoch_of`] gives one. A key
        /// that follows ([`Link::rotate_key`]) has another.
        epoch: u8,
        /// Who encrypts.
        provider: Provider,
    },
}

impl fmt::Debug for Security {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Aes256Gcm { epoch, provider, .. } => f
                .debug_struct("Aes256Gcm")
                .field("epoch", epoch)
                .field("provider", provider)
                .finish_non_exhaustive(),
        }
    }
}

/// What a [`Link`] has to know.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// This node.
    pub me: NodeId,
    /// The node list; whether it names this node does not matter.
    pub peers: Vec<NodeId>,
    /// The cluster's name.
    pub cluster_name: &'a str,
    /// Encryption, or none.
    pub security: Security,
    /// This start of this node: 128 bits from a good source of randomness. Nonces are unique only if
    /// it is.
    pub boot: BootId,
    /// Randomness for the questions asked; mixed with `boot`.
    pub seed: u64,
}
