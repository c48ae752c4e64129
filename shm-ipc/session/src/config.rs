//! What the engine decides about its sessions, and what follows from it.

use std::path::PathBuf;

use crate::access::Access;

/// Smallest ring in bytes: holds the largest record of either kind with room to spare.
const RING_BYTES_MIN: usize = 128 << 10;

/// Largest ring a client may ask for, in bytes.
const RING_BYTES_MAX: usize = 16 << 20;

/// Settings of listener and sessions.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub path: PathBuf,
    /// Permissions of the socket file. Who may connect is decided by [`Access`] as well.
    pub mode: u32,
    /// Which users may connect, and how.
    pub access: Access,
    /// This node's id; sessions of this node are members `(node, session, pid)`.
    pub node: u32,
    /// This start of the engine; clients see by it that an engine was restarted.
    pub boot: [u8; 16],
    /// Number of the first session: random, so that a restart does not repeat numbers. Zero is taken as one.
    pub first_session: u32,
    /// Most sessions at a time.
    pub sessions_max: usize,
    /// Descriptors in the delivery ring; rounded up to a power of two.
    pub delivery_slots: usize,
    /// Default bytes of a submit ring; rounded up to a power of two.
    pub submit_bytes: usize,
    /// Default bytes of a private ring; rounded up to a power of two. Its pages are used only while the
    /// client reads from it.
    pub private_bytes: usize,
    /// Longest message in bytes.
    pub message_bytes_max: u64,
    /// Descriptors a reader may lag behind before its backlog is copied away; at most three quarters of
    /// `delivery_slots` are used. Bytes count too: a quarter of `backlog_bytes_max`.
    pub lag_slots: usize,
    /// Bytes of backlog one reader may have before it is evicted.
    pub backlog_bytes_max: usize,
    /// Bytes of backlog all readers together may have; the one that would pass it is evicted.
    pub backlog_bytes_total_max: usize,
    /// How long a lagging reader may hold messages while the engine is short of slots, in nanoseconds.
    pub lease_ns: u64,
    /// How long an evicted client may take to close its socket before its slots are used again, in
    /// nanoseconds.
    pub eviction_grace_ns: u64,
}

/// The bounds for slow readers that may change while the engine runs; as in [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Descriptors a reader may lag behind before its backlog is copied away.
    pub lag_slots: usize,
    /// Bytes of backlog one reader may have before it is evicted.
    pub backlog_bytes_max: usize,
    /// Bytes of backlog all readers together may have.
    pub backlog_bytes_total_max: usize,
    /// How long a lagging reader may hold messages while the engine is short of slots, in nanoseconds.
    pub lease_ns: u64,
}

impl Config {
    /// Settings for a socket at `path`, everything else as in the documentation.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: 0o666,
            access: Access::default(),
            node: 1,
            boot: [0; 16],
            first_session: 1,
            sessions_max: 1024,
            delivery_slots: 4096,
            submit_bytes: 256 << 10,
            private_bytes: 256 << 10,
            message_bytes_max: 16 << 20,
            lag_slots: 3072,
            backlog_bytes_max: 16 << 20,
            backlog_bytes_total_max: 256 << 20,
            lease_ns: 100_000_000,
            eviction_grace_ns: 1_000_000_000,
        }
    }

    /// The same with every number in the range that the code relies on.
    pub(crate) fn checked(mut self) -> Self {
        self.first_session = self.first_session.max(1);
        self.sessions_max = self.sessions_max.clamp(1, 65_536);
        self.delivery_slots = self.delivery_slots.clamp(64, 1 << 20).next_power_of_two();
        self.lag_slots = self.lag_slots.clamp(1, self.delivery_slots / 4 * 3);
        self
    }

    /// Sizes of a session's rings, given what the client asked for (0: the default).
    pub(crate) fn ring_sizes(&self, submit_bytes: u32, private_bytes: u32) -> RingSizes {
        let size = |asked: u32, default: usize| {
            let bytes = if asked == 0 { default } else { asked as usize };
            bytes.clamp(RING_BYTES_MIN, RING_BYTES_MAX).next_power_of_two()
        };
        RingSizes {
            submit_bytes: size(submit_bytes, self.submit_bytes),
            private_bytes: size(private_bytes, self.private_bytes),
        }
    }
}

/// Sizes of one session's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingSizes {
    pub(crate) submit_bytes: usize,
    pub(crate) private_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_asked_for_stay_in_their_bounds() {
        let config = Config::new("/x");
        let sizes = config.ring_sizes(0, 0);
        assert_eq!((sizes.submit_bytes, sizes.private_bytes), (256 << 10, 256 << 10));
        let sizes = config.ring_sizes(1, u32::MAX);
        assert_eq!((sizes.submit_bytes, sizes.private_bytes), (128 << 10, 16 << 20));
        assert_eq!(config.ring_sizes(200_000, 0).submit_bytes, 256 << 10);
    }

    #[test]
    fn a_lag_limit_leaves_room_in_the_ring() {
        let config = Config { lag_slots: 1 << 30, delivery_slots: 100, ..Config::new("/x") };
        let config = config.checked();
        assert_eq!((config.delivery_slots, config.lag_slots), (128, 96));
    }
}
