//! What is kept for one peer: its boot, its replay window, our question to it. Of fixed size.

use frame::FrameMut;
use wire::link::Nonce;
use wire::{BootId, NodeId};

use crate::counters::Drops;
use crate::keys::PeerKeys;
use crate::window::Window;

/// Shortest time between two questions to one peer, and the first retry of a lost one. Whatever is
/// replayed at us, a peer is asked at most 100 times a second.
pub(crate) const ASK_GAP_NS: u64 = 10_000_000;

/// How often a question is sent, at gaps that double (10 ms to 320 ms), before we wait for the peer's
/// next frame.
const ASK_TRIES: u32 = 6;

/// How long one nonce is good. Longer than any round trip, or a slow path could never answer in time;
/// short, because an answer held back by an attacker is good as long.
const NONCE_LIFE_NS: u64 = 2_000_000_000;

/// Most answers to unknown boots of one peer at once, and the time in which one is earned back. A boot
/// once accepted is not bound by this: its questions cannot be replayed.
const ANSWERS_MAX: u64 = 16;
const ANSWER_EVERY_NS: u64 = 1_000_000;

/// A boot that has proved itself.
pub(crate) struct Accepted {
    pub(crate) boot: BootId,
    pub(crate) keys: PeerKeys,
    pub(crate) window: Window,
    /// The latest key epoch it said that it holds.
    pub(crate) newest_epoch: u8,
    /// It has sent something under that epoch.
    pub(crate) uses_newest: bool,
    pub(crate) heard_ns: u64,
}

/// The first frame of a boot that is being asked to prove itself, decrypted and authentic.
pub(crate) struct Held {
    pub(crate) boot: BootId,
    pub(crate) counter: u64,
    pub(crate) body: FrameMut,
}

/// A question to a peer.
#[derive(Clone, Copy)]
pub(crate) struct Question {
    pub(crate) nonce: Nonce,
    born_ns: u64,
    sent_ns: u64,
    tries: u32,
}

impl Question {
    pub(crate) fn new(nonce: Nonce, now_ns: u64) -> Self {
        Self { nonce, born_ns: now_ns, sent_ns: now_ns, tries: 1 }
    }

    pub(crate) fn is_good(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.born_ns) < NONCE_LIFE_NS
    }

    /// Whether it may be sent again because a frame of an unknown boot came.
    pub(crate) fn may_repeat(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.sent_ns) >= ASK_GAP_NS
    }

    /// When it is sent again, or given up, if nothing comes.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        (self.tries <= ASK_TRIES)
            .then(|| self.sent_ns.saturating_add(ASK_GAP_NS << (self.tries - 1).min(ASK_TRIES)))
    }

    /// The retry timer fired: notes another try; false when it was the last.
    pub(crate) fn retry(&mut self, now_ns: u64) -> bool {
        self.tries += 1;
        if self.tries > ASK_TRIES {
            return false;
        }
        self.sent_ns = now_ns;
        true
    }

    /// A frame asks for it: starts the retries anew.
    pub(crate) fn repeat(&mut self, now_ns: u64) {
        self.tries = 1;
        self.sent_ns = now_ns;
    }
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) accepted: Option<Accepted>,
    /// The boot before the accepted one, whose stragglers need no question.
    pub(crate) previous: Option<BootId>,
    pub(crate) question: Option<Question>,
    pub(crate) held: Option<Held>,
    pub(crate) opened: u64,
    pub(crate) drops: Drops,
    answers: u64,
    answers_ns: u64,
}

impl Peer {
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            accepted: None,
            previous: None,
            question: None,
            held: None,
            opened: 0,
            drops: Drops::default(),
            answers: ANSWERS_MAX,
            answers_ns: 0,
        }
    }

    /// Takes the right to answer one question of an unknown boot.
    pub(crate) fn take_answer(&mut self, now_ns: u64) -> bool {
        let earned = now_ns.saturating_sub(self.answers_ns) / ANSWER_EVERY_NS;
        if earned > 0 {
            self.answers = self.answers.saturating_add(earned).min(ANSWERS_MAX);
            self.answers_ns = now_ns;
        }
        let granted = self.answers > 0;
        self.answers -= u64::from(granted);
        granted
    }

    /// Whether this is our open question to the peer.
    pub(crate) fn answers(&self, nonce: Nonce, now_ns: u64) -> bool {
        self.question.is_some_and(|question| question.nonce == nonce && question.is_good(now_ns))
    }

    /// Whether the peer's boot is this one.
    pub(crate) fn is_accepted(&self, boot: BootId) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.boot == boot)
    }
}
