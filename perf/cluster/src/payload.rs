//! What the loads send: a number, the time it was meant to be sent, and bytes that can be checked.

/// Smallest payload: number and time.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 16;

/// Fills a payload: number, intended send time, then a pattern made of the number.
pub(crate) fn fill(bytes: &mut [u8], number: u64, sent_ns: u64) {
    let (head, rest) = bytes.split_at_mut(PAYLOAD_BYTES_MIN);
    head[..8].copy_from_slice(&number.to_le_bytes());
    head[8..].copy_from_slice(&sent_ns.to_le_bytes());
    rest.fill(pattern(number));
}

/// Reads a payload back: number and send time, or `None` if it is not what [`fill`] wrote.
pub(crate) fn check(bytes: &[u8]) -> Option<(u64, u64)> {
    let (head, rest) = bytes.split_at_checked(PAYLOAD_BYTES_MIN)?;
    let number = u64::from_le_bytes(head[..8].try_into().ok()?);
    let sent_ns = u64::from_le_bytes(head[8..].try_into().ok()?);
    let expected = pattern(number);
    rest.iter().all(|&byte| byte == expected).then_some((number, sent_ns))
}

fn pattern(number: u64) -> u8 {
    (number ^ (number >> 8)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_is_read_back_and_damage_is_seen() {
        let mut bytes = [0; 64];
        fill(&mut bytes, 4711, 99);
        assert_eq!(check(&bytes), Some((4711, 99)));
        bytes[40] ^= 1;
        assert_eq!(check(&bytes), None);
        assert_eq!(check(&bytes[..15]), None);
    }
}
