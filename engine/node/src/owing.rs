//! What outlives a node: the numbers on its disk, and how long others may act on what it has shown of itself.
//!
//! Every sign of life of this node lets others act for a time that follows from the token timeout in force. A node
//! forgets what it owes when its process ends; so the disk keeps the longest time that it can owe, and its next
//! life waits for that, whatever its file says by then. It is raised before anything longer can be promised: before
//! the first sign of life, and before this node says of a change with longer bounds that it can take it over (until
//! all members have said so, nobody goes by it). It is lowered only when what was promised under the longer
//! bounds has passed.

use groups::cfg::{Answer, Request};
use totem::{TokenTimeout, Tuning, owed_ns_max};

use crate::{Config, Node, Output};

/// What is stored durably and given to the next life of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// No ring with a number up to this one may be formed any more; 0: none was.
    pub ring_seq: u64,
    /// How long after a node's end others may still act on it, nanoseconds, if votes are counted; 0: nobody may.
    pub owed_ns: u64,
}

/// Keeps what a node may owe.
pub(crate) struct Owing {
    /// As it was asked for last.
    asked: Stored,
    /// As it is on the disk at least.
    durable: Stored,
    /// The longest time that anything is owed under the configuration in use.
    needed_ns: u64,
    /// When to look whether that is enough.
    lower_at_ns: Option<u64>,
    /// Waits until the disk has what it promises.
    answer: Option<Request>,
}

impl Owing {
    /// That of a node that starts with this configuration.
    pub(crate) fn of(config: &Config<'_>, now_ns: u64) -> Self {
        let needed_ns = match config.quorum {
            Some(_) => config.owed_ns_max(),
            // Nobody acts on this node's life; what was owed before stays as it is.
            None => config.stored.owed_ns,
        };
        Self::new(now_ns, config.stored, needed_ns)
    }

    /// A node starts; what is `needed_ns` was stored before.
    pub(crate) fn new(now_ns: u64, stored: Stored, needed_ns: u64) -> Self {
        let durable = Stored { owed_ns: stored.owed_ns.max(needed_ns), ..stored };
        let mut owing =
            Self { asked: durable, durable, needed_ns, lower_at_ns: None, answer: None };
        owing.look_later(now_ns);
        owing
    }

    /// What to store so that a ring number is stored.
    pub(crate) fn ask_for_ring(&mut self, ring_seq: u64) -> Stored {
        self.asked.ring_seq = self.asked.ring_seq.max(ring_seq);
        self.asked
    }

    /// A configuration may come into use under which as much can be owed. What to store first, if anything.
    pub(crate) fn expect(&mut self, now_ns: u64, owed_ns: u64) -> Option<Stored> {
        let raised = owed_ns > self.asked.owed_ns;
        self.asked.owed_ns = self.asked.owed_ns.max(owed_ns);
        self.look_later(now_ns);
        raised.then_some(self.asked)
    }

    /// A configuration came into use, after [`Owing::expect`].
    pub(crate) fn settle(&mut self, now_ns: u64, needed_ns: u64) {
        self.needed_ns = needed_ns;
        self.look_later(now_ns);
    }

    /// Keeps an answer back until what was expected is stored; gives it back if it is.
    pub(crate) fn hold(&mut self, answer: Request) -> Option<Request> {
        if self.durable.owed_ns >= self.asked.owed_ns {
            return Some(answer);
        }
        // One before it was about a change that was under way then and is over.
        self.answer = Some(answer);
        None
    }

    /// This is stored. Requests are stored in their order. Gives the answer that waited for it.
    pub(crate) fn stored(&mut self, stored: Stored) -> Option<Request> {
        self.durable = stored;
        self.answer.take_if(|_| stored.owed_ns >= self.asked.owed_ns)
    }

    /// When to call [`Owing::lower`].
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        self.lower_at_ns
    }

    /// If it is time: `settled` says that no change is under way, `owed_until_ns` until when others may act on
    /// this life. What to store, if less is enough.
    pub(crate) fn lower(
        &mut self,
        now_ns: u64,
        settled: bool,
        owed_until_ns: u64,
    ) -> Option<Stored> {
        if self.lower_at_ns.is_none_or(|at_ns| now_ns < at_ns) {
            return None;
        }
        let paid = owed_until_ns.saturating_sub(now_ns) <= self.needed_ns;
        if !(settled && paid && self.durable == self.asked) {
            self.look_later(now_ns);
            return None;
        }
        self.lower_at_ns = None;
        self.asked.owed_ns = self.needed_ns;
        // From now on it may be on the disk at any time.
        self.durable.owed_ns = self.needed_ns;
        Some(self.asked)
    }

    /// Whatever was promised so far has passed when the longest time has.
    fn look_later(&mut self, now_ns: u64) {
        let longest_ns = self.asked.owed_ns;
        let too_long = longest_ns > self.needed_ns;
        self.lower_at_ns = too_long.then(|| now_ns.saturating_add(longest_ns));
    }
}

impl Node {
    /// The longest time that is owed under such bounds; `None` where votes are not counted.
    pub(crate) fn owed_ns_max(
        &self,
        token_timeout: TokenTimeout,
        consensus_us: Option<u64>,
        nodes: usize,
    ) -> Option<u64> {
        self.groups.quorum().votes()?;
        let tuning = Tuning { consensus_us, ..self.tuning.clone() };
        Some(owed_ns_max(token_timeout, nodes, &tuning))
    }

    /// As much may be owed under a change that was found good.
    pub(crate) fn expect(&mut self, now_ns: u64, owed_ns: Option<u64>) {
        let stored = owed_ns.and_then(|owed_ns| self.owing.expect(now_ns, owed_ns));
        self.out.extend(stored.map(Output::Persist));
    }

    /// The owner's word about a change; that it is good only when the disk has what follows from it.
    pub(crate) fn ask_for_change(&mut self, request: Request) {
        let under_way = self.groups.change_under_way();
        let request = match request {
            Request::Answer { change, answer: Answer { good: true, .. } }
                if under_way == Some(change) =>
            {
                self.owing.hold(request)
            }
            // An answer to a change that is over comes too late, and must not take the place of one that waits.
            request => Some(request),
        };
        if let Some(request) = request
            && !self.groups.change(request)
        {
            self.counters.changes_refused += 1;
        }
    }

    /// The disk has this.
    pub(crate) fn persisted(&mut self, now_ns: u64, stored: Stored) {
        self.totem.persisted(now_ns, stored.ring_seq);
        if let Some(answer) = self.owing.stored(stored) {
            self.ask_for_change(answer);
        }
    }

    /// Lets the disk have less, if it is time.
    pub(crate) fn lower_owed(&mut self, now_ns: u64) {
        let (settled, owed_until_ns) =
            (self.groups.change_under_way().is_none(), self.totem.owed_until_ns());
        let stored = self.owing.lower(now_ns, settled, owed_until_ns);
        self.out.extend(stored.map(Output::Persist));
    }
}

#[cfg(test)]
mod tests {
    use wire::NodeId;
    use wire::cfg::ChangeId;

    use super::*;

    fn stored(owed_ns: u64) -> Stored {
        Stored { ring_seq: 64, owed_ns }
    }

    fn answer(number: u64) -> Request {
        let change = ChangeId { node: NodeId(1), number };
        Request::Answer { change, answer: Answer { good: true, text: "".into() } }
    }

    #[test]
    fn an_answer_waits_until_the_longer_time_is_stored() {
        let mut owing = Owing::new(0, stored(100), 100);
        assert_eq!((owing.expect(5, 90), owing.next_timeout()), (None, None));
        assert_eq!(owing.hold(answer(1)), Some(answer(1)));
        assert_eq!(owing.expect(5, 300), Some(stored(300)));
        assert_eq!(owing.expect(6, 300), None, "it was asked for");
        assert_eq!((owing.hold(answer(2)), owing.hold(answer(3))), (None, None));
        assert_eq!(owing.stored(stored(100)), None, "stored before");
        assert_eq!(owing.ask_for_ring(128), Stored { ring_seq: 128, owed_ns: 300 });
        assert_eq!(owing.stored(stored(300)), Some(answer(3)));
        assert_eq!(owing.stored(Stored { ring_seq: 128, owed_ns: 300 }), None);
        owing.settle(50, 300);
        assert_eq!(owing.next_timeout(), None);
    }

    #[test]
    fn the_time_is_lowered_when_the_longer_one_has_passed() {
        let mut owing = Owing::new(0, stored(100), 100);
        owing.settle(10, 40);
        assert_eq!(owing.next_timeout(), Some(110));
        assert_eq!(owing.lower(109, true, 0), None);
        assert_eq!(owing.lower(110, false, 0), None, "a change is under way");
        assert_eq!(owing.next_timeout(), Some(210));
        assert_eq!(owing.lower(210, true, 251), None, "more is owed than would be stored");
        let _ = owing.ask_for_ring(128);
        assert_eq!(owing.lower(310, true, 350), None, "the disk is behind");
        assert_eq!(owing.stored(Stored { ring_seq: 128, owed_ns: 100 }), None);
        assert_eq!(owing.lower(410, true, 450), Some(Stored { ring_seq: 128, owed_ns: 40 }));
        assert_eq!(owing.next_timeout(), None);
        assert_eq!(owing.expect(411, 90), Some(Stored { ring_seq: 128, owed_ns: 90 }));
        assert_eq!(owing.hold(answer(1)), None, "the lower one may be on the disk by now");
    }

    #[test]
    fn a_life_waits_for_what_the_last_one_owed_and_a_refused_change_leaves_nothing() {
        let mut owing = Owing::new(1000, stored(500), 200);
        assert_eq!(owing.next_timeout(), Some(1500));
        assert_eq!(owing.lower(1500, true, 1700), Some(stored(200)));
        assert_eq!(owing.stored(stored(200)), None);
        assert_eq!(owing.expect(1600, 700), Some(stored(700)));
        assert_eq!(owing.stored(stored(700)), None);
        assert_eq!(owing.lower(2300, true, 2400), Some(stored(200)));
    }
}
