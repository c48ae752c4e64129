//! What the policy `CMAP` writes down about a process: `resources.process.PID.*`, PID being the watcher's.

use services::cmap::{Map, Request, Value};
use services::{Answer, Request as AnyRequest};

use crate::error::{LIBRARY, Outcome};
use crate::service::Connection;

/// State of a process, in the words that others know.
#[derive(Clone, Copy)]
pub(crate) enum State {
    Stopped,
    Running,
    Waiting,
    Failed,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Waiting => "waiting for quorum",
            Self::Failed => "failed",
        }
    }
}

/// The keys of one process.
pub(crate) struct Keys {
    connection: Connection<()>,
    prefix: String,
}

impl Keys {
    /// Connects and writes what does not change.
    pub(crate) fn open(recovery: &str, interval_ms: i32) -> Outcome<Self> {
        let prefix = format!("resources.process.{}.", std::process::id());
        let keys = Self { connection: Connection::open(())?, prefix };
        let written = keys
            .set("recovery", text(recovery))
            .and_then(|()| keys.set("poll_period", Value::U64(i64::from(interval_ms) as u64)));
        if written.is_err() {
            keys.delete();
        }
        written.map(|()| keys)
    }

    pub(crate) fn state(&self, state: State) -> Outcome {
        self.set("state", text(state.text()))
    }

    /// Something was heard from the process. Whoever cannot be told misses a sign of life, no more.
    pub(crate) fn heard(&self) {
        let _ = self.set("last_updated", Value::U64(monotonic_ns()));
    }

    /// Takes all of them away; an engine that is gone took them along.
    pub(crate) fn delete(&self) {
        for name in ["recovery", "poll_period", "last_updated", "state"] {
            let key = format!("{}{name}", self.prefix);
            let _ = self.order(Request::Delete { map: Map::Config, key });
        }
    }

    fn set(&self, name: &str, value: Value) -> Outcome {
        self.order(Request::Set { map: Map::Config, key: format!("{}{name}", self.prefix), value })
    }

    fn order(&self, request: Request) -> Outcome {
        match self.connection.ask(&AnyRequest::Cmap(request))? {
            Answer::Done => Ok(()),
            _ => Err(LIBRARY),
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

/// The clock that `last_updated` is read against.
fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for one value, which lives during the call. This clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
