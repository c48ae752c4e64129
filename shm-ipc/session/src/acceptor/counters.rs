//! What the acceptor counts.

/// What happened on the control side since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptorCounters {
    /// Connections accepted.
    pub accepted: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Connections refused because of their user.
    pub refused_user: u64,
    /// Connections refused because of their version.
    pub refused_version: u64,
    /// Connections refused because a limit was reached.
    pub refused_limit: u64,
    /// Connections closed because of a malformed datagram.
    pub malformed: u64,
    /// Connections closed because the handshake took too long.
    pub late: u64,
    /// Connections closed because they did not read their answers or notices.
    pub unread: u64,
    /// Failed accepts (out of descriptors).
    pub accept_failed: u64,
    /// Questions asked.
    pub asks: u64,
}

impl AcceptorCounters {
    /// Names and values, for status and metrics.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("accepted", self.accepted),
            ("sessions_opened", self.sessions_opened),
            ("refused_user", self.refused_user),
            ("refused_version", self.refused_version),
            ("refused_limit", self.refused_limit),
            ("malformed", self.malformed),
            ("late", self.late),
            ("unread", self.unread),
            ("accept_failed", self.accept_failed),
            ("asks", self.asks),
        ]
        .into_iter()
    }
}
