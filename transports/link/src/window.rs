//! The replay window: which counters of a boot were seen (RFC 6479's ring of words).

use alloc::boxed::Box;

/// Words of the bitmap. One is always partly ahead of the window.
const WORDS: usize = 128;

/// How far behind the highest counter seen a datagram may come. Token and data travel on two queues:
/// a token may be read while a whole socket buffer of data sealed before it waits, 4 MiB of
/// 1,400-byte datagrams are 3,000.
pub const WINDOW_FRAMES: u64 = (WORDS as u64 - 1) * 64;

/// Remembers the last [`WINDOW_FRAMES`] counters.
pub(crate) struct Window {
    /// One more than the highest counter seen.
    top: u64,
    words: Box<[u64; WORDS]>,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { top: 0, words: Box::new([0; WORDS]) }
    }

    /// Whether a counter was not seen yet and is not too old to tell. The very last counter is
    /// refused: no sender uses it.
    pub(crate) fn is_new(&self, counter: u64) -> bool {
        if counter >= self.top {
            return counter != u64::MAX;
        }
        let (word, bit) = place(counter);
        self.top - counter <= WINDOW_FRAMES && self.words[word] & bit == 0
    }

    /// Remembers a counter that is new.
    pub(crate) fn insert(&mut self, counter: u64) {
        if counter >= self.top {
            let last = self.top.saturating_sub(1) / 64;
            let ahead = (counter / 64 - last).min(WORDS as u64);
            for step in 1..=ahead {
                self.words[((last + step) % WORDS as u64) as usize] = 0;
            }
            self.top = counter.saturating_add(1);
        }
        let (word, bit) = place(counter);
        self.words[word] |= bit;
    }
}

/// Word and bit of a counter.
fn place(counter: u64) -> (usize, u64) {
    ((counter / 64 % WORDS as u64) as usize, 1 << (counter % 64))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_is_new_once() {
        let mut window = Window::new();
        for counter in [0, 5, 3, 64, 63, 8000, 1, 9000, 9000 - WINDOW_FRAMES + 1] {
            assert!(window.is_new(counter), "{counter}");
            window.insert(counter);
            assert!(!window.is_new(counter), "{counter}");
        }
        assert!(!window.is_new(9000 - WINDOW_FRAMES), "one too old");
        assert!(!window.is_new(u64::MAX));
        window.insert(u64::MAX - 1);
        assert!(!window.is_new(u64::MAX - 1) && !window.is_new(9000));
    }

    #[test]
    fn agrees_with_a_set_under_any_order() {
        let (mut window, mut seen, mut top) = (Window::new(), BTreeSet::new(), 0);
        let mut random = 1_u64;
        for step in 0..200_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            let jump = if random >> 60 == 0 { random >> 40 & 0x3fff } else { random >> 40 & 0x3f };
            let counter =
                if random & 1 << 20 == 0 { top + jump } else { top.saturating_sub(jump * 150) };
            let expected = !seen.contains(&counter) && counter + WINDOW_FRAMES >= top;
            assert_eq!(window.is_new(counter), expected, "{counter} below {top}");
            if expected {
                window.insert(counter);
                seen.insert(counter);
                top = top.max(counter + 1);
            }
        }
    }
}
