//! Where a subscriber enters what it receives.

use cluster::now_ns;
use hdrhistogram::Histogram;

use crate::account::Account;
use crate::payload;

/// Longest latency kept, in nanoseconds: one minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Shortest latency told apart from the next, in nanoseconds.
const LATENCY_NS_MIN: u64 = 10;

/// An empty record of latencies, precise to a thousandth.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, 3)
        .expect("bounds and precision are constants that fit")
}

/// Account and latencies of one seat.
pub(crate) struct Desk {
    pub(crate) account: Account,
    pub(crate) latency: Histogram<u64>,
    /// Own messages that came back.
    pub(crate) own: u64,
    /// Nodes in the last view of the group.
    pub(crate) members: usize,
    /// When that was first as many as there shall be.
    pub(crate) whole_ns: Option<u64>,
    /// When it was first fewer after that.
    pub(crate) less_ns: Option<u64>,
    /// How many there shall be.
    nodes: usize,
    /// Latencies of messages meant to be sent in this time are recorded.
    window_ns: std::ops::Range<u64>,
    /// One of so many is recorded.
    pub(crate) sample_every: u64,
    /// When messages that just arrived were meant to be sent: their latencies are recorded together,
    /// after the last of them.
    arrived: Vec<u64>,
}

/// Most messages whose latencies are recorded by one look at the clock. Taking them takes less than half a
/// microsecond, by which the latency of the first is said too long; a look for each would cost as much as the rest
/// of what a subscriber does with a short message.
const ARRIVED_MAX: usize = 32;

impl Desk {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            account: Account::default(),
            latency: histogram(),
            own: 0,
            members: 0,
            whole_ns: None,
            less_ns: None,
            nodes,
            window_ns: 0..0,
            sample_every: 1,
            arrived: Vec::with_capacity(ARRIVED_MAX),
        }
    }

    /// Starts a new record of latencies.
    pub(crate) fn record(&mut self, window_ns: std::ops::Range<u64>) {
        self.latency.reset();
        self.arrived.clear();
        self.window_ns = window_ns;
    }

    /// A message arrived. After the last one that is there: [`Desk::stamp`].
    #[inline]
    pub(crate) fn message(&mut self, node: u32, is_own: bool, bytes: &[u8]) {
        let Some((number, due_ns)) = payload::check(bytes) else {
            return self.damaged(node, bytes.len());
        };
        self.account.message(node, number, bytes.len());
        if is_own {
            self.own += 1;
            if self.window_ns.contains(&due_ns) && number.is_multiple_of(self.sample_every) {
                self.arrived.push(due_ns);
                if self.arrived.len() == ARRIVED_MAX {
                    self.stamp();
                }
            }
        }
    }

    /// Records the latencies of what arrived.
    pub(crate) fn stamp(&mut self) {
        if self.arrived.is_empty() {
            return;
        }
        let now_ns = now_ns();
        for due_ns in self.arrived.drain(..) {
            self.latency.saturating_record(now_ns.saturating_sub(due_ns));
        }
    }

    #[cold]
    fn damaged(&mut self, node: u32, bytes: usize) {
        self.account.find(format!("a message of {bytes} bytes of node {node} is damaged"));
    }

    /// The group has members on so many nodes now.
    pub(crate) fn view(&mut self, members: usize) {
        self.members = members;
        if members == self.nodes && self.whole_ns.is_none() {
            self.whole_ns = Some(now_ns());
        }
        if members < self.nodes && self.whole_ns.is_some() {
            self.less_ns.get_or_insert_with(now_ns);
            self.account.find(format!("a view with {members} of {} nodes", self.nodes));
        }
    }
}
