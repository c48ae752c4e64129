//! Reads datagrams in the clear to learn who has which frame: the safe-delivery checker's evidence.

use wire::data::{DATA_HEADER_BYTES, DataHeader, FLAG_RECOVERED, FLAG_SAFE};
use wire::link::{CRC_BYTES, LINK_HEADER_BYTES, LinkHeader, LinkKind};
use wire::token::Token;
use wire::{Kind, RingId};

/// Calls `each` for every numbered frame in a datagram with its ring, its number and whether it
/// asks for safe delivery: the ring's own and, inside it, one of an old ring that is being
/// recovered. Padding after the body is ignored. The caller knows that the datagram is intact.
pub(crate) fn frames(datagram: &[u8], mut each: impl FnMut(RingId, u64, bool)) {
    let Some(mut frame) = body(datagram) else { return };
    while let Ok(header) = DataHeader::parse(frame) {
        each(header.ring(), header.seq.get(), header.flags & FLAG_SAFE != 0);
        if header.flags & FLAG_RECOVERED == 0 {
            return;
        }
        frame = &frame[DATA_HEADER_BYTES..];
    }
}

/// The ring of a token in a datagram, and what it says is stable.
pub(crate) fn stable_claim(datagram: &[u8]) -> Option<(RingId, u64)> {
    let token = Token::parse(body(datagram)?).ok()?;
    Some((token.ring, token.stable))
}

/// The body of a datagram in the clear.
fn body(datagram: &[u8]) -> Option<&[u8]> {
    let header = LinkHeader::parse(datagram).ok()?;
    if header.kind != LinkKind::Frame || header.sealed {
        return None;
    }
    let end = LINK_HEADER_BYTES + usize::from(header.body_len);
    datagram.get(LINK_HEADER_BYTES..end)
}

/// Whether a datagram in the clear holds a numbered frame.
pub(crate) fn is_data(datagram: &[u8]) -> bool {
    let body = LinkHeader::parse(datagram)
        .ok()
        .filter(|h| !h.sealed)
        .and(datagram.get(LINK_HEADER_BYTES..));
    body.is_some_and(|body| Kind::of(body) == Some(Kind::Data))
}

/// Whether a datagram is what some node sent, whatever the network did to its padding. Only for datagrams
/// in the clear.
pub(crate) fn intact(datagram: &[u8]) -> bool {
    let Ok(header) = LinkHeader::parse(datagram) else { return false };
    let end = LINK_HEADER_BYTES + usize::from(header.body_len);
    let Some(front) = datagram.get(..end) else { return false };
    datagram.get(end..end + CRC_BYTES) == Some(&crc32c::crc32c(front).to_le_bytes()[..])
}

/// A datagram in a word or two, for the trace.
pub(crate) fn name(datagram: &[u8]) -> String {
    let Ok(header) = LinkHeader::parse(datagram) else {
        return format!("garbage({})", datagram.len());
    };
    let from = header.sender;
    if header.sealed || header.kind != LinkKind::Frame {
        return format!("{:?}(from {from}, {} B)", header.kind, header.body_len);
    }
    let end = LINK_HEADER_BYTES + usize::from(header.body_len);
    let body = datagram.get(LINK_HEADER_BYTES..end).unwrap_or(&[]);
    match Kind::of(body) {
        Some(Kind::Data) => match DataHeader::parse(body) {
            Ok(d) => {
                format!("data(from {from} {}:{} by {} f{})", d.ring(), d.seq, d.origin, d.flags)
            }
            Err(error) => error.to_string(),
        },
        Some(Kind::Token) => match Token::parse(body) {
            Ok(t) => format!(
                "token({} visit {} seq {} aru {} stable {}{})",
                t.ring,
                t.visit,
                t.seq,
                t.aru,
                t.stable,
                if t.detour { " detour" } else { "" }
            ),
            Err(error) => error.to_string(),
        },
        Some(kind) => format!("{kind:?}(from {from})"),
        None => "unknown".to_owned(),
    }
}
