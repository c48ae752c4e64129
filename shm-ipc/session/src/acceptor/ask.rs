//! Questions of clients, and the connections they come from.

use crate::access::Trust;

/// What a client asked on its socket. Answer with [`crate::Acceptor::answer`], now or later.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Which question this is.
    pub id: AskId,
    /// Who asks.
    pub uid: u32,
    /// Who asks.
    pub pid: u32,
    /// How far it is trusted by now; `None`: it would not be let in any more.
    pub trust: Option<Trust>,
    /// The session it asks in; `None` on a connection without rings.
    pub session: Option<u32>,
    /// The question; opaque to this crate.
    pub bytes: &'a [u8],
}

/// Names a question until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId {
    pub(super) connection: u64,
    pub(super) request: u32,
}

impl AskId {
    /// The connection it was asked on.
    pub fn connection(self) -> ConnectionId {
        ConnectionId(self.connection)
    }
}

/// Names a connection; never used for another one while the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);
