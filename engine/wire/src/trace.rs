//! Events worth keeping: fixed size, no text. The engine writes them to the flight recorder as they
//! are; the control thread turns them into log lines.

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only for the flight recorder.
    Debug,
    /// Normal life: views, joins.
    Info,
    /// Something an operator should look at.
    Warn,
    /// Something failed.
    Error,
}

/// One event: what happened and up to four numbers that are its evidence. What the numbers mean is
/// said where each `code` is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Level for logs.
    pub level: Level,
    /// Which event.
    pub code: Code,
    /// The evidence.
    pub args: [u64; 4],
}

/// Declares the codes with their numbers, short names and the names of their four arguments, so that
/// recorder, log and `synchrotron blackbox` read one table.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, [$($arg:literal),*];)*) => {
        /// Which event a [`Trace`] is. Numbers are kept for ever: old recorder files stay readable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// The event with this number, if this version knows it.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// A short name for logs.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Names of the arguments that are used.
            pub fn arg_names(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($arg),*],)* }
            }
        }
    };
}

codes! {
    /// Engine started.
    Started = 1, "engine started", ["node", "boot"];
    /// Engine stops.
    Stopped = 2, "engine stopped", ["node"];
    /// Entered Gather; `cause` is `totem`'s numbering, `peer` who, `timer` which, `last_seen_us` how long ago.
    Gather = 10, "gather", ["cause", "peer", "timer", "last_seen_us"];
    /// Entered Commit.
    Commit = 11, "commit", ["ring_seq", "rep", "members"];
    /// Entered Recovery.
    Recovery = 12, "recovery", ["ring_seq", "rep", "members"];
    /// Entered Operational.
    Operational = 13, "operational", ["ring_seq", "rep", "members", "took_us"];
    /// Our own loop did not run for a while.
    OwnPause = 14, "own pause", ["paused_us", "timeout_us"];
    /// A peer was refused; `reason` is `totem`'s numbering.
    Refused = 15, "peer refused", ["peer", "reason", "theirs", "ours"];
    /// We were refused by a peer.
    RefusedByPeer = 16, "refused by peer", ["peer", "reason", "theirs", "ours"];
    /// A peer announced that it leaves.
    PeerLeaving = 17, "peer leaving", ["peer"];
    /// A peer's process is confirmed dead.
    PeerDead = 18, "peer process dead", ["peer", "probes"];
    /// A peer's process is suspected dead.
    PeerUnreachable = 19, "peer unreachable", ["peer"];
    /// Link layer: a new boot of a peer was accepted.
    PeerBoot = 30, "peer boot accepted", ["peer", "boot"];
    /// Link layer: frames were dropped; `reason` is `link`'s numbering, reported at most once a second.
    LinkDrop = 31, "frames dropped by link", ["reason", "count", "peer"];
    /// Link layer: datagrams are sealed under another key from now on.
    KeyInUse = 32, "key in use", ["epoch"];
    /// Links: nothing of a peer arrives on a link any more, or nothing of ours there; `cause` is `link`'s
    /// numbering, `missed` how many hellos other links brought meanwhile.
    LinkDown = 33, "link down", ["link", "peer", "cause", "missed"];
    /// Links: a link to a peer works in both directions; `probation_ms` for how long it had to before it
    /// counted.
    LinkUp = 34, "link up", ["link", "peer", "probation_ms", "flaps"];
    /// Links: frames for all nodes travel on other links; sets of links as bits.
    LinksInUse = 35, "links in use", ["links", "before"];
    /// Group layer: the sync barrier ended.
    Synced = 40, "groups synchronised", ["ring_seq", "members", "groups", "took_us"];
    /// Group layer: whether this node may act for the cluster; `needed` votes of `votes` that are here.
    Quorum = 41, "quorum", ["quorate", "ring_seq", "needed", "votes"];
    /// A client connected.
    SessionOpen = 50, "client connected", ["session", "pid", "uid", "gid"];
    /// A client is gone; `cause` is `session`'s numbering.
    SessionClosed = 51, "client gone", ["session", "pid", "cause"];
    /// A slow reader's backlog went to its own memory.
    SessionSpill = 52, "slow client spilled", ["session", "pid", "lag"];
    /// A slow reader was evicted.
    SessionEvicted = 53, "client evicted", ["session", "pid", "reason", "backlog"];
    /// State could not be stored.
    StateFailed = 60, "state not stored", ["errno", "ring_seq"];
    /// The pool ran out of slots.
    PoolEmpty = 61, "slots exhausted", ["class", "count"];
}

impl Trace {
    /// An event with its evidence; missing arguments are zero.
    pub fn new(level: Level, code: Code, args: &[u64]) -> Self {
        let mut all = [0; 4];
        for (to, from) in all.iter_mut().zip(args) {
            *to = *from;
        }
        Self { level, code, args: all }
    }
}
