//! What happened to datagrams: why they were dropped, and what the machine did.

/// Declares the reasons with their names, so that enum, list and counters agree.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Why a datagram was dropped, in the order of the checks. The numbers are those of the trace
        /// [`wire::trace::Code::LinkDrop`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in status, metrics and logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// Shorter than its header, or than its header says.
    Truncated = "drop_truncated";
    /// Does not start like one of our datagrams.
    BadMagic = "drop_bad_magic";
    /// Another version of the protocol.
    WrongVersion = "drop_wrong_version";
    /// A header field has a value without meaning.
    BadField = "drop_bad_field";
    /// Another cluster's name.
    WrongCluster = "drop_wrong_cluster";
    /// Encrypted where we do not encrypt, or the other way round.
    WrongSecurity = "drop_wrong_security";
    /// Our own multicast came back.
    OwnFrame = "drop_own_frame";
    /// Our node id, but not our boot: an old frame of ours, or another node uses our id.
    SameNodeId = "drop_same_node_id";
    /// A node that is not in the node list.
    UnknownSender = "drop_unknown_sender";
    /// A body of a length that its kind cannot have, or padding that is not zero.
    BadLength = "drop_bad_length";
    /// A key epoch that we do not hold.
    UnknownEpoch = "drop_unknown_epoch";
    /// The tag or checksum does not fit: another key, or bytes changed on the way.
    BadTag = "drop_bad_tag";
    /// Seen before, or too old to tell.
    Replay = "drop_replay";
    /// The boot that the peer's present one followed.
    OldBoot = "drop_old_boot";
    /// A boot that has not proved itself yet.
    UnknownBoot = "drop_unknown_boot";
    /// A handshake that contradicts itself, or answers a question that we did not ask.
    BadHandshake = "drop_bad_handshake";
    /// Another link brought it before, or somebody repeats it: with several links that looks alike.
    Duplicate = "drop_duplicate";
}

/// How many reasons there are.
const REASONS: usize = DropReason::ALL.len();

/// Datagrams dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; REASONS]);

impl Drops {
    /// How many were dropped for this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many were dropped at all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason's name and count.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let counts = self.0;
        DropReason::ALL.iter().map(move |reason| (reason.name(), counts[*reason as usize]))
    }

    pub(crate) fn add(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }
}

/// What the link layer did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames sealed.
    pub sealed: u64,
    /// Bytes of their bodies.
    pub sealed_bytes: u64,
    /// Frames opened and handed to the layer above.
    pub opened: u64,
    /// Bytes of their bodies.
    pub opened_bytes: u64,
    /// Times a peer was asked for its boot.
    pub asks: u64,
    /// Times we answered a peer that asked for ours.
    pub answers: u64,
    /// Questions left unanswered because too many came.
    pub answers_withheld: u64,
    /// Boots of peers accepted.
    pub boots: u64,
    /// First frames of a boot kept until it had proved itself.
    pub held: u64,
    /// Times a new key came into use.
    pub key_switches: u64,
    /// Frames that could not be sealed: too long for a datagram or for the room given.
    pub seal_failures: u64,
    /// Datagrams dropped, by reason.
    pub drops: Drops,
}

impl Counters {
    /// Every counter with its name.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("sealed", self.sealed),
            ("sealed_bytes", self.sealed_bytes),
            ("opened", self.opened),
            ("opened_bytes", self.opened_bytes),
            ("asks", self.asks),
            ("answers", self.answers),
            ("answers_withheld", self.answers_withheld),
            ("boots", self.boots),
            ("held", self.held),
            ("key_switches", self.key_switches),
            ("seal_failures", self.seal_failures),
        ]
        .into_iter()
        .chain(self.drops.fields())
    }
}
