//! Administration of this node.

use services::cfg::{Answer, Request};
use services::{Answer as Any, Failure};

use super::Outcome;

/// What administration knows.
pub(super) struct Cfg {
    node: u32,
}

impl Cfg {
    pub(super) fn new(node: u32) -> Self {
        Self { node }
    }

    pub(super) fn ask(&mut self, request: &Request) -> Outcome {
        let reply = match request {
            Request::LocalGet => Ok(Any::Cfg(Answer::Local { node: self.node })),
            _ => Err(Failure::NotSupported),
        };
        Outcome::Now(reply)
    }
}
