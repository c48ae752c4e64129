//! What the hot thread and the control thread say to each other: two bounded queues, two bells.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;
use groups::QuorumEvent;
use groups::cfg;
use node::Stored;
use rustix::event::{EventfdFlags, eventfd};
use services::{Reply, votequorum};
use session::AskId;
use wire::trace::Trace;

use crate::hot::Takeover;
use crate::services::quorum::Question;
use crate::status::Snapshot;

/// Events that may wait for the control thread. A gather with all its causes is some tens of events; what does
/// not fit is still in the flight recorder, and counted.
const TO_CONTROL_MAX: usize = 2048;

/// Of these, places that events may not take: what must not be lost always finds room. The answers to all
/// questions under way ([`ANSWERS_MAX`]); and, while the control thread waits for a disk, what as many rings lead to
/// as may be formed before their numbers are stored: fewer than a hundred, with some five messages each.
const RESERVED: usize = ANSWERS_MAX + 768;

/// Questions to the hot thread under way. Programs can ask more quickly than answers are passed on; beyond these they
/// are told to try again, so that no answer takes the place of what must not be lost.
const ANSWERS_MAX: usize = 256;

/// Things that may wait for the hot thread: every question under way, and few of the rest.
const TO_HOT_MAX: usize = 2 * ANSWERS_MAX;

/// From the hot thread.
pub(crate) enum ToControl {
    /// An event for the log.
    Trace {
        /// When, nanoseconds since 1970.
        wall_ns: u64,
        /// What.
        trace: Trace,
    },
    /// Store this, then say [`ToHot::Persisted`].
    Persist(Stored),
    /// The quorum or what is behind it changed.
    Quorum(QuorumEvent),
    /// The answer to [`ToHot::Votes`]; `None` when it comes with an event.
    Votes {
        /// The question.
        ask: AskId,
        /// The answer.
        reply: Option<Reply>,
    },
    /// The answer to [`ToHot::Snapshot`].
    Snapshot {
        /// The question; `None`: for the services.
        ask: Option<AskId>,
        /// Shared by all who asked at the same moment.
        snapshot: Arc<Snapshot>,
    },
    /// Something happened to a change of the configuration.
    Change(cfg::Event),
    /// A configuration that was committed could not be taken over here.
    NotTakenOver {
        /// Why.
        why: String,
    },
    /// A link that could not be opened at the start is there now, or its address is and something else is wrong.
    Came {
        /// The link.
        link: usize,
        /// How long the hot thread was busy with it, and what the host gives less of; or why not.
        outcome: Result<(u64, Vec<String>), String>,
    },
    /// The leave that [`ToHot::Shutdown`] asked for is announced; the hot thread ends.
    Left,
}

/// From the control thread.
pub(crate) enum ToHot {
    /// This is durable.
    Persisted(Stored),
    /// A program asks about votes.
    Votes {
        /// The question's name.
        ask: AskId,
        /// The question.
        question: Question,
    },
    /// Nobody is to wait for all nodes any longer.
    CancelWaitForAll,
    /// Somebody asks how we are.
    Snapshot {
        /// The question; `None`: for the services.
        ask: Option<AskId>,
    },
    /// Something about the configuration for the other nodes, and what to take over once it is
    /// committed.
    Change(cfg::Request, Option<Box<Takeover>>),
    /// Announce that this node leaves, then end.
    Shutdown,
}

/// Shared by the two threads.
pub(crate) struct Channel {
    to_control: ArrayQueue<ToControl>,
    to_hot: ArrayQueue<ToHot>,
    control_bell: OwnedFd,
    hot_bell: OwnedFd,
    traces_lost: AtomicU64,
    /// Questions under way: only the control thread counts them.
    asked: AtomicUsize,
}

impl ToHot {
    /// Whether an answer will come.
    fn is_question(&self) -> bool {
        matches!(self, Self::Votes { .. } | Self::Snapshot { .. })
    }

    /// Whether the hot thread's state may be another afterwards.
    pub(crate) fn may_change(&self) -> bool {
        match self {
            Self::Snapshot { .. } | Self::Votes { question: Question::State, .. } => false,
            Self::Votes { question: Question::Votes(request), .. } => {
                !matches!(request, votequorum::Request::Info { .. })
            }
            _ => true,
        }
    }
}

impl ToControl {
    /// Whether it is the answer to a question.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Votes { .. } | Self::Snapshot { .. })
    }
}

impl Channel {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self {
            to_control: ArrayQueue::new(TO_CONTROL_MAX),
            to_hot: ArrayQueue::new(TO_HOT_MAX),
            control_bell: bell()?,
            hot_bell: bell()?,
            traces_lost: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
        })
    }

    /// Hands an event over, or counts it as lost.
    pub(crate) fn trace(&self, wall_ns: u64, trace: Trace) {
        if self.to_control.len() >= TO_CONTROL_MAX - RESERVED {
            self.traces_lost.fetch_add(1, Ordering::Relaxed);
        } else {
            self.tell_control(ToControl::Trace { wall_ns, trace });
        }
    }

    /// Hands something else over. These are few: the reserved places are never all taken.
    pub(crate) fn tell_control(&self, message: ToControl) {
        let lost = self.to_control.push(message).is_err();
        debug_assert!(!lost, "the control queue has places reserved for this");
        ring(&self.control_bell);
    }

    /// Hands something to the hot thread; `false` if it does not keep up, or too many questions are under way.
    pub(crate) fn tell_hot(&self, message: ToHot) -> bool {
        let question = message.is_question();
        if question && self.asked.load(Ordering::Relaxed) >= ANSWERS_MAX {
            return false;
        }
        let told = self.to_hot.push(message).is_ok();
        self.asked.fetch_add(usize::from(question && told), Ordering::Relaxed);
        ring(&self.hot_bell);
        told
    }

    /// The next thing for the control thread.
    pub(crate) fn next_for_control(&self) -> Option<ToControl> {
        let next = self.to_control.pop();
        let answers = next.as_ref().map_or(0, |message| usize::from(message.is_answer()));
        self.asked.fetch_sub(answers, Ordering::Relaxed);
        next
    }

    /// The next thing for the hot thread.
    pub(crate) fn next_for_hot(&self) -> Option<ToHot> {
        self.to_hot.pop()
    }

    /// Whether the hot thread has been told everything.
    pub(crate) fn hot_is_told(&self) -> bool {
        self.to_hot.is_empty()
    }

    /// Readable when there is something for the control thread; [`Channel::hush_control`] makes it quiet.
    pub(crate) fn control_bell(&self) -> BorrowedFd<'_> {
        self.control_bell.as_fd()
    }

    /// Readable when there is something for the hot thread; [`Channel::hush_hot`] makes it quiet.
    pub(crate) fn hot_bell(&self) -> BorrowedFd<'_> {
        self.hot_bell.as_fd()
    }

    pub(crate) fn hush_control(&self) {
        hush(self.control_bell());
    }

    pub(crate) fn hush_hot(&self) {
        hush(self.hot_bell());
    }

    /// Rings the control thread's bell, as when the hot thread ends without a word.
    pub(crate) fn wake_control(&self) {
        ring(&self.control_bell);
    }

    /// Events that did not fit the queue so far.
    pub(crate) fn traces_lost(&self) -> u64 {
        self.traces_lost.load(Ordering::Relaxed)
    }
}

fn ring(bell: &OwnedFd) {
    // Full (2^64 - 2 rings unread) is readable all the same.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

/// Reads an eventfd empty; one that is empty already says so, which is as good.
fn hush(bell: BorrowedFd<'_>) {
    let _ = rustix::io::read(bell, &mut [0; 8]);
}

#[cfg(test)]
mod tests {
    use wire::trace::{Code, Level};

    use super::*;

    #[test]
    fn a_flood_of_events_leaves_room_for_what_must_arrive() {
        let channel = Channel::new().unwrap();
        let event = Trace::new(Level::Info, Code::Gather, &[]);
        for _ in 0..TO_CONTROL_MAX * 2 {
            channel.trace(0, event);
        }
        channel.tell_control(ToControl::Persist(Stored { ring_seq: 9, owed_ns: 8 }));
        let mut events = 0;
        let mut stored = None;
        while let Some(message) = channel.next_for_control() {
            match message {
                ToControl::Persist(Stored { ring_seq, .. }) => stored = Some(ring_seq),
                _ => events += 1,
            }
        }
        assert_eq!(stored, Some(9));
        assert_eq!(events as u64 + channel.traces_lost(), TO_CONTROL_MAX as u64 * 2);
    }

    #[test]
    fn no_flood_of_questions_takes_the_place_of_what_must_arrive() {
        let channel = Channel::new().unwrap();
        let event = Trace::new(Level::Info, Code::Gather, &[]);
        let mut taken = 0;
        for _ in 0..TO_CONTROL_MAX * 2 {
            channel.trace(0, event);
            // The hot thread takes them at once; nobody passes the answers on.
            taken += usize::from(channel.tell_hot(ToHot::Snapshot { ask: None }));
            while channel.next_for_hot().is_some() {}
        }
        assert_eq!(taken, ANSWERS_MAX);
        let room = TO_CONTROL_MAX - channel.to_control.len();
        assert!(room >= RESERVED, "{room}");
        assert!(channel.tell_hot(ToHot::Shutdown), "what is no question always finds room");
    }
}
