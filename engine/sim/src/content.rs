//! What messages say: every byte follows from the message's number, so that a receiver can tell what was
//! sent without asking the sender.

use crate::history::MessageId;
use crate::rng::mix;

/// Bytes of the number at the front of every message.
pub(crate) const LEN_MIN: u32 = 8;

/// Writes bytes `[offset, offset + out.len())` of a message.
pub(crate) fn fill(id: MessageId, offset: usize, out: &mut [u8]) {
    let mut at = 0;
    while at < out.len() {
        let place = offset + at;
        let word = word(id, place / 8);
        let skip = place % 8;
        let count = (8 - skip).min(out.len() - at);
        out[at..at + count].copy_from_slice(&word[skip..skip + count]);
        at += count;
    }
}

/// The message whose number stands at the front of these bytes, whatever the rest is.
pub(crate) fn number(bytes: &[u8]) -> Option<MessageId> {
    let front = bytes.first_chunk::<8>()?;
    u32::try_from(u64::from_le_bytes(*front)).ok().map(MessageId)
}

/// Whether these are bytes `[offset, offset + bytes.len())` of the message.
pub(crate) fn matches(id: MessageId, offset: usize, bytes: &[u8]) -> bool {
    bytes.chunks(8).enumerate().all(|(index, chunk)| {
        let place = offset + index * 8;
        debug_assert!(place.is_multiple_of(8), "pieces start at multiples of 8");
        word(id, place / 8)[..chunk.len()] == *chunk
    })
}

fn word(id: MessageId, index: usize) -> [u8; 8] {
    let id = u64::from(id.0);
    let value = if index == 0 { id } else { mix((id << 24) + index as u64) };
    value.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_and_a_flipped_bit_shows() {
        let mut whole = [0; 61];
        fill(MessageId(7), 0, &mut whole);
        let mut pieces = [0; 61];
        fill(MessageId(7), 0, &mut pieces[..24]);
        fill(MessageId(7), 24, &mut pieces[24..]);
        assert_eq!(whole, pieces);
        assert_eq!(number(&whole), Some(MessageId(7)));
        assert!(matches(MessageId(7), 0, &whole));
        assert!(matches(MessageId(7), 24, &whole[24..]));
        assert!(!matches(MessageId(8), 0, &whole));
        whole[60] ^= 1;
        assert!(!matches(MessageId(7), 0, &whole));
    }
}
