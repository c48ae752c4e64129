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

#[cfg(test)]
mod tests {
    use super::*;
    use frame::{Class, Pool, PoolConfig};

    /// A reception as the kernel would leave it.
    fn buffer(control: &[u8], payload_len: u32, flags: i32, payload: &[u8]) -> FrameMut {
        let pool =
            Pool::heap(PoolConfig { small_count: 1, large_count: 1, ..PoolConfig::default() });
        let mut slot = pool.alloc(Class::Small).expect("a slot");
        let mut bytes = Vec::new();
        for word in [0, control.len() as u32, payload_len, flags as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(control);
        bytes.resize(HEADROOM_BYTES, 0xee);
        bytes.extend(payload);
        slot.truncate(bytes.len());
        slot.copy_from_slice(&bytes);
        slot
    }

    fn control(level: i32, kind: i32, value: i32) -> Vec<u8> {
        let mut bytes = 20usize.to_ne_bytes().to_vec();
        for int in [level, kind, value, 0] {
            bytes.extend(int.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn reads_lone_and_merged_datagrams() {
        let lone = parse(buffer(&[], 5, 0, b"hello")).expect("usable");
        assert_eq!(
            (&lone.bytes[..], lone.segment_bytes, lone.truncated),
            (&b"hello"[..], 5, false)
        );
        let gro = control(SOL_UDP, UDP_GRO, 2);
        let merged = parse(buffer(&gro, 5, 0, b"hello")).expect("usable");
        assert_eq!((&merged.bytes[..], merged.segment_bytes), (&b"hello"[..], 2));
        let other = parse(buffer(&control(1, 2, 3), 5, 0, b"hello")).expect("usable");
        assert_eq!(other.segment_bytes, 5);
    }

    #[test]
    fn keeps_only_whole_datagrams_of_what_was_cut() {
        let gro = control(SOL_UDP, UDP_GRO, 2);
        let cut = parse(buffer(&gro, 5, libc::MSG_TRUNC, b"hello")).expect("usable");
        assert_eq!((&cut.bytes[..], cut.truncated), (&b"hell"[..], true));
        let more = parse(buffer(&gro, 900, 0, b"hello")).expect("usable");
        assert_eq!((&more.bytes[..], more.truncated), (&b"hell"[..], true));
        let lone = parse(buffer(&[], 5, libc::MSG_TRUNC, b"hello")).expect("counted");
        assert!(lone.bytes.is_empty() && lone.truncated);
    }

    #[test]
    fn survives_every_damaged_header() {
        let gro = control(SOL_UDP, UDP_GRO, 2);
        for bad in [0, -1, i32::MIN] {
            let received = parse(buffer(&control(SOL_UDP, UDP_GRO, bad), 5, 0, b"hello"));
            assert_eq!(received.map(|r| r.segment_bytes), Some(5));
        }
        for at in 0..HEADROOM_BYTES {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = buffer(&gro, 5, 0, b"hello");
                damaged[at] = value;
                if let Some(received) = parse(damaged) {
                    assert!(received.segment_bytes > 0 && received.bytes.len() <= 5);
                }
            }
        }
        for len in 0..HEADROOM_BYTES {
            let mut short = buffer(&gro, 5, 0, b"hello");
            short.truncate(len);
            assert!(parse(short).is_none());
        }
        assert!(parse(buffer(&gro, 0, 0, b"")).is_none());
    }
}
