//! Peers that come and go while the transport runs.
//!
//! A peer keeps its position for good: sends under way and polls of its tether are known by it. So one that
//! goes leaves its place empty, and gets it back if it comes again at the same addresses.

use socket2::SockAddr;

use crate::config::Peer;
use crate::transport::UdpTransport;

/// Index of the group's address among those that sends know.
pub(crate) const ADDRESS_OF_GROUP: u32 = 0;

/// Index of a peer's data address.
pub(crate) fn data_address(peer: u16) -> u32 {
    1 + 2 * u32::from(peer)
}

/// Index of a peer's token address.
pub(crate) fn token_address(peer: u16) -> u32 {
    2 + 2 * u32::from(peer)
}

/// The addresses of a peer in the order of their indices.
pub(crate) fn addresses_of(peer: &Peer) -> [SockAddr; 2] {
    [peer.data.into(), peer.token.into()]
}

/// Why a peer cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// IPv4 among IPv6, or the reverse.
    #[error("{0} is of another IP version than the other nodes")]
    Family(std::net::SocketAddr),
    /// All 65536 positions were used.
    #[error("no position left for another node; restart the engine")]
    Positions,
}

impl UdpTransport {
    /// Adds a peer and gives its position, the one it had if it was there before.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub fn add_peer(&mut self, peer: Peer) -> Result<u16, PeerError> {
        let v4 = self.config.peers[usize::from(self.config.me)].data.is_ipv4();
        if let Some(other) = [peer.data, peer.token].into_iter().find(|a| a.is_ipv4() != v4) {
            return Err(PeerError::Family(other));
        }
        let before = self.config.peers.iter().position(|known| *known == peer);
        let at = before.unwrap_or(self.config.peers.len());
        let position = u16::try_from(at).map_err(|_| PeerError::Positions)?;
        if before.is_none() {
            self.config.peers.push(peer);
            self.staged.add_peer();
            self.absent.push(false);
            self.shared.sends.add_addresses(addresses_of(&peer));
        }
        self.absent[at] = false;
        if let Some(tethers) = &mut self.tethers {
            tethers.add(position, peer.data);
        }
        self.report_tethers();
        let mtu = self.sockets.path_mtu(&self.config);
        self.lower_mtu(mtu);
        Ok(position)
    }

    /// Takes a peer out: nothing is sent to it any more, and what is heard of it is not told.
    pub fn remove_peer(&mut self, position: u16) {
        let at = usize::from(position);
        if position == self.config.me || at >= self.absent.len() {
            return;
        }
        self.absent[at] = true;
        if let Some(tethers) = &mut self.tethers {
            tethers.remove(position);
        }
    }

    /// Whether there is a peer at this position.
    pub(crate) fn is_there(&self, position: usize) -> bool {
        self.absent.get(position) == Some(&false)
    }
}
