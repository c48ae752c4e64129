//! How a key rolls: staged everywhere, then used by everyone, then the old one is forgotten.

use wire::trace::{Code, Level, Trace};

use crate::aead::KEY_BYTES;
use crate::link::Link;
use crate::output::Output;

/// A peer not heard for this long is not waited for. Far longer than any membership timeout, so a peer
/// of the ring is never among them.
const ALIVE_NS: u64 = 10_000_000_000;

/// How often a roll is looked at when nothing arrives.
const LOOK_NS: u64 = 1_000_000_000;

/// How long after the switch the old key stays valid at least: datagrams on their way.
const LINGER_NS: u64 = 2_000_000_000;

/// Why a key was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollError {
    /// Encryption is off.
    #[error("encryption is off, there is no key to change")]
    Off,
    /// The key in use has this number already.
    #[error("key epoch {epoch} is in use, a new key needs another number")]
    InUse {
        /// The number.
        epoch: u8,
    },
}

/// Where a roll stands.
#[derive(Default)]
pub(crate) struct Roll {
    /// When to look at it again; `None` when no key rolls.
    look_ns: Option<u64>,
    switched_ns: Option<u64>,
}

impl Roll {
    pub(crate) fn due_ns(&self) -> Option<u64> {
        self.look_ns
    }
}

impl Link {
    /// Takes a new cluster key. From now on it opens datagrams, beside the one in use. We seal with
    /// it once every peer that is alive has said that it holds it too, and forget the old one once all
    /// of them seal with it: give it to all nodes, in any order and with any pause between them, and no
    /// datagram is lost. A key that waits is replaced by this one.
    ///
    /// # Errors
    /// See [`RollError`].
    pub fn rotate_key(
        &mut self,
        now_ns: u64,
        key: &[u8; KEY_BYTES],
        epoch: u8,
    ) -> Result<(), RollError> {
        if !self.keys.is_sealed() {
            return Err(RollError::Off);
        }
        if self.keys.sending() == epoch {
            return Err(RollError::InUse { epoch });
        }
        self.keys.stage(key, epoch);
        for peer in &mut self.peers {
            if let Some(accepted) = &mut peer.accepted {
                accepted.keys = self.keys.derive_all(peer.node, accepted.boot);
                accepted.uses_newest = false;
            }
        }
        self.roll = Roll { look_ns: Some(now_ns), switched_ns: None };
        self.consider_roll(now_ns);
        self.refresh_due();
        Ok(())
    }

    /// Takes the next step of a roll if nothing speaks against it.
    pub(crate) fn consider_roll(&mut self, now_ns: u64) {
        if self.roll.look_ns.is_none() {
            return;
        }
        let newest = self.keys.newest();
        let mut alive = self
            .peers
            .iter()
            .filter_map(|peer| peer.accepted.as_ref())
            .filter(|peer| now_ns.saturating_sub(peer.heard_ns) < ALIVE_NS);
        match self.roll.switched_ns {
            None if alive.all(|peer| peer.newest_epoch == newest) => {
                self.keys.switch();
                self.roll.switched_ns = Some(now_ns);
                self.counters.key_switches += 1;
                let args = [newest.into()];
                self.output(Output::Trace(Trace::new(Level::Info, Code::KeyInUse, &args)));
            }
            Some(switched_ns)
                if now_ns.saturating_sub(switched_ns) >= LINGER_NS
                    && alive.all(|peer| peer.uses_newest) =>
            {
                self.keys.retire();
                for peer in &mut self.peers {
                    if let Some(accepted) = &mut peer.accepted {
                        accepted.keys.keep(newest);
                    }
                }
                self.roll = Roll::default();
                return;
            }
            _ => {}
        }
        self.roll.look_ns = Some(now_ns.saturating_add(LOOK_NS));
    }
}
