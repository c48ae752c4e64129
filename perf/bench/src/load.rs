//! What a seat publishes.

use serde::{Deserialize, Serialize};

/// A pattern of publishing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// Nothing.
    #[default]
    Silent,
    /// As fast as possible, with at most so many bytes published and not yet delivered to ourselves:
    /// the back-pressure of a program that has to read what it sends.
    Flood {
        /// Bytes on the way.
        window_bytes: u64,
    },
    /// Evenly, whether or not earlier messages are back (open loop). Latency counts from the time a
    /// message was meant to be sent.
    Rate {
        /// Messages a second.
        per_second: f64,
    },
    /// One message; when it is back, a pause, then the next.
    Single {
        /// The pause.
        gap_ns: u64,
    },
    /// Many at once, again and again (open loop).
    Burst {
        /// Messages of a burst.
        messages: u32,
        /// Time from one burst to the next.
        every_ns: u64,
    },
}

/// Sizes of messages, in bytes; message `n` has one of them, the same in every run with the same seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sizes {
    pub(crate) bytes: Vec<u32>,
    pub(crate) seed: u64,
}

impl Sizes {
    pub(crate) fn of(&self, number: u64) -> usize {
        let at = match self.bytes.len() {
            1 => 0,
            len => (mixed(number ^ mixed(self.seed)) % len as u64) as usize,
        };
        self.bytes[at] as usize
    }

    pub(crate) fn max(&self) -> usize {
        self.bytes.iter().copied().max().unwrap_or(0) as usize
    }

    /// Mean size in bytes.
    pub(crate) fn mean(&self) -> f64 {
        self.bytes.iter().map(|&size| f64::from(size)).sum::<f64>() / self.bytes.len() as f64
    }
}

/// The finalizer of splitmix64: neighbouring numbers give unrelated ones.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// What is due, of a load.
#[derive(Debug)]
pub(crate) struct Pace {
    load: Load,
    /// Most messages on the way in a flood.
    window: u64,
    /// When the next message (or burst) is meant to be sent.
    due_ns: f64,
    /// From one message of an open loop to the next.
    interval_ns: f64,
    /// Nothing is sent before.
    pause_until_ns: u64,
    /// Messages of the present burst that are still to be sent.
    left: u32,
}

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A message meant for this time.
    Now(u64),
    /// Nothing before this time.
    At(u64),
    /// Nothing before something comes back.
    Later,
}

/// Fewest messages on the way in a flood.
const FLOOD_MESSAGES_MIN: u64 = 8;

/// An open loop whose messages follow each other faster than this sends those together that have become due in
/// [`TICK_NS`]: it would never sleep otherwise, and where cores are shared everybody else would wait until the
/// scheduler takes the core from it, for milliseconds. Latency counts from the time at which each was due.
const TICKS_BELOW_NS: f64 = 5_000.0;

/// See [`TICKS_BELOW_NS`]: about what going to sleep and being woken takes.
const TICK_NS: u64 = 25_000;

impl Pace {
    /// From `start_ns` on.
    ///
    /// Messages have `mean_bytes` each.
    pub(crate) fn new(load: Load, mean_bytes: f64, start_ns: u64) -> Self {
        let window = match load {
            Load::Flood { window_bytes } => (window_bytes as f64 / mean_bytes) as u64,
            _ => 0,
        };
        let interval_ns = match load {
            Load::Rate { per_second } => 1e9 / per_second,
            _ => 0.0,
        };
        Self {
            load,
            window: window.max(FLOOD_MESSAGES_MIN),
            due_ns: start_ns as f64,
            interval_ns,
            pause_until_ns: 0,
            left: 0,
        }
    }

    /// What is due, with so many messages on the way.
    #[inline]
    pub(crate) fn due(&self, now_ns: u64, on_the_way: u64) -> Due {
        let due_ns = self.due_ns as u64;
        match self.load {
            Load::Silent => Due::Later,
            Load::Flood { .. } if on_the_way < self.window => Due::Now(now_ns),
            Load::Flood { .. } => Due::Later,
            Load::Rate { .. } if now_ns < self.pause_until_ns => Due::At(self.pause_until_ns),
            Load::Single { .. } if on_the_way > 0 => Due::Later,
            // The lateness of our own alarm clock is not the ring's.
            Load::Single { .. } if due_ns <= now_ns => Due::Now(now_ns),
            _ if self.left > 0 || due_ns <= now_ns => Due::Now(due_ns),
            _ => Due::At(due_ns),
        }
    }

    /// A message was sent.
    #[inline]
    pub(crate) fn sent(&mut self, now_ns: u64) {
        match self.load {
            Load::Rate { .. } => {
                self.due_ns += self.interval_ns;
                if self.interval_ns < TICKS_BELOW_NS && self.due_ns > now_ns as f64 {
                    self.pause_until_ns = now_ns + TICK_NS;
                }
            }
            Load::Burst { messages, every_ns } => {
                self.left = if self.left == 0 { messages } else { self.left } - 1;
                if self.left == 0 {
                    self.due_ns += every_ns as f64;
                }
            }
            Load::Silent | Load::Flood { .. } | Load::Single { .. } => {}
        }
    }

    /// One of our own messages came back.
    pub(crate) fn back(&mut self, now_ns: u64) {
        if let Load::Single { gap_ns } = self.load {
            self.due_ns = (now_ns + gap_ns) as f64;
        }
    }

    /// One latency in this many is recorded: of a flood there are plenty, and reading the clock costs
    /// as much as the rest of what a subscriber does with a short message.
    pub(crate) fn sample_every(&self) -> u64 {
        if matches!(self.load, Load::Flood { .. }) { 64 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_does_not_wait_for_anything() {
        let mut pace = Pace::new(Load::Rate { per_second: 1e5 }, 64.0, 1000);
        assert_eq!(pace.due(500, 0), Due::At(1000));
        assert_eq!(pace.due(99_000, 1000), Due::Now(1000));
        pace.sent(99_000);
        assert_eq!(pace.due(99_000, 1000), Due::Now(11_000));
    }

    #[test]
    fn a_fast_open_loop_sends_together_what_became_due_together() {
        let mut pace = Pace::new(Load::Rate { per_second: 1e6 }, 64.0, 1000);
        for due_ns in [1000, 2000, 3000] {
            assert_eq!(pace.due(3500, 0), Due::Now(due_ns));
            pace.sent(3500);
        }
        let next = 3500 + TICK_NS;
        assert_eq!(pace.due(next - 1, 0), Due::At(next));
        assert_eq!(pace.due(next, 0), Due::Now(4000));
    }

    #[test]
    fn a_burst_is_due_as_a_whole() {
        let mut pace = Pace::new(Load::Burst { messages: 3, every_ns: 1000 }, 64.0, 1000);
        for _ in 0..3 {
            assert_eq!(pace.due(1000, 0), Due::Now(1000));
            pace.sent(1000);
        }
        assert_eq!(pace.due(1000, 3), Due::At(2000));
    }

    #[test]
    fn a_single_message_is_alone_and_pauses() {
        let mut pace = Pace::new(Load::Single { gap_ns: 1000 }, 64.0, 0);
        assert_eq!(pace.due(50, 0), Due::Now(50));
        pace.sent(50);
        assert_eq!(pace.due(60, 1), Due::Later);
        pace.back(70);
        assert_eq!(pace.due(80, 0), Due::At(1070));
    }

    #[test]
    fn a_flood_keeps_its_window() {
        let load = Load::Flood { window_bytes: 6400 };
        let pace = Pace::new(load, 64.0, 0);
        assert_eq!(pace.due(5, 99), Due::Now(5));
        assert_eq!(pace.due(5, 100), Due::Later);
        assert_eq!(Pace::new(load, 1e6, 0).due(5, 7), Due::Now(5));
    }

    #[test]
    fn mixed_sizes_are_mixed_and_the_same_every_time() {
        let sizes = Sizes { bytes: vec![16, 64, 1400], seed: 1 };
        let drawn: Vec<usize> = (0..300).map(|number| sizes.of(number)).collect();
        for size in [16, 64, 1400] {
            let count = drawn.iter().filter(|&&drawn| drawn == size).count();
            assert!((60..140).contains(&count), "{size} bytes: {count} times");
        }
        assert_eq!(sizes.max(), 1400);
        let other = Sizes { seed: 2, ..sizes.clone() };
        assert!((0..300).any(|number| other.of(number) != sizes.of(number)));
    }
}
