//! Pressure: a reader whose backlog grows slows the senders down, as long as it reads at a fair rate itself.
//!
//! Without it a flood would outrun the slowest honest reader and evict it, although everybody could
//! go on a little slower. With it and no limit, one reader that hardly reads would hold up the
//! whole cluster. So a reader counts only while it takes at least [`RATE_BYTES_PER_WINDOW`] a
//! window off its backlog; one that does not is left to its bound, where it is evicted and stops
//! nobody (`docs/adr/0009-pressure.md`).

use super::Server;

/// How long a reader is watched before it is judged. On a machine with more work than cores a thread may well wait
/// for some hundred milliseconds for its turn, and a flood fills a backlog in a tenth of that.
const WINDOW_NS: u64 = 1_000_000_000;

/// What a reader must take off its backlog in a window to count: four private rings of the default size.
const RATE_BYTES_PER_WINDOW: u64 = 1 << 20;

/// How a reader with a backlog does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Start of the window; zero while there is no backlog.
    since_ns: u64,
    /// Bytes taken off the backlog in it.
    taken_bytes: u64,
    /// It was too slow in the window before.
    is_slow: bool,
}

impl Pace {
    /// Bytes went from the backlog to the reader.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken_bytes += bytes as u64;
    }

    /// Looks at the clock; whether the reader counts.
    fn counts(&mut self, now_ns: u64, has_backlog: bool) -> bool {
        if !has_backlog {
            *self = Self::default();
            return false;
        }
        if self.since_ns == 0 {
            self.since_ns = now_ns;
        } else if now_ns.saturating_sub(self.since_ns) >= WINDOW_NS {
            let is_slow = self.taken_bytes < RATE_BYTES_PER_WINDOW;
            *self = Self { since_ns: now_ns, taken_bytes: 0, is_slow };
        }
        !self.is_slow
    }
}

impl Server {
    /// Bytes that may still be delivered before the backlog of a reader that counts is half as long as it may
    /// get; the other half is for what is on the way already. Without such a reader: no limit.
    pub fn room_bytes(&self) -> u64 {
        self.room_bytes
    }

    /// Looks at all backlogs; part of [`Server::reclaim`].
    pub(super) fn measure_room(&mut self) {
        self.room_bytes = u64::MAX;
        if self.backlog_total == 0 {
            return;
        }
        let limit = self.config.backlog_bytes_max / 2;
        let now_ns = self.now_ns;
        for session in self.sessions.iter_mut().flatten() {
            let waiting = session.backlog.bytes();
            if session.pace.counts(now_ns, waiting > 0) {
                let room = limit.saturating_sub(waiting) as u64;
                self.room_bytes = self.room_bytes.min(room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_counts_while_it_reads_and_is_left_alone_when_it_stops() {
        let mut pace = Pace::default();
        assert!(!pace.counts(5, false));
        assert!(pace.counts(10, true), "new backlog: given the benefit of the doubt");
        assert!(pace.counts(10 + WINDOW_NS / 2, true));
        pace.took(RATE_BYTES_PER_WINDOW as usize);
        assert!(pace.counts(10 + WINDOW_NS, true), "it read enough");
        assert!(!pace.counts(10 + 2 * WINDOW_NS, true), "it stopped");
        pace.took(RATE_BYTES_PER_WINDOW as usize);
        assert!(pace.counts(10 + 3 * WINDOW_NS, true), "it reads again");
        assert!(!pace.counts(10 + 3 * WINDOW_NS, false), "nothing waits");
    }
}
