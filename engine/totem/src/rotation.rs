//! How long the token takes for a rotation, and the timeout derived from it.

use crate::TokenTimeout;

/// Buckets per doubling of the rotation time: a bucket is 19 % wide.
const PER_OCTAVE: u32 = 4;
/// From 1 us (the first bucket also takes what is shorter) to 2^24 us.
const BUCKETS: usize = 24 * PER_OCTAVE as usize;
/// When this many rotations are in the histogram, all buckets are halved: old ones fade.
const FADE_AT: u32 = 4096;
/// Rotations that must have been seen before the timeout leaves its upper bound.
pub(crate) const TRUST_AT: u32 = 64;
/// Of fewer rotations than this the slowest are no percentile, but accidents of a ring that has just formed: the
/// worst of them counts as such.
const MANY: u32 = 1024;
/// The timeout is the 99.9th percentile (of few rotations the 95th) times this ...
const FACTOR: u64 = 6;
/// ... plus this: a process of a busy machine waits several scheduler slices for its turn.
const SLACK_US: u64 = 8_000;
/// And at least this for each member, whatever was measured: where they share cores (and the more there are, the more
/// likely they do), each waits for a slice of every other as soon as all have something to do.
const MEMBER_US: u64 = 3_000;
/// The histogram fades within seconds on a fast ring, but a busy machine keeps a process from running only now
/// and then: the worst is remembered for one to two spans of this length ...
const SPAN_NS_MAX: u64 = 32_000_000_000;
/// ... but what nodes suffer while they start says little: in a ring with new members the first span is short, and
/// each is twice as long as the one before it.
const SPAN_NS_MIN: u64 = 4_000_000_000;
/// ... and the timeout is at least this many times the worst that the ring survived.
const WORST_FACTOR: u64 = 2;

/// A fading histogram of rotation times.
pub(crate) struct Rotation {
    buckets: [u32; BUCKETS],
    total: u32,
    last_ns: u64,
    worst: Worst,
    /// Of the ring.
    members: usize,
}

/// The longest of what was recorded in the current span and in the one before it.
struct Worst {
    since_ns: u64,
    span_ns: u64,
    now_us: u64,
    before_us: u64,
}

impl Worst {
    fn new(span_ns: u64) -> Self {
        Self { since_ns: 0, span_ns, now_us: 0, before_us: 0 }
    }

    fn record(&mut self, now_ns: u64, us: u64) {
        let age_ns = now_ns.saturating_sub(self.since_ns);
        if age_ns >= self.span_ns {
            self.before_us = if age_ns < 2 * self.span_ns { self.now_us } else { 0 };
            self.span_ns = (self.span_ns * 2).min(SPAN_NS_MAX);
            self.now_us = 0;
            self.since_ns = now_ns;
        }
        self.now_us = self.now_us.max(us);
    }

    fn us(&self) -> u64 {
        self.now_us.max(self.before_us)
    }
}

impl Rotation {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [0; BUCKETS],
            total: 0,
            last_ns: 0,
            worst: Worst::new(SPAN_NS_MAX),
            members: 0,
        }
    }

    /// Another ring of so many members. What rotations take is not known any more if some of them were not in the
    /// last one, and the pauses of nodes that start say nothing.
    pub(crate) fn begin_ring(&mut self, now_ns: u64, members: usize, some_are_new: bool) {
        self.members = members;
        if some_are_new {
            self.buckets = [0; BUCKETS];
            self.total = 0;
            self.worst = Worst { since_ns: now_ns, ..Worst::new(SPAN_NS_MIN) };
        }
    }

    /// How long the worst is remembered at least.
    pub(crate) fn span_ns(&self) -> u64 {
        self.worst.span_ns
    }

    /// Whether the timeout is derived from what was measured.
    pub(crate) fn is_trusted(&self) -> bool {
        self.total >= TRUST_AT
    }

    pub(crate) fn record(&mut self, now_ns: u64, rotation_ns: u64) {
        self.last_ns = rotation_ns;
        self.worst.record(now_ns, rotation_ns / 1000);
        self.buckets[Self::bucket(rotation_ns / 1000)] += 1;
        self.total += 1;
        if self.total >= FADE_AT {
            self.total = 0;
            for count in &mut self.buckets {
                *count /= 2;
                self.total += *count;
            }
        }
    }

    /// Notes that some node was kept from running for this long (or a sign of life was so late) and the ring survived
    /// it: the next time may hit the token on its way.
    pub(crate) fn survived_pause(&mut self, now_ns: u64, pause_ns: u64) {
        self.worst.record(now_ns, pause_ns / 1000);
    }

    /// The last rotation, nanoseconds.
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Upper bound of the bucket in which `per_mille` of the rotations end, microseconds.
    pub(crate) fn percentile_us(&self, per_mille: u32) -> u64 {
        let wanted = (u64::from(self.total) * u64::from(per_mille)).div_ceil(1000);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted && seen > 0 {
                return Self::upper_us(index);
            }
        }
        0
    }

    /// How long this node wants the ring to wait for progress.
    pub(crate) fn timeout_us(&self, config: TokenTimeout) -> u64 {
        match config {
            TokenTimeout::Fixed { us } => us.max(1),
            TokenTimeout::Auto { min_us, max_us } => {
                let max_us = max_us.max(1);
                if !self.is_trusted() {
                    return max_us;
                }
                let slices_us = self.members as u64 * MEMBER_US;
                let per_mille = if self.total < MANY { 950 } else { 999 };
                let usual_us = self.percentile_us(per_mille) * FACTOR;
                let worst_us = self.worst.us().saturating_mul(WORST_FACTOR);
                let derived = usual_us.max(worst_us).max(slices_us) + SLACK_US;
                derived.clamp(min_us.clamp(1, max_us), max_us)
            }
        }
    }

    fn bucket(us: u64) -> usize {
        let us = us.max(1);
        let octave = us.ilog2();
        let fraction = (us << PER_OCTAVE.ilog2() >> octave) as u32 & (PER_OCTAVE - 1);
        ((octave * PER_OCTAVE + fraction) as usize).min(BUCKETS - 1)
    }

    fn upper_us(bucket: usize) -> u64 {
        let (octave, fraction) = (bucket as u64 / 4, bucket as u64 % 4);
        ((fraction + 5) << octave).div_ceil(4)
    }
}
