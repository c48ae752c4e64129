//! All the machine's timers: an enum and an array.

/// Which timer. Named in traces, status and wake-up reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timer {
    /// No sign of progress of the ring (or of the ring being formed).
    TokenLoss = 0,
    /// The token sent on showed no progress.
    TokenRetransmit,
    /// The holder must let go, or come back for more.
    Hold,
    /// The holder's next beacon.
    Beacon,
    /// The wish for a resting token is repeated.
    Want,
    /// A gap has lasted long enough to ask for it.
    Repair,
    /// The next Join is due.
    Join,
    /// Agreement took too long.
    Consensus,
    /// The representative looks for other rings.
    Probe,
    /// A question to a suspect went unanswered.
    Ping,
    /// The leave could not be announced in time.
    Leave,
    /// The resting token's holder shows itself later than it should.
    Doubt,
}

const COUNT: usize = 12;

const ALL: [Timer; COUNT] = [
    Timer::TokenLoss,
    Timer::TokenRetransmit,
    Timer::Hold,
    Timer::Beacon,
    Timer::Want,
    Timer::Repair,
    Timer::Join,
    Timer::Consensus,
    Timer::Probe,
    Timer::Ping,
    Timer::Leave,
    Timer::Doubt,
];

/// When each timer fires; `u64::MAX` is never.
pub(crate) struct Timers {
    at_ns: [u64; COUNT],
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { at_ns: [u64::MAX; COUNT] }
    }

    #[inline]
    pub(crate) fn set(&mut self, timer: Timer, at_ns: u64) {
        self.at_ns[timer as usize] = at_ns;
    }

    /// Sets the timer unless it fires earlier already.
    pub(crate) fn set_earlier(&mut self, timer: Timer, at_ns: u64) {
        let at = &mut self.at_ns[timer as usize];
        *at = (*at).min(at_ns);
    }

    /// Moves the timer to `at_ns` if it would fire earlier.
    pub(crate) fn postpone(&mut self, timer: Timer, at_ns: u64) {
        let at = &mut self.at_ns[timer as usize];
        *at = (*at).max(at_ns);
    }

    #[inline]
    pub(crate) fn clear(&mut self, timer: Timer) {
        self.at_ns[timer as usize] = u64::MAX;
    }

    pub(crate) fn clear_all(&mut self) {
        self.at_ns = [u64::MAX; COUNT];
    }

    /// When the timer fires, `u64::MAX` for never.
    pub(crate) fn at(&self, timer: Timer) -> u64 {
        self.at_ns[timer as usize]
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at_ns[timer as usize] != u64::MAX
    }

    /// Moves what is overdue to now.
    pub(crate) fn rebase(&mut self, now_ns: u64) {
        self.at_ns.iter_mut().for_each(|at| *at = (*at).max(now_ns));
    }

    /// The next timer to fire.
    pub(crate) fn next(&self) -> Option<(u64, Timer)> {
        ALL.into_iter()
            .map(|timer| (self.at_ns[timer as usize], timer))
            .min_by_key(|(at_ns, _)| *at_ns)
            .filter(|(at_ns, _)| *at_ns != u64::MAX)
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<Timer> {
        let (at_ns, timer) = self.next()?;
        (at_ns <= now_ns).then(|| {
            self.clear(timer);
            timer
        })
    }
}
