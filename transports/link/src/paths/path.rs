//! One link to one peer: whether it is heard there, and for how long it has to be before that counts.

/// Hellos that others brought and this link did not, with no other sign of life of it, until it is down. On a
/// path that loses every tenth datagram that happens by chance once in a thousand hellos.
pub(crate) const MISSED_MAX: u64 = 3;

/// Hellos missed in a row although other datagrams come: what a full socket buffer does to both is bearable,
/// a queue that gets nothing is not.
const MISSED_AMID_TRAFFIC_MAX: u64 = 16;

/// A hello counts as missed no earlier than this after another link brought it: copies of it wait in queues
/// of different length.
const PATIENCE_NS: u64 = 2_000_000;

/// How much later a link may bring hellos than the fastest: what lies across a
/// continent. A backlog that was late once must not make us wait for long.
const LATE_NS_MAX: u64 = 25_000_000;

/// Hellos in a row, on both queues, for a link that was down to be up again.
const RETURN_HELLOS: u64 = 3;

/// How long a link that failed once must work before it counts again, doubled with each failure that follows.
pub(crate) const PROBATION_NS: u64 = 200_000_000;

/// The longest probation: a link that flaps costs at most one move a minute.
const PROBATION_NS_MAX: u64 = 60_000_000_000;

/// A link that was up for this long has made good for its failures.
const STABLE_NS: u64 = 60_000_000_000;

/// Hellos whose first arrival is remembered: more than are ever missed before a judgement.
const ARRIVALS: usize = 32;

const _: () = assert!(MISSED_AMID_TRAFFIC_MAX < ARRIVALS as u64);

/// When each of a peer's latest hellos first arrived, whatever the link.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// The latest hello, zero if none came yet.
    pub(crate) newest: u64,
    at_ns: [u64; ARRIVALS],
}

impl Arrivals {
    pub(crate) const NONE: Self = Self { newest: 0, at_ns: [0; ARRIVALS] };

    /// A hello came.
    pub(crate) fn note(&mut self, now_ns: u64, seq: u64) {
        // Those in between were not seen anywhere: nobody is late with them before now.
        for missing in (self.newest + 1).max(seq.saturating_sub(ARRIVALS as u64 - 1))..=seq {
            self.at_ns[missing as usize % ARRIVALS] = now_ns;
        }
        self.newest = self.newest.max(seq);
    }

    /// For how long the hello has been here; `None` if it is too old to say, or not here yet.
    fn age_ns(&self, now_ns: u64, seq: u64) -> Option<u64> {
        let known = seq <= self.newest && self.newest - seq < ARRIVALS as u64;
        known.then(|| now_ns.saturating_sub(self.at_ns[seq as usize % ARRIVALS]))
    }
}

/// Whether the link is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not heard yet in this life of the peer: counts as soon as it is.
    Fresh,
    /// Heard.
    Up,
    /// Not heard, or on probation.
    Down,
}

/// Why a link is not used. The numbers are those of the trace [`wire::trace::Code::LinkDown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DownCause {
    /// Nothing of the peer arrives on any link: it is gone, or cut off.
    Silent = 0,
    /// Other links brought hellos that this one did not.
    Missed = 1,
    /// Hellos are missing although other datagrams come.
    MissedAmidTraffic = 2,
    /// The peer says that it does not hear us there.
    NotHeard = 3,
}

impl DownCause {
    /// Every cause.
    pub const ALL: [Self; 4] =
        [Self::Silent, Self::Missed, Self::MissedAmidTraffic, Self::NotHeard];

    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Missed => "missed",
            Self::MissedAmidTraffic => "missed-amid-traffic",
            Self::NotHeard => "not-heard-there",
        }
    }
}

/// One receive queue of the link.
#[derive(Clone, Copy, Debug)]
struct Queue {
    /// The latest hello that came.
    hello: u64,
    /// The latest hello that any link had brought when something came here.
    alive: u64,
    /// How much later than elsewhere hellos come here: falls slowly, rises at once.
    late_ns: u64,
}

/// One link to one peer.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) state: State,
    queues: [Queue; 2],
    /// The peer hears us there, it says.
    pub(crate) heard_by: bool,
    /// Somebody said that nobody is there.
    pub(crate) hinted: bool,
    /// Hellos have come without a gap since this one, and since when.
    run_seq: u64,
    run_ns: u64,
    /// Since when the state is what it is.
    pub(crate) since_ns: u64,
    pub(crate) flaps: u32,
    /// How many hellos were missing when it went down, and why that was.
    pub(crate) missed: u64,
    pub(crate) cause: DownCause,
}

impl Path {
    pub(crate) const FRESH: Self = Self {
        state: State::Fresh,
        queues: [Queue { hello: 0, alive: 0, late_ns: 0 }; 2],
        heard_by: false,
        hinted: false,
        run_seq: 0,
        run_ns: 0,
        since_ns: 0,
        flaps: 0,
        missed: 0,
        cause: DownCause::Silent,
    };

    /// Whether datagrams arrive in both directions, as far as is known.
    pub(crate) fn is_usable(&self) -> bool {
        self.state == State::Up && self.heard_by
    }

    /// Whether the peer was lately heard there, be the link on probation or not.
    pub(crate) fn is_heard(&self, arrivals: &Arrivals) -> bool {
        let heard = self.queues.iter().map(|queue| queue.alive.max(queue.hello)).max();
        heard.is_some_and(|heard| heard > 0 && heard + MISSED_MAX > arrivals.newest)
    }

    /// For how long a link that failed must work before it counts.
    pub(crate) fn probation_ns(&self) -> u64 {
        match self.flaps {
            0 => 0,
            flaps => (PROBATION_NS << (flaps - 1).min(20)).min(PROBATION_NS_MAX),
        }
    }

    /// An authentic datagram came.
    #[inline]
    pub(crate) fn heard(&mut self, token_queue: bool, newest: u64) {
        self.queues[usize::from(token_queue)].alive = newest;
        self.hinted = false;
    }

    /// A hello came; `arrivals` knows it already.
    pub(crate) fn hello(&mut self, now_ns: u64, token_queue: bool, seq: u64, arrivals: &Arrivals) {
        let queue = &mut self.queues[usize::from(token_queue)];
        if seq <= queue.hello {
            return;
        }
        let gap = seq - queue.hello > MISSED_MAX;
        queue.hello = seq;
        let late_ns = arrivals.age_ns(now_ns, seq).unwrap_or(0).min(LATE_NS_MAX);
        queue.late_ns = late_ns.max(queue.late_ns - queue.late_ns / 16);
        if gap || self.run_seq == 0 {
            self.run_seq = seq;
            self.run_ns = now_ns;
        }
    }

    /// Judges the link by what came on others; true if its state is another now.
    pub(crate) fn judge(&mut self, now_ns: u64, arrivals: &Arrivals) -> bool {
        let lost = self.queues.iter().find_map(|queue| lost(queue, now_ns, arrivals));
        match (self.state, lost) {
            (State::Up, Some((missed, cause))) => {
                let stable = now_ns.saturating_sub(self.since_ns) >= STABLE_NS;
                self.flaps = if stable { 1 } else { self.flaps.saturating_add(1) };
                (self.missed, self.cause) = (missed, cause);
                self.change(now_ns, State::Down);
                true
            }
            (State::Fresh | State::Down, Some(_)) => {
                self.run_seq = arrivals.newest + 1;
                false
            }
            (State::Fresh | State::Down, None) if self.has_returned(now_ns) => {
                self.change(now_ns, State::Up);
                true
            }
            _ => false,
        }
    }

    fn has_returned(&self, now_ns: u64) -> bool {
        let hellos = if self.state == State::Fresh { 1 } else { RETURN_HELLOS };
        self.run_seq > 0
            && self.queues.iter().all(|queue| queue.hello + 1 >= self.run_seq + hellos)
            && now_ns.saturating_sub(self.run_ns) >= self.probation_ns()
    }

    fn change(&mut self, now_ns: u64, state: State) {
        self.state = state;
        self.since_ns = now_ns;
        if state == State::Down {
            self.run_seq = 0;
        }
    }
}

/// How many hellos a queue has missed, if they are too many.
fn lost(queue: &Queue, now_ns: u64, arrivals: &Arrivals) -> Option<(u64, DownCause)> {
    let patience_ns = PATIENCE_NS.max(2 * queue.late_ns);
    let after = |last: u64, limit: u64| {
        let missed = arrivals.newest.saturating_sub(last);
        // The last of them may still be in the queue of this link.
        let late = arrivals.age_ns(now_ns, last + limit);
        let late = late.is_none_or(|age_ns| age_ns >= patience_ns);
        (missed >= limit && late).then_some(missed)
    };
    let quiet = after(queue.alive.max(queue.hello), MISSED_MAX);
    let quiet = quiet.map(|missed| (missed, DownCause::Missed));
    let amid = || after(queue.hello, MISSED_AMID_TRAFFIC_MAX);
    quiet.or_else(|| amid().map(|missed| (missed, DownCause::MissedAmidTraffic)))
}
