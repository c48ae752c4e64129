//! The engine's half of the cluster services: takes questions that programs ask on their sockets to the
//! service they are for, and notices back. Lives on the control thread.
//!
//! A service is a machine of its own in a file of its own: it gets a question and who asks ([`Caller`]), and says
//! what comes of it ([`Outcome`]). What it wants done beyond an answer it says as [`Action`]s, which the control
//! thread takes. What it keeps per connection (trackers) goes when the connection does ([`Services::closed`]).
//! Notices are bounded by the acceptor: a program that lets more than 4 MiB of them pile up is cut off, so
//! nothing here waits for a slow one.

mod cfg;
mod cmap;
mod cpg;
pub(crate) mod quorum;

use std::collections::HashMap;

use schema::Config;
use schema::corosync::ConfKey;
use services::codec::{self, Malformed};
use services::{Failure, Notice, Reply, Request};
use session::{Acceptor, AskId, ConnectionId};

use crate::status::Snapshot;

/// Questions that may wait for a snapshot of the hot thread at a time.
const WAITING_MAX: usize = 128;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The question, and through [`AskId::connection`] the connection.
    pub(crate) ask: AskId,
    /// Whether it may change something; users of another trust domain may only look.
    pub(crate) trusted: bool,
}

/// What came of a question.
pub(crate) enum Outcome {
    /// This is the answer.
    Now(Reply),
    /// Ask again with a snapshot of the hot thread ([`Services::with_snapshot`]).
    NeedsSnapshot,
    /// The answer comes as [`Action::Answer`], or what an action leads to gives it.
    Later,
}

/// What the control thread does next about a question.
pub(crate) enum Next {
    /// Nothing: it was answered.
    Answered,
    /// Have a snapshot made for this question.
    Snapshot(AskId),
    /// Ask the hot thread about votes.
    Votes(AskId, quorum::Question),
}

/// What a service wants done.
pub(crate) enum Action {
    /// This node leaves and ends.
    Leave,
    /// Reload the configuration of all nodes, and answer this question then.
    Reload(AskId),
    /// Nobody is to wait for all nodes any longer.
    CancelWaitForAll,
    /// Open log files anew.
    ReopenLogs,
    /// Ask a member to leave and end.
    Kill {
        /// Which.
        node: u32,
        /// Why.
        text: String,
    },
    /// Answer a question that waited.
    Answer(AskId, Reply),
    /// Tell a tracker of administration.
    Notify(ConnectionId, services::cfg::Notice),
}

/// All services of this node.
pub(crate) struct Services {
    cfg: cfg::Cfg,
    /// The configuration map and the statistics.
    pub(crate) cmap: cmap::Cmap,
    /// Questions that wait for a snapshot, and whether who asks may change something.
    waiting: HashMap<AskId, (Request, bool)>,
    actions: Vec<Action>,
    quorum: quorum::Quorum,
}

impl Services {
    /// The services of this node.
    pub(crate) fn new(config: &Config, keys: &[ConfKey]) -> Self {
        Self {
            cfg: cfg::Cfg::new(config),
            cmap: cmap::Cmap::new(config, keys),
            quorum: quorum::Quorum::new(config.quorum.votequorum),
            waiting: HashMap::new(),
            actions: Vec::new(),
        }
    }

    /// The configuration is this now; `keys` are what its file says.
    pub(crate) fn set_config(&mut self, config: &Config, keys: &[ConfKey]) {
        self.cfg.set_config(config);
        self.cmap.set_config(config, keys);
    }

    /// A question, as it came.
    pub(crate) fn ask(&mut self, caller: Caller, bytes: &[u8], acceptor: &mut Acceptor) -> Next {
        let outcome = match codec::decode::<Request>(bytes) {
            Ok(Request::Quorum(request)) => {
                let outcome = self.quorum.ask(caller.ask, &request, acceptor);
                return quorum_outcome(caller.ask, outcome, acceptor);
            }
            Ok(Request::Votequorum(request)) => {
                let outcome = self.quorum.ask_votes(caller, &request, acceptor);
                return quorum_outcome(caller.ask, outcome, acceptor);
            }
            Ok(request) => match self.dispatch(caller, &request) {
                Outcome::NeedsSnapshot if self.waiting.len() < WAITING_MAX => {
                    self.waiting.insert(caller.ask, (request, caller.trusted));
                    return Next::Snapshot(caller.ask);
                }
                Outcome::Later => return Next::Answered,
                Outcome::NeedsSnapshot => Err(Failure::TryAgain),
                Outcome::Now(reply) => reply,
            },
            // Of a library of another version: it cannot mean what we know.
            Err(Malformed::Version(_)) => Err(Failure::NotSupported),
            Err(Malformed::Contents | Malformed::NotOurs) => Err(Failure::InvalidParameter),
        };
        answer(acceptor, caller.ask, &outcome);
        Next::Answered
    }

    fn dispatch(&mut self, caller: Caller, request: &Request) -> Outcome {
        let Caller { ask, trusted } = caller;
        match request {
            Request::Cfg(request) => {
                let timeout = self.cmap.shutdown_timeout();
                self.cfg.ask(ask, trusted, request, timeout, &mut self.actions)
            }
            Request::Cmap(request) => self.cmap.ask(ask.connection(), trusted, request),
            Request::Cpg(request) => cpg::ask(request),
            Request::Quorum(_) | Request::Votequorum(_) => Outcome::Now(Err(Failure::NotSupported)),
        }
    }

    /// The hot thread's answer about votes, see [`quorum::Quorum`].
    pub(crate) fn votes_answered(
        &mut self,
        ask: AskId,
        reply: Option<Reply>,
        acceptor: &mut Acceptor,
    ) {
        self.quorum.answered(ask, reply, acceptor);
    }

    /// The quorum or what is behind it changed.
    pub(crate) fn quorum_event(&mut self, event: groups::QuorumEvent, acceptor: &mut Acceptor) {
        self.quorum.event(event, acceptor);
    }

    /// The hot thread could not be asked for the snapshot of this question.
    pub(crate) fn no_snapshot(&mut self, ask: AskId, acceptor: &mut Acceptor) {
        if self.waiting.remove(&ask).is_some() {
            answer(acceptor, ask, &Err(Failure::TryAgain));
        }
    }

    /// A snapshot has come. False: it is for somebody else.
    pub(crate) fn with_snapshot(
        &mut self,
        ask: AskId,
        snapshot: &Snapshot,
        acceptor: &mut Acceptor,
    ) -> bool {
        let Some((request, trusted)) = self.waiting.remove(&ask) else { return false };
        let reply = match &request {
            Request::Cpg(request) => cpg::with_snapshot(request, snapshot),
            Request::Cmap(request) => self.cmap.answer(ask.connection(), trusted, request),
            Request::Cfg(request) => self.cfg.with_snapshot(request, snapshot, &mut self.actions),
            Request::Quorum(_) | Request::Votequorum(_) => Err(Failure::NotSupported),
        };
        answer(acceptor, ask, &reply);
        true
    }

    /// Whether [`Services::turn`] has something to do at some time although nothing happens.
    pub(crate) fn has_deadline(&self) -> bool {
        self.cfg.is_deciding() || self.cmap.is_tracked()
    }

    /// What is due, what services want done since the last call, and notices of changed keys.
    pub(crate) fn turn(&mut self, acceptor: &mut Acceptor) -> Vec<Action> {
        self.cfg.tick(&mut self.actions);
        if self.cmap.take_cancel() {
            self.actions.push(Action::CancelWaitForAll);
        }
        for (connection, notice) in self.cmap.notices() {
            acceptor.notify(connection, &codec::encode(&Notice::Cmap(notice)));
        }
        std::mem::take(&mut self.actions)
    }

    /// Forgets connections that are over.
    pub(crate) fn closed(&mut self, acceptor: &mut Acceptor) {
        for connection in acceptor.take_closed() {
            self.waiting.retain(|ask, _| ask.connection() != connection);
            self.cmap.closed(connection);
            self.cfg.closed(connection, &mut self.actions);
            self.quorum.closed(connection);
        }
    }
}

fn quorum_outcome(ask: AskId, outcome: quorum::Outcome, acceptor: &mut Acceptor) -> Next {
    match outcome {
        quorum::Outcome::Now(reply) => {
            answer(acceptor, ask, &reply);
            Next::Answered
        }
        quorum::Outcome::Ask(question) => Next::Votes(ask, question),
    }
}

/// Sends an answer.
pub(crate) fn answer(acceptor: &mut Acceptor, ask: AskId, reply: &Reply) {
    acceptor.answer(ask, &codec::encode(reply));
}
