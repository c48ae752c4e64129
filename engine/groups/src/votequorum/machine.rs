//! The machine: its state and its decisions.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use wire::control::{CONTROL_BYTES_MIN, write_quorum};
use wire::quorum::{NodeInfo, Quorum};
use wire::{NodeId, RingId};

use super::api::{Event, News, Refusal, Timer};
use super::decide::Extremes;
use super::device::Device;
use super::extra::Extras;
use super::options::{Options, Plan, Problem, TieBreaker};
use super::table::{DEVICE, Entry, NodeFlags, NodeState, Table};

/// Most messages that wait for the ring. A program that asks for more meanwhile is told to try
/// again; what the machine itself has to say is far less.
const OUTBOX_MAX: usize = 256;

/// Votequorum on one node. See the module's documentation.
#[derive(Debug)]
pub struct Votequorum {
    pub(super) me: NodeId,
    /// As given at the start: what cannot change while the engine runs is read from here.
    pub(super) start: Options,
    pub(super) two_node: bool,
    pub(super) wait_for_all: bool,
    /// All nodes have not been here at once yet.
    pub(super) waiting: bool,
    pub(super) tie_breaker: TieBreaker,
    pub(super) last_man_standing: bool,
    pub(super) last_man_ns: Option<u64>,
    /// The votes configured: `allow_downscale` never goes below them.
    pub(super) expected_floor: u32,
    /// The most votes ever expected.
    pub(super) tracked: u32,
    pub(super) extremes: Extremes,
    /// Members of the last ring that came into force with a quorum, and of every ring since that may
    /// have come into force elsewhere; empty when this node had no quorum in the last one.
    pub(super) wholes: Vec<Vec<NodeId>>,
    pub(super) device: Device,
    /// What this node's device has to say, and what was said in order.
    pub(super) extra: Box<[u8]>,
    pub(super) extras: Extras,
    pub(super) table: Table,
    pub(super) needed: u32,
    pub(super) quorate: bool,
    pub(super) ring: RingId,
    pub(super) members: Vec<NodeId>,
    pub(super) previous: Vec<NodeId>,
    pub(super) in_sync: bool,
    outbox: VecDeque<Box<[u8]>>,
    events: VecDeque<Event>,
}

impl Votequorum {
    /// A node that has not heard of any other. `tracked` is what the last [`News::Track`] said, zero
    /// if there was none. Also returns the problems of the options that are not fatal.
    ///
    /// # Errors
    /// When the options exclude each other, see [`Problem`].
    pub fn new(
        options: Options,
        me: NodeId,
        tracked: u32,
    ) -> Result<(Self, Vec<Problem>), Problem> {
        let plan = Plan::new(&options, me, false);
        if let Some(problem) = plan.fatal() {
            return Err(problem);
        }
        let mut machine = Self {
            me,
            two_node: false,
            wait_for_all: false,
            waiting: false,
            tie_breaker: TieBreaker::Off,
            last_man_standing: options.last_man_standing,
            last_man_ns: None,
            expected_floor: 0,
            tracked,
            extremes: Extremes::default(),
            wholes: Vec::new(),
            device: Device::new(options.device.as_ref()),
            extra: Box::default(),
            extras: Extras::default(),
            table: Table::default(),
            needed: 0,
            quorate: false,
            ring: RingId { seq: 0, rep: me },
            members: Vec::new(),
            previous: Vec::new(),
            in_sync: false,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            start: options,
        };
        let entry = Entry {
            state: NodeState::Member,
            votes: plan.votes,
            expected_votes: plan.expected_votes,
            flags: NodeFlags::FIRST,
        };
        machine.table.insert(me, entry);
        let problems = machine.adopt(plan);
        if machine.tracks() {
            machine.news(News::Track { votes: machine.tracked });
        }
        machine.set_waiting(machine.wait_for_all);
        machine.recalculate(false, false);
        machine.send_info(me);
        Ok((machine, problems))
    }

    /// Takes over a changed configuration, as far as it may change at run time: the node list,
    /// expected votes, `two_node` (and `wait_for_all` where it follows), the device. Returns the problems.
    pub fn reconfigure(&mut self, options: &Options) -> Vec<Problem> {
        let fixed = &self.start;
        let options = Options {
            wait_for_all: fixed.wait_for_all,
            last_man_standing: fixed.last_man_standing,
            last_man_standing_window_ms: fixed.last_man_standing_window_ms,
            auto_tie_breaker: fixed.auto_tie_breaker.clone(),
            allow_downscale: fixed.allow_downscale,
            expected_votes_tracking: fixed.expected_votes_tracking,
            ..options.clone()
        };
        let us = *self.us();
        let registered = us.flags.contains(NodeFlags::DEVICE_REGISTERED);
        let plan = Plan::new(&options, self.me, registered);
        self.device.configure(options.device.as_ref());
        let problems = self.adopt(plan);
        if !self.wait_for_all && fixed_follows(&self.start) {
            self.set_waiting(false);
        }
        self.send_info(self.me);
        self.send_info(DEVICE);
        let now = *self.us();
        if now.votes != us.votes {
            self.send(&Quorum::SetVotes { node: self.me, votes: now.votes });
        }
        if now.expected_votes != us.expected_votes {
            self.send(&Quorum::SetExpected { votes: now.expected_votes });
        }
        problems
    }

    fn adopt(&mut self, plan: Plan) -> Vec<Problem> {
        if plan.problems.contains(&Problem::NothingExpected) {
            // What was in force stays in force.
            return plan.problems;
        }
        self.two_node = plan.two_node;
        self.wait_for_all = plan.wait_for_all;
        self.tie_breaker = plan.auto_tie_breaker;
        self.device.may_operate = plan.device_may_operate;
        if let Some(votes) = plan.device_votes {
            self.device.votes = votes;
        }
        let tracked = if self.tracks() { self.tracked } else { 0 };
        let us = self.us_mut();
        us.votes = plan.votes;
        us.expected_votes = if tracked > 0 { tracked } else { plan.expected_votes };
        self.expected_floor = us.expected_votes;
        plan.problems
    }

    /// Nobody is to wait for all nodes any longer, on any node.
    ///
    /// # Errors
    /// [`Refusal::TryAgain`] when too many messages wait for the ring.
    pub fn cancel_wait_for_all(&mut self) -> Result<(), Refusal> {
        self.request(&Quorum::CancelWaitForAll)
    }

    /// Sets the votes that all nodes expect.
    ///
    /// # Errors
    /// [`Refusal::Impossible`] when fewer than there are, or so many that the quorum would be lost.
    pub fn set_expected(&mut self, votes: u32) -> Result<(), Refusal> {
        let (needed, total) = self.calculate(true, votes);
        if votes < total || self.quorate && needed > total {
            return Err(Refusal::Impossible);
        }
        self.request(&Quorum::SetExpected { votes })
    }

    /// Sets the votes of a node (or of the device).
    ///
    /// # Errors
    /// [`Refusal::NoSuchNode`], or [`Refusal::Impossible`] when no quorum could follow.
    pub fn set_votes(&mut self, node: NodeId, votes: u32) -> Result<(), Refusal> {
        let before = self.votes_mut(node).map(|place| core::mem::replace(place, votes));
        let before = before.ok_or(Refusal::NoSuchNode)?;
        let (needed, total) = self.calculate(true, 0);
        if let Some(place) = self.votes_mut(node) {
            *place = before;
        }
        if needed < total / 2 || needed > total {
            return Err(Refusal::Impossible);
        }
        self.request(&Quorum::SetVotes { node, votes })
    }

    pub(super) fn votes_mut(&mut self, node: NodeId) -> Option<&mut u32> {
        if node == DEVICE {
            return Some(&mut self.device.votes);
        }
        self.table.get_mut(node).map(|entry| &mut entry.votes)
    }

    /// This node is about to leave in order: with `allow_downscale` the others expect less then.
    pub fn leave(&mut self) {
        if self.start.allow_downscale {
            self.us_mut().flags |= NodeFlags::LEAVING;
            self.send_info(self.me);
        }
    }

    /// Whether this node has a quorum: its last decision, which may be newer than the last
    /// [`Event::Quorum`] while a ring is synchronised.
    pub fn is_quorate(&self) -> bool {
        self.quorate
    }

    /// The next message to send to all nodes, this one included: the body of a control run.
    pub fn poll_message(&mut self) -> Option<Box<[u8]>> {
        self.outbox.pop_front()
    }

    /// The next message, which stays.
    pub fn peek_message(&self) -> Option<&[u8]> {
        self.outbox.front().map(|message| &**message)
    }

    /// The next thing to tell programs.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Votequorum::timeout`] is to be called, and why.
    pub fn next_timeout(&self) -> Option<(u64, Timer)> {
        let last_man = self.last_man_due_ns().map(|at| (at, Timer::LastMan));
        let poll = self.device.poll_ns.map(|at| (at, Timer::DevicePoll));
        [last_man, poll].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// While a ring is synchronised nobody knows whether it comes into force anywhere: who expected less because of
    /// it, alone of all its members, would have a quorum with others than they.
    fn last_man_due_ns(&self) -> Option<u64> {
        self.last_man_ns.filter(|_| !self.in_sync)
    }

    /// Does what is due.
    pub fn timeout(&mut self, now_ns: u64) {
        if self.last_man_due_ns().is_some_and(|at| at <= now_ns) {
            self.last_man_ns = None;
            if self.quorate {
                self.recalculate(true, true);
            }
        }
        if self.device.poll_ns.is_some_and(|at| at <= now_ns) {
            self.device_is_lost();
        }
    }

    /// This node in the table. It is there from the start and is never taken out.
    pub(super) fn us(&self) -> &Entry {
        self.table.get(self.me).unwrap_or(&NOBODY)
    }

    pub(super) fn us_mut(&mut self) -> &mut Entry {
        if self.table.get(self.me).is_none() {
            self.table.insert(self.me, NOBODY);
        }
        match self.table.get_mut(self.me) {
            Some(entry) => entry,
            None => unreachable!("inserted just now"),
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(super) fn news(&mut self, news: News) {
        self.event(Event::News(news));
    }

    /// Queues a message of the machine's own.
    pub(super) fn send(&mut self, message: &Quorum<'_>) {
        let mut buf = [0; CONTROL_BYTES_MIN];
        if let Some(end) = write_quorum(&mut buf, message) {
            self.outbox.push_back(buf[..end].into());
        }
    }

    /// Queues a message that a program asked for.
    pub(super) fn request(&mut self, message: &Quorum<'_>) -> Result<(), Refusal> {
        if !self.has_room() {
            return Err(Refusal::TryAgain);
        }
        self.send(message);
        Ok(())
    }

    /// Whether a program may ask for more.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.len() < OUTBOX_MAX
    }

    /// Tells the others what this node or its device counts for.
    pub(super) fn send_info(&mut self, node: NodeId) {
        let entry =
            if node == DEVICE { Entry { votes: self.device.votes, ..NOBODY } } else { *self.us() };
        let Entry { votes, expected_votes, flags, .. } = entry;
        let info = NodeInfo { node, votes, expected_votes, flags: flags.bits() };
        self.send(&Quorum::Info(info));
    }

    pub(super) fn tracks(&self) -> bool {
        self.start.expected_votes_tracking || self.start.allow_downscale
    }

    pub(super) fn set_waiting(&mut self, waiting: bool) {
        self.waiting = waiting;
        self.us_mut().flags.set(NodeFlags::WAITS_FOR_ALL, waiting);
    }

    pub(super) fn tell_quorum(&mut self) {
        let event = Event::Quorum {
            quorate: self.quorate,
            ring: self.ring,
            members: self.members.clone(),
            nodes: self.states(),
        };
        self.event(event);
    }

    /// Every node ever heard of with its state, and the device if one is registered.
    pub fn states(&self) -> Vec<(NodeId, NodeState)> {
        let device = self.us().flags.contains(NodeFlags::DEVICE_REGISTERED);
        let device = device.then_some((DEVICE, NodeState::Member));
        self.table.iter().map(|(node, entry)| (node, entry.state)).chain(device).collect()
    }
}

/// What a node that says nothing of itself counts for.
pub(super) const NOBODY: Entry =
    Entry { state: NodeState::Member, votes: 0, expected_votes: 0, flags: NodeFlags::empty() };

/// Whether `wait_for_all` was not given and so follows `two_node`.
fn fixed_follows(start: &Options) -> bool {
    start.wait_for_all.is_none()
}
