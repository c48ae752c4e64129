//! Answers to what is asked on the control socket. A question is one word of text and its answer one JSON
//! object, or it is for one of the cluster services (`services`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use schema::Config;
use serde::Serialize;
use session::Acceptor;

use crate::hot::Plan;
use crate::status::Snapshot;

/// What somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Everything.
    Status,
    /// Which engine this is.
    Version,
    /// A question to a cluster service, as it came.
    Service(Vec<u8>),
    /// Take over what the configuration files of all nodes say now.
    Reload,
    /// To change something, from a user who may not.
    NotAllowed,
    /// Something we do not know; shortened.
    Unknown(String),
}

/// Longest unknown question that is repeated in the answer, in characters.
const UNKNOWN_CHARS_MAX: usize = 40;

/// Reads a question.
pub(super) fn parse(bytes: &[u8]) -> Question {
    if services::codec::is_service_message(bytes) {
        return Question::Service(bytes.to_vec());
    }
    match bytes.trim_ascii() {
        b"status" => Question::Status,
        b"version" => Question::Version,
        b"reload" => Question::Reload,
        other => {
            let text = String::from_utf8_lossy(other);
            Question::Unknown(text.chars().take(UNKNOWN_CHARS_MAX).collect())
        }
    }
}

/// An answer that says what is wrong with the question.
pub(super) fn error(message: &str) -> String {
    serde_json::json!({ "error": message }).to_string()
}

/// Which engine this is.
pub(super) fn version() -> String {
    serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id() })
        .to_string()
}

/// What does not change while the engine runs.
pub(super) struct Answers {
    plan: Arc<Plan>,
    warnings: Vec<String>,
    started: Instant,
}

/// The whole status.
#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    pid: u32,
    uptime_s: u64,
    node: Node<'a>,
    cluster: Cluster<'a>,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    acceptor: BTreeMap<&'static str, u64>,
    log_lines_lost: u64,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Node<'a> {
    id: u32,
    name: &'a str,
    address: String,
    boot: String,
}

#[derive(Serialize)]
struct Cluster<'a> {
    name: &'a str,
    config_version: u64,
    config_file: String,
    nodes: Vec<u32>,
}

impl Answers {
    pub(super) fn new(plan: Arc<Plan>, warnings: Vec<String>) -> Self {
        Self { plan, warnings, started: Instant::now() }
    }

    /// What the host gave less of than was asked for.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// This start of the engine.
    pub(super) fn boot(&self) -> String {
        format!("{:?}", self.plan.boot)
    }

    /// The state directory, for messages.
    pub(super) fn state_dir(&self) -> String {
        self.plan.config.engine.state_dir.display().to_string()
    }

    /// Everything about this moment, as JSON; `config` is the configuration in use.
    pub(super) fn status(
        &self,
        config: &Config,
        snapshot: &Snapshot,
        acceptor: &Acceptor,
        log_lines_lost: u64,
    ) -> String {
        let me = config.my_node();
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            node: Node {
                id: me.id,
                name: &me.name,
                address: me.address.to_string(),
                boot: self.boot(),
            },
            cluster: Cluster {
                name: &config.cluster_name,
                config_version: config.config_version,
                config_file: config.file.display().to_string(),
                nodes: config.nodes.iter().map(|node| node.id).collect(),
            },
            snapshot,
            acceptor: acceptor.counters().fields().collect(),
            log_lines_lost,
            warnings: &self.warnings,
        };
        match serde_json::to_string(&status) {
            Ok(text) => text,
            Err(failed) => error(&failed.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_words_and_strange_ones_are_cut() {
        assert_eq!(parse(b"status\n"), Question::Status);
        assert_eq!(parse(b"version"), Question::Version);
        let Question::Unknown(text) = parse(&[b'x'; 5000]) else { panic!("known") };
        assert_eq!(text.len(), UNKNOWN_CHARS_MAX);
        assert!(matches!(parse(&[0xff, 0]), Question::Unknown(_)));
    }
}
