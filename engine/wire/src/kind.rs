//! The first byte of every frame.

/// Most bytes of any frame but data: it fits an IPv6 minimum MTU of 1280 bytes with the headers of
/// IPv6 (40), UDP (8) and the link layer (up to 80).
pub const CONTROL_BYTES_MAX: usize = 1152;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A numbered frame, see `data`.
    Data = 1,
    /// The token, see `token`.
    Token = 2,
    /// A proposal of members, see `join`.
    Join = 3,
    /// The commit token, see `commit`.
    Commit = 4,
    /// The holder's sign of life, see `beacon`.
    Beacon = 5,
    /// A member's answer to a beacon, see `beacon`.
    Answer = 6,
    /// A member asks the holder for the token, see `beacon`.
    Want = 7,
    /// A member asks a sender for frames it missed, see `repair`.
    Ask = 8,
    /// A ring shows itself to others, see `probe`.
    Probe = 9,
    /// Is a process there? See `probe`.
    Ping = 10,
    /// A peer is told why it is not let in, see `probe`.
    Refuse = 11,
    /// A node with several links shows itself on one of them, see `hello`.
    Hello = 12,
}

impl Kind {
    /// The kind of a frame, if this version knows it.
    pub fn of(frame: &[u8]) -> Option<Self> {
        Some(match *frame.first()? {
            1 => Self::Data,
            2 => Self::Token,
            3 => Self::Join,
            4 => Self::Commit,
            5 => Self::Beacon,
            6 => Self::Answer,
            7 => Self::Want,
            8 => Self::Ask,
            9 => Self::Probe,
            10 => Self::Ping,
            11 => Self::Refuse,
            12 => Self::Hello,
            _ => return None,
        })
    }
}
