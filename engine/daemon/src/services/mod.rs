//! The engine's half of the cluster services: takes questions that programs ask on their sockets to the
//! service they are for, and notices back. Lives on the control thread.
//!
//! A service is a machine of its own in a file of its own: it gets a question and who asks ([`Caller`]), and says
//! what comes of it ([`Outcome`]). What it keeps per connection (trackers) goes when the connection does
//! ([`Services::closed`]). Notices are bounded by the acceptor: a program that lets more than 4 MiB of them pile
//! up is cut off, so nothing here waits for a slow one.

mod cfg;
mod cpg;

use std::collections::HashMap;

use services::codec::{self, Malformed};
use services::{Failure, Reply, Request};
use session::{Acceptor, AskId};

use crate::status::Snapshot;

/// Questions that may wait for a snapshot of the hot thread at a time.
const WAITING_MAX: usize = 128;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The question, and through [`AskId::connection`] the connection.
    pub(crate) ask: AskId,
}

/// What came of a question.
pub(crate) enum Outcome {
    /// This is the answer.
    Now(Reply),
    /// Ask again with a snapshot of the hot thread ([`Services::with_snapshot`]).
    NeedsSnapshot,
}

/// What the control thread does next about a question.
pub(crate) enum Next {
    /// Nothing: it was answered.
    Answered,
    /// Have a snapshot made for this question.
    Snapshot(AskId),
}

/// All services of this node.
pub(crate) struct Services {
    cfg: cfg::Cfg,
    /// Questions that wait for a snapshot.
    waiting: HashMap<AskId, Request>,
}

impl Services {
    /// The services of this node.
    pub(crate) fn new(node: u32) -> Self {
        Self { cfg: cfg::Cfg::new(node), waiting: HashMap::new() }
    }

    /// A question, as it came.
    pub(crate) fn ask(&mut self, caller: Caller, bytes: &[u8], acceptor: &mut Acceptor) -> Next {
        let outcome = match codec::decode::<Request>(bytes) {
            Ok(request) => match self.dispatch(&request) {
                Outcome::NeedsSnapshot if self.waiting.len() < WAITING_MAX => {
                    self.waiting.insert(caller.ask, request);
                    return Next::Snapshot(caller.ask);
                }
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

    fn dispatch(&mut self, request: &Request) -> Outcome {
        match request {
            Request::Cfg(request) => self.cfg.ask(request),
            Request::Cpg(request) => cpg::ask(request),
            Request::Cmap(_) | Request::Quorum(_) | Request::Votequorum(_) => {
                Outcome::Now(Err(Failure::NotSupported))
            }
        }
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
        let Some(request) = self.waiting.remove(&ask) else { return false };
        let reply = match &request {
            Request::Cpg(request) => cpg::with_snapshot(request, snapshot),
            _ => Err(Failure::NotSupported),
        };
        answer(acceptor, ask, &reply);
        true
    }

    /// Forgets connections that are over.
    pub(crate) fn closed(&mut self, acceptor: &mut Acceptor) {
        for connection in acceptor.take_closed() {
            self.waiting.retain(|ask, _| ask.connection() != connection);
        }
    }
}

/// Sends an answer.
fn answer(acceptor: &mut Acceptor, ask: AskId, reply: &Reply) {
    acceptor.answer(ask, &codec::encode(reply));
}
