//! What messages carry: their number, the time they were meant to be sent, and words that can be checked.
//!
//! Checking must cost little beside what is measured: a short message is compared whole, of a long one
//! both ends, and all of it once in a while.

/// Smallest payload: number and time.
pub(crate) const BYTES_MIN: usize = 16;

/// Longest payload that is compared whole every time: four cache lines take a few nanoseconds.
const WHOLE_BYTES_MAX: usize = 256;

/// Bytes compared at each end of a longer one.
const END_BYTES: usize = 128;

/// One in this many long payloads is compared whole.
const WHOLE_EVERY: u64 = 32;

/// Written and compared at once, without a loop: what is left of 64 bytes after number and time.
const BLOCK_BYTES: usize = 48;

/// Fills a payload.
#[inline]
pub(crate) fn fill(bytes: &mut [u8], number: u64, due_ns: u64) {
    let (head, rest) = bytes.split_at_mut(BYTES_MIN);
    head[..8].copy_from_slice(&number.to_le_bytes());
    head[8..].copy_from_slice(&due_ns.to_le_bytes());
    let word = pattern(number);
    let (blocks, rest) = rest.as_chunks_mut::<BLOCK_BYTES>();
    blocks.iter_mut().for_each(|block| block.as_chunks_mut::<8>().0.fill(word));
    if rest.is_empty() {
        return;
    }
    let (words, tail) = rest.as_chunks_mut::<8>();
    words.fill(word);
    tail.copy_from_slice(&word[..tail.len()]);
}

/// Reads a payload back: number and intended time, or `None` if it is not what [`fill`] wrote.
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Option<(u64, u64)> {
    let (head, rest) = bytes.split_at_checked(BYTES_MIN)?;
    let number = u64::from_le_bytes(head[..8].try_into().ok()?);
    let due_ns = u64::from_le_bytes(head[8..].try_into().ok()?);
    let word = pattern(number);
    let good = if rest.len() <= WHOLE_BYTES_MAX || number.is_multiple_of(WHOLE_EVERY) {
        is_pattern(rest, word)
    } else {
        // The end starts at a whole word, so that both parts hold the same pattern.
        let end = (rest.len() - END_BYTES) & !7;
        is_pattern(&rest[..END_BYTES], word) && is_pattern(&rest[end..], word)
    };
    good.then_some((number, due_ns))
}

#[inline]
fn is_pattern(bytes: &[u8], word: [u8; 8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
    // Without a branch per word, so that the compiler may compare many at a time.
    let sum = blocks.iter().fold(0, |sum, block| sum | differences(block.as_chunks().0, word));
    if rest.is_empty() {
        return sum == 0;
    }
    let (words, tail) = rest.as_chunks();
    sum | differences(words, word) == 0 && tail == &word[..tail.len()]
}

#[inline]
fn differences(words: &[[u8; 8]], word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    words.iter().fold(0, |sum, found| sum | (u64::from_le_bytes(*found) ^ word))
}

fn pattern(number: u64) -> [u8; 8] {
    (number.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_is_read_back_and_damage_is_seen() {
        for len in [16, 17, 64, 300, 1400] {
            let mut bytes = vec![0; len];
            fill(&mut bytes, 4711, 99);
            assert_eq!(check(&bytes), Some((4711, 99)), "{len} bytes");
            for at in [0, 16, len - 1].into_iter().filter(|&at| at != 8 && at < len) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                if at >= BYTES_MIN || len > BYTES_MIN {
                    assert_ne!(check(&damaged), Some((4711, 99)), "{len} bytes, damaged at {at}");
                }
            }
        }
        assert_eq!(check(&[0; 15]), None);
    }

    #[test]
    fn damage_in_the_middle_of_a_long_message_is_seen_when_all_of_it_is_compared() {
        let mut bytes = vec![0; 9000];
        fill(&mut bytes, WHOLE_EVERY, 99);
        bytes[4500] ^= 1;
        assert_eq!(check(&bytes), None);
    }
}
