//! What people may look at.

use wire::NodeId;

use super::Paths;
use super::path::{DownCause, State};

wire::counters! {
    /// What the links of a node did.
    pub struct PathCounters {
        /// Hellos sent.
        pub hellos_sent: u64,
        /// Hellos received.
        pub hellos_received: u64,
        /// Hellos that made no sense.
        pub hellos_refused: u64,
        /// Hellos that came on another link or queue than they were sent on.
        pub hellos_misplaced: u64,
        /// Times a link to a peer failed.
        pub links_down: u64,
        /// Times a link to a peer came to work.
        pub links_up: u64,
        /// Times something had to be sent again and links were looked at more closely.
        pub suspicions: u64,
        /// Times frames for all came to travel on other links.
        pub moves: u64,
    }
}

/// One link to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The peer.
    pub node: NodeId,
    /// The link.
    pub link: u8,
    /// Whether it works in both directions.
    pub up: bool,
    /// Whether the peer is heard on it.
    pub hears: bool,
    /// Whether the peer says that it hears us on it.
    pub heard_by: bool,
    /// Whether frames for this peer alone travel on it.
    pub used: bool,
    /// Since when the peer is heard, or is not.
    pub since_ns: u64,
    /// How often it failed, as far as that is still held against it.
    pub flaps: u32,
    /// Why it is down; `None`: it is up.
    pub cause: Option<DownCause>,
}

impl Paths {
    /// Every link to every peer, by node and link.
    pub fn states(&self) -> impl Iterator<Item = LinkState> + '_ {
        let others = self.peers.iter().enumerate().filter(|(pos, _)| *pos != self.me_pos);
        others.flat_map(|(_, peer)| {
            (0..self.links.count).map(move |link| {
                let path = &peer.paths[usize::from(link)];
                let cause = match path.state {
                    State::Up if path.heard_by => None,
                    State::Up => Some(DownCause::NotHeard),
                    State::Down => Some(path.cause),
                    State::Fresh => Some(DownCause::Silent),
                };
                LinkState {
                    node: peer.node,
                    link,
                    up: path.is_usable(),
                    hears: path.state == State::Up,
                    heard_by: path.heard_by,
                    used: path.is_usable() && peer.chosen >> link & 1 == 1,
                    since_ns: path.since_ns,
                    flaps: path.flaps,
                    cause,
                }
            })
        })
    }

    /// The links that frames for all travel on, as bits.
    pub fn in_use(&self) -> u8 {
        self.chosen
    }
}
