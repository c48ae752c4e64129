//! What a multishot `recvmsg` left in a buffer: a header, control messages, the datagrams.

use frame::FrameMut;
use libc::{SOL_UDP, UDP_GRO};

/// Bytes of `struct io_uring_recvmsg_out`: name, control and payload length, flags.
const HEADER_BYTES: usize = 16;

/// Room for control messages: one with an int takes 24; 32 keeps the payload aligned to 16.
pub(crate) const CONTROL_BYTES: usize = 32;

/// Bytes of a buffer before the payload. No name is asked for: the link layer authenticates the
/// sender, and an address proves nothing.
pub(crate) const HEADROOM_BYTES: usize = HEADER_BYTES + CONTROL_BYTES;

/// A reception taken apart.
pub(crate) struct Received {
    /// The datagrams.
    pub(crate) bytes: FrameMut,
    /// Bytes of each but the last.
    pub(crate) segment_bytes: usize,
    /// Whether the end was cut off because the buffer was too small.
    pub(crate) truncated: bool,
}

/// Reads the layout; `None` if nothing usable is in it.
pub(crate) fn parse(mut buffer: FrameMut) -> Option<Received> {
    let word = |at: usize| -> Option<usize> {
        let bytes = buffer.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_ne_bytes(bytes)).ok()
    };
    let (control_len, payload_len, flags) = (word(4)?, word(8)?, word(12)?);
    let control = buffer.get(HEADER_BYTES..HEADROOM_BYTES)?;
    let gro = segment_size(&control[..control_len.min(CONTROL_BYTES)]);
    buffer.advance(HEADROOM_BYTES);
    let truncated = flags & libc::MSG_TRUNC as usize != 0 || payload_len > buffer.len();
    buffer.truncate(payload_len);
    let segment_bytes = gro.unwrap_or(buffer.len());
    if truncated {
        // Whole datagrams only; a lone one that was cut is useless.
        let whole = gro.map_or(0, |segment| buffer.len() - buffer.len() % segment);
        buffer.truncate(whole);
    }
    if buffer.is_empty() && !truncated {
        return None;
    }
    Some(Received { bytes: buffer, segment_bytes, truncated })
}

/// The value of a `UDP_GRO` control message: bytes per segment, not 0.
fn segment_size(mut control: &[u8]) -> Option<usize> {
    const LEN: usize = size_of::<usize>();
    // struct cmsghdr: length (a size_t here), level, type; data follow, all aligned to a size_t.
    const DATA: usize = LEN + 8;
    while control.len() >= DATA {
        let len = usize::from_ne_bytes(control[..LEN].try_into().ok()?);
        let int = |at: usize| control[at..at + 4].try_into().map(i32::from_ne_bytes).ok();
        if (int(LEN)?, int(LEN + 4)?) == (SOL_UDP, UDP_GRO) && len >= DATA + 4 {
            let value = i32::from_ne_bytes(control.get(DATA..DATA + 4)?.try_into().ok()?);
            return usize::try_from(value).ok().filter(|v| *v > 0);
        }
        control = control.get(len.max(DATA).next_multiple_of(LEN)..)?;
    }
    None
}
