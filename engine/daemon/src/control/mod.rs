//! The control thread: listener and handshakes, questions, signals, log, state file, service manager. It may
//! block and allocate; the hot thread never waits for it.

mod answers;
mod change;
mod persist;
mod reload;
mod signals;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use groups::votequorum::News;
use groups::{QuorumEvent, cfg};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use session::Acceptor;
use wire::NodeId;
use wire::trace::{Code, Level};

use crate::channel::{Channel, ToControl, ToHot};
use crate::exit::{Exit, Failure};
use crate::hot::{self, Plan};
use crate::log::{Field, Log};
use crate::notify::Notify;
use crate::services::{self, Action, Caller, Next, Services};
use crate::state::{Found, Loaded, State};
use crate::status::Snapshot;
use crate::tracked::VotesFile;
use answers::Answers;
use change::Asker;
use persist::Keeper;
use reload::Reload;
pub(crate) use signals::Signals;

/// How long a leave may take at most before we go without.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// The ring gives up announcing a leave after three token timeouts; we allow this much more.
const LEAVE_SLACK: Duration = Duration::from_secs(1);

/// How long the thread sleeps at most while something has a deadline, and after something happened.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// And while nothing has, and nothing did. Everything it has to do then wakes it; this is for what nobody thought of.
const REST_MAX: Duration = Duration::from_secs(10);

/// Events written to the log in one go before others get their turn.
const MESSAGES_PER_TURN: usize = 256;

/// Everything the control thread owns.
pub(crate) struct Control {
    channel: Arc<Channel>,
    acceptor: Acceptor,
    signals: Signals,
    log: Log,
    notify: Notify,
    keeper: Keeper,
    votes: VotesFile,
    answers: Answers,
    services: Services,
    reload: Reload<Asker>,
    /// A look for the services is due: a ring was formed, or somebody tracks what changes by itself.
    look_due: bool,
    /// Who was let in beside the configuration, as last told to the acceptor.
    let_in: (Vec<u32>, Vec<u32>),
    /// How long a leave may take.
    leave_limit: Duration,
    /// Since when we are leaving.
    leaving: Option<Instant>,
    left: bool,
    /// Whether something woke the thread last time, not the end of its sleep.
    woken: bool,
}

/// How long a leave may take.
fn leave_limit(config: &schema::Config) -> Duration {
    let token_timeout_us = match config.totem.token_timeout {
        schema::TokenTimeout::Auto { max_us, .. } => max_us,
        schema::TokenTimeout::Fixed { us } => us,
    };
    let announced_in = Duration::from_micros(token_timeout_us.saturating_mul(3));
    announced_in.saturating_add(LEAVE_SLACK).min(LEAVE_MAX)
}

impl Control {
    pub(crate) fn new(
        plan: Arc<Plan>,
        channel: Arc<Channel>,
        acceptor: Acceptor,
        warnings: Vec<String>,
        signals: Signals,
        log: Log,
    ) -> Self {
        Self {
            leave_limit: leave_limit(&plan.config),
            keeper: Keeper::new(State::new(&plan.config.engine.state_dir)),
            services: Services::new(&plan.config, &plan.keys),
            look_due: true,
            let_in: Default::default(),
            reload: Reload::new(&plan),
            votes: VotesFile::new(&plan.config.engine.state_dir),
            answers: Answers::new(plan, warnings),
            channel,
            acceptor,
            signals,
            log,
            notify: Notify::from_env(),
            leaving: None,
            left: false,
            woken: true,
        }
    }

    /// The log, for the last words.
    pub(crate) fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Serves until the node has left, or the hot thread is gone (`hot_runs` says so).
    ///
    /// # Errors
    /// When the system does not let us wait, or the leave could not be announced.
    pub(crate) fn run(&mut self, hot_runs: &dyn Fn() -> bool) -> Result<(), Failure> {
        self.notify.send("READY=1");
        while !self.left {
            self.wait().map_err(|error| Failure::new(Exit::System, format!("poll: {error}")))?;
            self.signals();
            self.messages();
            self.persist();
            self.questions()?;
            self.reload_turn();
            self.services_turn();
            if self.leaving.is_some_and(|since| since.elapsed() > self.leave_limit) {
                self.acceptor.close_all();
                let message = format!("the leave was not announced within {:?}", self.leave_limit);
                return Err(Failure::new(Exit::Failed, message));
            }
            if !self.left && !hot_runs() {
                // What it said before it ended.
                self.messages();
                break;
            }
        }
        self.acceptor.close_all();
        Ok(())
    }

    /// How long to sleep if nothing happens.
    fn sleep_max(&self) -> Duration {
        let waits = self.look_due || self.leaving.is_some() || self.votes.is_asked();
        let has_deadline = self.reload.is_asked()
            || self.services.has_deadline()
            || self.acceptor.next_deadline().is_some();
        let most = if self.woken || waits || has_deadline { SLEEP_MAX } else { REST_MAX };
        self.keeper.retry_in().map_or(most, |retry| retry.min(most))
    }

    fn wait(&mut self) -> std::io::Result<()> {
        let sleep = self.sleep_max();
        let mut fds = [
            PollFd::from_borrowed_fd(self.acceptor.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.channel.control_bell(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        let sleep =
            Timespec { tv_sec: sleep.as_secs() as i64, tv_nsec: sleep.subsec_nanos().into() };
        self.woken = match poll(&mut fds, Some(&sleep)) {
            Ok(ready) => ready > 0,
            Err(rustix::io::Errno::INTR) => true,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    fn signals(&mut self) {
        let asked = self.signals.take();
        if asked.reopen {
            self.log.reopen();
        }
        if let Some(signal) = asked.stop {
            self.leave(&[("signal", Field::Text(&signal))]);
        }
    }

    /// Starts to leave, if we do not already.
    fn leave(&mut self, why: &[(&str, Field<'_>)]) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(Instant::now());
        self.log.say(Level::Info, "leaving", why);
        self.notify.send("STOPPING=1");
        self.acceptor.stop_listening();
        self.channel.tell_hot(ToHot::Shutdown);
    }

    /// An event for the log, which may be of interest for the services too.
    fn trace(&mut self, wall_ns: u64, trace: &wire::trace::Trace) {
        match trace.code {
            Code::Operational | Code::Synced | Code::PeerBoot => self.look_due = true,
            Code::OwnPause => self.services.cmap.missed_schedule(wall_ns, trace.args[0]),
            _ => {}
        }
        self.log.trace(wall_ns, trace);
    }

    /// Who may connect: as configured, and whom programs have let in.
    fn access(&self) -> session::Access {
        let mut access = hot::access(self.reload.running());
        access.uids.extend(&self.let_in.0);
        access.gids.extend(&self.let_in.1);
        access
    }

    /// What the services want done.
    fn services_turn(&mut self) {
        for action in self.services.turn(&mut self.acceptor) {
            match action {
                Action::Leave => self.leave(&[("asked", Field::Text(&"by a program"))]),
                Action::Reload(ask) => self.reload(Asker::Service(ask)),
                Action::ReopenLogs => self.log.reopen(),
                Action::CancelWaitForAll => {
                    self.channel.tell_hot(ToHot::CancelWaitForAll);
                }
                Action::Kill { node, text } => {
                    let request = cfg::Request::Kill { node: NodeId(node), text };
                    self.channel.tell_hot(ToHot::Change(request, None));
                }
                Action::Answer(ask, reply) => services::answer(&mut self.acceptor, ask, &reply),
                Action::Notify(connection, notice) => {
                    let notice = ::services::Notice::Cfg(notice);
                    self.acceptor.notify(connection, &::services::codec::encode(&notice));
                }
            }
        }
        let let_in = self.services.cmap.let_in();
        if let_in != self.let_in {
            self.let_in = let_in;
            let access = self.access();
            self.acceptor.set_access(access);
        }
        if self.look_due || self.services.cmap.wants_snapshot() {
            self.look_due = !self.channel.tell_hot(ToHot::Snapshot { ask: None });
        }
    }

    /// What the hot thread has to say.
    fn messages(&mut self) {
        self.channel.hush_control();
        let mut looked: Option<Arc<Snapshot>> = None;
        for _ in 0..MESSAGES_PER_TURN {
            match self.channel.next_for_control() {
                Some(ToControl::Trace { wall_ns, trace }) => self.trace(wall_ns, &trace),
                Some(ToControl::Persist(stored)) => self.keeper.ask(stored),
                Some(ToControl::Quorum(QuorumEvent::News(News::Track { votes }))) => {
                    self.votes.ask(votes);
                }
                Some(ToControl::Quorum(event)) => {
                    self.look_due = true;
                    self.services.quorum_event(event, &mut self.acceptor);
                }
                Some(ToControl::Votes { ask, reply }) => {
                    self.services.votes_answered(ask, reply, &mut self.acceptor);
                }
                Some(ToControl::Snapshot { ask, snapshot }) => {
                    if looked.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &snapshot)) {
                        self.services.cmap.look(&snapshot);
                        looked = Some(snapshot.clone());
                    }
                    let Some(ask) = ask else { continue };
                    if self.services.with_snapshot(ask, &snapshot, &mut self.acceptor) {
                        continue;
                    }
                    let (running, lost) = (self.reload.running(), self.log.lost());
                    let answer = self.answers.status(running, &snapshot, &self.acceptor, lost);
                    self.acceptor.answer(ask, answer.as_bytes());
                }
                Some(ToControl::Change(event)) => self.change(event),
                Some(ToControl::NotTakenOver { why }) => {
                    let fields = [("why", Field::Text(&why))];
                    self.log.say(Level::Error, "configuration not taken over; restart", &fields);
                }
                Some(ToControl::Came { link, outcome }) => self.link_came(link, outcome),
                Some(ToControl::Left) => self.left = true,
                None => return,
            }
        }
        // There may be more: do not sleep.
        self.channel.wake_control();
    }

    /// A link that was not there at the start came, or might have.
    fn link_came(&mut self, link: usize, outcome: Result<(u64, Vec<String>), String>) {
        let number = Field::Number(link as u64);
        match outcome {
            Ok((took_us, warnings)) => {
                let fields = [("link", number), ("took_us", Field::Number(took_us))];
                self.log.say(Level::Info, "link opened", &fields);
                for warning in warnings {
                    let fields = [("why", Field::Text(&warning))];
                    self.log.say(Level::Warn, "not as configured", &fields);
                }
            }
            Err(why) => {
                let fields = [("link", number), ("why", Field::Text(&why))];
                self.log.say(Level::Warn, "link not opened yet", &fields);
            }
        }
    }

    fn persist(&mut self) {
        match self.keeper.turn() {
            persist::Turn::Nothing => {}
            persist::Turn::Stored { stored, failures } => {
                if failures > 0 {
                    let fields = [("failures", Field::Number(failures))];
                    self.log.say(Level::Info, "state stored again", &fields);
                }
                self.channel.tell_hot(ToHot::Persisted(stored));
            }
            persist::Turn::Failed { stored, error } => {
                self.not_stored("ring_seq", stored.ring_seq, &error)
            }
        }
        if let Err(error) = self.votes.turn() {
            // It stays asked for and is tried again with the next turn.
            self.not_stored("expected_votes", 0, &error);
        }
    }

    fn not_stored(&mut self, what: &'static str, number: u64, error: &std::io::Error) {
        let path = self.answers.state_dir();
        let fields = [
            (what, Field::Number(number)),
            ("state_dir", Field::Text(&path)),
            ("error", Field::Text(error)),
        ];
        self.log.say(Level::Error, Code::StateFailed.text(), &fields);
    }

    fn questions(&mut self) -> Result<(), Failure> {
        let mut asked = Vec::new();
        let mut sink = |ask: &session::Ask<'_>| {
            let trusted = ask.trust == Some(session::Trust::Shared);
            let question = match answers::parse(ask.bytes) {
                answers::Question::Reload if !trusted => answers::Question::NotAllowed,
                question => question,
            };
            asked.push((Caller { ask: ask.id, trusted }, question));
        };
        self.acceptor
            .poll(Duration::ZERO, &mut sink)
            .map_err(|error| Failure::new(Exit::System, format!("client sockets: {error}")))?;
        self.services.closed(&mut self.acceptor);
        for (caller, question) in asked {
            let ask = caller.ask;
            let answer = match question {
                answers::Question::Status => {
                    if self.channel.tell_hot(ToHot::Snapshot { ask: Some(ask) }) {
                        continue;
                    }
                    answers::error("too many questions at a time")
                }
                answers::Question::Service(bytes) => {
                    self.ask_services(caller, &bytes);
                    continue;
                }
                answers::Question::Version => answers::version(),
                answers::Question::NotAllowed => {
                    answers::error("this user may look and not change anything")
                }
                answers::Question::Reload => {
                    self.reload(Asker::Words(ask));
                    continue;
                }
                answers::Question::Unknown(text) => answers::error(&format!(
                    "unknown question {text:?}; known: status, version, reload"
                )),
            };
            self.acceptor.answer(ask, answer.as_bytes());
        }
        Ok(())
    }

    fn ask_services(&mut self, caller: Caller, bytes: &[u8]) {
        match self.services.ask(caller, bytes, &mut self.acceptor) {
            Next::Answered => {}
            Next::Snapshot(ask) => {
                if !self.channel.tell_hot(ToHot::Snapshot { ask: Some(ask) }) {
                    self.services.no_snapshot(ask, &mut self.acceptor);
                }
            }
            Next::Votes(ask, question) => {
                if !self.channel.tell_hot(ToHot::Votes { ask, question }) {
                    let busy = Some(Err(::services::Failure::TryAgain));
                    self.services.votes_answered(ask, busy, &mut self.acceptor);
                }
            }
        }
    }

    /// Writes down how the state was found and what the host lacks.
    pub(crate) fn say_start(&mut self, loaded: &Loaded) {
        let ring_seq = ("ring_seq", Field::Number(loaded.stored.ring_seq));
        match &loaded.found {
            Found::Stored => self.log.say(Level::Debug, "ring number read", &[ring_seq]),
            Found::Missing => self.log.say(
                Level::Info,
                "no stored ring number; starting above the clock's, so that none repeats",
                &[ring_seq],
            ),
            Found::Corrupt(what) => self.log.say(
                Level::Warn,
                "stored ring number damaged; starting above the clock's, so that none repeats",
                &[ring_seq, ("what", Field::Text(what))],
            ),
        }
        for warning in self.answers.warnings() {
            self.log.say(Level::Warn, "not as configured", &[("what", Field::Text(warning))]);
        }
        let socket = self.acceptor.path().display().to_string();
        let fields = [
            ("version", Field::Text(&env!("CARGO_PKG_VERSION"))),
            ("pid", Field::Number(std::process::id().into())),
            ("boot", Field::Text(&self.answers.boot())),
            ("socket", Field::Text(&socket)),
        ];
        self.log.say(Level::Info, "serving", &fields);
    }
}
