//! The hot thread: owns region, pool, transport, node and session server, and turns the loop.
//!
//! A turn: collect completions (a bounded batch) and what programs submitted -> `node.handle` -> drain
//! `poll_output` -> one submit, one publish -> rest as the idle strategy says. No lock, no allocation and no
//! formatting once it runs, but for what is rare: new sessions, views, snapshots.

mod awaited;
mod awake;
mod driver;
mod idle;
mod programs;
mod quorum;
mod setup;
mod snapshot;
mod takeover;
mod votes;

use std::sync::Arc;

use frame::Pool;
use groups::votequorum::Votequorum;
use node::{Input, Node, Output};
use schema::Config;
use services::Reply;
use session::{Request, Server};
use transport::links::Links;
use transport::lossy::Lossy;
use transport::{Burst, Dest, Event, Queue};
use wire::trace::Trace;

use crate::channel::{Channel, ToControl, ToHot};
use crate::clock::{monotonic_ns, wall_ns};
use crate::exit::Failure;
use crate::page::CountersPage;
use crate::recorder::Recorder;
use crate::services::quorum::Question;
use crate::status::Snapshot;
use awaited::Awaited;
use awake::Awake;
use driver::Driver;
use idle::{Rest, Strategy};
use programs::{Programs, Scratch, deliver, input};
pub(crate) use quorum::problem as quorum_problem;
use setup::token_timeout;
pub(crate) use setup::{Plan, Started, access, owed_ns_max, start};
use takeover::Positions;
pub(crate) use takeover::Takeover;

/// Events taken from the transport in one turn: enough for a burst of each node of a middling ring, few
/// enough that programs and timers are not kept waiting.
const EVENTS_PER_TURN: usize = 64;

/// How long the thread sleeps at most, so that counters page and leases never lag more than this.
const PARK_NS_MAX: u64 = 1_000_000_000;

/// How often the counters page is written while there is something to do.
const PAGE_NS: u64 = 100_000_000;

/// A timer this late is fired although datagrams still wait: they keep coming.
const TIMER_LATE_NS: u64 = 2_000_000;

/// Keys of watched descriptors.
const KEY_CONTROL: u64 = 1;
const KEY_PROGRAMS: u64 = 2;

wire::counters! {
    /// What the loop did.
    pub struct LoopCounters {
        /// Turns.
        pub turns: u64,
        /// Turns that found something to do.
        pub turns_worked: u64,
        /// Times the thread slept.
        pub parks: u64,
        /// Times it was about to sleep and found that a program had submitted something.
        pub parks_refused: u64,
        /// Bursts the transport did not take; the ring repairs that.
        pub sends_refused: u64,
        /// Timeouts handled.
        pub timeouts: u64,
        /// Times programs had something new to send.
        pub submissions: u64,
    }
}

/// Everything the hot thread owns.
pub(crate) struct Hot {
    plan: Arc<Plan>,
    /// The configuration in use: the plan's with what was changed since.
    running: Config,
    /// What to take over if it is committed.
    takeover: Option<Box<Takeover>>,
    positions: Positions,
    /// The nodes in the order of their positions, with those that are gone: what a link that comes late is given.
    roster: Vec<schema::Node>,
    /// What keeps cores from sleeping deeply, for as long as the loop runs.
    _awake: Option<Awake>,
    awaited: Awaited,
    pool: Pool,
    node: Node,
    server: Server,
    /// Loses nothing unless a test asks for it.
    transport: Links<Lossy<Driver>>,
    channel: Arc<Channel>,
    recorder: Option<Recorder>,
    page: Option<CountersPage>,
    page_at_ns: u64,
    /// What to add to monotonic time for wall time.
    wall_offset_ns: u64,
    strategy: Strategy,
    scratch: Scratch,
    requests: Vec<Request>,
    left: bool,
    counters: LoopCounters,
}

impl Hot {
    /// Turns the loop until the node has left.
    ///
    /// # Errors
    /// None at present: what goes wrong while running is counted, traced and repaired.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        self.drain(monotonic_ns());
        while !self.left {
            self.turn();
        }
        self.write_page(monotonic_ns());
        self.channel.tell_control(ToControl::Left);
        Ok(())
    }

    fn turn(&mut self) {
        self.counters.turns += 1;
        let received = self.receive();
        let now_ns = monotonic_ns();
        let told = self.told(now_ns);
        let asked = self.programs(now_ns);
        let fired = self.timers(now_ns, received < EVENTS_PER_TURN);
        // Local programs first: showing them what they wait for takes less time than handing a burst to the
        // kernel, which on one machine runs the receivers' half as well. (A token was flushed as it was sent.)
        self.server.publish();
        self.transport.flush();
        self.server.reclaim(now_ns);
        let worked = received > 0 || told || asked || fired;
        let stirred = worked && self.node.take_stirred();
        // Signs of life, which wake an idle engine many times a second, are worth neither a page nor spinning.
        let page_ns = if stirred { PAGE_NS } else { PARK_NS_MAX };
        if now_ns.saturating_sub(self.page_at_ns) >= page_ns {
            self.write_page(now_ns);
        }
        if self.awaited.is_due(now_ns) {
            self.look_for_links(now_ns);
        }
        if worked {
            self.counters.turns_worked += 1;
            self.strategy.worked(stirred);
        } else if !self.left {
            self.rest(now_ns);
        }
    }

    /// Takes what arrived. After a visit data first, because what the token covers is wanted before the
    /// next token; the token first once the predecessor is seen to have had it (Babay and Amir 2016).
    /// So the queue is chosen anew for every burst.
    fn receive(&mut self) -> usize {
        for count in 0..EVENTS_PER_TURN {
            let prefer = if self.node.token_first() { Queue::Token } else { Queue::Data };
            let Some((link, event)) = self.transport.poll_one(prefer) else { return count };
            self.event(link, event);
        }
        EVENTS_PER_TURN
    }

    fn event(&mut self, link: u8, event: Event) {
        match event {
            Event::Received { queue, burst: Burst { bytes, segment_bytes } } => {
                let queue = match queue {
                    Queue::Token => node::Queue::Token,
                    Queue::Data => node::Queue::Data,
                };
                self.handle(Input::Received { link, queue, bytes, segment_bytes });
            }
            Event::Unreachable { peer } => {
                if let Some(peer) = self.positions.node(peer) {
                    self.handle(Input::Unreachable { link, peer });
                }
            }
            Event::Ready { key: KEY_CONTROL } => self.channel.hush_hot(),
            // Forgotten when the loop wakes, see `park`.
            Event::Ready { .. } => {}
        }
    }

    /// Gives the node an input and does what it says.
    fn handle(&mut self, input: Input) {
        let now_ns = monotonic_ns();
        self.node.handle(now_ns, input, &mut Programs(&mut self.server));
        self.drain(now_ns);
    }

    fn drain(&mut self, now_ns: u64) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { to, links, lane, bytes, segment_bytes } => {
                    self.send(to, links, lane, Burst { bytes, segment_bytes });
                }
                Output::Change(event) => self.change(now_ns, event),
                Output::Event(groups::Event::Quorum(event)) => {
                    self.channel.tell_control(ToControl::Quorum(event));
                }
                Output::Event(event) => deliver(&mut self.server, &mut self.scratch, event),
                Output::Persist(stored) => {
                    self.channel.tell_control(ToControl::Persist(stored));
                }
                Output::Trace(trace) => self.trace(now_ns, trace),
                Output::Left => self.left = true,
            }
        }
    }

    fn send(&mut self, to: node::Dest, links: u8, lane: node::Lane, burst: Burst) {
        let to = match to {
            node::Dest::All => Dest::All,
            node::Dest::Node(id) => match self.positions.of(id) {
                Some(position) => Dest::Peer(position),
                None => return,
            },
        };
        let queue = match lane {
            node::Lane::Token => Queue::Token,
            node::Lane::Data => Queue::Data,
        };
        if self.transport.send(links, to, queue, burst).is_err() {
            self.counters.sends_refused += 1;
        }
        if queue == Queue::Token {
            // The successor can work while we still seal what follows the token.
            self.transport.flush();
        }
    }

    /// What the control thread has to say.
    fn told(&mut self, now_ns: u64) -> bool {
        let mut any = false;
        // One for all who ask now: making it takes a while, and anybody may ask.
        let mut seen: Option<Arc<Snapshot>> = None;
        while let Some(message) = self.channel.next_for_hot() {
            any = true;
            if message.may_change() {
                seen = None;
            }
            match message {
                ToHot::Persisted(stored) => self.handle(Input::Persisted(stored)),
                ToHot::Snapshot { ask } => {
                    let snapshot =
                        seen.get_or_insert_with(|| Arc::new(self.snapshot(now_ns))).clone();
                    self.channel.tell_control(ToControl::Snapshot { ask, snapshot });
                }
                ToHot::Change(request, takeover) => {
                    if let Some(takeover) = takeover {
                        let config = &takeover.config;
                        let expected = Input::Expect {
                            token_timeout: token_timeout(config),
                            consensus_us: config.totem.consensus_timeout_us,
                            nodes: config.nodes.len(),
                        };
                        self.takeover = Some(takeover);
                        self.handle(expected);
                    }
                    self.handle(Input::Change(request));
                }
                ToHot::Votes { ask, question } => {
                    let reply = self.votes(now_ns, &question);
                    // What follows from it comes after it.
                    self.channel.tell_control(ToControl::Votes { ask, reply });
                    self.drain(now_ns);
                }
                ToHot::CancelWaitForAll => {
                    let mut programs = Programs(&mut self.server);
                    // With too many messages in its way it is lost, as if asked later: whoever wrote sees no change.
                    let cancel = Votequorum::cancel_wait_for_all;
                    self.node.with_votes(now_ns, &mut programs, cancel);
                    self.drain(now_ns);
                }
                ToHot::Shutdown => self.handle(Input::Shutdown),
            }
        }
        any
    }

    /// What programs ask of the quorum; `None` when the answer comes with an event.
    fn votes(&mut self, now_ns: u64, question: &Question) -> Option<Reply> {
        let request = match question {
            Question::State => {
                let quorum = self.node.groups().quorum();
                let quorate = quorum.quorate_until_ns().is_some_and(|until| now_ns < until);
                let counted = quorum.votes().is_some();
                let state = services::quorum::Answer::State { quorate, counted };
                return Some(Ok(services::Answer::Quorum(state)));
            }
            Question::Votes(request) => request,
        };
        let me = self.plan.config.me;
        let mut programs = Programs(&mut self.server);
        let reply = self
            .node
            .with_votes(now_ns, &mut programs, |votes| votes::answer(votes, now_ns, me, request));
        reply.unwrap_or(Some(Err(services::Failure::NotSupported)))
    }

    /// What programs ask for and submit.
    fn programs(&mut self, now_ns: u64) -> bool {
        let Self { server, requests, .. } = self;
        // What was pulled since the last look is off this number already, so it differs after the
        // poll if and only if something new came (or somebody went, which is in `asked`).
        let before = server.pending_bytes();
        let asked = server.poll(now_ns, &mut |request| requests.push(request)) > 0;
        if asked {
            let mut requests = std::mem::take(&mut self.requests);
            for request in requests.drain(..) {
                let (input, trace) = input(request);
                if let Some(trace) = trace {
                    self.trace(now_ns, trace);
                }
                self.handle(input);
            }
            self.requests = requests;
        }
        let pending = self.server.pending_bytes();
        let submitted = pending > 0 && (pending != before || asked);
        if submitted {
            self.counters.submissions += 1;
            self.handle(Input::Submitted);
        }
        asked || submitted
    }

    /// Fires what is due, but first looks at what had arrived before: what a datagram says may make
    /// the timer pointless.
    fn timers(&mut self, now_ns: u64, all_received: bool) -> bool {
        let Some((at_ns, _)) = self.node.next_timeout() else { return false };
        let patience_ns = if all_received { 0 } else { TIMER_LATE_NS };
        if at_ns.saturating_add(patience_ns) > now_ns {
            return false;
        }
        self.counters.timeouts += 1;
        self.handle(Input::Timeout);
        true
    }

    fn rest(&mut self, now_ns: u64) {
        match self.strategy.rest(now_ns) {
            Rest::Spin => std::hint::spin_loop(),
            Rest::Yield => self.strategy.yield_core(monotonic_ns()),
            Rest::Park => self.park(),
        }
    }

    fn park(&mut self) {
        // From here on programs ring the bell; what they submitted before is seen by this call.
        if !self.server.may_sleep() || !self.channel.hot_is_told() {
            self.counters.parks_refused += 1;
            self.server.awake();
            return;
        }
        let now_ns = monotonic_ns();
        let timer_ns = self.node.next_timeout().map_or(u64::MAX, |(at_ns, _)| at_ns);
        let timeout_ns = timer_ns.saturating_sub(now_ns).min(PARK_NS_MAX);
        if timeout_ns > 0 {
            self.counters.parks += 1;
            self.transport.wait(Some(timeout_ns));
        }
        self.server.awake();
    }

    /// Into the flight recorder, and on to the log.
    fn trace(&mut self, now_ns: u64, trace: Trace) {
        let wall_ns = now_ns.wrapping_add(self.wall_offset_ns);
        if let Some(recorder) = &mut self.recorder {
            recorder.record(now_ns, wall_ns, &trace);
        }
        self.channel.trace(wall_ns, trace);
    }

    fn write_page(&mut self, now_ns: u64) {
        self.page_at_ns = now_ns;
        self.wall_offset_ns = wall_ns().wrapping_sub(monotonic_ns());
        let Some(mut page) = self.page.take() else { return };
        self.each_counter(&mut |_, _, value| page.put(value));
        page.finish(now_ns);
        self.page = Some(page);
    }
}
